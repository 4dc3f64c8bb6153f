"""One confusion matrix over all pixels of a set: F-measure, Jaccard index and mean intersection over union.

The evaluation of the regularized-loss paper (argmax, one matrix over the test part) and of PASCAL VOC (corpus mIoU).
Legend: K classes, label x prediction in every matrix [K, K].
Example: ``from seglab.metrics.pooled import pooled_metrics; pooled_metrics(matrix_KK, beta2=0.3)``
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from seglab.metrics.fbeta import f_beta, jaccard

IGNORED = 255


@dataclass(frozen=True, kw_only=True)
class Pooled:
    """What is counted; it is stored beside every number.

    Args:
        name: how tables and files call this protocol.
        classes: None for saliency maps against object masks; K for label maps of the classes 0..K-1 on both sides,
            255 ignored.
        fixed: a saliency map's pixel is object above this, in [0, 1); 0.5 is the argmax of two channels.
        mask_above: a grey value 0..255 of a mask file is object if it lies above this number.
        trimap: mask files hold 0 background, 1 object and 255 ignored instead of grey values.
        beta2: weight of precision in F, above 0.
        note: free text.

    Raises:
        ValueError: a value is outside its range; the message names ``protocol.<key>``.
    """

    name: str
    classes: int | None = None
    fixed: float = 0.5
    mask_above: float = 127.5
    trimap: bool = False
    beta2: float = 0.3
    note: str = ""

    def __post_init__(self) -> None:
        """Check every value once."""
        whole = isinstance(self.classes, int) and not isinstance(self.classes, bool)
        for key, fits, wanted in (
            ("name", isinstance(self.name, str) and bool(self.name), "a name"),
            (
                "classes",
                self.classes is None or (whole and 2 <= self.classes <= IGNORED),
                "null, or a number from 2 to 255",
            ),
            ("fixed", _is_number(self.fixed) and 0 <= self.fixed < 1, "a number in [0, 1)"),
            (
                "mask_above",
                _is_number(self.mask_above) and 0 <= self.mask_above < 255,
                "a grey value from 0 to below 255",
            ),
            ("trimap", isinstance(self.trimap, bool), "true or false"),
            ("beta2", _is_number(self.beta2) and self.beta2 > 0, "a number above 0"),
            ("note", isinstance(self.note, str), "text"),
        ):
            if not fits:
                raise ValueError(f"protocol.{key}={getattr(self, key)}: expected {wanted}")

    def to_dict(self) -> dict[str, Any]:
        """Plain types for a report."""
        return asdict(self)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def confusion_matrix(predicted: np.ndarray, labels: np.ndarray, *, classes: int) -> np.ndarray:
    """Count pixels by label and prediction.

    Args:
        predicted: whole numbers of any shape, 0..K-1 where the label is not ignored; other values there are refused.
        labels: the same shape, 0..K-1, 255 ignored.
        classes: K.

    Returns:
        int64 [K, K], label by prediction.

    Raises:
        ValueError: a value is outside the classes; the message says on which side.
    """
    valid = labels != IGNORED
    truth, found = labels[valid].astype(np.int64), predicted[valid].astype(np.int64)
    for what, values in (("mask", truth), ("map", found)):
        if values.size and not (values.min() >= 0 and values.max() < classes):
            odd = np.unique(values[(values < 0) | (values >= classes)])[:5].tolist()
            raise ValueError(f"{what} with the values {odd}: expected 0 to {classes - 1}, and 255 in masks for ignored")
    return np.bincount(truth * classes + found, minlength=classes * classes).reshape(classes, classes)


def intersection_over_union(matrix_KK: np.ndarray) -> np.ndarray:
    """``TP / (TP + FP + FN)`` of each class, float64 [K]; NaN for a class that is in no mask and no prediction."""
    right_K = np.diag(matrix_KK).astype(np.float64)
    union_K = matrix_KK.sum(0) + matrix_KK.sum(1) - right_K
    return np.divide(right_K, union_K, out=np.full(len(right_K), np.nan), where=union_K > 0)


def pooled_metrics(matrix_KK: np.ndarray, *, beta2: float) -> dict[str, float]:
    """Numbers of a confusion matrix, in percent.

    Args:
        matrix_KK: label by prediction.
        beta2: weight of precision in F.

    Returns:
        ``miou`` (mean over the classes that occur in a mask or a prediction), ``accuracy`` and, for two classes, the
        object's ``fbeta``, ``jaccard``, ``precision`` and ``recall``. NaN where nothing was counted.
    """
    total, nothing = matrix_KK.sum(), float("nan")
    iou_K = intersection_over_union(matrix_KK)
    values = {
        "miou": float(np.nanmean(iou_K)) if total else nothing,
        "accuracy": float(np.diag(matrix_KK).sum() / total) if total else nothing,
    }
    if len(matrix_KK) == 2:
        fp, fn, tp = int(matrix_KK[0, 1]), int(matrix_KK[1, 0]), int(matrix_KK[1, 1])
        first = {
            "fbeta": float(f_beta(tp=tp, fp=fp, fn=fn, beta2=beta2)),
            "jaccard": float(jaccard(tp=tp, fp=fp, fn=fn)),
            "precision": tp / max(tp + fp, 1),
            "recall": tp / max(tp + fn, 1),
        }
        values = {**first, **values}
    return {name: 100 * value for name, value in values.items()}
