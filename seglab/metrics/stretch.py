"""Stretch a saliency map before it is measured: not at all, by its maximum, or to the whole of 0..1.

Example: ``from seglab.metrics.stretch import stretch; stretch(map_HW, map_HW.min(), map_HW.max(), "minmax")``
"""

from __future__ import annotations

import numba
import numpy as np


def stretch(values: np.ndarray, low: float, high: float, how: str, *, out: np.ndarray | None = None) -> np.ndarray:
    """Values in float64, stretched in the order of operations that other programs use, so that rounding agrees.

    Args:
        values: float of any shape, C-contiguous.
        low: smallest value of the map, 0 or more.
        high: its largest value, 1 or less.
        how: ``none``, ``max`` (divided by the maximum), or ``minmax`` (smallest to 0, largest to 1). A constant map is
            left as it is by ``minmax``, an all-zero one by ``max``.
        out: float64 of the same shape, to be filled.

    Returns:
        float64, ``out`` if it was given.
    """
    out = np.empty(values.shape) if out is None else out
    low = low if how == "minmax" else 0.0
    # Deviation: sal_eval_toolbox also takes an all-zero map out of the count of images; here every image counts.
    if how == "none" or high == low or (low == 0 and high == 1):
        np.copyto(out, values)
    else:
        _stretch(values.reshape(-1), low, high - low, out.reshape(-1))
    return out


@numba.njit(cache=True, nogil=True)
def _stretch(values_P, low, span, out_P):
    for i in range(values_P.size):
        out_P[i] = (np.float64(values_P[i]) - low) / span
