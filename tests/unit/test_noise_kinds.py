"""What every kind of noise does to one mask: its own promise, and what all of them keep."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.measure import approximate_polygon, find_contours

from seglab.data.noise import Ambiguous, Boundary, Drop, Flip, Region
from seglab.data.noise.parts import EIGHT, filled, touching

ALL = [
    *(Boundary(rate=1.0, kind=kind) for kind in ("dilate", "erode", "polygonise", "mixed")),
    *(Region(rate=1.0, kind=kind) for kind in ("merge", "split", "permute", "mixed")),
    *(Drop(rate=1.0, keep_one=keep) for keep in (False, True)),
    *(Ambiguous(rate=0.3, width=width, grain=grain) for width in (0.1, None) for grain in (0.0, 0.05)),
]
NAMES = [f"{noise.type}-{'-'.join(map(str, noise.options().values()))}" for noise in ALL]


def disc(size: int = 64, radius: float = 16.0, at: tuple[int, int] = (32, 32)) -> np.ndarray:
    y, x = np.mgrid[:size, :size]
    return (np.hypot(y - at[0], x - at[1]) <= radius).astype(np.uint8)


def gear() -> np.ndarray:
    """A wheel with twelve teeth, in the middle of 64 x 64 pixels."""
    y, x = np.mgrid[:64, :64] - 32
    return (np.hypot(y, x) <= 18 + 3 * np.sign(np.sin(12 * np.arctan2(y, x)))).astype(np.uint8)


def many(size: int = 48) -> np.ndarray:
    """Six regions in three columns, and an ignored line between two of them."""
    mask = (np.arange(size)[None] * 3 // size + 3 * (np.arange(size)[:, None] * 2 // size)).astype(np.uint8)
    mask[:, size // 3] = 255
    return mask


def objects(mask: np.ndarray) -> int:
    return ndimage.label(mask == 1, structure=EIGHT)[1]


@st.composite
def masks(draw) -> tuple[np.ndarray, int, int | None]:
    """Any mask with the kind of its labels: classes and background; empty, full, of one pixel, without a label."""
    classes = draw(st.sampled_from([0, 2, 5]))
    height, width = draw(st.sampled_from([(1, 1), (1, 5), (7, 4), (24, 24), (40, 31)]))
    labels = min(classes or 40, 2 if classes == 2 else 40)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    cells = rng.integers(0, draw(st.integers(1, labels)), (4, 4)).astype(np.uint8)
    mask = cells[np.arange(height)[:, None] * 4 // height, np.arange(width)[None] * 4 // width]
    mask = np.where(rng.random(mask.shape) < draw(st.sampled_from([0, 0, 0.3, 1])), np.uint8(255), mask)
    return mask, classes, draw(st.sampled_from([None, 0])) if classes == 5 else None


@pytest.mark.parametrize("noise", ALL, ids=NAMES)
@settings(max_examples=40, deadline=None)
@given(case=masks())
def test_any_mask_keeps_its_shape_its_ignored_pixels_and_known_labels(noise, case) -> None:
    mask, classes, background = case
    before = mask.copy()
    new = noise.change(mask, id="a", classes=classes, background=background)
    np.testing.assert_array_equal(mask, before)
    assert new.dtype == np.uint8
    assert new.shape == mask.shape
    np.testing.assert_array_equal(new == 255, mask == 255)
    if classes:
        assert (new[new != 255] < classes).all()
    again = noise.change(mask, id="a", classes=classes, background=background)
    np.testing.assert_array_equal(again, new)
    assert np.shares_memory(new, mask) is False


@pytest.mark.parametrize("noise", ALL, ids=NAMES)
def test_seed_and_name_decide(noise) -> None:
    seen = {noise.change(disc(), id=f"photo{k}").tobytes() for k in range(12)}
    fixed = ("permute", "merge") if noise.type == "region" else ()
    if noise.type != "drop" and getattr(noise, "kind", "") not in fixed[:1]:
        assert len(seen) > 1
    options = noise.options() | {"rate": noise.rate}
    same, other = type(noise)(**options, seed=0), type(noise)(**options, seed=1)
    np.testing.assert_array_equal(same.change(gear(), id="b"), noise.change(gear(), id="b"))
    if len(seen) > 1:
        assert any((other.change(gear(), id=f"{k}") != noise.change(gear(), id=f"{k}")).any() for k in range(4))


@pytest.mark.parametrize("noise", [*ALL, Flip(rate=0.5)], ids=[*NAMES, "flip"])
def test_choice_is_nested_and_the_same_for_all_types(noise) -> None:
    if noise.type == "ambiguous":
        assert noise.choose(7).all()
        assert not Ambiguous(rate=0.0).choose(7).any()
        return
    low, high = type(noise)(rate=0.2).choose(50), type(noise)(rate=0.6).choose(50)
    assert (low.sum(), high.sum()) == (10, 30)
    assert not (low & ~high).any()
    np.testing.assert_array_equal(high, Flip(rate=0.6).choose(50))


def test_dilate_grows_and_erode_shrinks_more_the_larger_the_size() -> None:
    for mask in (disc(), gear()):
        grown = [Boundary(rate=1.0, kind="dilate", size=size).change(mask, id="a") for size in (0.02, 0.1, 0.3)]
        shrunk = [Boundary(rate=1.0, kind="erode", size=size).change(mask, id="a") for size in (0.02, 0.1, 0.3)]
        for smaller, larger in zip([mask, *grown], grown, strict=False):
            assert (larger >= smaller).all()
        assert grown[-1].sum() > grown[0].sum() > mask.sum()
        for larger, smaller in zip([mask, *shrunk], shrunk, strict=False):
            assert (larger >= smaller).all()
        assert 0 < shrunk[-1].sum() < mask.sum()


def test_shift_of_an_outline_is_what_was_asked() -> None:
    for k in range(20):
        grown = Boundary(rate=1.0, kind="dilate", size=0.1).change(disc(), id=f"i{k}")
        away = ndimage.distance_transform_edt(disc() == 0)[grown == 1].max()
        assert 1 <= away <= 0.1 * 64


def test_of_regions_about_half_grow() -> None:
    new = Boundary(rate=1.0, kind="dilate", size=0.1).change(many(), id="a", classes=0)
    change = np.bincount(new[new != 255], minlength=6) - np.bincount(many()[many() != 255], minlength=6)
    assert (change > 0).any()
    assert (change < 0).any()
    of_classes = Boundary(rate=1.0, kind="dilate", size=0.1).change(many(), id="a", classes=6, background=0)
    assert (of_classes == 0).sum() < (many() == 0).sum()
    assert ((of_classes != many()) <= (many() == 0)).all()


def test_polygon_keeps_the_area_and_has_fewer_corners() -> None:
    def corners(mask: np.ndarray) -> int:
        return sum(len(approximate_polygon(one, 0.75)) - 1 for one in find_contours(np.pad(mask, 1) * 1.0, 0.5))

    for k in range(10):
        new = Boundary(rate=1.0, kind="polygonise", size=0.2).change(gear(), id=f"i{k}")
        assert new.sum() == pytest.approx(gear().sum(), rel=0.25)
        assert corners(new) <= corners(gear())
    assert corners(Boundary(rate=1.0, kind="polygonise", size=0.2).change(gear(), id="i0")) < 0.7 * corners(gear())


def test_polygon_keeps_holes_and_small_pieces() -> None:
    ring = disc(radius=24) - disc(radius=12)
    ring[0, 0] = 1
    new = Boundary(rate=1.0, kind="polygonise", size=0.06).change(ring, id="a")
    assert new[32, 32] == 0
    assert new[0, 0] == 1
    assert objects(new) == 2


@pytest.mark.parametrize("classes", [0, 6])
def test_regions_become_fewer_or_more(classes) -> None:
    for k in range(10):
        merged = Region(rate=1.0, kind="merge", share=0.1).change(many(), id=f"i{k}", classes=classes)
        assert len(np.unique(merged)) == len(np.unique(many())) - 1  # a pair; 255 is one of them
        split = Region(rate=1.0, kind="split", share=0.1).change(many(), id=f"i{k}", classes=classes)
        differ = split != many()
        assert 0 < differ.sum() <= 0.5 * (many() == many()[differ][0]).sum() + 1
        assert len(np.unique(split)) == len(np.unique(many())) + (classes == 0)
        permuted = Region(rate=1.0, kind="permute", share=0.5).change(many(), id=f"i{k}", classes=classes)
        assert len(np.unique(permuted)) == len(np.unique(many()))
        pairs = np.unique(np.stack([many().ravel(), permuted.ravel()]), axis=1)
        assert pairs.shape[1] == 7  # a bijection
        assert (pairs[0] != pairs[1]).sum() == 3


def test_larger_regions_are_concerned_more_often() -> None:
    mask = np.zeros((20, 20), np.uint8)
    mask[:4, :5], mask[16:, :5], mask[:4, 15:] = 1, 2, 3  # a twentieth each
    noise = Region(rate=1.0, kind="split", share=0.1)
    hits = sum((noise.change(mask, id=f"i{k}", classes=0) != mask)[mask == 0].any() for k in range(60))
    assert 42 <= hits < 60, "17 of 20 would be 51"


def test_regions_without_a_free_number_or_a_second_region_stay() -> None:
    full = (np.arange(256) % 255).astype(np.uint8).repeat(4).reshape(32, 32)
    np.testing.assert_array_equal(Region(rate=1.0, kind="split", share=0.01).change(full, id="a", classes=0), full)
    one = np.full((9, 9), 3, np.uint8)
    for kind in ("merge", "permute"):
        np.testing.assert_array_equal(Region(rate=1.0, kind=kind).change(one, id="a", classes=0), one)


def test_two_classes_split_and_merged() -> None:
    for k in range(10):
        split = Region(rate=1.0, kind="split", size=0.4).change(disc(), id=f"i{k}")
        assert (split <= disc()).all()
        assert 0.07 <= 1 - split.sum() / disc().sum() <= 0.41
        merged = Region(rate=1.0, kind="merge", size=0.4).change(disc(), id=f"i{k}")
        assert (merged >= disc()).all()
        assert 0.07 <= merged.sum() / disc().sum() - 1 <= 0.41
        assert objects(merged) == 1
        more = Region(rate=1.0, kind="merge", size=0.5).change(disc(), id=f"i{k}")
        assert (more >= merged).all()
        np.testing.assert_array_equal(Region(rate=1.0, kind="permute").change(disc(), id=f"i{k}"), 1 - disc())


def test_dropped_are_whole_objects_and_no_specks() -> None:
    mask = sum(disc(radius=5, at=(y, x)) for y in (10, 30, 50) for x in (10, 50)).astype(np.uint8)
    mask[63, 30] = 1
    labelled, count = ndimage.label(mask, structure=EIGHT)
    gone_before = np.zeros_like(mask, dtype=bool)
    for share, missing in ((0.01, 1), (0.5, 3), (0.7, 4), (1.0, 6)):
        new = Drop(rate=1.0, share=share).change(mask, id="a")
        left = {int(n) for n in np.unique(labelled[new == 1])}
        assert all(((labelled == n) <= (new == 1)).all() for n in left)
        assert count - len(left) == missing
        assert new[63, 30] == 1
        gone = (mask == 1) & (new == 0)
        assert (gone_before <= gone).all()
        gone_before = gone
    assert objects(Drop(rate=1.0, share=1.0, keep_one=True).change(mask, id="a")) == 2  # one object and the speck
    np.testing.assert_array_equal(Drop(rate=1.0, keep_one=True).change(disc(), id="a"), disc())
    assert not Drop(rate=1.0).change(disc(), id="a").any()


def test_dropped_objects_take_background_or_what_surrounds_them() -> None:
    street = np.full((32, 32), 4, np.uint8)
    street[:, :14] = 2
    street[4:10, 2:8] = 7
    street[20:26, 20:26] = 9
    street[3, 2:8] = 255
    new = Drop(rate=1.0, share=1.0).change(street, id="a", classes=11)
    assert (new[4:10, 2:8] == 4).all()  # 2 is dropped itself, to 4, which has the most pixels
    assert set(np.unique(new)) == {4, 255}
    one = Drop(rate=1.0, share=0.3).change(street, id="a", classes=11)
    assert len(np.unique(one)) == 4
    assert (Drop(rate=1.0, share=1.0).change(street, id="a", classes=11, background=0)[street != 255] == 0).all()


@pytest.mark.parametrize("grain", [0.0, 0.03])
def test_ambiguous_pixels_are_as_many_as_asked_nested_and_near_boundaries(grain) -> None:
    mask = disc()
    mask[:, :5] = 255
    distance = ndimage.distance_transform_edt(mask == 1) + ndimage.distance_transform_edt(mask == 0)
    known, before = mask != 255, np.zeros_like(mask, dtype=bool)
    for rate in (0.02, 0.1, 0.3):
        new = Ambiguous(rate=rate, grain=grain).change(mask, id="a")
        wrong = new != mask
        assert wrong.sum() == round(rate * known.sum())
        assert (before <= wrong).all()
        before = wrong
        assert distance[wrong].mean() < 0.8 * distance[known].mean()
        even = Ambiguous(rate=rate, grain=grain, width=0).change(mask, id="a") != mask
        assert even.sum() == wrong.sum()
        assert distance[even].mean() > distance[wrong].mean()
    at_most = Ambiguous(rate=1.0, grain=grain, ceiling=0.4).change(mask, id="a") != mask
    assert at_most.sum() / known.sum() == pytest.approx(0.4, abs=0.05)
    assert (Ambiguous(rate=1.0, grain=0.0, ceiling=1.0).change(mask, id="a") != mask)[known].all()


def test_probability_falls_as_the_formula_says() -> None:
    mask = np.zeros((64, 64), np.uint8)
    mask[:, 32:] = 1
    wrong = np.mean([Ambiguous(rate=0.1, grain=0.0, width=0.1).change(mask, id=f"{k}") != mask for k in range(60)], 0)
    at = wrong.mean(0)[32:]  # columns at distance 0, 1, 2 ...
    for near, far in ((0, 4), (4, 10), (2, 12)):
        assert at[far] / at[near] == pytest.approx(np.exp(-(far - near) / 6.4), rel=0.25)


def test_blobs_are_larger_than_pixels() -> None:
    fine, coarse = (
        ndimage.label(Ambiguous(rate=0.2, grain=grain).change(disc(), id="a") != disc())[1] for grain in (0, 0.05)
    )
    assert coarse < fine / 5


def test_wrong_labels_of_many_classes_come_from_across_the_boundary() -> None:
    mask = filled(many())
    new = Ambiguous(rate=0.1, width=0.03, grain=0.0).change(mask, id="a", classes=0)
    beside, changed = touching(mask.astype(np.int64), 6), new != mask
    assert all(beside[a, b] for a, b in zip(mask[changed], new[changed], strict=True))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Boundary(rate=1.5), "noise.rate=1.5: expected a share of the training masks, 0 <= rate <= 1"),
        (lambda: Ambiguous(rate="much"), "noise.rate=much: expected a share of the pixels of every training mask"),
        (lambda: Boundary(kind="blur"), "noise.kind=blur: expected one of dilate, erode, polygonise, mixed"),
        (lambda: Region(kind="dilate"), "noise.kind=dilate: expected one of merge, split, permute, mixed"),
        (lambda: Boundary(size=0), "noise.size=0: expected a share of the image's side, 0 < size <= 1"),
        (lambda: Region(size=0.6), "noise.size=0.6: expected a share of a region's area, 0 < size <= 0.5"),
        (lambda: Region(share=True), "noise.share=True: expected a share of a mask's regions"),
        (lambda: Drop(share=2), "noise.share=2: expected a share of a mask's objects"),
        (lambda: Drop(keep_one="yes"), "noise.keep_one=yes: expected true or false"),
        (lambda: Drop(smallest=-1), "noise.smallest=-1: expected a share of the image's pixels"),
        (lambda: Ambiguous(width=3), "noise.width=3: expected a share of the image's side, 0..1, or null"),
        (lambda: Ambiguous(grain=None), "noise.grain=None: expected a share of the image's side, 0..1"),
        (lambda: Ambiguous(ceiling=0), "noise.ceiling=0: expected a probability, 0 < ceiling <= 1"),
        (lambda: Ambiguous(rate=float("nan")), "noise.rate=nan"),
        (lambda: Flip(seed=1.5), "noise.seed=1.5: expected a whole number, 0 or more"),
        (lambda: Drop(seed="first"), "noise.seed=first: expected a whole number, 0 or more"),
    ],
)
def test_bad_values_name_the_key(build, message) -> None:
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        build()
