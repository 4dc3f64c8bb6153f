"""Stand-ins of data sets of many regions are read back by their own YAMLs."""

from __future__ import annotations

import numpy as np
import pytest

from seglab.config import compose
from seglab.data.mat import read_bsds
from seglab.data.standin import write_standins
from seglab.targets import instantiate

NAMES = ["bsds500", "voc2012", "camvid", "texture", "texture_mosaic"]


def data_of(name, root, *overrides):
    return compose("prepare", [f"data={name}", "~eval", f"runtime.data_root={root}", *overrides]).data


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    place = tmp_path_factory.mktemp("data")
    write_standins(NAMES, place, train=4, test=3)
    return place


@pytest.mark.parametrize("name", NAMES)
def test_is_read_back(name, root):
    source = instantiate(data_of(name, root).source)
    parts = {part: source.items(part) for part in ("train", "test")}
    if name != "texture_mosaic":  # which composes as many as it is asked for
        assert {part: len(items) for part, items in parts.items()} == {"train": 4, "test": 3}
    for item in (*parts["train"][:4], *parts["test"][:3]):
        image, mask = item.read()
        assert image.shape[:2] == mask.shape[-2:]
        assert len(np.unique(mask[mask < 255])) >= 2


def test_other_ways_to_read_them(root):
    for option in ("regions=class", "regions=components", "background=ignore"):
        data = data_of("voc2012", root, f"data.source.{option}", "data.source.smallest_component=4")
        assert len(instantiate(data.source).items("test")[0].read()[1].shape) == 2


def test_annotators_differ_and_have_gaps(root):
    from scipy.io import loadmat

    path = sorted((root / "BSDS500/data/groundTruth/train").iterdir())[0]
    found = read_bsds(path)
    assert len(found.segments_AHW) == 3
    assert found.boundaries_AHW.any()
    assert not (found.segments_AHW[0] == found.segments_AHW[1]).all()
    raw = [one[0, 0]["Segmentation"] for one in loadmat(path)["groundTruth"][0]]
    assert any(len(np.unique(labels)) < labels.max() for labels in raw)


def test_the_same_call_writes_nothing_and_real_data_stay(root, tmp_path):
    before = {p: p.stat().st_mtime_ns for p in root.rglob("*") if p.is_file()}
    write_standins(NAMES, root, train=4, test=3)
    assert {p: p.stat().st_mtime_ns for p in root.rglob("*") if p.is_file()} == before
    (tmp_path / "Textures").mkdir()
    (tmp_path / "Textures/mine.jpg").write_text("real")
    with pytest.raises(ValueError, match="is in the way and is left alone"):
        write_standins(["texture_mosaic"], tmp_path)


def test_the_bytes_are_the_same_again(root, tmp_path):
    write_standins(["bsds500"], tmp_path, train=4, test=3)
    for path in (tmp_path / "BSDS500/data").rglob("*.*"):
        assert path.read_bytes() == (root / path.relative_to(tmp_path)).read_bytes(), path
