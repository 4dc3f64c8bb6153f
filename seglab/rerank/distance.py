"""Distance between a coarse network's output and proposals: symmetric Kullback-Leibler divergence, smallest wins.

S(m) = sum over cells i of [KL(p_i | q_i^m) + KL(q_i^m | p_i) + b q_i0^m], Eq. 17 of Cogswell et al. 2014 (EQUATIONS
4.6), b = 0.02. Every cell counts the same, however many pixels it has. A cell of a proposal mostly holds one class, so
both distributions get epsilon added to every class and are divided by their sum again before the divergence is taken
(reading 4.8.5; the value is not printed). Epsilon shifts S(m), so it is fixed on training data, by
:class:`seglab.rerank.learn.Learner`. The last term takes q as it is, without epsilon.

Legend: M proposals, K classes (0 = background), H W pixels, G cells a side.
One runnable line: ``python -c "import numpy as np; from seglab.rerank.distance import reduce, symmetric_kl;
q = reduce(np.array([[[0, 1]], [[1, 1]]]), classes=2, grid=(1, 2));
print(symmetric_kl(q[0], q, epsilon=1e-3, background=0.02))"``.
"""

from __future__ import annotations

import numpy as np

from seglab.coarse import IGNORE, cells_of

EPSILONS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 3e-2, 1e-1)
"""Tried on training images."""
BACKGROUND = 0.02
"""Weight of the share of class 0, where that is the background."""


def reduce(labels_MHW: np.ndarray, *, classes: int, grid: tuple[int, int] = (13, 13)) -> np.ndarray:
    """Share of each class in every cell, for all proposals of one image at once (the rule of :mod:`seglab.coarse`).

    Args:
        labels_MHW: proposals, whole numbers [M,H,W], 0..K-1, and 255 = ignored.
        classes: K.
        grid: cells from top to bottom and from left to right.

    Returns:
        float64 [M,K,G,G], adding up to 1 over the classes, or 0 everywhere in a cell without labelled pixels (an image
        smaller than the grid).

    Raises:
        ValueError: the proposals are no [M,H,W], or a label is neither a class nor 255.
    """
    labels_MHW = np.asarray(labels_MHW)
    if labels_MHW.ndim != 3 or not len(labels_MHW):
        raise ValueError(f"proposals {labels_MHW.shape}: expected [M,H,W] with M of at least 1")
    cells = grid[0] * grid[1]
    valid_MHW = labels_MHW != IGNORE
    labels = np.where(valid_MHW, labels_MHW, classes).astype(np.int64)
    if not 0 <= labels.min() <= labels.max() <= classes or (valid_MHW & (labels == classes)).any():
        raise ValueError(
            f"proposals with labels {labels.min()} to {labels[valid_MHW].max()}: expected 0 to {classes - 1}, or "
            f"{IGNORE} = ignored"
        )
    first_M = np.arange(len(labels)) * (classes + 1) * cells
    place = labels * cells + cells_of(labels.shape[1:], grid) + first_M[:, None, None]
    counts = np.bincount(place.ravel(), minlength=len(labels) * (classes + 1) * cells)
    counts_MKGG = counts.reshape(len(labels), classes + 1, *grid)[:, :classes]
    return counts_MKGG / np.maximum(counts_MKGG.sum(1, keepdims=True), 1)


def kl_directions(p_KGG: np.ndarray, q_MKGG: np.ndarray, *, epsilon: float) -> np.ndarray:
    """The two divergences of Eq. 17, summed over cells.

    Args:
        p_KGG: [K,G,G], distribution of the network over the classes of every cell.
        q_MKGG: [M,K,G,G], reduced proposals.
        epsilon: added to every class of both, above 0; both then add up to 1 again.

    Returns:
        float64 [M,2], in nats, 0 or more: KL(p | q^m) and KL(q^m | p).

    Raises:
        ValueError: sizes do not fit, p is negative or not finite, or epsilon is not above 0.
    """
    p_KGG, q_MKGG = as_distributions(p_KGG, q_MKGG)
    if not epsilon > 0:
        raise ValueError(f"epsilon={epsilon}: expected a number above 0, else empty classes have no finite distance")
    p_KGG, q_MKGG = p_KGG + epsilon, q_MKGG + epsilon
    p_KGG /= p_KGG.sum(0)
    q_MKGG /= q_MKGG.sum(1, keepdims=True)
    log_MKGG = np.log(p_KGG) - np.log(q_MKGG)
    forward_M = (p_KGG * log_MKGG).sum((1, 2, 3))
    backward_M = -(q_MKGG * log_MKGG).sum((1, 2, 3))
    return np.maximum(np.stack([forward_M, backward_M], 1), 0.0)


def symmetric_kl(
    p_KGG: np.ndarray, q_MKGG: np.ndarray, *, epsilon: float, background: float = BACKGROUND
) -> np.ndarray:
    """Distance S(m) of every proposal from the network's output, Eq. 17; arguments and errors as in `kl_directions`.

    Args:
        p_KGG: [K,G,G].
        q_MKGG: [M,K,G,G].
        epsilon: added to every class of both.
        background: weight b of the share of class 0 in the proposal (0.02 in the paper). It is meant for sets whose
            class 0 is the background; 0 switches the term off, as for a set without background (class 0 of CamVid is
            the sky).

    Returns:
        float64 [M]; the smallest wins, the earlier one of two equal ones (``argmin``).
    """
    directions_M2 = kl_directions(p_KGG, q_MKGG, epsilon=epsilon)
    return directions_M2.sum(1) + background * np.asarray(q_MKGG, np.float64)[:, 0].sum((1, 2))


def as_distributions(p_KGG: np.ndarray, q_MKGG: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as float64, checked: ValueError where sizes do not fit or a value of p is negative or not finite."""
    p_KGG, q_MKGG = np.asarray(p_KGG, np.float64), np.asarray(q_MKGG, np.float64)
    if p_KGG.ndim != 3 or q_MKGG.ndim != 4 or q_MKGG.shape[1:] != p_KGG.shape:
        raise ValueError(f"output {p_KGG.shape} and reduced proposals {q_MKGG.shape}: expected [K,G,G] and [M,K,G,G]")
    if not np.isfinite(p_KGG).all() or p_KGG.min() < 0:
        raise ValueError("output of the network: negative or not finite: expected probabilities")
    return p_KGG, q_MKGG
