"""Covering, Rand index and variation of information against other programs, by hand, and on odd input."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import loadmat
from skimage.metrics import variation_of_information
from sklearn.metrics import rand_score

from seglab.metrics.regions import RegionScores, overlaps, region_scores, scores_of
from seglab.metrics.regions_torch import on_device

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]


def maps(seed: int, count: int, *, regions: int = 7, shape: tuple[int, int] = (9, 11)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, regions, (count, *shape)).repeat(3, 1).repeat(2, 2)


def same(one: RegionScores, other: RegionScores) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def by_loops(labels_THW: np.ndarray, segments_AHW: np.ndarray) -> RegionScores:
    """The definitions, mask by mask; Rand index by scikit-learn, variation of information by scikit-image."""
    cover, pri, voi, best, area = [], [], [], 0.0, 0
    for true_HW in segments_AHW:
        valid = true_HW >= 0
        truth = true_HW[valid]
        ious = np.array(
            [
                [max(((m == u) & (truth == v)).sum() / ((m == u) | (truth == v)).sum() for u in set(m.tolist()))
                 for v in np.unique(truth)]
                for m in labels_THW[:, valid]
            ]
        )  # fmt: skip
        pixels = np.unique(truth, return_counts=True)[1]
        cover.append(ious @ pixels)
        best += ious.max(0) @ pixels
        area += valid.sum()
        pri.append([rand_score(truth, m) for m in labels_THW[:, valid]])
        voi.append([sum(variation_of_information(truth, m)) for m in labels_THW[:, valid]])
    return RegionScores(np.sum(cover, 0), area, best, np.mean(pri, 0), np.mean(voi, 0))


def close(one: RegionScores, other: RegionScores) -> None:
    for name, value in one._asdict().items():
        np.testing.assert_allclose(value, getattr(other, name), rtol=1e-12, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("seed", range(4))
def test_equal_to_independent_programs(seed: int) -> None:
    labels_THW, segments_AHW = maps(seed, 3, regions=3 + seed) * 5, maps(seed + 50, 4).astype(np.int32) + 2
    if seed % 2:
        segments_AHW[:, :5, :9] = -1
        segments_AHW[1, 6] = -1
    close(region_scores(labels_THW, segments_AHW), by_loops(labels_THW, segments_AHW))


def test_people_against_people_on_a_real_photo(data_root: Path) -> None:
    cells = loadmat(data_root / "BSDS500/data/groundTruth/val/3096.mat")["groundTruth"].ravel()
    segments_AHW = np.stack([cell["Segmentation"][0, 0].astype(np.int32) for cell in cells])
    got = region_scores(segments_AHW[:1], segments_AHW)
    close(got, by_loops(segments_AHW[:1], segments_AHW))
    assert region_scores(segments_AHW[:1], segments_AHW[:1]).voi_T == 0


def test_worked_by_hand() -> None:
    got = region_scores(np.array([[0, 0, 1]]), np.array([[0, 1, 1]]))
    assert got.cover_T == [1 * 1 / 2 + 2 * 1 / 2]
    assert (got.area, got.best_cover) == (3, 1.5)
    assert got.pri_T == [1 / 3]  # of three pairs only the outer pixels are apart in both
    assert got.voi_T == pytest.approx([2 * np.log2(3) - 2 * (np.log2(3) - 2 / 3)])


def test_best_over_scales_is_chosen_region_by_region() -> None:
    truth = np.array([[0, 0, 1, 1, 2, 2]])
    left, right = np.array([[0, 0, 1, 1, 1, 1]]), np.array([[0, 0, 0, 0, 1, 1]])
    got = region_scores(np.stack([left, right]), truth)
    np.testing.assert_array_equal(got.cover_T, [4.0, 4.0])
    assert got.best_cover == 5.0
    assert region_scores(np.stack([left, truth]), truth).best_cover == 6.0


def test_no_digit_depends_on_how_regions_are_called() -> None:
    labels_THW, segments_AHW = maps(1, 2, regions=9), maps(2, 3, regions=9).astype(np.int32)
    segments_AHW[:, -2:] = -1
    want = region_scores(labels_THW, segments_AHW)
    rng = np.random.default_rng(3)
    for names in (rng.permutation(9), rng.permutation(9) * 20, np.sort(rng.integers(0, 2**50, 9))[::-1]):
        renamed = np.where(segments_AHW < 0, -1, names[segments_AHW])
        assert same(region_scores(names[labels_THW], renamed), want)
        assert same(scores_of(on_device(torch.from_numpy(names[labels_THW]), torch.from_numpy(renamed))), want)


def test_labels_are_told_in_the_order_of_their_first_pixels() -> None:
    found = overlaps(np.array([[7, 7, 2], [2, 9, 0]]), np.array([[4, 4, 4], [4, 1, -1]]))
    assert found.labels[0].tolist() == [7, 2, 9, 0]
    table = found.tables[0][0]
    assert (table.region_R.tolist(), table.true_N.tolist()) == ([2, 2, 1, 0], [4, 1])
    assert list(zip(table.region_E, table.true_E, table.pixels_E, strict=True)) == [(0, 0, 2), (1, 0, 2), (2, 1, 1)]


@pytest.mark.parametrize("device", DEVICES)
def test_counting_by_torch_gives_the_same_tables(device: str) -> None:
    labels_THW, segments_AHW = maps(8, 3, regions=30), maps(9, 4, regions=12)
    segments_AHW[:, 3:7] = -1
    want = overlaps(labels_THW, segments_AHW)
    got = on_device(torch.from_numpy(labels_THW).to(device), torch.from_numpy(segments_AHW).to(device))
    for scale, annotator in np.ndindex(3, 4):
        pairs = zip(want.tables[scale][annotator], got.tables[scale][annotator], strict=True)
        assert all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in pairs)
    assert all(np.array_equal(a, b) for a, b in zip(want.labels, got.labels, strict=True))
    assert same(region_scores(torch.from_numpy(labels_THW).to(device), segments_AHW), scores_of(want))


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int32, np.int64, np.float32, bool])
def test_any_type_of_whole_numbers_as_array_or_tensor(kind: type) -> None:
    labels_THW, segments_AHW = maps(4, 2, regions=2).astype(kind), maps(5, 2)
    want = region_scores(labels_THW.astype(np.int64), segments_AHW)
    assert same(region_scores(labels_THW, segments_AHW), want)
    assert same(region_scores(torch.from_numpy(labels_THW), torch.from_numpy(segments_AHW)), want)
    assert same(scores_of(on_device(torch.from_numpy(labels_THW), torch.from_numpy(segments_AHW))), want)
    transposed = region_scores(labels_THW.transpose(0, 2, 1), segments_AHW.transpose(0, 2, 1))
    close(transposed, want)


def test_a_region_for_every_pixel_is_counted_by_sorting() -> None:
    pixels = np.arange(290 * 310).reshape(290, 310)
    halves = (pixels >= pixels.size // 2).astype(np.int32)
    for truth in (pixels, halves):
        got = region_scores(pixels, truth)
        assert same(scores_of(on_device(torch.from_numpy(pixels)[None], torch.from_numpy(truth)[None])), got)
    assert got.cover_T == 2.0
    assert got.voi_T == pytest.approx([np.log2(pixels.size / 2)])
    assert region_scores(pixels, pixels).cover_T == pixels.size


@pytest.mark.filterwarnings("error")
def test_one_region_and_one_pixel_give_plain_numbers() -> None:
    flat, halves = np.zeros((4, 6), int), np.arange(24).reshape(4, 6) // 12
    assert same(region_scores(flat, flat), RegionScores(np.array([24.0]), 24, 24.0, np.array([1.0]), np.array([0.0])))
    got = region_scores(flat, halves)
    assert (got.cover_T.item(), got.voi_T.item()) == (12.0, 1.0)
    assert got.pri_T == pytest.approx([2 * 66 / 276])
    one = region_scores(np.array([[3]]), np.array([[0]]))
    assert (one.cover_T.item(), one.pri_T.item(), one.voi_T.item()) == (1.0, 1.0, 0.0)


def test_ignored_pixels_leave_every_count() -> None:
    labels_HW, segments_HW = maps(6, 1)[0], maps(7, 1)[0]
    segments_HW[10:] = -1
    cut = region_scores(labels_HW[:10], segments_HW[:10])
    assert same(region_scores(labels_HW, segments_HW), cut)
    nobody = np.stack([segments_HW, np.full_like(segments_HW, -1)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert same(region_scores(labels_HW, nobody), cut), "an annotator without a pixel has no say"


@pytest.mark.parametrize(
    ("labels", "segments", "message"),
    [
        (np.zeros((3, 4)), np.zeros((4, 3)), r"labels \(1, 3, 4\) and segments \(1, 4, 3\): expected"),
        (np.zeros((2, 3, 4)), np.zeros((0, 3, 4)), r"segments \(0, 3, 4\): expected .* at least one"),
        (np.zeros((3, 0)), np.zeros((3, 0)), "at least one pixel"),
        (np.zeros(3), np.zeros(3), r"labels \(3,\): expected"),
        (np.full((3, 4), -1), np.zeros((3, 4)), "labels with values -1 to -1: expected whole numbers from 0$"),
        (np.zeros((3, 4)), np.full((3, 4), -2), "segments with values -2 to -2: .* -1 for ignored"),
        (np.full((3, 4), 0.5), np.zeros((3, 4)), "labels with fractions"),
        (np.full((3, 4), np.nan), np.zeros((3, 4)), "labels with values nan"),
        (np.zeros((3, 4)), np.full((2, 3, 4), -1), "no pixel to score"),
    ],
)
def test_refusals(labels: np.ndarray, segments: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        region_scores(labels, segments)
    if labels.ndim > 1 and labels.size and segments.size and labels.shape == segments.shape:
        with pytest.raises(ValueError, match=message):
            on_device(torch.from_numpy(labels)[None], torch.from_numpy(segments)[None])
