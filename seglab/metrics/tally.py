"""Counts and moments of a map over a mask, in two passes over the pixels: all that F, E, S and MAE need.

Sums run down the columns, one running sum a column, which a processor does for several columns at once without
changing the order of any addition. Legend: H W pixels, Q the four quarters about the object's centroid, K the 256
thresholds k/255, T further thresholds.
Example: ``from seglab.metrics.tally import tally; tally(map_HW, mask_HW, None, cut=(10, 20))``
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from seglab.metrics.scratch import scratch

LANES = 4
"""Tables that take turns in counting; see :func:`_first_pass`."""


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Counts and moments of one image; index 0 is background, 1 is object, quarters row by row.

    Args:
        at_least_2K: pixels with map >= k/255, int64 [2, 256].
        above_T2: pixels of the object at each of the thresholds asked for, int64 [T, 2].
        count_Q2: pixels, int64 [4, 2].
        sum_Q2: sum of the map, float64 [4, 2].
        mean_Q: mean of the map in a quarter, float64 [4]; exact where the map is constant.
        spread_Q: sum of squared distances to ``mean_Q``, float64 [4]; exactly 0 where the map is constant.
        spread_2: sum of squared distances to the mean of the map over background and object, float64 [2].
    """

    at_least_2K: np.ndarray
    above_T2: np.ndarray
    count_Q2: np.ndarray
    sum_Q2: np.ndarray
    mean_Q: np.ndarray
    spread_Q: np.ndarray
    spread_2: np.ndarray


def tally(
    map_HW: np.ndarray,
    mask_HW: np.ndarray,
    valid_HW: np.ndarray | None = None,
    *,
    cut: tuple[int, int],
    thresholds: tuple[tuple[float, bool], ...] = (),
) -> Tally:
    """Count one image.

    Args:
        map_HW: float64 [H, W] in [0, 1], C-contiguous.
        mask_HW: bool [H, W].
        valid_HW: bool [H, W]; other pixels are left out. All if left out.
        cut: rows above and columns left of the quarters' corner.
        thresholds: pairs (threshold, inclusive): map > threshold, or map >= threshold if inclusive.

    Returns:
        The counts and moments.
    """
    label_HW, width = labels(mask_HW, valid_HW), map_HW.shape[1]
    bin_W = scratch("bins", (width,), np.int32)
    lanes_LK, column_2W = scratch("lanes", (LANES, 768), np.int64), scratch("columns", (2, width), np.float64)
    hist_2K = _histogram(map_HW, label_HW, bin_W, lanes_LK)
    count_Q2, sum_Q2, cell_Q2, mean_Q = _first_pass(map_HW, label_HW, cut[0], cut[1], column_2W)
    above_T2 = _above(map_HW, label_HW, strict(thresholds))
    spread_Q2 = _second_pass(map_HW, label_HW, cut[0], cut[1], cell_Q2, column_2W)
    count_2 = count_Q2.sum(0)
    mean_2 = sum_Q2.sum(0) / np.maximum(count_2, 1)
    # Squares about the mean of a part, and those of its mean about the mean of the whole: nothing is subtracted.
    return Tally(
        at_least_2K=np.cumsum(hist_2K[:, ::-1], axis=1)[:, ::-1],
        above_T2=above_T2,
        count_Q2=count_Q2,
        sum_Q2=sum_Q2,
        mean_Q=mean_Q,
        spread_Q=(spread_Q2 + count_Q2 * (cell_Q2 - mean_Q[:, None]) ** 2).sum(1),
        spread_2=(spread_Q2 + count_Q2 * (cell_Q2 - mean_2) ** 2).sum(0),
    )


def labels(mask_HW: np.ndarray, valid_HW: np.ndarray | None) -> np.ndarray:
    """Background, object and ignored pixels as uint8 0, 1 and 2, C-contiguous."""
    # True is not always the byte 1: Pillow's one-bit pictures come as bool arrays of 0 and 255.
    label_HW = (np.ascontiguousarray(mask_HW).view(np.uint8) != 0).view(np.uint8)
    return label_HW if valid_HW is None else np.where(valid_HW, label_HW, np.uint8(2))


def strict(thresholds: tuple[tuple[float, bool], ...]) -> np.ndarray:
    """Thresholds t as float64 [T] with "map > t" for all: map >= t is map > the largest number below t."""
    return np.array([np.nextafter(t, -np.inf) if inclusive else t for t, inclusive in thresholds], np.float64)


@numba.njit(cache=True, nogil=True)
def _histogram(map_HW, label_HW, bin_W, lanes_LK):
    height, width = map_HW.shape
    lanes_LK[:] = 0
    whole = width // 4 * 4
    for y in range(height):
        for x in range(width):
            # In double precision floor(255 v) >= k exactly where v >= k/255, for all 256 levels.
            bin_W[x] = np.int32(map_HW[y, x] * 255) + 256 * np.int32(label_HW[y, x])
        # Neighbours often fall into one bin: four tables in turn, so that no count waits for the one before it.
        for x in range(0, whole, 4):
            lanes_LK[0, bin_W[x]] += 1
            lanes_LK[1, bin_W[x + 1]] += 1
            lanes_LK[2, bin_W[x + 2]] += 1
            lanes_LK[3, bin_W[x + 3]] += 1
        for x in range(whole, width):
            lanes_LK[0, bin_W[x]] += 1
    hist_2K = np.zeros((2, 256), np.int64)
    for lane in range(4):
        for k in range(256):
            hist_2K[0, k] += lanes_LK[lane, k]
            hist_2K[1, k] += lanes_LK[lane, 256 + k]
    return hist_2K


@numba.njit(cache=True, nogil=True)
def _first_pass(map_HW, label_HW, cut_y, cut_x, column_2W):
    height, width = map_HW.shape
    count_Q2, sum_Q2 = np.zeros((4, 2), np.int64), np.zeros((4, 2))
    cell_Q2, mean_Q = np.zeros((4, 2)), np.zeros(4)
    for q in range(4):
        top, bottom = (0, cut_y) if q < 2 else (cut_y, height)
        left, right = (0, cut_x) if q % 2 == 0 else (cut_x, width)
        # Sums of distances to one value of the quarter: a constant quarter gets its mean and spread without rounding.
        origin = _first_value(map_HW, label_HW, top, bottom, left, right)
        back_W, front_W = column_2W[0][left:right], column_2W[1][left:right]
        back_W[:], front_W[:] = 0, 0
        back, front = 0, 0
        for y in range(top, bottom):
            label_W = label_HW[y][left:right]
            _add(map_HW[y][left:right], label_W, origin, back_W, front_W)
            back += _count(label_W, 0)
            front += _count(label_W, 1)
        s0, s1 = back_W.sum(), front_W.sum()
        count_Q2[q, 0], count_Q2[q, 1] = back, front
        sum_Q2[q, 0], sum_Q2[q, 1] = s0 + back * origin, s1 + front * origin
        cell_Q2[q, 0], cell_Q2[q, 1] = origin + s0 / max(back, 1), origin + s1 / max(front, 1)
        mean_Q[q] = origin + (s0 + s1) / max(back + front, 1)
    return count_Q2, sum_Q2, cell_Q2, mean_Q


@numba.njit(cache=True, nogil=True)
def _add(map_W, label_W, origin, back_W, front_W):
    for x in range(map_W.size):
        v = map_W[x] - origin
        back_W[x] += v if label_W[x] == 0 else 0.0
        front_W[x] += v if label_W[x] == 1 else 0.0


@numba.njit(cache=True, nogil=True)
def _count(label_W, label):
    found = np.int32(0)
    for x in range(label_W.size):
        found += np.int32(label_W[x] == label)
    return found


@numba.njit(cache=True, nogil=True)
def _first_value(map_HW, label_HW, top, bottom, left, right):
    for y in range(top, bottom):
        for x in range(left, right):
            if label_HW[y, x] < 2:
                return map_HW[y, x]
    return 0.0


@numba.njit(cache=True, nogil=True)
def _second_pass(map_HW, label_HW, cut_y, cut_x, cell_Q2, column_2W):
    height, width = map_HW.shape
    spread_Q2 = np.zeros((4, 2))
    for q in range(4):
        top, bottom = (0, cut_y) if q < 2 else (cut_y, height)
        left, right = (0, cut_x) if q % 2 == 0 else (cut_x, width)
        back_W, front_W = column_2W[0][left:right], column_2W[1][left:right]
        back_W[:], front_W[:] = 0, 0
        for y in range(top, bottom):
            _add_squares(map_HW[y][left:right], label_HW[y][left:right], cell_Q2[q, 0], cell_Q2[q, 1], back_W, front_W)
        spread_Q2[q, 0], spread_Q2[q, 1] = back_W.sum(), front_W.sum()
    return spread_Q2


@numba.njit(cache=True, nogil=True)
def _add_squares(map_W, label_W, back, front, back_W, front_W):
    for x in range(map_W.size):
        a, b = map_W[x] - back, map_W[x] - front
        back_W[x] += a * a if label_W[x] == 0 else 0.0
        front_W[x] += b * b if label_W[x] == 1 else 0.0


@numba.njit(cache=True, nogil=True)
def _above(map_HW, label_HW, above_T):
    """Background and object pixels above each threshold."""
    above_T2 = np.zeros((above_T.size, 2), np.int64)
    for t in range(above_T.size):
        for y in range(map_HW.shape[0]):
            back, front = _count_above(map_HW[y], label_HW[y], above_T[t])
            above_T2[t, 0] += back
            above_T2[t, 1] += front
    return above_T2


@numba.njit(cache=True, nogil=True)
def _count_above(map_W, label_W, threshold):
    found_2, front = np.int32(0), np.int32(0)
    for x in range(map_W.size):
        found = np.int32(map_W[x] > threshold)
        found_2 += found & np.int32(label_W[x] < 2)
        front += found & np.int32(label_W[x] == 1)
    return found_2 - front, front
