"""Intersection over union and its inverse while a right segmentation is spoilt, pixel by pixel.

The simulation behind Figure 2 of Cogswell, Lin, Purushwalkam, Batra, 2014: a label map starts as its own prediction,
then random pixels, one after the other and each once, are given a random other class. Each flip is a false negative of
one class and a false positive of another. IOU (Eq. 2) and UOI (Eq. 6) are means over the classes of the label map.

One runnable line:
``python -c "import numpy as np; from seglab.metrics.flip_curve import flip_curve as f; print(f(np.eye(3, dtype=int),
classes=2, flips=3, seed=0)['iou'])"``.

Legend: H W pixels, K classes, F flips.
"""

from __future__ import annotations

import numpy as np

from seglab.data.sample import IGNORE


def flip_curve(labels_HW: np.ndarray, *, classes: int, flips: int, seed: int) -> dict[str, np.ndarray]:
    """IOU, UOI and false positives after 0, 1, .. F flips.

    Args:
        labels_HW: whole numbers [H,W], 0..K-1, and 255 = ignored, which is never flipped.
        classes: K, 2 or more.
        flips: F, 0 up to the number of labelled pixels.
        seed: of the pixels and of their new classes, 0 or more.

    Returns:
        Arrays with one row for each number of flips, 0..F:

        - ``flips`` int64 [F+1]: 0..F
        - ``tp_k``, ``fp_k``, ``fn_k`` int64 [F+1,K]: counts of every class
        - ``fp`` int64 [F+1]: false positives of all classes, as many as false negatives and as flips
        - ``iou_k`` float64 [F+1,K] in 0..1 and ``uoi_k`` float64 [F+1,K], 1 and above: inf where no pixel of a class is
          right any more; both nan for a class that is not in the label map, which no mean counts
        - ``iou``, ``uoi`` float64 [F+1]: means over the classes of the label map
        - ``bound`` float64 [F+1]: 1 / uoi, which ``iou`` never falls below (harmonic and arithmetic mean: the sum of
          IOU is at least K^2 / the sum of UOI)

    Raises:
        ValueError: fewer than 2 classes, a label that is neither a class nor 255, no labelled pixel, or more flips than
            there are labelled pixels.
    """
    labels = labels_HW[labels_HW != IGNORE].astype(np.int64)
    if classes < 2:
        raise ValueError(f"classes={classes}: expected 2 or more, or there is no other class to flip to")
    if not labels.size or not 0 <= labels.min() <= labels.max() < classes:
        found = f"labels {labels.min()} to {labels.max()}" if labels.size else "no labelled pixel"
        raise ValueError(f"{found}: expected labels 0 to {classes - 1}, or {IGNORE} = ignored")
    if not 0 <= flips <= labels.size:
        raise ValueError(f"flips={flips}: expected 0 to {labels.size}, the number of labelled pixels")
    rng = np.random.default_rng(seed)
    was_F = labels[rng.permutation(labels.size)[:flips]]
    becomes_F = (was_F + rng.integers(1, classes, size=flips)) % classes
    truth_K = np.bincount(labels, minlength=classes)
    fn_NK, fp_NK = _counted(was_F, classes), _counted(becomes_F, classes)
    tp_NK = truth_K - fn_NK
    union_NK = truth_K + fp_NK
    present_K = truth_K > 0
    iou_NK, uoi_NK = (np.full(tp_NK.shape, np.nan) for _ in range(2))
    iou_NK[:, present_K] = tp_NK[:, present_K] / union_NK[:, present_K]
    with np.errstate(divide="ignore"):  # a class without a right pixel: inf, as told above
        uoi_NK[:, present_K] = union_NK[:, present_K] / tp_NK[:, present_K]
    uoi_N = uoi_NK[:, present_K].mean(1)
    return {
        "flips": np.arange(flips + 1, dtype=np.int64),
        "tp_k": tp_NK,
        "fp_k": fp_NK,
        "fn_k": fn_NK,
        "fp": fp_NK.sum(1),
        "iou_k": iou_NK,
        "uoi_k": uoi_NK,
        "iou": iou_NK[:, present_K].mean(1),
        "uoi": uoi_N,
        "bound": 1 / uoi_N,
    }


def _counted(classes_F: np.ndarray, classes: int) -> np.ndarray:
    """How often each class was met after 0, 1, .. F of them: int64 [F+1,K]."""
    met_NK = np.zeros((len(classes_F) + 1, classes), dtype=np.int64)
    met_NK[np.arange(len(classes_F)) + 1, classes_F] = 1
    return met_NK.cumsum(0)
