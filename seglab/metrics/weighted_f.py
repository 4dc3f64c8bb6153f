"""Weighted F-measure: errors smoothed inside the object and weighted by distance outside (Margolin et al., CVPR 2014).

Legend: H W pixels. Not the measure of the CAS tables, which print the plain formula.
Example: ``from seglab.metrics.weighted_f import weighted_f_beta; weighted_f_beta(map_HW, mask_HW)``
"""

from __future__ import annotations

import numba
import numpy as np

from seglab.metrics.nearest import nearest_object
from seglab.metrics.scratch import scratch
from seglab.metrics.tally import labels

EPS = np.finfo(np.float64).eps
REACH = 3  # the Gaussian is 7 x 7 with deviation 5
RING = 2 * REACH + 1
_TAPS = np.exp(-(np.arange(-REACH, REACH + 1) ** 2) / (2 * 5.0**2))
TAPS = _TAPS / _TAPS.sum()
# Weight 2 - 0.5 ** (d / 5) at squared distance d * d; from 283 pixels on it is 2 in double precision.
WEIGHT = 2 - np.exp(np.log(0.5) / 5 * np.sqrt(np.arange(80_000)))


def weighted_f_beta(
    map_HW: np.ndarray, mask_HW: np.ndarray, *, valid_HW: np.ndarray | None = None, beta2: float = 1.0
) -> float:
    """Weighted F-measure of one image.

    Args:
        map_HW: float64 [H, W] in [0, 1].
        mask_HW: bool [H, W].
        valid_HW: bool [H, W]; other pixels weigh nothing (they are smoothed over like background). All if left out.
        beta2: weight of precision, above 0.

    Returns:
        A number in [0, 1]; 0 for a mask without object.
    """
    object_HW = mask_HW if valid_HW is None else mask_HW & valid_HW
    objects = np.count_nonzero(object_HW)
    if objects == 0:
        return 0.0
    rows, cols = np.flatnonzero(object_HW.any(1)), np.flatnonzero(object_HW.any(0))
    box = rows[0], rows[-1] + 1, cols[0], cols[-1] + 1
    near_y_HW, near_x_HW = nearest_object(object_HW)
    rings = scratch("rings", (3, RING, mask_HW.shape[1] + 2 * REACH), np.float64)
    missed = _missed(map_HW, object_HW, near_y_HW, near_x_HW, *box, TAPS, rings)
    label_HW = labels(object_HW, valid_HW)
    false = _false(map_HW, label_HW, near_y_HW, near_x_HW, WEIGHT)
    recall = 1 - missed / objects
    precision = (objects - missed) / (objects - missed + false + EPS)
    return float((1 + beta2) * recall * precision / (recall + beta2 * precision + EPS))


@numba.njit(cache=True, nogil=True)
def _missed(map_HW, object_HW, near_y_HW, near_x_HW, top, bottom, left, right, taps, rings):
    """Sum over the object of min(error, smoothed error); outside it the error is that of the nearest object pixel."""
    height, width = map_HW.shape
    reach, wide = taps.size // 2, right - left
    error, across, rest = rings[0], rings[1], rings[2]  # of the last rows, row y at y % RING
    smooth_W, total_W = rest[0][:wide], rest[1][:wide]
    total_W[:] = 0
    x0, x1 = max(left - reach, 0), min(right + reach, width)
    for y in range(top - reach, bottom + reach):
        i = y % RING
        # Rows and columns beyond the image stay 0, as the smoothing expects.
        error[i, : wide + 2 * reach] = 0
        if 0 <= y < height:
            row = error[i][x0 - left + reach : x1 - left + reach]
            _errors(map_HW, object_HW[y][x0:x1], near_y_HW[y][x0:x1], near_x_HW[y][x0:x1], y, x0, row)
        _smooth_row(error[i], taps, across[i][:wide])
        y -= reach
        if y >= top:
            _smooth_rows(across, y, taps, smooth_W)
            _add_smaller(smooth_W, error[y % RING][reach : reach + wide], object_HW[y][left:right], total_W)
    return total_W.sum()


@numba.njit(cache=True, nogil=True)
def _errors(map_HW, object_W, near_y_W, near_x_W, y, x0, error_W):
    map_W = map_HW[y][x0 : x0 + object_W.size]
    for x in range(object_W.size):
        error_W[x] = 1 - map_W[x]
    for x in range(object_W.size):
        if not object_W[x]:
            dy, dx = near_y_W[x] - y, near_x_W[x] - x0 - x
            # Farther than a corner of the Gaussian's window: no object pixel sees it.
            if dy * dy + dx * dx <= 2 * REACH * REACH:
                error_W[x] = 1 - map_HW[near_y_W[x], near_x_W[x]]


@numba.njit(cache=True, nogil=True)
def _smooth_row(error_W, taps, across_W):
    n = across_W.size
    e0, e1, e2, e3 = error_W[:n], error_W[1 : n + 1], error_W[2 : n + 2], error_W[3 : n + 3]
    e4, e5, e6 = error_W[4 : n + 4], error_W[5 : n + 5], error_W[6 : n + 6]
    for x in range(n):
        inner = taps[3] * e3[x] + taps[2] * (e2[x] + e4[x])
        across_W[x] = inner + (taps[1] * (e1[x] + e5[x]) + taps[0] * (e0[x] + e6[x]))


@numba.njit(cache=True, nogil=True)
def _smooth_rows(across, y, taps, smooth_W):
    a0, a1, a2 = across[(y - 3) % RING], across[(y - 2) % RING], across[(y - 1) % RING]
    a3, a4, a5 = across[y % RING], across[(y + 1) % RING], across[(y + 2) % RING]
    a6 = across[(y + 3) % RING]
    for x in range(smooth_W.size):
        inner = taps[3] * a3[x] + taps[2] * (a2[x] + a4[x])
        smooth_W[x] = inner + (taps[1] * (a1[x] + a5[x]) + taps[0] * (a0[x] + a6[x]))


@numba.njit(cache=True, nogil=True)
def _add_smaller(smooth_W, error_W, object_W, total_W):
    for x in range(smooth_W.size):
        smaller = smooth_W[x] if smooth_W[x] < error_W[x] else error_W[x]
        total_W[x] += smaller if object_W[x] else 0.0


@numba.njit(cache=True, nogil=True)
def _false(map_HW, label_HW, near_y_HW, near_x_HW, weight):
    """Sum over the background of the map's value, weighted from 1 beside the object to 2 far from it."""
    height, width = map_HW.shape
    total = 0.0
    for y in range(height):
        map_W, label_W, near_y_W, near_x_W = map_HW[y], label_HW[y], near_y_HW[y], near_x_HW[y]
        for x in range(width):
            if map_W[x] == 0.0 or label_W[x] != 0:
                continue
            dy, dx = near_y_W[x] - y, near_x_W[x] - x
            squared = dy * dy + dx * dx
            total += map_W[x] * (weight[squared] if squared < weight.size else 2.0)
    return total
