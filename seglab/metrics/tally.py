"""Counts and moments of a map over a mask, in two passes over the pixels: all that F, E, S and MAE need.

Legend: H W pixels, Q the four quarters about the object's centroid, K the 256 thresholds k/255.
Example: ``from seglab.metrics.tally import tally; tally(map_HW, mask_HW, valid_HW, cut=(10, 20))``
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Counts and moments of one image; index 0 is background, 1 is object, quarters row by row.

    Args:
        at_least_2K: pixels with map >= k/255, int64 [2, 256].
        above_T2: pixels of the object at each of the thresholds asked for, int64 [T, 2].
        count_Q2: pixels, int64 [4, 2].
        sum_Q2: sum of the map, float64 [4, 2].
        mean_Q: mean of the map in a quarter, float64 [4]; exact where the map is constant.
        spread_Q: sum of squared distances to ``mean_Q``, float64 [4].
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
    valid_HW: np.ndarray,
    *,
    cut: tuple[int, int],
    thresholds: tuple[tuple[float, bool], ...] = (),
) -> Tally:
    """Count one image.

    Args:
        map_HW: float64 [H, W] in [0, 1].
        mask_HW: bool [H, W].
        valid_HW: bool [H, W]; other pixels are left out.
        cut: rows above and columns left of the quarters' corner.
        thresholds: pairs (threshold, inclusive): map > threshold, or map >= threshold if inclusive.

    Returns:
        The counts and moments.
    """
    hist_2K, count_Q2, sum_Q2, mean_Q = _first_pass(map_HW, mask_HW, valid_HW, cut[0], cut[1])
    above_T2 = np.array([_above(map_HW, mask_HW, valid_HW, *t) for t in thresholds], np.int64).reshape(-1, 2)
    count_2, sum_2 = count_Q2.sum(0), sum_Q2.sum(0)
    mean_2 = sum_2 / np.maximum(count_2, 1)
    spread_Q, spread_2 = _second_pass(map_HW, mask_HW, valid_HW, cut[0], cut[1], mean_Q, mean_2)
    return Tally(
        at_least_2K=np.cumsum(hist_2K[:, ::-1], axis=1)[:, ::-1],
        above_T2=above_T2,
        count_Q2=count_Q2,
        sum_Q2=sum_Q2,
        mean_Q=mean_Q,
        spread_Q=spread_Q,
        spread_2=spread_2,
    )


def _above(
    map_HW: np.ndarray, mask_HW: np.ndarray, valid_HW: np.ndarray, threshold: float, inclusive: bool
) -> tuple[int, int]:
    """Background and object pixels of the map's object at a threshold."""
    found_HW = (np.greater_equal if inclusive else np.greater)(map_HW, threshold)
    found_HW &= valid_HW
    found = np.count_nonzero(found_HW)
    hits = np.count_nonzero(np.logical_and(found_HW, mask_HW, out=found_HW))
    return found - hits, hits


@numba.njit(cache=True, nogil=True)
def _first_pass(map_HW, mask_HW, valid_HW, cut_y, cut_x):
    height, width = map_HW.shape
    hist_2K = np.zeros((2, 256), np.int64)
    count_Q2 = np.zeros((4, 2), np.int64)
    sum_Q2 = np.zeros((4, 2))
    mean_Q = np.zeros(4)
    for q in range(4):
        top, bottom = (0, cut_y) if q < 2 else (cut_y, height)
        left, right = (0, cut_x) if q % 2 == 0 else (cut_x, width)
        if top >= bottom or left >= right:
            continue
        # Sums of distances to one value of the quarter: a constant quarter gets its mean and spread without rounding.
        origin = 0.0
        n0, n1, s0, s1 = 0, 0, 0.0, 0.0
        for y in range(top, bottom):
            for x in range(left, right):
                if not valid_HW[y, x]:
                    continue
                v = map_HW[y, x]
                if n0 + n1 == 0:
                    origin = v
                m = 1 if mask_HW[y, x] else 0
                # In double precision floor(255 v) >= k exactly where v >= k/255, for all 256 levels.
                hist_2K[m, int(v * 255)] += 1
                if m == 1:
                    n1 += 1
                    s1 += v - origin
                else:
                    n0 += 1
                    s0 += v - origin
        count_Q2[q, 0], count_Q2[q, 1] = n0, n1
        sum_Q2[q, 0], sum_Q2[q, 1] = s0 + n0 * origin, s1 + n1 * origin
        if n0 + n1 > 0:
            mean_Q[q] = origin + (s0 + s1) / (n0 + n1)
    return hist_2K, count_Q2, sum_Q2, mean_Q


@numba.njit(cache=True, nogil=True)
def _second_pass(map_HW, mask_HW, valid_HW, cut_y, cut_x, mean_Q, mean_2):
    height, width = map_HW.shape
    spread_Q, spread_2 = np.zeros(4), np.zeros(2)
    for q in range(4):
        top, bottom = (0, cut_y) if q < 2 else (cut_y, height)
        left, right = (0, cut_x) if q % 2 == 0 else (cut_x, width)
        whole, back, front = 0.0, 0.0, 0.0
        for y in range(top, bottom):
            for x in range(left, right):
                if not valid_HW[y, x]:
                    continue
                v = map_HW[y, x]
                whole += (v - mean_Q[q]) ** 2
                if mask_HW[y, x]:
                    front += (v - mean_2[1]) ** 2
                else:
                    back += (v - mean_2[0]) ** 2
        spread_Q[q] = whole
        spread_2[0] += back
        spread_2[1] += front
    return spread_Q, spread_2
