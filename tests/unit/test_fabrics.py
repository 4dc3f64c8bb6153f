"""Composed pictures of cloth on photographs: parts, sizes, and that no pixel of a test photograph is trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import binary_erosion

from seglab.config import compose
from seglab.data.fabric_draw import cloth_piece
from seglab.data.fabrics import Fabrics
from seglab.data.pairs import DataMissing
from seglab.data.standin import write_standins
from seglab.targets import instantiate


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Stand-ins of the photographs."""
    place = tmp_path_factory.mktemp("data")
    write_standins(["fabrics"], place, size=(96, 80))
    return place


def fabrics(root: Path, category: str | None = None, **changes: int) -> Fabrics:
    chosen = ["data=fabrics"] if category is None else ["data=fabrics_single", f"data.category={category}"]
    changed = [f"data.source.{key}={value}" for key, value in ({"size": 64} | changes).items()]
    return instantiate(compose("evaluate", ["run=none", *chosen, *changed, f"runtime.data_root={root}"]).data.source)


def test_a_picture_is_the_same_whenever_it_is_read(root: Path) -> None:
    first, second = (fabrics(root, "rose").items("train")[3] for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first.read(), second.read(), strict=True))
    assert first.fingerprint() == second.fingerprint()
    other = fabrics(root, "rose", seed=1).items("train")[3]
    assert not np.array_equal(first.read()[0], other.read()[0])
    assert first.fingerprint() != other.fingerprint()


def test_single_pictures_have_one_object_of_a_tenth_to_four_tenths(root: Path) -> None:
    for part in ("train", "test"):
        for item in fabrics(root, "ink", train=20, test=20).items(part):
            image, mask = item.read()
            assert image.shape == (64, 64, 3)
            assert set(np.unique(mask)) == {0, 1}
            assert 0.09 < mask.mean() < 0.41
            assert mask[24:40, 24:40].any(), "it lies near the centre"


def test_training_pictures_are_those_of_all_categories(root: Path) -> None:
    whole = fabrics(root, train=2).items("train")
    for label, category in enumerate(("denim", "leaf", "rose", "amber", "linen", "ink"), 1):
        one = fabrics(root, category, train=2)
        for single, item in zip(one.items("train"), whole[2 * label - 2 :], strict=False):
            assert single.id == item.id
            assert np.array_equal(single.read()[0], item.read()[0])
            assert np.array_equal(single.read()[1] * label, item.read()[1])
        negative = one.items("negative")
        assert {item.id for item in negative} == {item.id for item in whole} - {item.id for item in one.items("train")}
        assert not any(item.read()[1].any() for item in negative)


def test_test_pictures_hold_one_to_three_classes(root: Path) -> None:
    found = [set(np.unique(item.read()[1])) for item in fabrics(root, test=30).items("test")]
    assert all(0 in labels for labels in found)
    assert [len(labels) - 1 for labels in found] == [1, 2, 3] * 10
    assert set().union(*found) == set(range(7))


def test_no_scene_is_in_both_parts(root: Path) -> None:
    used = {part: {item.scene for item in fabrics(root).items(part)} for part in ("train", "test")}
    assert used["train"]
    assert not used["train"] & used["test"]


def coordinates(root: Path, monkeypatch: pytest.MonkeyPatch, part: str, category: str | None) -> dict[Path, set]:
    """Cloth -> places (row, column) of its pixels that pictures of a part show, read from the pictures themselves."""
    from seglab.data import fabric_draw
    from seglab.data import fabrics as module

    def photo(path: Path, changed: int) -> np.ndarray:
        row, column = np.mgrid[:80, :96]
        return np.stack([row, column, np.full_like(row, 7)], -1).astype(np.uint8) * ("Textures" in str(path))

    monkeypatch.setattr(module, "_photo", photo)
    monkeypatch.setattr(fabric_draw, "_light", lambda dice, shape, high: np.full(high.shape, 256))
    shown: dict[Path, set] = {}
    for item in fabrics(root, category, train=8, test=24).items(part):
        image, mask = item.read()
        for cloth, label in zip(item.cloths, item.labels, strict=True):
            deep = binary_erosion(mask == label, iterations=2) & (image[..., 2] == 7)
            assert deep.any() or label == 0
            shown.setdefault(cloth, set()).update(map(tuple, image[deep][:, :2].tolist()))
    return shown


@pytest.mark.parametrize("category", [None, "rose"])
def test_no_pixel_of_cloth_is_in_both_parts(root: Path, monkeypatch: pytest.MonkeyPatch, category: str | None) -> None:
    train, test = (coordinates(root, monkeypatch, part, category) for part in ("train", "test"))
    if category:  # trained on, too
        for cloth, places in coordinates(root, monkeypatch, "negative", category).items():
            train.setdefault(cloth, set()).update(places)
    assert len(set(train) & set(test)) >= 3
    for cloth, places in train.items():
        assert not places & test.get(cloth, set()), cloth
        assert all(row < 40 for row, _ in places)
        assert all(row >= 40 for row, _ in test.get(cloth, ()))
    assert len(set().union(*test.values())) > 1000, "objects show much of the halves"


def test_cloth_is_mirrored_only_where_an_object_is_larger() -> None:
    """The piece below an object is one piece of the photograph, turned or mirrored: neighbours there are neighbours."""
    row, column = np.mgrid[:20, :30]
    half, inside = np.stack([row, column], -1), np.zeros((64, 64), bool)
    inside[33:51, 7:25] = True  # 18 x 18 pixels, which fit whichever way the half is turned
    seen = {cloth_piece(half, inside, number)[inside].tobytes() for number in range(40)}
    assert len(seen) > 20, "other objects show other pieces"
    for number in range(40):
        piece = cloth_piece(half, inside, number)
        assert piece.shape == (64, 64, 2)
        places = piece[inside]
        assert len(np.unique(places, axis=0)) == inside.sum()
    inside[:] = True
    assert len(np.unique(cloth_piece(half, inside, 0).reshape(-1, 2), axis=0)) == 20 * 30


def test_the_cloth_shows(data_root: Path) -> None:
    """On real photographs: the mean colour of denim is bluer than that of amber, which is what tells them apart."""
    colours = {}
    for category in ("denim", "amber"):
        drawn = [item.read() for item in fabrics(data_root, category).items("train")[:12]]
        pixels = [image[mask == 1].mean(axis=0) for image, mask in drawn]
        colours[category] = np.mean(pixels, axis=0)
    red, _, blue = colours["denim"]
    assert blue > red
    red, _, blue = colours["amber"]
    assert red > blue + 50


def test_what_is_missing_or_out_of_range_is_told(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"data.category=denin: no such class, did you mean 'denim'"):
        fabrics(root, "denin")
    with pytest.raises(
        ValueError, match=r"data.category is not set: expected one of denim, leaf, .*; data=fabrics has"
    ):
        fabrics(root, "null")
    with pytest.raises(ValueError, match=r"data.source.size=8: expected a whole number, 32 to"):
        fabrics(root, size=8)
    with pytest.raises(DataMissing, match=r"folder of cloths .*Textures' not found"):
        fabrics(tmp_path).items("train")
    with pytest.raises(ValueError, match=r"part='negative': data=fabrics has the parts train, test"):
        fabrics(root).items("negative")
    cfg = compose("evaluate", ["run=none", "data=fabrics", f"runtime.data_root={root}"])
    cfg.data.source.fabrics.ink.train = ["tex_99"]
    with pytest.raises(ValueError, match=r"1 name \(tex_99\) of data.source.fabrics not in"):
        instantiate(cfg.data.source).items("train")
