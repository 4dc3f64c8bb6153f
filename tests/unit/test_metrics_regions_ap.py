"""Class-agnostic average precision by hand, against plain loops over masks, and its rules for ties and annotators."""

from __future__ import annotations

import numpy as np
import pytest

from seglab.metrics.average_precision import average_precision, region_hits
from seglab.metrics.regions import overlaps

IOUS = (0.3, 0.5, 0.75)


def scene(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels [H, W], segments [A, H, W] that resemble them, confidence [R] (all different)."""
    rng = np.random.default_rng(seed)
    labels_HW = rng.integers(0, 6, (3, 4)).repeat(5, 0).repeat(4, 1)
    segments = [np.where(rng.random(labels_HW.shape) < 0.3, rng.integers(0, 8, labels_HW.shape), labels_HW)]
    segments.append(np.where(rng.random(labels_HW.shape) < 0.1, 1, labels_HW // 2))
    segments[1][:2] = -1
    return labels_HW, np.stack(segments), rng.permutation(6) / 7 + seed / 1000


def by_loops(scenes: list[tuple[np.ndarray, ...]], iou: float) -> float:
    found, truth = [], 0.0
    for labels_HW, segments_AHW, confidence_R in scenes:
        hits = dict.fromkeys(np.unique(labels_HW).tolist(), 0.0)
        weight = dict(hits)
        for true_HW in segments_AHW:
            valid = true_HW >= 0
            free = np.unique(true_HW[valid]).tolist()
            truth += len(free) / len(segments_AHW)
            for u in sorted(hits, key=lambda u: -confidence_R[u]):
                mask = (labels_HW == u) & valid
                weight[u] += mask.any() / len(segments_AHW)
                ious = {v: (mask & (true_HW == v)).sum() / (mask | (true_HW == v)).sum() for v in free}
                best = max(ious, key=ious.get, default=None)
                if best is not None and ious[best] >= iou:
                    free.remove(best)
                    hits[u] += 1 / len(segments_AHW)
        found += [(confidence_R[u], weight[u], hits[u]) for u in hits]
    found.sort(reverse=True)
    total, right, points = 0.0, 0.0, []
    for _, weight, hit in found:
        total, right = total + weight, right + hit
        points.append((right / truth, right / total))
    recalls = [0.0, *(r for r, _ in points)]
    return sum((recalls[k + 1] - recalls[k]) * max(p for _, p in points[k:]) for k in range(len(points)))


def gathered(scenes: list[tuple[np.ndarray, ...]]) -> np.ndarray:
    parts, truth = [], 0.0
    for labels_HW, segments_AHW, confidence_R in scenes:
        found = overlaps(labels_HW, segments_AHW)
        parts.append(region_hits(found.tables[0], confidence_R[found.labels[0]], ious=IOUS))
        truth += parts[-1].truth
    joined = [np.concatenate([p[i] for p in parts]) for i in range(3)]
    return average_precision(*joined, truth=truth)


def test_equal_to_loops_over_masks() -> None:
    scenes = [scene(seed) for seed in range(5)]
    got = gathered(scenes)
    np.testing.assert_allclose(got, [by_loops(scenes, iou) for iou in IOUS], rtol=1e-12)
    assert 0.01 < got[2] < got[1] < got[0] < 0.95


def test_worked_by_hand() -> None:
    # Right, wrong, right of three true regions: 1/3 x 1 + 1/3 x 2/3.
    got = average_precision(np.array([0.2, 0.9, 0.5]), np.ones(3), np.array([[1.0], [1], [0]]), truth=3)
    np.testing.assert_allclose(got, [5 / 9])
    # A low precision takes the best one further down: 1/2 x 2/3 + 1/2 x 2/3.
    got = average_precision(np.array([3.0, 2, 1]), np.ones(3), np.array([[0.0], [1], [1]]), truth=2)
    np.testing.assert_allclose(got, [2 / 3])
    assert average_precision(np.zeros(0), np.zeros(0), np.zeros((0, 2)), truth=3).tolist() == [0, 0]


@pytest.mark.filterwarnings("error")
def test_regions_of_equal_confidence_enter_together() -> None:
    for hits in ([1.0, 0.0], [0.0, 1.0]):
        for confidence in (0.0, -np.inf):
            got = average_precision(np.full(2, confidence), np.ones(2), np.array(hits)[:, None], truth=1)
            assert got == [0.5]


def test_a_true_region_is_used_once_and_the_surer_region_takes_it() -> None:
    labels, truth = np.array([[0, 0, 1, 1, 2]]), np.array([[0, 0, 0, 0, 1]])
    tables = overlaps(labels, truth).tables[0]
    hits = region_hits(tables, np.array([1.0, 2.0, 0.0]), ious=[0.5])
    assert hits.confidence_D.tolist() == [2, 1, 0]
    assert hits.hits_DK[:, 0].tolist() == [1, 0, 1]
    tied = region_hits(tables, np.zeros(3), ious=[0.5])
    assert tied.hits_DK[:, 0].tolist() == [1, 0, 1], "of two the one that begins first"


def test_annotators_are_averaged_and_hidden_regions_do_not_count() -> None:
    labels = np.array([[0, 0, 1, 1, 2, 2]])
    truth = np.array([[[0, 0, 1, 1, -1, -1]], [[0, 0, 0, 0, 1, -1]], [[0, 0, 1, 2, 3, -1]], [[0, 0, 1, 1, -1, -1]]])
    hits = region_hits(overlaps(labels, truth).tables[0], np.array([2.0, 1.0, 0.0]), ious=[0.5])
    assert hits.truth == (2 + 2 + 4 + 2) / 4
    assert hits.hits_DK[:, 0].tolist() == [1, 0.75, 0.5]
    assert hits.weight_D.tolist() == [1, 1, 0.5]
    nobody = region_hits(overlaps(labels, truth[:1]).tables[0], np.array([2.0, 1.0, 3.0]), ious=[0.5])
    assert nobody.confidence_D.tolist() == [2, 1]


def test_refusals() -> None:
    tables = overlaps(np.array([[0, 1]]), np.array([[0, 1]])).tables[0]
    for confidence in (np.zeros(3), np.array([0.0, np.nan])):
        with pytest.raises(ValueError, match="for 2 regions: expected a number for each, not NaN"):
            region_hits(tables, confidence, ious=[0.5])
