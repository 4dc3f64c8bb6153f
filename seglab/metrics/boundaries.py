"""Boundary maps of an image and how many of their pixels people drew too: contour precision and recall of BSDS.

A predicted pixel is a hit if any annotator has a boundary pixel matched to it; recall is summed over the annotators
(Arbelaez et al., TPAMI 2011; EQUATIONS 1.4). Predictions are thinned (Guo, Hall, CACM 1989, as in scikit-image and
Matlab), what people drew is taken as it is.

Legend: H W pixels, K maps of one image (thresholds or scales), A annotators.
Example: ``from seglab.metrics.boundaries import boundary_counts; boundary_counts(maps_KHW, truth_AHW)``
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from seglab.metrics.matching import Plane, squared_reach

MAX_DISTANCE = 0.0075
"""Largest distance of two matched pixels as a share of the image diagonal: BSDS (4.3 pixels of 481 x 321).

It shrinks with the image: below a diagonal of 133.4 pixels only pixels in the very same place match."""


class BoundaryCounts(NamedTuple):
    """Pixels of the K maps of one image, int64 [K] each. ``np.stack(counts, 1)`` is what a summary is made of.

    Attributes:
        matched_recall: boundary pixels of the annotators that are matched, summed over the annotators.
        truth: boundary pixels of the annotators, summed over the annotators.
        matched_precision: predicted pixels that at least one annotator matches.
        found: predicted pixels.
    """

    matched_recall: np.ndarray
    truth: np.ndarray
    matched_precision: np.ndarray
    found: np.ndarray


def boundary_counts(
    maps_KHW: np.ndarray, truth_AHW: np.ndarray, *, max_distance: float = MAX_DISTANCE, thin: bool = True
) -> BoundaryCounts:
    """Match the boundaries of one image with those of each annotator.

    Args:
        maps_KHW: bool [K, H, W], predicted boundaries; for a soft map ``soft >= k / 100``.
        truth_AHW: bool [A, H, W], boundaries as the annotators drew them, or :func:`truth_boundaries`.
        max_distance: limit in units of the image diagonal, see :func:`seglab.metrics.matching.squared_reach`.
        thin: thin the predicted maps first.

    Returns:
        The counts; empty maps and annotators without a boundary count 0.

    Raises:
        ValueError: types or sizes are not as described.
    """
    for name, maps in (("maps_KHW", maps_KHW), ("truth_AHW", truth_AHW)):
        if maps.dtype != np.bool_ or maps.ndim != 3:
            raise ValueError(f"{name} of type {maps.dtype} and shape {maps.shape}: expected bool and three axes")
    if maps_KHW.shape[1:] != truth_AHW.shape[1:]:
        raise ValueError(f"maps of {maps_KHW.shape[1:]} pixels, truth of {truth_AHW.shape[1:]}: expected one size")
    plane = Plane(maps_KHW.shape[1:], squared_reach(maps_KHW.shape[1:], max_distance))
    truths = [plane.points(truth_HW) for truth_HW in truth_AHW]
    counts_K4 = np.zeros((len(maps_KHW), 4), np.int64)
    known: dict[bytes, np.ndarray] = {}
    for k, map_HW in enumerate(maps_KHW):
        if k and np.array_equal(map_HW, maps_KHW[k - 1]):
            counts_K4[k] = counts_K4[k - 1]
            continue
        found = plane.points(_thin(map_HW) if thin else map_HW)
        key = found[0].tobytes()
        if key not in known:  # different thresholds often leave the same lines
            partners = [plane.match(found, truth) >= 0 for truth in truths]
            hit = np.logical_or.reduce(partners) if partners else np.zeros(0, bool)
            known[key] = np.array(
                [sum(int(p.sum()) for p in partners), sum(t[0].size for t in truths), hit.sum(), found[0].size]
            )
        counts_K4[k] = known[key]
    return BoundaryCounts(*counts_K4.T.copy())


def segment_boundaries(labels_HW: np.ndarray) -> np.ndarray:
    """Boundaries between the segments of a label map, as BSDS marks them before thinning.

    Args:
        labels_HW: integer [H, W]; below 0 is ignored.

    Returns:
        bool [H, W]: a pixel is marked if it, its right, lower and lower right neighbour are not all of one segment.
        Ignored pixels are not marked and differ from nothing. :func:`thin` of it is what BSDS stores as boundaries.

    Raises:
        ValueError: not one integer map.
    """
    if labels_HW.ndim != 2 or labels_HW.dtype.kind not in "iu":
        raise ValueError(f"labels of type {labels_HW.dtype} and shape {labels_HW.shape}: expected integers [H, W]")
    edge_HW = np.zeros(labels_HW.shape, bool)
    height, width = labels_HW.shape
    parts = [labels_HW[y : height - 1 + y, x : width - 1 + x] for y in (0, 1) for x in (0, 1)]
    for first, second in ((0, 1), (0, 2), (1, 3), (2, 3), (0, 3), (1, 2)):
        edge_HW[:-1, :-1] |= _differ(parts[first], parts[second])
    edge_HW[-1, :-1] |= _differ(labels_HW[-1, :-1], labels_HW[-1, 1:])
    edge_HW[:-1, -1] |= _differ(labels_HW[:-1, -1], labels_HW[1:, -1])
    return edge_HW & (labels_HW >= 0)


def found_boundaries(labels_THW: np.ndarray, *, ignored_HW: np.ndarray | None = None) -> np.ndarray:
    """Boundaries between the regions of segmentations, before thinning.

    Args:
        labels_THW: whole numbers from 0, [T, H, W].
        ignored_HW: bool [H, W], pixels that every annotator leaves out; None = there are none.

    Returns:
        bool [T, H, W], :func:`segment_boundaries` of each; an ignored pixel is not marked and differs from nothing.
    """
    labels_THW = labels_THW.astype(np.int64)
    if ignored_HW is not None:
        labels_THW = np.where(ignored_HW, -1, labels_THW)
    return np.stack([segment_boundaries(labels_HW) for labels_HW in labels_THW])


def truth_boundaries(segments_AHW: np.ndarray) -> np.ndarray:
    """The boundaries that BSDS stores beside the segments, made from the segments: marked, then thinned.

    Args:
        segments_AHW: integer [A, H, W]; below 0 is ignored.

    Returns:
        bool [A, H, W].
    """
    return np.array([_thin(segment_boundaries(labels_HW)) for labels_HW in segments_AHW], bool).reshape(
        segments_AHW.shape
    )


def thin(mask_HW: np.ndarray) -> np.ndarray:
    """Thin a mask to lines one pixel wide; equal to ``skimage.morphology.thin``.

    Args:
        mask_HW: bool [H, W].

    Returns:
        bool [H, W], part of the mask with the same connection.
    """
    padded = np.zeros((mask_HW.shape[0] + 2, mask_HW.shape[1] + 2), np.uint8)
    padded[1:-1, 1:-1] = mask_HW != 0
    width = padded.shape[1]
    steps_8 = np.array([1, 1 - width, -width, -width - 1, -1, width - 1, width, width + 1], np.int32)
    _thin_flat(padded.ravel(), steps_8, _REMOVE_2)
    return padded[1:-1, 1:-1] != 0


_thin = thin  # boundary_counts has an argument of that name


def _differ(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return (first != second) & (first >= 0) & (second >= 0)


def _removable() -> np.ndarray:
    """For both half steps of Guo and Hall: does a pixel go, given its eight neighbours; bool [2, 256].

    Bit i - 1 of the index is neighbour x_i, counted from the right against the clock.
    """
    code = np.arange(256)
    x = [None, *((code >> i & 1).astype(bool) for i in range(8))]
    x.append(x[1])
    crossings = sum((~x[i] & (x[i + 1] | x[i + 2])).astype(int) for i in (1, 3, 5, 7))
    first = sum((x[i] | x[i + 1]).astype(int) for i in (1, 3, 5, 7))
    second = sum((x[i] | x[i + 1]).astype(int) for i in (2, 4, 6, 8))
    fewer = np.minimum(first, second)
    border = (crossings == 1) & (fewer >= 2) & (fewer <= 3)
    return np.stack([border & ~((x[2] | x[3] | ~x[8]) & x[1]), border & ~((x[6] | x[7] | ~x[4]) & x[5])])


_REMOVE_2 = _removable()


@numba.njit(cache=True, nogil=True)
def _thin_flat(grid, steps_8, remove_2):
    """Half steps in turn until nothing goes; a pixel is looked at again only after a neighbour went."""
    count = 0
    for i in range(grid.size):
        count += grid[i]
    todo = np.empty((2, count), np.int32)
    length = np.zeros(2, np.int64)
    listed = np.zeros((2, grid.size), np.bool_)
    gone = np.empty(count, np.int32)
    for i in range(grid.size):
        if grid[i] and _code(grid, i, steps_8) != 255:
            for half in range(2):
                todo[half, length[half]], listed[half, i] = i, True
                length[half] += 1
    while length[0] + length[1]:
        for half in range(2):
            removed = 0
            for j in range(length[half]):
                i = todo[half, j]
                listed[half, i] = False
                if grid[i] and remove_2[half, _code(grid, i, steps_8)]:
                    gone[removed] = i
                    removed += 1
            length[half] = 0
            for j in range(removed):
                grid[gone[j]] = 0
            for j in range(removed):
                for s in range(8):
                    i = gone[j] + steps_8[s]
                    if grid[i]:
                        for other in range(2):
                            if not listed[other, i]:
                                todo[other, length[other]], listed[other, i] = i, True
                                length[other] += 1


@numba.njit(cache=True, nogil=True)
def _code(grid, i, steps_8):
    code = 0
    for s in range(8):
        code |= np.int64(grid[i + steps_8[s]]) << s
    return code
