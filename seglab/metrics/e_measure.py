"""E-measure, the enhanced alignment of two binary maps (Fan et al., IJCAI 2018).

With binary maps only four different pixels exist, so the sum over pixels is a sum over four counts.
Example: ``from seglab.metrics.e_measure import e_measure; e_measure(tp=8, fp=2, objects=10, pixels=100)``
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

EPS = np.finfo(np.float64).eps


def e_measure(
    *, tp: ArrayLike, fp: ArrayLike, objects: int, pixels: int, divisor: str = "pixels_minus_one"
) -> np.ndarray:
    """Mean enhanced alignment between a predicted object and the mask.

    Args:
        tp: object pixels found, any shape (one entry per threshold).
        fp: background pixels taken for object, same shape.
        objects: object pixels of the mask.
        pixels: pixels of the mask, 1 or more.
        divisor: ``pixels_minus_one`` as in the authors' program (a perfect map then scores n / (n - 1)) or ``pixels``.

    Returns:
        float64, same shape as ``tp``. Mask without object: share of pixels left out of the prediction;
        mask that is all object: share of pixels in the prediction.
    """
    tp, fp = np.asarray(tp, np.float64), np.asarray(fp, np.float64)
    predicted = tp + fp
    if objects == 0:
        total = pixels - predicted
    elif objects == pixels:
        total = predicted
    else:
        fn = objects - tp
        tn = pixels - predicted - fn
        p, g = predicted / pixels, objects / pixels
        total = (
            _aligned(1 - p, 1 - g) * tp
            + _aligned(1 - p, 0 - g) * fp
            + _aligned(0 - p, 1 - g) * fn
            + _aligned(0 - p, 0 - g) * tn
        )
    return total / (max(pixels - 1, 1) if divisor == "pixels_minus_one" else pixels)


def _aligned(a: np.ndarray, b: float) -> np.ndarray:
    return (2 * a * b / (a * a + b * b + EPS) + 1) ** 2 / 4
