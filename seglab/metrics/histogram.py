"""Counts and moments of a grey map over a mask from one joint histogram of whole numbers, exact in one pass.

A grey map has 256 levels, so every sum over its pixels is a sum over 256 table entries, and stretching the map changes
the table only. Legend: H W pixels, Q the four quarters about the object's centroid, K levels 0..255, T thresholds.
Example: ``tally_levels(joint_histogram(map_HW, mask_HW, cut=(10, 20)), np.arange(256) / 255)``
"""

from __future__ import annotations

import numba
import numpy as np

from seglab.metrics.scratch import scratch
from seglab.metrics.tally import LANES, Tally, labels, strict


def joint_histogram(
    map_HW: np.ndarray, mask_HW: np.ndarray, valid_HW: np.ndarray | None = None, *, cut: tuple[int, int]
) -> np.ndarray:
    """Count the pixels of every quarter by mask and grey level.

    Args:
        map_HW: uint8 [H, W].
        mask_HW: bool [H, W].
        valid_HW: bool [H, W]; other pixels are left out. All if left out.
        cut: rows above and columns left of the quarters' corner.

    Returns:
        int64 [4, 2, 256]; index 0 is background, 1 is object, quarters row by row.
    """
    label_HW = labels(mask_HW, valid_HW)
    return _joint(np.ascontiguousarray(map_HW), label_HW, cut[0], cut[1], scratch("lanes", (4, LANES, 768), np.int64))


def tally_levels(
    hist_Q2K: np.ndarray, level_K: np.ndarray, *, thresholds: tuple[tuple[float, bool], ...] = ()
) -> Tally:
    """Counts and moments of a map whose level k has the value ``level_K[k]``.

    Args:
        hist_Q2K: from :func:`joint_histogram`.
        level_K: float64 [256], not descending, in [0, 1] at every level that occurs.
        thresholds: pairs (threshold, inclusive): map > threshold, or map >= threshold if inclusive.

    Returns:
        What :func:`seglab.metrics.tally.tally` finds pixel by pixel.
    """
    at_least_2K, above_T2, count_Q2, sum_Q2, mean_Q, spread_Q, spread_2 = _tally(hist_Q2K, level_K, strict(thresholds))
    return Tally(
        at_least_2K=at_least_2K,
        above_T2=above_T2,
        count_Q2=count_Q2,
        sum_Q2=sum_Q2,
        mean_Q=mean_Q,
        spread_Q=spread_Q,
        spread_2=spread_2,
    )


@numba.njit(cache=True, nogil=True)
def _joint(map_HW, label_HW, cut_y, cut_x, lanes_QLK):
    height, width = map_HW.shape
    lanes_QLK[:] = 0
    for y in range(height):
        for side in range(2):
            left, right = (0, cut_x) if side == 0 else (cut_x, width)
            lanes_LK = lanes_QLK[side if y < cut_y else 2 + side]
            whole = left + (right - left) // 4 * 4
            # Neighbours often have one level: four tables in turn, so that no count waits for the one before it.
            for x in range(left, whole, 4):
                lanes_LK[0, map_HW[y, x] + 256 * label_HW[y, x]] += 1
                lanes_LK[1, map_HW[y, x + 1] + 256 * label_HW[y, x + 1]] += 1
                lanes_LK[2, map_HW[y, x + 2] + 256 * label_HW[y, x + 2]] += 1
                lanes_LK[3, map_HW[y, x + 3] + 256 * label_HW[y, x + 3]] += 1
            for x in range(whole, right):
                lanes_LK[0, map_HW[y, x] + 256 * label_HW[y, x]] += 1
    hist_Q2K = np.zeros((4, 2, 256), np.int64)
    for q in range(4):
        for m in range(2):
            for k in range(256):
                i = 256 * m + k
                hist_Q2K[q, m, k] = lanes_QLK[q, 0, i] + lanes_QLK[q, 1, i] + lanes_QLK[q, 2, i] + lanes_QLK[q, 3, i]
    return hist_Q2K


@numba.njit(cache=True, nogil=True)
def _tally(hist_Q2K, level_K, above_T):
    at_least_2K = np.zeros((2, 256), np.int64)
    above_T2 = np.zeros((above_T.size, 2), np.int64)
    count_Q2, sum_Q2 = np.zeros((4, 2), np.int64), np.zeros((4, 2))
    mean_Q, spread_Q, spread_2 = np.zeros(4), np.zeros(4), np.zeros(2)
    for q in range(4):
        origin = -1.0  # distances to one value of the quarter: a constant quarter has its mean and spread exactly
        for k in range(256):
            if origin < 0 and hist_Q2K[q, 0, k] + hist_Q2K[q, 1, k] > 0:
                origin = level_K[k]
            for m in range(2):
                n = hist_Q2K[q, m, k]
                if n > 0:
                    count_Q2[q, m] += n
                    sum_Q2[q, m] += n * (level_K[k] - origin)
                    at_least_2K[m, int(level_K[k] * 255)] += n
                    for t in range(above_T.size):
                        if level_K[k] > above_T[t]:
                            above_T2[t, m] += n
        n = count_Q2[q, 0] + count_Q2[q, 1]
        if n > 0:
            mean_Q[q] = origin + (sum_Q2[q, 0] + sum_Q2[q, 1]) / n
            sum_Q2[q, 0] += count_Q2[q, 0] * origin
            sum_Q2[q, 1] += count_Q2[q, 1] * origin
    for k in range(254, -1, -1):
        at_least_2K[0, k] += at_least_2K[0, k + 1]
        at_least_2K[1, k] += at_least_2K[1, k + 1]
    for m in range(2):
        mean = sum_Q2[:, m].sum() / max(count_Q2[:, m].sum(), 1)
        for k in range(256):
            n = 0
            for q in range(4):
                n += hist_Q2K[q, m, k]
                spread_Q[q] += hist_Q2K[q, m, k] * (level_K[k] - mean_Q[q]) ** 2
            spread_2[m] += n * (level_K[k] - mean) ** 2
    return at_least_2K, above_T2, count_Q2, sum_Q2, mean_Q, spread_Q, spread_2
