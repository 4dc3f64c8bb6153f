"""A grey map counted by level gives the numbers of the same map counted pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seglab.metrics.histogram import joint_histogram, tally_levels
from seglab.metrics.protocol import Protocol
from seglab.metrics.saliency import score_map
from seglab.metrics.stretch import stretch
from seglab.metrics.tally import tally

PROTOCOLS = [
    Protocol(name="cas"),
    Protocol(
        name="pysodmetrics", normalise="minmax", mae_normalise="minmax", adaptive="capped", s_centroid="half_even"
    ),
    Protocol(name="sal_eval_toolbox", normalise="max", mae_normalise="minmax", adaptive="capped", empty_mask="skip"),
]


@st.composite
def images(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Map, mask and valid pixels, with a liking for what breaks programs: one pixel, one level, no object, no back."""
    shape = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    low, high = sorted(draw(st.tuples(st.integers(0, 255), st.integers(0, 255))))
    kind = draw(st.sampled_from(["random", "constant", "two", "zero", "white"]))
    maps = {
        "random": rng.integers(low, high + 1, shape),
        "constant": np.full(shape, low),
        "two": rng.choice([low, high], shape),
        "zero": np.zeros(shape),
        "white": np.full(shape, 255),
    }
    share = draw(st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]))
    mask = rng.random(shape) < share
    if draw(st.booleans()):
        mask[tuple(rng.integers(0, n) for n in shape)] = True
    valid = None
    if draw(st.booleans()):
        valid = rng.random(shape) < draw(st.sampled_from([0.3, 0.9]))
        valid[tuple(rng.integers(0, n) for n in shape)] = True
    return maps[kind].astype(np.uint8), mask, valid


@settings(max_examples=300, deadline=None)
@given(images(), st.sampled_from(PROTOCOLS))
def test_grey_equals_float(image: tuple, protocol: Protocol) -> None:
    map_HW, mask_HW, valid_HW = image
    grey = score_map(map_HW, mask_HW, protocol, valid_HW=valid_HW)
    wide = score_map(map_HW / 255.0, mask_HW, protocol, valid_HW=valid_HW)
    assert grey.values == pytest.approx(wide.values, abs=1e-12, rel=0, nan_ok=True)
    assert grey.confusion == wide.confusion
    np.testing.assert_allclose(grey.curves_4K, wide.curves_4K, atol=1e-12)


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda p: p.name)
def test_larger_maps(protocol: Protocol) -> None:
    """Rows that are no multiple of the tables that take turns, and all levels."""
    rng = np.random.default_rng(2)
    for shape in [(64, 83), (101, 57), (1, 300), (300, 1)]:
        map_HW, mask_HW = rng.integers(0, 256, shape).astype(np.uint8), rng.random(shape) < 0.3
        grey, wide = (score_map(m, mask_HW, protocol) for m in (map_HW, map_HW / 255.0))
        assert grey.values == pytest.approx(wide.values, abs=1e-12, rel=0)
        np.testing.assert_array_equal(grey.curves_4K, wide.curves_4K)


@settings(max_examples=100, deadline=None)
@given(images(), st.sampled_from(["none", "max", "minmax"]), st.floats(0, 1))
def test_counts_and_moments_are_those_of_the_pixels(image: tuple, how: str, threshold: float) -> None:
    """Every field, against NumPy on the stretched values."""
    map_HW, mask_HW, valid_HW = image
    whole = np.ones(map_HW.shape, bool) if valid_HW is None else valid_HW
    levels = np.arange(256) / 255.0
    low, high = levels[map_HW[whole].min()], levels[map_HW[whole].max()]
    table = stretch(levels, low, high, how)
    values = table[map_HW]
    cut = (map_HW.shape[0] + 1) // 2, (map_HW.shape[1] + 1) // 2
    asked = ((threshold, True), (threshold, False), (float(values[0, 0]), True), (float(values[0, 0]), False))
    by_level = tally_levels(joint_histogram(map_HW, mask_HW, valid_HW, cut=cut), table, thresholds=asked)
    clean = np.where(whole, values, 0.0)
    by_pixel = tally(clean, mask_HW & whole, valid_HW, cut=cut, thresholds=asked)
    for counted in (by_level, by_pixel):
        for m in range(2):
            here = values[whole & (mask_HW == m)]
            assert counted.at_least_2K[m].tolist() == [(here >= k / 255).sum() for k in range(256)]
            want = [(here >= t).sum() if inclusive else (here > t).sum() for t, inclusive in asked]
            assert counted.above_T2[:, m].tolist() == want
            assert counted.spread_2[m] == pytest.approx(here.size * here.var() if here.size else 0, abs=1e-12)
        for q, (rows, columns) in enumerate(
            (r, c) for r in (slice(cut[0]), slice(cut[0], None)) for c in (slice(cut[1]), slice(cut[1], None))
        ):
            here = values[rows, columns][whole[rows, columns]]
            assert counted.count_Q2[q].sum() == here.size
            assert counted.sum_Q2[q].sum() == pytest.approx(here.sum(), abs=1e-12)
            assert counted.spread_Q[q] == pytest.approx(here.size * here.var() if here.size else 0, abs=1e-12)
            if here.size and np.ptp(here) == 0:
                assert counted.mean_Q[q] == here[0]
                assert counted.spread_Q[q] == 0


@pytest.mark.parametrize("level", range(1, 256, 7))
def test_level_on_the_threshold(level: int) -> None:
    """Half of the pixels have one level, so twice the mean is that level but for rounding: both ways round alike."""
    rng = np.random.default_rng(level)
    map_HW = np.zeros(600, np.uint8)
    map_HW[:300] = level
    map_HW = rng.permutation(map_HW).reshape(20, 30)
    mask_HW = rng.random((20, 30)) < 0.5
    for protocol in PROTOCOLS:
        grey, wide = (score_map(m, mask_HW, protocol).values for m in (map_HW, map_HW / 255.0))
        assert grey == pytest.approx(wide, abs=1e-12, rel=0)


def test_adaptive_f_follows_the_rule_of_the_protocol() -> None:
    """An object over more than half of the image: twice the mean is above 1, which only the capped rule survives."""
    mask = np.array([[1, 1, 1, 0]], bool)
    for map_HW in (255 * mask.astype(np.uint8), mask.astype(float)):
        for rule, want in (("literal", 0), ("capped", 1)):
            values = score_map(map_HW, mask, Protocol(name="x", adaptive=rule)).values
            assert values["fbeta_adaptive"] == values["precision_adaptive"] == values["recall_adaptive"] == want
            assert values["fbeta_adaptive_capped"] == 1


def test_ignored_levels_do_not_stretch() -> None:
    """A level that only ignored pixels have takes no part in the smallest and largest value."""
    map_HW, valid = np.array([[0, 51, 102, 255]], np.uint8), np.array([[False, True, True, False]])
    mask = np.array([[False, False, True, True]])
    for protocol in PROTOCOLS[1:]:
        assert score_map(map_HW, mask, protocol, valid_HW=valid).values["mae"] == 0


def test_half_floats_and_foreign_byte_order() -> None:
    rng = np.random.default_rng(1)
    map_HW, mask_HW = rng.random((9, 8)).astype(np.float16), rng.random((9, 8)) < 0.4
    want = score_map(map_HW.astype(np.float64), mask_HW, PROTOCOLS[1]).values
    assert score_map(map_HW, mask_HW, PROTOCOLS[1]).values == want
    assert score_map(map_HW.astype(">f8"), mask_HW, PROTOCOLS[1]).values == want


def test_true_of_any_byte() -> None:
    """Pillow gives one-bit pictures as bool arrays whose True is the byte 255."""
    rng = np.random.default_rng(1)
    map_HW, mask_HW = rng.integers(0, 256, (9, 8)).astype(np.uint8), rng.random((9, 8)) < 0.4
    odd_HW = (255 * mask_HW.astype(np.uint8)).view(np.bool_)
    for values in (map_HW, map_HW / 255.0):
        want, got = (score_map(values, mask, PROTOCOLS[0]) for mask in (mask_HW, odd_HW))
        assert got.values == want.values
        assert got.confusion == want.confusion
