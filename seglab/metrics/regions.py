"""Region metrics of the BSDS benchmark: covering, probabilistic Rand index, variation of information.

All three follow from the table of overlaps n_uv = |S_u and G_v| of a segmentation S and a true one G. It is counted in
one pass over the pixels: by Numba on the CPU, by torch (:mod:`seglab.metrics.regions_torch`) where a tensor lies on a
GPU; what follows is the same for both. Regions are numbered by their first pixel before anything is counted, so that
no number depends, not even in its last digit, on how they were called. Source: Arbelaez, Maire, Fowlkes, Malik,
"Contour Detection and Hierarchical Image Segmentation", TPAMI 2011; the formulas are in docs/metrics.md.

Legend: T scales (segmentations of one image), A annotators, H W pixels, P = H W, R regions of a segmentation, N true
regions, E pairs of them that overlap.
Example: ``region_scores(np.array([[0, 0, 1]]), np.array([[0, 1, 1]], np.int32)).voi_T``
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numba
import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

DENSE = 8
"""A table with more cells than this many times the pixels is counted by sorting instead."""


class Overlap(NamedTuple):
    """One segmentation against one annotator; regions are numbered by their first pixel, ignored pixels are left out.

    Attributes:
        region_E: region of the segmentation, int64, ascending.
        true_E: true region, int64, ascending within a region.
        pixels_E: pixels in both, int64, above 0.
        region_R: pixels of every region, int64; 0 where all of them are ignored.
        true_N: pixels of every true region, int64, above 0.
    """

    region_E: np.ndarray
    true_E: np.ndarray
    pixels_E: np.ndarray
    region_R: np.ndarray
    true_N: np.ndarray

    def iou_E(self) -> np.ndarray:
        """Intersection over union of the overlapping pairs, float64 in (0, 1]."""
        return self.pixels_E / (self.region_R[self.region_E] + self.true_N[self.true_E] - self.pixels_E)


class Overlaps(NamedTuple):
    """Segmentations of one image at several scales against all its annotators.

    Attributes:
        tables: ``tables[scale][annotator]``.
        labels: for each scale the label of every region, int64 [R], in the order of the tables.
    """

    tables: list[list[Overlap]]
    labels: list[np.ndarray]


class RegionScores(NamedTuple):
    """Numbers of one image, float64.

    Attributes:
        cover_T: sum over annotators and true regions of |G_v| times the best IoU that a region has with it, in pixels.
        area: sum of |G_v|, in pixels; ``cover_T / area`` is the covering, in 0..1, 1 is best.
        best_cover: like ``cover_T``, but each true region takes the best region of all scales.
        pri_T: Rand index averaged over annotators, in 0..1, 1 is best.
        voi_T: variation of information averaged over annotators, in bits, 0 is best.
    """

    cover_T: np.ndarray
    area: int
    best_cover: float
    pri_T: np.ndarray
    voi_T: np.ndarray


def region_scores(labels_THW: np.ndarray | Tensor, segments_AHW: np.ndarray | Tensor) -> RegionScores:
    """Score segmentations of one image; arguments and errors as in :func:`overlaps`."""
    return scores_of(overlaps(labels_THW, segments_AHW))


def overlaps(labels_THW: np.ndarray | Tensor, segments_AHW: np.ndarray | Tensor) -> Overlaps:
    """Count how the regions of segmentations and the true regions overlap.

    Args:
        labels_THW: whole numbers from 0, [T, H, W] or [H, W]; labels may be absent. A tensor on a GPU (CUDA) is
            counted there.
        segments_AHW: whole numbers from 0, [A, H, W] or [H, W], -1 where a pixel is ignored.

    Returns:
        The tables; an annotator who left every pixel out has none.

    Raises:
        ValueError: sizes differ, a label is negative or no whole number, there is no annotator or no pixel to score.
    """
    labels_THW, segments_AHW = _stacked(labels_THW, "labels"), _stacked(segments_AHW, "segments")
    if labels_THW.shape[1:] != segments_AHW.shape[1:] or not len(labels_THW) or not len(segments_AHW):
        raise ValueError(
            f"labels {tuple(labels_THW.shape)} and segments {tuple(segments_AHW.shape)}: expected [scales,H,W] and "
            "[annotators,H,W] of the same height and width, at least one of each"
        )
    if getattr(labels_THW, "is_cuda", False):
        import torch

        from seglab.metrics.regions_torch import on_device

        return on_device(labels_THW, torch.as_tensor(segments_AHW, device=labels_THW.device))
    return tables_of(_array(labels_THW), _array(segments_AHW), renumber=_renumbered, count=_counted)


def scores_of(found: Overlaps) -> RegionScores:
    """Covering, Rand index and variation of information from the tables of :func:`overlaps`."""
    true_A = [table.true_N for table in found.tables[0]]
    best_T = [[_best(table) for table in row] for row in found.tables]
    return RegionScores(
        cover_T=np.array([sum(float(n @ b) for n, b in zip(true_A, row, strict=True)) for row in best_T]),
        area=int(sum(n.sum() for n in true_A)),
        best_cover=sum(float(n @ np.max(b, 0)) for n, b in zip(true_A, zip(*best_T, strict=True), strict=True)),
        pri_T=np.array([np.mean([rand_index(table) for table in row]) for row in found.tables]),
        voi_T=np.array([np.mean([variation_of_information(table) for table in row]) for row in found.tables]),
    )


def rand_index(table: Overlap) -> float:
    """Share of the pairs of pixels that both put together or both put apart, in 0..1; 1 if there is a single pixel."""
    pixels = int(table.pixels_E.sum())
    pairs = pixels * (pixels - 1)
    squares = [int((n * n).sum()) for n in (table.region_R, table.true_N, table.pixels_E)]
    return (pairs - squares[0] - squares[1] + 2 * squares[2]) / pairs if pairs else 1.0


def variation_of_information(table: Overlap) -> float:
    """H(S) + H(G) - 2 I(S; G) in bits, 0 or more; exactly 0 if the segmentations are equal."""
    n = table.pixels_E
    bits_E = np.log2(table.region_R[table.region_E] / n) + np.log2(table.true_N[table.true_E] / n)
    return float((n * bits_E).sum() / n.sum())


def _best(table: Overlap) -> np.ndarray:
    best_N = np.zeros(len(table.true_N))
    np.maximum.at(best_N, table.true_E, table.iou_E())
    return best_N


def tables_of(
    labels_THW: Sequence[Any],
    segments_AHW: Sequence[Any],
    *,
    renumber: Callable[..., tuple],
    count: Callable[..., tuple],
) -> Overlaps:
    """What :func:`overlaps` and its twin on a GPU share; each brings two steps of its own.

    Args:
        labels_THW: maps [H, W] of the kind that the steps take.
        segments_AHW: the same.
        renumber: ``renumber(map_HW, name, lowest=...)`` gives regions numbered by their first pixel, [P], -1 where the
            map is, and their labels, int64 [R].
        count: ``count(regions_P, true_P, regions, true_regions)`` gives the cells of the table of overlaps that are
            not 0, region times ``true_regions`` plus true region, and their pixels, int64 [E] both.
    """
    true_A = [renumber(s, "segments", lowest=-1) for s in segments_AHW]
    true_A = [(true_P, len(names)) for true_P, names in true_A if len(names)]
    if not true_A:
        raise ValueError("no pixel to score: every one is ignored by every annotator")
    rows, names = [], []
    for map_HW in labels_THW:
        regions_P, labels_R = renumber(map_HW, "labels", lowest=0)
        names.append(labels_R)
        rows.append([_overlap(*count(regions_P, true_P, len(labels_R), n), len(labels_R), n) for true_P, n in true_A])
    return Overlaps(rows, names)


def _overlap(cell_E: np.ndarray, pixels_E: np.ndarray, regions: int, true_regions: int) -> Overlap:
    region_E, true_E = np.divmod(cell_E, true_regions)
    # Sums of whole numbers below 2**53: the weights of bincount are exact in float64.
    region_R = np.bincount(region_E, pixels_E, regions).astype(np.int64)
    true_N = np.bincount(true_E, pixels_E, true_regions).astype(np.int64)
    return Overlap(region_E, true_E, pixels_E, region_R, true_N)


def check_range(low: float, high: float, name: str, *, lowest: int) -> None:
    """Refuse labels below ``lowest`` (0, or -1 for ignored pixels), NaN, and what float64 cannot hold."""
    if not lowest <= low <= high < 2**53:  # false for NaN too
        ignored = ", -1 for ignored pixels" if lowest else ""
        raise ValueError(f"{name} with values {low} to {high}: expected whole numbers from 0{ignored}")


def _stacked(maps: np.ndarray | Tensor, name: str) -> np.ndarray | Tensor:
    maps = maps.detach() if hasattr(maps, "detach") else np.asarray(maps)
    if maps.ndim not in (2, 3) or not all(maps.shape[-2:]):
        raise ValueError(f"{name} {tuple(maps.shape)}: expected [H,W] or [maps,H,W] with at least one pixel")
    return maps[None] if maps.ndim == 2 else maps


def _array(maps: np.ndarray | Tensor) -> np.ndarray:
    return maps.cpu().numpy() if hasattr(maps, "detach") else maps


def _renumbered(map_HW: np.ndarray, name: str, *, lowest: int) -> tuple[np.ndarray, np.ndarray]:
    """Regions numbered by their first pixel, int32 [P] with -1 for ignored pixels, and their labels, int64 [R]."""
    low, high = map_HW.min(), map_HW.max()
    check_range(low, high, name, lowest=lowest)
    if map_HW.dtype.kind == "f" and (map_HW != np.floor(map_HW)).any():
        raise ValueError(f"{name} with fractions: expected whole numbers from 0")
    whole_P, names = map_HW.ravel(), None
    if high > min(whole_P.size + 256, 2**31 - 2):
        names, whole_P = np.unique(whole_P.astype(np.int64), return_inverse=True)
        whole_P, high = whole_P - (names[0] < 0), len(names)
        names = names[names >= 0]
    number_L = np.full(int(high) + 2, -1, np.int32)
    label_R = np.empty(min(int(high) + 2, whole_P.size), np.int64)
    out_P = np.empty(whole_P.size, np.int32)
    found = _renumber(np.ascontiguousarray(whole_P, np.int32), number_L, label_R, out_P)
    label_R = label_R[:found].copy()
    return out_P, label_R if names is None else names[label_R]


@numba.njit(cache=True, nogil=True)
def _renumber(map_P, number_L, label_R, out_P):
    found, last, number = 0, -1, np.int32(-1)
    for p in range(map_P.size):
        label = map_P[p]
        if label != last:  # neighbours mostly lie in one region
            last, number = label, np.int32(-1)
            if label >= 0:
                if number_L[label] < 0:
                    number_L[label] = found
                    label_R[found] = label
                    found += 1
                number = number_L[label]
        out_P[p] = number
    return found


def _counted(regions_P: np.ndarray, true_P: np.ndarray, regions: int, true_regions: int) -> tuple:
    """Cells of the table that are not 0, and what is in them."""
    if regions * true_regions > DENSE * regions_P.size + 2**16:
        valid_P = true_P >= 0
        cell_P = regions_P[valid_P].astype(np.int64) * true_regions + true_P[valid_P]
        cell_E, pixels_E = np.unique(cell_P, return_counts=True)
        return cell_E, pixels_E.astype(np.int64)
    table = np.zeros(regions * true_regions, np.int64)
    _count(regions_P, true_P, true_regions, table)
    cell_E = np.flatnonzero(table)
    return cell_E, table[cell_E]


@numba.njit(cache=True, nogil=True)
def _count(regions_P, true_P, true_regions, table):
    region, true, start = regions_P[0], true_P[0], 0
    for p in range(1, regions_P.size):
        # A run of equal pairs is added at once, so that no count waits for the one before it.
        if regions_P[p] != region or true_P[p] != true:
            if true >= 0:
                table[np.int64(region) * true_regions + true] += p - start
            region, true, start = regions_P[p], true_P[p], p
    if true >= 0:
        table[np.int64(region) * true_regions + true] += regions_P.size - start
