"""Curves over the 256 thresholds k/255: precision, recall, F-measure and E-measure of one image.

Legend: K thresholds, k = 0..255, prediction = map >= k/255.
Example: ``from seglab.metrics.curves import THRESHOLDS``
"""

from __future__ import annotations

import numpy as np

from seglab.metrics.e_measure import e_measure
from seglab.metrics.fbeta import f_beta, f_of_precision_recall, ratio

THRESHOLDS = np.arange(256) / 255.0
CURVES = ("precision", "recall", "fbeta", "e_measure")


def image_curves(at_least_2K: np.ndarray, *, beta2: float, e_divisor: str) -> np.ndarray:
    """Curves of one image from its cumulated histogram.

    Args:
        at_least_2K: background and object pixels with map >= k/255, int64 [2, 256].
        beta2: weight of precision, above 0.
        e_divisor: see :class:`seglab.metrics.protocol.Protocol`.

    Returns:
        float64 [4, 256], rows as in ``CURVES``. Precision, recall and F are 0 where no object pixel is found.
    """
    fp_K, tp_K = at_least_2K
    back, front = int(fp_K[0]), int(tp_K[0])
    return np.stack(
        [
            ratio(tp_K, tp_K + fp_K),
            ratio(tp_K, front),
            f_beta(tp=tp_K, fp=fp_K, fn=front - tp_K, beta2=beta2),
            e_measure(tp=tp_K, fp=fp_K, objects=front, pixels=back + front, divisor=e_divisor),
        ]
    )


def curve_metrics(mean_4K: np.ndarray, *, beta2: float) -> dict[str, float]:
    """Numbers read off the curves averaged over the images.

    Args:
        mean_4K: float64 [4, 256], rows as in ``CURVES``.
        beta2: weight of precision, above 0.

    Returns:
        ``fbeta_max_of_mean_pr`` (precision and recall averaged first, sal_eval_toolbox), ``fbeta_max_of_mean_f`` and
        ``fbeta_mean_of_mean_f`` (F averaged over the images first, PySODMetrics), ``e_measure_max``,
        ``e_measure_mean``; each in [0, 1] but for the divisor of the E-measure.
    """
    precision_K, recall_K, fbeta_K, e_K = mean_4K
    return {
        "fbeta_max_of_mean_pr": float(f_of_precision_recall(precision_K, recall_K, beta2=beta2).max()),
        "fbeta_max_of_mean_f": float(fbeta_K.max()),
        "fbeta_mean_of_mean_f": float(fbeta_K.mean()),
        "e_measure_max": float(e_K.max()),
        "e_measure_mean": float(e_K.mean()),
    }
