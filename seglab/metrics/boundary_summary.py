"""Contour precision, recall and F of a data set from the counts of its images: ODS, OIS and area under the curve.

As the benchmark of BSDS500 defines them (Arbelaez, Maire, Fowlkes, Malik, TPAMI 2011), so that a number can stand
beside published ones:

* a ratio of nothing to nothing is 0;
* ODS: counts are summed over the images; between two neighbouring thresholds precision and recall are taken to change
  linearly, and the best F on that line, in 99 equal steps a threshold, is the number;
* OIS: of every image the counts at its own best threshold are summed. There is no line between thresholds here:
  only counts that were measured can be summed. Of equal F the lowest threshold is taken;
* area (the benchmark's AP, ``boundary_ap`` in tables): precision, interpolated over recall, summed at recall 0, 0.01
  .. 1 and divided by 100. Outside of the measured recalls precision counts 0, also below the lowest; of equal recalls
  the highest threshold counts.

Legend: I images, K thresholds. Example: ``from seglab.metrics.boundary_summary import THRESHOLDS, summary``
"""

from __future__ import annotations

import numpy as np

from seglab.metrics.fbeta import f_of_precision_recall, ratio

THRESHOLDS = np.arange(1, 100) / 100
"""The 99 thresholds k/100 of the benchmark; a boundary is where a soft map is at least as large."""

METRICS = {
    "boundary_f_ods": "f",
    "boundary_f_ois": "f_ois",
    "boundary_precision": "precision",
    "boundary_recall": "recall",
}
"""Name in tables -> key of :func:`summary`."""

STEPS = 100
"""Points on the line between two neighbouring thresholds, both ends among them."""


def precision_recall_f(counts: np.ndarray) -> np.ndarray:
    """Precision, recall and F of counts.

    Args:
        counts: int [..., 4], last axis as the fields of :class:`seglab.metrics.boundaries.BoundaryCounts`.

    Returns:
        float64 [..., 3], in 0..1; 0 where there is nothing to divide by.
    """
    counts = np.asarray(counts)
    precision, recall = ratio(counts[..., 2], counts[..., 3]), ratio(counts[..., 0], counts[..., 1])
    return np.stack([precision, recall, f_of_precision_recall(precision, recall, beta2=1)], axis=-1)


def summary(counts_IK4: np.ndarray, thresholds_K: np.ndarray) -> dict[str, float]:
    """Numbers of a data set from the counts of each of its images.

    Args:
        counts_IK4: int [I, K, 4], last axis as the fields of :class:`seglab.metrics.boundaries.BoundaryCounts`.
        thresholds_K: as for :func:`pooled_summary`.

    Returns:
        As :func:`pooled_summary`.

    Raises:
        ValueError: no image, no threshold, or shapes that do not fit.
    """
    counts_IK4, thresholds_K = np.asarray(counts_IK4), np.asarray(thresholds_K, np.float64)
    if counts_IK4.ndim != 3 or counts_IK4.shape[1:] != (thresholds_K.size, 4) or not counts_IK4.size:
        raise ValueError(
            f"counts of shape {counts_IK4.shape} and {thresholds_K.size} thresholds: expected [images, thresholds, 4] "
            "with one image and one threshold at least"
        )
    best_I = precision_recall_f(counts_IK4)[..., 2].argmax(1)
    return pooled_summary(counts_IK4.sum(0), counts_IK4[np.arange(len(best_I)), best_I].sum(0), thresholds_K)


def pooled_summary(counts_K4: np.ndarray, ois_4: np.ndarray, thresholds_K: np.ndarray) -> dict[str, float]:
    """Numbers of a data set from counts summed over its images.

    Args:
        counts_K4: int [K, 4], summed at every threshold.
        ois_4: int [4], summed with each image at its own best threshold, the lowest of equals.
        thresholds_K: the thresholds, or the numbers of the scales, in ascending order; [K].

    Returns:
        ``precision``, ``recall``, ``f`` and ``threshold`` at the best threshold of the data set (ODS), which may lie
        between two measured ones, ``index`` of the best measured one, ``precision_ois``, ``recall_ois``, ``f_ois``,
        and ``area``. With one threshold (a hard segmentation) OIS is ODS and ``area`` is NaN: one point has none.

    Raises:
        ValueError: the thresholds do not ascend.
    """
    thresholds_K = np.asarray(thresholds_K, np.float64)
    if not np.all(np.diff(thresholds_K) > 0):
        raise ValueError(f"thresholds {thresholds_K.tolist()}: expected ascending numbers")
    pooled_K3 = precision_recall_f(counts_K4)
    threshold, precision, recall, f = _best(thresholds_K, pooled_K3)
    precision_ois, recall_ois, f_ois = precision_recall_f(ois_4)
    return {
        "precision": precision,
        "recall": recall,
        "f": f,
        "threshold": threshold,
        "index": int(pooled_K3[:, 2].argmax()),
        "precision_ois": float(precision_ois),
        "recall_ois": float(recall_ois),
        "f_ois": float(f_ois),
        "area": curve_area(pooled_K3[:, 0], pooled_K3[:, 1]) if thresholds_K.size > 1 else float("nan"),
    }


def curve_area(precision_K: np.ndarray, recall_K: np.ndarray) -> float:
    """Area under precision over recall, as the benchmark takes it.

    Args:
        precision_K: float [K] in 0..1, by ascending threshold.
        recall_K: float [K] in 0..1, by ascending threshold.

    Returns:
        The area, 0..1.01 (101 points of weight 0.01); 0 if all recalls are equal.
    """
    recall, last = np.unique(np.asarray(recall_K)[::-1], return_index=True)
    if recall.size < 2:
        return 0.0
    precision = np.asarray(precision_K)[::-1][last]
    return float(np.interp(np.arange(101) / 100, recall, precision, left=0, right=0).sum() / 100)


def _best(thresholds_K: np.ndarray, pooled_K3: np.ndarray) -> tuple[float, float, float, float]:
    """Threshold, precision, recall and F at the best point of the lines between the thresholds."""
    values_K3 = np.column_stack([thresholds_K, pooled_K3[:, :2]])
    share_S11 = np.linspace(0, 1, STEPS)[:, None, None]
    lines_SK3 = values_K3[:-1] * (1 - share_S11) + values_K3[1:] * share_S11
    points = np.concatenate([values_K3[:1], lines_SK3.transpose(1, 0, 2).reshape(-1, 3)])
    f = f_of_precision_recall(points[:, 1], points[:, 2], beta2=1)
    best = int(f.argmax())
    threshold, precision, recall = points[best].tolist()
    return threshold, precision, recall, float(f[best])
