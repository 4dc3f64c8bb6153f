"""Stand-ins of data sets of one object class, read back by their own YAMLs; and the sizes of divided sets."""

from __future__ import annotations

import json

import numpy as np
import pytest

from seglab.config import compose
from seglab.data.pairing import Match, by_split
from seglab.data.pairs import STANDIN
from seglab.data.standin import write_standins
from seglab.data.standin_objects import object_scene, trimap
from seglab.targets import instantiate

NAMES = ["oxford_pet", "oxford_pet/cat", "voc_coseg/cow", "voc_coseg/tv", "web/cow", "ecssd", "ecssd_split"]


def source_of(root, *overrides):
    return instantiate(compose("prepare", [*overrides, "~eval", f"runtime.data_root={root}"]).data.source)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    place = tmp_path_factory.mktemp("data")
    found = write_standins([*NAMES, "photos", "class_folders", "shapes_single"], place)
    assert set(found) == set(NAMES)
    return place


@pytest.mark.parametrize(
    ("overrides", "counts"),
    [
        (["data=oxford_pet"], {"train": 12, "test": 6}),
        (["data=oxford_pet", "data.category=cat"], {"train": 6, "test": 3, "negative": 6}),
        (["data=oxford_pet", "data.category=dog"], {"train": 6, "test": 3, "negative": 6}),
        (["data=voc_coseg", "data.category=cow"], {"train": 6, "test": 6, "negative": 114}),
        (["data=voc_coseg"], {"train": 6, "test": 6, "negative": 114}),
        (["data=web", "data.category=cow"], {"train": 6, "negative": 114}),
        (["data=ecssd_split"], {"train": 4, "test": 2}),
    ],
)
def test_is_read_back(root, overrides, counts):
    source = source_of(root, *overrides)
    assert {part: len(source.items(part)) for part in counts} == counts
    for part in counts:
        image, mask = source.items(part)[0].read()
        assert image.shape[:2] == mask.shape
        assert (mask == 255).all() == (part == "negative" or overrides[0] == "data=web")
        assert set(np.unique(mask)) <= {0, 1, 255}


def test_the_same_call_writes_nothing_and_categories_share_files(root):
    before = {p: p.stat().st_mtime_ns for p in root.rglob("*") if p.is_file()}
    write_standins(["voc_coseg/dog", "web", "oxford_pet/dog", "ecssd_split"], root)
    assert {p: p.stat().st_mtime_ns for p in root.rglob("*") if p.is_file()} == before
    assert sorted(p.name for p in root.iterdir()) == ["ECSSD", "VOC-coseg", "Web20", "oxford-iiit-pet"]
    assert json.loads((root / "VOC-coseg" / STANDIN).read_text())["data"] == "voc_coseg"
    assert len(list((root / "VOC-coseg/images").iterdir())) == 20


def test_real_photos_are_left_alone(tmp_path):
    (tmp_path / "Web20").mkdir()
    (tmp_path / "Web20/mine.jpg").write_text("real")
    with pytest.raises(ValueError, match="is in the way and is left alone"):
        write_standins(["web/cow"], tmp_path)


def test_a_trimap_has_a_border_round_the_object_only():
    mask = np.zeros((7, 7), np.uint8)
    mask[2:5, 2:5] = 1
    found = trimap(mask)
    assert (found[0] == 2).all()
    assert found[3, 3] == 1
    assert (found == 3).sum() == 24


def test_pictures_are_fixed_and_differ():
    first, again = (object_scene("x", 0, size=(48, 40)) for _ in range(2))
    assert first[0].tobytes() == again[0].tobytes()
    assert first[0].tobytes() != object_scene("y", 0, size=(48, 40))[0].tobytes()
    assert 0.05 < first[1].mean() < 0.6


@pytest.mark.parametrize(
    ("name", "total", "counts"), [("ecssd_split", 1000, (700, 300)), ("dut_omron_split", 5168, (3678, 1490))]
)
def test_divided_sets_have_the_sizes_of_the_paper(name, total, counts):
    source = compose("prepare", [f"data={name}", "~eval"]).data.source
    everything = [Match(f"{i:05d}", None, None) for i in range(total)]
    parts, faults = by_split(everything, source.split, source.split_seed)
    assert (len(parts["train"]), len(parts["test"])) == counts
    assert not faults
    assert not {m.id for m in parts["train"]} & {m.id for m in parts["test"]}


def test_the_undivided_sets_stay_test_sets():
    for name in ("ecssd", "dut_omron"):
        assert compose("prepare", [f"data={name}", "~eval"]).data.source.split == "test"


@pytest.mark.parametrize(
    ("overrides", "name", "sets"),
    [
        (["data=voc_coseg", "data.category=cow"], "voc_coseg/cow", ["self"]),
        (["data=web", "data.category=potted_plant"], "web/potted_plant", ["voc_coseg/potted_plant"]),
        (["data=oxford_pet"], "oxford_pet", ["self"]),
        (["data=oxford_pet", "data.category=dog"], "oxford_pet/dog", ["self"]),
        (["data=photos", "data.images=x"], "photos", []),
        (["data=class_folders", "data.images=x", "data.category=cow"], "class_folders/cow", ["self"]),
    ],
)
def test_names_and_what_is_scored(overrides, name, sets):
    data = compose("train", overrides).data
    assert data.name == name
    assert list(data.test_sets) == sets


def test_an_unknown_species_is_told_by_the_source():
    with pytest.raises(ValueError, match=r"data\.category=cow: expected one of pet, cat, dog"):
        source_of("x", "data=oxford_pet", "data.category=cow")
