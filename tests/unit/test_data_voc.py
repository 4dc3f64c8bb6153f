"""The layout of PASCAL VOC: classes, objects and connected pieces as regions."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from seglab.data.pairs import DataMissing
from seglab.data.voc import Voc

CLASSES = np.array([[0, 0, 255, 5, 5], [0, 0, 255, 255, 255], [5, 5, 0, 5, 255]], np.uint8)
OBJECTS = np.array([[0, 0, 255, 2, 2], [0, 0, 255, 255, 255], [1, 1, 0, 3, 255]], np.uint8)


def palette(path, indices):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(indices, mode="P")
    image.putpalette([7, 7, 7] * 256)
    image.save(path)


@pytest.fixture
def folder(tmp_path):
    for stem in ("a", "b", "unlisted"):
        (tmp_path / "img").mkdir(exist_ok=True)
        Image.new("RGB", (5, 3)).save(tmp_path / f"img/{stem}.jpg")
    for stem in ("a", "b"):
        palette(tmp_path / f"cls/{stem}.png", CLASSES)
    palette(tmp_path / "obj/a.png", OBJECTS)
    (tmp_path / "train.txt").write_text("a\n")
    (tmp_path / "test.txt").write_text("b\n")
    return tmp_path


def source(folder, **options):
    given = {"train_list": str(folder / "train.txt"), "test_list": str(folder / "test.txt"), **options}
    return Voc(str(folder / "img"), masks=str(folder / "cls"), **given)


def mask(folder, **options):
    return source(folder, **options).items("train")[0].read()[1].tolist()


def test_classes(folder):
    assert mask(folder) == [[0, 0, 255, 1, 1], [0, 0, 255, 255, 255], [1, 1, 0, 1, 255]]
    assert mask(folder, background="ignore") == [[255, 255, 255, 0, 0], [255] * 5, [0, 0, 255, 0, 255]]


def test_objects(folder):
    (folder / "test.txt").unlink()
    here = {"instances": str(folder / "obj"), "regions": "instance", "test_list": None}
    assert mask(folder, **here) == [[0, 0, 255, 2, 2], [0, 0, 255, 255, 255], [1, 1, 0, 3, 255]]


def test_components(folder):
    # The background's lone pixel touches the rest at a corner only, which does not connect.
    here = mask(folder, regions="components")
    assert here == [[0, 0, 255, 1, 1], [0, 0, 255, 255, 255], [2, 2, 3, 4, 255]]
    two = mask(folder, regions="components", smallest_component=2)
    assert two == [[0, 0, 255, 1, 1], [0, 0, 255, 255, 255], [2, 2, 255, 255, 255]]
    with pytest.raises(ValueError, match=r"no region left .*smallest_component=5.*background=region"):
        mask(folder, regions="components", smallest_component=5)


def test_object_masks_that_are_missing_name_the_option(folder):
    with pytest.raises(ValueError, match=r"data\.source\.instances is not set.*or regions=class or components"):
        source(folder, regions="instance")
    here = source(folder, regions="instance", instances=str(folder / "obj"))
    with pytest.raises(ValueError, match=r"1 name \(b\): image without a mask .*regions=components or class"):
        here.items("train")
    gone = source(folder, regions="instance", instances=str(folder / "none"))
    with pytest.raises(DataMissing, match=r"object mask folder .*regions=components or class"):
        gone.items("train")


def test_more_regions_than_a_mask_holds(folder):
    chess = (np.indices((20, 20)).sum(axis=0) % 2).astype(np.uint8)
    palette(folder / "cls/a.png", chess)
    Image.new("RGB", (20, 20)).save(folder / "img/a.jpg")
    with pytest.raises(ValueError, match=r"has 400 regions: expected at most 255.*smallest_component"):
        mask(folder, regions="components")


def test_masks_that_do_not_fit(folder):
    palette(folder / "cls/a.png", CLASSES[:2])
    with pytest.raises(ValueError, match=r"a\.jpg' is 5x3 .*a\.png' are 5x2"):
        mask(folder)
    Image.fromarray(np.full((3, 5), 300, np.uint16)).save(folder / "cls/a.png")
    with pytest.raises(ValueError, match="values from 300 to 300: expected labels 0 to 255"):
        mask(folder)
    Image.fromarray(np.arange(45, dtype=np.uint8).reshape(3, 5, 3)).save(folder / "cls/a.png")
    with pytest.raises(ValueError, match="is coloured"):
        mask(folder)


def test_lists(folder):
    (folder / "train.txt").write_text("a\nc\n")
    with pytest.raises(ValueError, match=r"1 name \(c\) listed in"):
        mask(folder)
    (folder / "train.txt").write_text("a\nb\n")
    with pytest.raises(ValueError, match=r"1 name \(b\) in both"):
        mask(folder)
    (folder / "train.txt").unlink()
    with pytest.raises(DataMissing, match=r"list '.*train\.txt' not found"):
        mask(folder)
    with pytest.raises(ValueError, match="has no train part"):
        mask(folder, train_list=None)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"regions": "objects"}, "regions=objects: expected one of class, instance, components"),
        ({"background": "no"}, "background=no: expected one of region, ignore"),
        ({"smallest_component": -1}, "smallest_component=-1: expected pixels, 0 or more"),
    ],
)
def test_options(options, words, folder):
    with pytest.raises(ValueError, match=words):
        source(folder, **options)


def test_what_a_region_is_changes_the_fingerprint(folder):
    ways = [{}, {"background": "ignore"}, {"regions": "components"}, {"regions": "components", "smallest_component": 9}]
    assert len({source(folder, **way).items("train")[0].fingerprint() for way in ways}) == 4


def test_real_frames(data_root):
    root = data_root / "CamVid-mini"
    lists = {
        f"{p}_list": str(root / f"ImageSets/Segmentation/{f}.txt") for p, f in (("train", "train"), ("test", "val"))
    }
    frames = Voc(str(root / "JPEGImages"), masks=str(root / "SegmentationClass"), **lists)
    assert {part: len(frames.items(part)) for part in ("train", "test")} == {"train": 32, "test": 16}
    for item in frames.items("test"):
        regions = item.read()[1]
        assert (regions == 255).any()
        found = np.unique(regions[regions < 255])
        assert found.tolist() == list(range(len(found)))
        assert 7 <= len(found) <= 11
