"""Class-agnostic average precision of regions (CAS table 5; the paper does not define it).

Our reading (BSDS has several annotators, VOC one): predicted regions of the whole set are sorted by confidence. Within
an image and against each of its annotators, each region in that order takes the unused true region with which its IoU
is largest, if that reaches the threshold. A region then counts as the share of the annotators of its image who have a
match for it, and an image as the mean number of true regions of its annotators, so that every image weighs the same
however many people drew it. With P_k and R_k precision and recall after the first k regions

    AP = sum_k (R_k - R_{k-1}) max_{k' >= k} P_{k'}.

Regions of equal confidence enter together. Regions and parts of regions at ignored pixels count nowhere.

Legend: R regions of an image, D regions of a set, K IoU thresholds, A annotators.
Example: ``average_precision(np.array([2.0, 1.0]), np.ones(2), np.array([[1.0], [0.0]]), truth=2)``
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from seglab.metrics.regions import Overlap


class Hits(NamedTuple):
    """What the regions of one segmentation add to the average precision.

    Attributes:
        confidence_D: of every region with a pixel that somebody does not ignore, falling.
        weight_D: share of the annotators for whom it has such a pixel, in (0, 1].
        hits_DK: share of the annotators who have a match for it at each threshold, in 0..1.
        truth: number of true regions, averaged over annotators.
    """

    confidence_D: np.ndarray
    weight_D: np.ndarray
    hits_DK: np.ndarray
    truth: float


def region_hits(tables: Sequence[Overlap], confidence_R: np.ndarray, *, ious: Sequence[float]) -> Hits:
    """Match the regions of one segmentation with those of every annotator.

    Args:
        tables: overlaps with each annotator, of :func:`seglab.metrics.regions.overlaps`.
        confidence_R: how sure the segmentation is of each region, in the order of the tables; any scale.
        ious: thresholds in (0, 1].

    Returns:
        Confidences and matches. Of two regions of equal confidence the one that begins further up is matched first.

    Raises:
        ValueError: a confidence is NaN or there is not one a region.
    """
    confidence_R = np.asarray(confidence_R, np.float64)
    regions, annotators = len(tables[0].region_R), len(tables)
    if confidence_R.shape != (regions,) or np.isnan(confidence_R).any():
        raise ValueError(f"confidence {confidence_R.shape} for {regions} regions: expected a number for each, not NaN")
    order_R = np.argsort(-confidence_R, kind="stable")
    hits_RK, seen_R = np.zeros((regions, len(ious))), np.zeros(regions)
    for table in tables:
        seen_R += table.region_R > 0
        for k, iou in enumerate(ious):
            hits_RK[_matched(table, order_R, iou), k] += 1
    kept_D = order_R[seen_R[order_R] > 0]
    return Hits(
        confidence_D=confidence_R[kept_D],
        weight_D=seen_R[kept_D] / annotators,
        hits_DK=hits_RK[kept_D] / annotators,
        truth=float(np.mean([len(table.true_N) for table in tables])),
    )


def _matched(table: Overlap, order_R: np.ndarray, iou: float) -> list[int]:
    """Regions with a match, by greedy choice in the given order."""
    iou_E = table.iou_E()
    enough_E = np.flatnonzero(iou_E >= iou)
    candidates: dict[int, list[int]] = {}
    for e in enough_E[np.argsort(-iou_E[enough_E], kind="stable")].tolist():
        candidates.setdefault(int(table.region_E[e]), []).append(int(table.true_E[e]))
    rank_R = np.empty(len(order_R), np.int64)
    rank_R[order_R] = np.arange(len(order_R))
    matched, used = [], set()
    for region in sorted(candidates, key=lambda r: rank_R[r]):
        free = next((true for true in candidates[region] if true not in used), None)
        if free is not None:
            used.add(free)
            matched.append(region)
    return matched


def average_precision(
    confidence_D: np.ndarray, weight_D: np.ndarray, hits_DK: np.ndarray, *, truth: float
) -> np.ndarray:
    """Average precision of a set at each threshold.

    Args:
        confidence_D: float [D], any order.
        weight_D: float [D], number a region counts as; 1 with one annotator and nothing ignored.
        hits_DK: float [D, K], part of it that is right.
        truth: number of true regions of the set, above 0.

    Returns:
        float64 [K] in 0..1.
    """
    if not len(confidence_D):
        return np.zeros(hits_DK.shape[1])
    order_D = np.argsort(-confidence_D, kind="stable")
    found_D, right_DK = np.cumsum(weight_D[order_D]), np.cumsum(hits_DK[order_D], 0)
    sorted_D = confidence_D[order_D]
    last_D = np.append(sorted_D[1:] != sorted_D[:-1], True)  # the end of every group of equal confidence
    precision_GK = right_DK[last_D] / found_D[last_D, None]
    recall_GK = right_DK[last_D] / truth
    ceiling_GK = np.maximum.accumulate(precision_GK[::-1], 0)[::-1]
    return (np.diff(recall_GK, axis=0, prepend=0) * ceiling_GK).sum(0)
