"""Weighted F-measure: errors smoothed inside the object and weighted by distance outside (Margolin et al., CVPR 2014).

Legend: H W pixels. Not the measure of the CAS tables, which print the plain formula.
Example: ``from seglab.metrics.weighted_f import weighted_f_beta; weighted_f_beta(map_HW, mask_HW)``
"""

from __future__ import annotations

import numba
import numpy as np

from seglab.metrics.nearest import nearest_object

EPS = np.finfo(np.float64).eps
REACH = 3  # the Gaussian is 7 x 7 with deviation 5
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
    if valid_HW is None:
        valid_HW = np.ones(mask_HW.shape, np.bool_)
    object_HW = mask_HW & valid_HW
    objects = np.count_nonzero(object_HW)
    if objects == 0:
        return 0.0
    rows, cols = np.flatnonzero(object_HW.any(1)), np.flatnonzero(object_HW.any(0))
    box = rows[0], rows[-1] + 1, cols[0], cols[-1] + 1
    near_y_HW, near_x_HW = nearest_object(object_HW)
    missed = _missed(map_HW, object_HW, near_y_HW, near_x_HW, *box, TAPS)
    false = _false(map_HW, object_HW, valid_HW, near_y_HW, near_x_HW, WEIGHT)
    recall = 1 - missed / objects
    precision = (objects - missed) / (objects - missed + false + EPS)
    return float((1 + beta2) * recall * precision / (recall + beta2 * precision + EPS))


@numba.njit(cache=True, nogil=True)
def _missed(map_HW, object_HW, near_y_HW, near_x_HW, top, bottom, left, right, taps):
    """Sum over the object of min(error, smoothed error); outside it the error is that of the nearest object pixel."""
    height, width = map_HW.shape
    reach = taps.size // 2
    y0, y1 = max(top - reach, 0), min(bottom + reach, height)
    x0, x1 = max(left - reach, 0), min(right + reach, width)
    # Rows and columns beyond the image stay 0, as the smoothing expects.
    error = np.zeros((bottom - top + 2 * reach, right - left + 2 * reach))
    for y in range(y0, y1):
        for x in range(x0, x1):
            error[y - top + reach, x - left + reach] = 1 - map_HW[near_y_HW[y, x], near_x_HW[y, x]]
    across = np.zeros((error.shape[0], right - left))
    for y in range(error.shape[0]):
        for j in range(taps.size):
            for x in range(right - left):
                across[y, x] += taps[j] * error[y, x + j]
    total = 0.0
    smooth = np.empty(right - left)
    for y in range(bottom - top):
        smooth[:] = 0.0
        for j in range(taps.size):
            for x in range(right - left):
                smooth[x] += taps[j] * across[y + j, x]
        for x in range(right - left):
            if object_HW[y + top, x + left]:
                total += min(smooth[x], error[y + reach, x + reach])
    return total


@numba.njit(cache=True, nogil=True)
def _false(map_HW, object_HW, valid_HW, near_y_HW, near_x_HW, weight):
    """Sum over the background of the map's value, weighted from 1 beside the object to 2 far from it."""
    height, width = map_HW.shape
    total = 0.0
    for y in range(height):
        for x in range(width):
            v = map_HW[y, x]
            if v == 0.0 or object_HW[y, x] or not valid_HW[y, x]:
                continue
            squared = (near_y_HW[y, x] - y) ** 2 + (near_x_HW[y, x] - x) ** 2
            total += v * (weight[squared] if squared < weight.size else 2.0)
    return total
