"""Metrics in words: short headings, and which direction is better.

Example: ``from seglab.scoring.words import heading; heading("mae")``
"""

from __future__ import annotations

HEADINGS = {
    "mae": "MAE",
    "mae_binary": "MAE of B",
    "fbeta_adaptive": "adaptive F",
    "fbeta_adaptive_capped": "adaptive F, capped",
    "fbeta_fixed": "F at 0.5",
    "fbeta_weighted": "weighted F",
    "fbeta_max_of_mean_f": "max F (of mean F)",
    "fbeta_mean_of_mean_f": "mean F",
    "fbeta_max_of_mean_pr": "max F (of mean P, R)",
    "fbeta_pooled": "pooled F",
    "precision_adaptive": "adaptive P",
    "recall_adaptive": "adaptive R",
    "s_measure": "S",
    "e_measure_adaptive": "adaptive E",
    "e_measure_max": "max E",
    "e_measure_mean": "mean E",
    "jaccard": "Jaccard",
    "jaccard_pooled": "pooled Jaccard",
    "fbeta": "F",
    "miou": "mIoU",
    "covering_ods": "covering ODS",
    "covering_ois": "covering OIS",
    "covering_best": "covering best",
    "pri_ods": "PRI ODS",
    "pri_ois": "PRI OIS",
    "voi_ods": "VOI ODS",
    "voi_ois": "VOI OIS",
    "boundary_f_ods": "F ODS",
    "boundary_f_ois": "F OIS",
    "boundary_ap": "boundary AP",
    "boundary_precision": "P ODS",
    "boundary_recall": "R ODS",
    "threshold_ods": "threshold ODS",
    "scale_ods": "scale ODS",
}
"""Metric -> heading; others are called as on disk, without underscores."""

LOWER = ("mae", "mae_binary", "voi_ods", "voi_ois")
"""Metrics that are better when they are lower."""

NEITHER = ("threshold_ods", "scale_ods", "covering_scale_ods", "pri_scale_ods", "voi_scale_ods")
"""Places, of which none is better than another."""


def heading(metric: str) -> str:
    """A short heading."""
    if metric.startswith("iou_"):
        return f"IoU {metric[4:]}"
    return HEADINGS.get(metric, metric.replace("_", " "))


def better(metric: str) -> str:
    """``higher``, ``lower`` or nothing."""
    if metric in NEITHER:
        return ""
    return "lower" if metric in LOWER else "higher"
