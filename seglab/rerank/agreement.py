"""How much the proposals of one image agree: features of each, the others being the measure.

Legend: M proposals, K classes, R pieces of the image (:mod:`seglab.rerank.overlay`).
One runnable line: ``python -c "import numpy as np; from seglab.rerank.agreement import agreement;
print(agreement(np.array([[0, 1], [0, 0]]), np.array([3.0, 1.0]), classes=2))"``.
"""

from __future__ import annotations

import numpy as np

AGREEMENT = ("agreement", "agreement_first", "agreement_majority", "iou_others", "iou_first", "novelty")


def agreement(labels_MR: np.ndarray, area_R: np.ndarray, *, classes: int) -> np.ndarray:
    """Agreement of every proposal with the others.

    Args:
        labels_MR: whole numbers, 0..K-1.
        area_R: pixels of each piece.
        classes: K.

    Returns:
        float64 [M,6], by AGREEMENT: share of pixels with the same label, mean over the other proposals; with the first
        proposal; with the label that most proposals give the pixel (the smallest of equally frequent ones); mean IoU
        over the classes in either, mean over the others; with the first; share of pixels whose label no earlier
        proposal gives them (0 for the first). A single proposal has 1 but for the last, 0.
    """
    M, R = labels_MR.shape
    total = area_R.sum()
    same_MM, iou_MM = np.ones((M, M)), np.ones((M, M))
    for a in range(M):
        row_R = labels_MR[a] * classes
        for b in range(a + 1, M):
            counts_KK = np.bincount(row_R + labels_MR[b], weights=area_R, minlength=classes**2)
            counts_KK = counts_KK.reshape(classes, classes)
            right_K = counts_KK.diagonal()
            either_K = counts_KK.sum(0) + counts_KK.sum(1) - right_K
            same_MM[a, b] = same_MM[b, a] = right_K.sum() / total
            iou_MM[a, b] = iou_MM[b, a] = (right_K[either_K > 0] / either_K[either_K > 0]).mean()
    votes_RK, pieces_R = np.zeros((R, classes), np.int32), np.arange(R)
    novel_M = np.zeros(M)
    for m in range(M):
        novel_M[m] = area_R[votes_RK[pieces_R, labels_MR[m]] == 0].sum() / total if m else 0.0
        votes_RK[pieces_R, labels_MR[m]] += 1
    majority_M = (labels_MR == votes_RK.argmax(1)) @ area_R / total
    others = max(M - 1, 1)
    mean_same_M = (same_MM.sum(1) - 1) / others if M > 1 else np.ones(1)
    mean_iou_M = (iou_MM.sum(1) - 1) / others if M > 1 else np.ones(1)
    return np.stack([mean_same_M, same_MM[:, 0], majority_M, mean_iou_M, iou_MM[:, 0], novel_M], 1)
