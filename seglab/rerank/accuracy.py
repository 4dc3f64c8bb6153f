"""How accurate a proposal is for one image, and which proposal of a set is the oracle.

Accuracy of a proposal: mean intersection over union over the classes that are in the mask or in the proposal, pixels of
the mask with 255 left out. The oracle of an image is its most accurate proposal, the earlier one of two equal ones.
Source: Cogswell et al. 2014, section 3.3 ("the most accurate segmentation in the set"; EQUATIONS 4.6, oracle).

Legend: M proposals, K classes, H W pixels.
One runnable line: ``python -c "import numpy as np; from seglab.rerank.accuracy import accuracy;
print(accuracy(np.array([[[0, 1]], [[0, 0]]]), np.array([[0, 1]]), classes=2))"``.
"""

from __future__ import annotations

import numpy as np

from seglab.coarse import IGNORE
from seglab.metrics.pooled import intersection_over_union


def confusion(labels_MHW: np.ndarray, mask_HW: np.ndarray, *, classes: int) -> np.ndarray:
    """Count the pixels of every proposal by label and prediction.

    Args:
        labels_MHW: proposals, whole numbers [M,H,W], 0..K-1 wherever the mask has a class.
        mask_HW: whole numbers [H,W], 0..K-1, and 255 = ignored.
        classes: K.

    Returns:
        int64 [M,K,K], label by prediction; sums over images are what mean IoU of a set is made of.

    Raises:
        ValueError: sizes differ or a value is outside its range.
    """
    labels_MHW, mask_HW = np.asarray(labels_MHW), np.asarray(mask_HW)
    if labels_MHW.ndim != 3 or labels_MHW.shape[1:] != mask_HW.shape:
        raise ValueError(f"proposals {labels_MHW.shape} and mask {mask_HW.shape}: expected [M,H,W] and [H,W]")
    valid_HW = mask_HW != IGNORE
    truth_P = mask_HW[valid_HW].astype(np.int64)
    labels_MP = labels_MHW[:, valid_HW].astype(np.int64)
    for name, values in (("mask", truth_P), ("proposals", labels_MP)):
        if values.size and not 0 <= values.min() <= values.max() < classes:
            raise ValueError(f"{name} with values {values.min()} to {values.max()}: expected 0 to {classes - 1}")
    proposals = len(labels_MP)
    place_MP = labels_MP + truth_P * classes + (np.arange(proposals) * classes**2)[:, None]
    return np.bincount(place_MP.ravel(), minlength=proposals * classes**2).reshape(proposals, classes, classes)


def accuracy_of(counts_MKK: np.ndarray) -> np.ndarray:
    """Accuracy of proposals from their counts.

    Args:
        counts_MKK: int64 [M,K,K], label by prediction, as :func:`confusion` gives them.

    Returns:
        float64 [M] in 0..1; NaN where nothing was counted, that is, where the mask is ignored everywhere.
    """
    iou_MK = np.stack([intersection_over_union(matrix_KK) for matrix_KK in counts_MKK])
    there_MK = ~np.isnan(iou_MK)
    total_M = np.where(there_MK, iou_MK, 0.0).sum(1)
    return np.where(there_MK.any(1), total_M / np.maximum(there_MK.sum(1), 1), np.nan)


def accuracy(labels_MHW: np.ndarray, mask_HW: np.ndarray, *, classes: int) -> np.ndarray:
    """Accuracy of every proposal of one image; arguments and errors as in :func:`confusion`.

    A class that only one of mask and proposal has counts with 0. An image that is background everywhere works like any
    other: an empty proposal has 1.

    Returns:
        float64 [M] in 0..1; NaN for all proposals where the mask is ignored everywhere: leave such images out.
    """
    return accuracy_of(confusion(labels_MHW, mask_HW, classes=classes))


def oracle(accuracy_M: np.ndarray) -> int:
    """Index of the most accurate proposal, the earlier one of two equal ones; 0 where no accuracy is known."""
    accuracy_M = np.asarray(accuracy_M, np.float64)
    return 0 if np.isnan(accuracy_M).all() else int(np.nanargmax(accuracy_M))
