"""F-measure, precision and recall from counts (CAS section 4.2) and Jaccard.

Example: ``from seglab.metrics.fbeta import f_beta; f_beta(tp=8, fp=2, fn=2, beta2=0.3)``
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def ratio(top: ArrayLike, bottom: ArrayLike) -> np.ndarray:
    """Quotient that is 0 where the divisor is 0 (no prediction or no object)."""
    top, bottom = np.asarray(top, np.float64), np.asarray(bottom, np.float64)
    return np.divide(top, bottom, out=np.zeros(np.broadcast(top, bottom).shape), where=bottom != 0)


def f_beta(*, tp: ArrayLike, fp: ArrayLike, fn: ArrayLike, beta2: float) -> np.ndarray:
    """F-measure ``(1 + b2) P R / (b2 P + R)`` of a confusion matrix, in closed form.

    Args:
        tp: object pixels found, any shape.
        fp: background pixels taken for object, same shape.
        fn: object pixels missed, same shape.
        beta2: weight of precision, above 0 (CAS section 4.2: 0.3).

    Returns:
        float64 in [0, 1], same shape; 0 where ``tp`` is 0.
    """
    tp, fp, fn = (np.asarray(x, np.float64) for x in (tp, fp, fn))
    return np.minimum(ratio((1 + beta2) * tp, beta2 * (tp + fn) + tp + fp), 1.0)  # above 1 only by rounding


def f_of_precision_recall(precision: ArrayLike, recall: ArrayLike, *, beta2: float) -> np.ndarray:
    """F-measure of precision and recall that were averaged before.

    Args:
        precision: in [0, 1], any shape.
        recall: in [0, 1], same shape.
        beta2: weight of precision, above 0.

    Returns:
        float64 in [0, 1], same shape; 0 where both are 0.
    """
    precision, recall = np.asarray(precision, np.float64), np.asarray(recall, np.float64)
    return np.minimum(ratio((1 + beta2) * precision * recall, beta2 * precision + recall), 1.0)


def jaccard(*, tp: ArrayLike, fp: ArrayLike, fn: ArrayLike) -> np.ndarray:
    """Intersection over union of the object, ``TP / (TP + FP + FN)``; 0 where ``tp`` is 0."""
    tp, fp, fn = (np.asarray(x, np.float64) for x in (tp, fp, fn))
    return ratio(tp, tp + fp + fn)
