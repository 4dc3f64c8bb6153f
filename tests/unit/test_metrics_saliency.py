"""Saliency metrics of one image: worked examples, brute force, edge cases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt, gaussian_filter

from seglab.metrics.curves import CURVES, THRESHOLDS
from seglab.metrics.e_measure import e_measure
from seglab.metrics.fbeta import f_beta, f_of_precision_recall, jaccard
from seglab.metrics.nearest import nearest_object
from seglab.metrics.protocol import Protocol
from seglab.metrics.s_measure import centroid_cut
from seglab.metrics.saliency import IMAGE_METRICS, OBJECT_METRICS, score_map

CAS = Protocol(name="cas")


def smooth_map(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """A map that does not reach 0 or 1."""
    noise = gaussian_filter(rng.random(shape), 2)
    return 0.1 + 0.7 * (noise - noise.min()) / (noise.max() - noise.min())


def test_f_by_hand() -> None:
    # P = 8/10, R = 8/12: F = 1.3 * 0.8 * 2/3 / (0.3 * 0.8 + 2/3)
    assert f_beta(tp=8, fp=2, fn=4, beta2=0.3) == pytest.approx(0.7647058823529411)
    assert f_of_precision_recall(0.8, 2 / 3, beta2=0.3) == pytest.approx(0.7647058823529411)
    assert jaccard(tp=8, fp=2, fn=4) == pytest.approx(8 / 14)
    assert (
        f_beta(tp=0, fp=0, fn=0, beta2=0.3) == f_of_precision_recall(0, 0, beta2=0.3) == jaccard(tp=0, fp=0, fn=0) == 0
    )


def test_image_by_hand() -> None:
    # Mean 0.375, so T = 0.75: literal (>) finds one of the two object pixels, capped (>=) finds both.
    s = np.array([[0.875, 0.75], [0.0, 0.0], [0.25, 0.375]])
    g = np.array([[1, 1], [0, 0], [0, 0]], bool)
    v = score_map(s, g, CAS).values
    assert v["precision_adaptive"] == 1
    assert v["recall_adaptive"] == pytest.approx(0.5)
    assert v["fbeta_adaptive"] == pytest.approx(1.3 * 0.5 / (0.3 + 0.5))
    assert v["fbeta_adaptive_capped"] == pytest.approx(1.0)
    assert v["fbeta_fixed"] == v["jaccard"] == pytest.approx(1.0)
    assert v["mae"] == pytest.approx((0.125 + 0.25 + 0.25 + 0.375) / 6)
    assert v["mae_binary"] == pytest.approx(1 / 6)


def test_threshold_above_one() -> None:
    """An object over more than half of the image: the literal rule finds nothing, the capped one everything."""
    g = np.array([[1, 1, 1, 0]], bool)
    v = score_map(g.astype(float), g, CAS).values
    assert v["fbeta_adaptive"] == 0
    assert v["fbeta_adaptive_capped"] == 1
    assert v["mae"] == 0
    assert v["mae_binary"] == 0.75


def brute_force(s: np.ndarray, g: np.ndarray) -> np.ndarray:
    """The curves by their definitions, one threshold and, for E, one pixel matrix at a time."""
    curves = np.zeros((4, 256))
    for k in range(256):
        b = s >= k / 255
        tp = (b & g).sum()
        p, r = tp / max(b.sum(), 1), tp / g.sum()
        f = 1.3 * p * r / (0.3 * p + r) if tp else 0
        db, dg = b - b.mean(), g - g.mean()
        align = 2 * db * dg / (db**2 + dg**2 + np.finfo(float).eps)
        curves[:, k] = p, r, f, ((align + 1) ** 2 / 4).sum() / (g.size - 1)
    return curves


@pytest.mark.parametrize("kind", ["smooth", "grey", "levels"])
def test_curves_against_brute_force(kind: str) -> None:
    rng = np.random.default_rng(3)
    s = smooth_map(rng, (23, 31))
    if kind == "grey":
        s = (255 * s).astype(np.uint8)
    elif kind == "levels":  # exactly on the thresholds and one rounding step beside them
        s = np.nextafter(rng.integers(0, 256, (23, 31)) / 255, rng.choice([0.0, 1.0], (23, 31)))
        s[::2] = rng.integers(0, 256, s[::2].shape) / 255
    g = rng.random((23, 31)) < 0.3
    got = score_map(s, g, CAS).curves_4K
    want = brute_force(s / 255 if kind == "grey" else s, g)
    for name, a, b in zip(CURVES, got, want, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12, err_msg=name)
    assert THRESHOLDS[0] == 0
    assert THRESHOLDS[255] == 1


@pytest.mark.parametrize("share", [0.002, 0.05, 0.5, 0.95, 1.0])
def test_nearest_object_equals_scipy(share: float) -> None:
    """The same pixel, not only the same distance: the weighted F-measure copies errors from it."""
    rng = np.random.default_rng(0)
    for _ in range(60):
        mask = rng.random(tuple(rng.integers(1, 50, 2))) < share
        mask[tuple(rng.integers(0, s) for s in mask.shape)] = True
        wanted = distance_transform_edt(~mask, return_distances=False, return_indices=True)
        np.testing.assert_array_equal(np.stack(nearest_object(mask)), wanted)
    with pytest.raises(ValueError, match="without object"):
        nearest_object(np.zeros((2, 2), bool))


@pytest.mark.parametrize("fill", [False, True])
@pytest.mark.parametrize("level", [0.0, 0.25, 1.0])
def test_empty_and_full_masks(fill: bool, level: float) -> None:
    g = np.full((6, 5), fill)
    score = score_map(np.full((6, 5), level), g, CAS)
    v = score.values
    assert all(np.isfinite(v[name]) for name in IMAGE_METRICS)
    assert np.isfinite(score.curves_4K).all()
    assert v["s_measure"] == pytest.approx(level if fill else 1 - level)
    assert v["mae"] == pytest.approx(abs(level - fill))
    if not fill:
        assert all(v[name] == 0 for name in OBJECT_METRICS)
        skipped = score_map(np.full((6, 5), level), g, Protocol(name="x", empty_mask="skip")).values
        assert all(np.isnan(skipped[name]) for name in OBJECT_METRICS)
        assert skipped["s_measure"] == v["s_measure"]
    elif level == 1.0:
        assert v["fbeta_fixed"] == v["jaccard"] == 1
        assert v["fbeta_weighted"] == pytest.approx(1)


def test_perfect_map() -> None:
    g = np.zeros((20, 30), bool)
    g[4:9, 3:11] = True
    v = score_map(g.astype(float), g, CAS).values
    for name in ("fbeta_adaptive", "fbeta_fixed", "fbeta_weighted", "s_measure", "jaccard"):
        assert v[name] == pytest.approx(1), name
    assert v["e_measure_adaptive"] == pytest.approx(600 / 599)
    assert e_measure(tp=40, fp=0, objects=40, pixels=600, divisor="pixels") == pytest.approx(1)


def test_normalisations() -> None:
    s = np.array([[0.2, 0.4], [0.4, 0.6]])
    g = np.array([[False, False], [False, True]])
    maes = {n: score_map(s, g, Protocol(name="x", mae_normalise=n)).values["mae"] for n in ("none", "max", "minmax")}
    assert maes == pytest.approx({"none": 1.4 / 4, "max": (1 / 3 + 2 / 3 + 2 / 3) / 4, "minmax": 1.0 / 4})
    grey = np.array([[51, 102], [102, 153]], np.uint8)
    for how in ("none", "max", "minmax"):
        protocol = Protocol(name="x", normalise=how)
        assert score_map(grey, g, protocol).values == pytest.approx(score_map(s, g, protocol).values)
        flat = score_map(np.full((2, 2), 0.4), g, protocol).values["mae"]
        assert flat == pytest.approx((3 * 0.4 + 0.6) / 4)
        assert score_map(np.zeros((2, 2)), g, protocol).values["mae"] == pytest.approx(0.25)


def test_weighted_f_far_from_the_object() -> None:
    """One object pixel, found, and one false pixel 399 columns off, which weighs 2: P = 1/3, R = 1."""
    s = np.zeros((1, 400))
    s[0, [0, 399]] = 1
    assert score_map(s, s.astype(bool) & (np.arange(400) == 0), CAS).values["fbeta_weighted"] == pytest.approx(0.5)


def test_no_rounding_at_the_thresholds() -> None:
    """One step below k/255 is below the threshold, k/255 and one step above are not: no map is counted wrongly."""
    k = np.arange(1, 256)
    for step, level in ((np.nextafter(k / 255, 0), k - 1), (k / 255, k), (np.nextafter(k / 255, 2).clip(max=1), k)):
        recall = score_map(step[None], np.ones((1, 255), bool), CAS).curves_4K[1]
        np.testing.assert_allclose(recall, [(level >= t).mean() for t in range(256)])


def test_centroid_rounding() -> None:
    g = np.zeros((6, 6), bool)
    g[2:4, 0:2] = True  # centroid at row 2.5, column 0.5, counted from 0
    assert centroid_cut(g, rounding="half_up") == (4, 2)
    assert centroid_cut(g, rounding="half_even") == (3, 1)


def test_ignored_pixels_change_nothing() -> None:
    rng = np.random.default_rng(5)
    s, g = smooth_map(rng, (20, 20)), np.zeros((20, 20), bool)
    g[5:12, 4:12] = True
    valid = np.ones((20, 20), bool)
    valid[:, 16:] = False  # a strip that the object and its smoothing do not reach
    for protocol in (CAS, Protocol(name="x", normalise="minmax", mae_normalise="max")):
        cropped = score_map(s[:, :16].copy(), g[:, :16], protocol)
        masked = score_map(s, g, protocol, valid_HW=valid)
        wild = s.copy()
        wild[:, 16:] = np.nan
        worst = score_map(wild, g | ~valid, protocol, valid_HW=valid)
        for other in (masked, worst):
            assert other.values == pytest.approx(cropped.values, abs=1e-12)
            assert other.confusion == cropped.confusion
            np.testing.assert_allclose(other.curves_4K, cropped.curves_4K, atol=1e-12)


def test_ignored_corner_of_a_constant_map() -> None:
    """The S-measure rewards a quarter without object if the map is constant there, whatever pixel is ignored."""
    s, g, valid = np.full((8, 9), 0.7), np.zeros((8, 9), bool), np.ones((8, 9), bool)
    g[0, 0] = True
    valid[1, 1] = False  # the first pixel of the largest quarter
    assert score_map(s, g, CAS).values["s_measure"] > 0.7
    assert score_map(s, g, CAS, valid_HW=valid).values["s_measure"] > 0.7


def test_rounding_beyond_one_is_clipped() -> None:
    g = np.array([[True, False]])
    assert score_map(np.array([[1 + 1e-7, -1e-7]]), g, CAS).values["mae"] == 0


@pytest.mark.parametrize(
    ("s", "g", "words"),
    [
        (np.zeros((2, 3)), np.zeros((3, 2), bool), r"\(2, 3\).*\(3, 2\)"),
        (np.full((2, 2), np.nan), np.zeros((2, 2), bool), "NaN"),
        (np.full((2, 2), 1.1), np.zeros((2, 2), bool), "1.1"),
        (np.zeros((2, 2), np.int64), np.zeros((2, 2), bool), "int64"),
        (np.zeros((2, 2)), np.ones((2, 2), np.uint8), r"0\.\.1"),
        (np.zeros((2, 2)), np.ones((2, 2)), "float64"),
        (np.zeros((0, 2)), np.zeros((0, 2), bool), "without a pixel"),
    ],
)
def test_bad_input_is_refused(s: np.ndarray, g: np.ndarray, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        score_map(s, g, CAS)


def test_nothing_valid_is_refused() -> None:
    with pytest.raises(ValueError, match="without a pixel"):
        score_map(np.zeros((2, 2)), np.zeros((2, 2), bool), CAS, valid_HW=np.zeros((2, 2), bool))


def test_weighted_can_be_left_out() -> None:
    g = np.eye(3, dtype=bool)
    assert np.isnan(score_map(np.eye(3), g, CAS, weighted=False).values["fbeta_weighted"])


def test_work_arrays_are_not_shared() -> None:
    """Images of changing size, one after another and in two threads at once, get the scores they get alone."""
    rng = np.random.default_rng(9)
    pairs = [(smooth_map(rng, shape), rng.random(shape) < 0.4) for shape in [(40, 31), (7, 90), (64, 64)] * 8]
    protocol = Protocol(name="x", normalise="minmax", mae_normalise="max")
    kept = [(s.copy(), g.copy()) for s, g in pairs]
    alone = [score_map(s, g, protocol).values for s, g in pairs]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda pair: score_map(*pair, protocol).values, pairs))
    assert together == alone
    assert len({v["fbeta_weighted"] for v in alone}) == len(alone)
    for (s, g), (s0, g0) in zip(pairs, kept, strict=True):
        np.testing.assert_array_equal(s, s0)
        np.testing.assert_array_equal(g, g0)
