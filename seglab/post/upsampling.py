"""From the coarse grid to the pixels without proposals: the two baselines of Cogswell et al. 2014 (section 4, Eq. 16).

Naive: every pixel has the most probable class of its cell. Superpixel: all pixels of a superpixel have the class
that is most probable in the mean of the cells' distributions, a cell weighing as many pixels as it shares with it.
(EQUATIONS 4.6, 4.8 point 11: the text takes the largest "for each patch", read as one for each superpixel.)

Legend: K classes, G cells a side, H W pixels, S superpixels.
One runnable line: ``python -c "import numpy as np; from seglab.post.upsampling import naive;
print(naive(np.eye(4).reshape(4, 2, 2), (3, 5)))"``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seglab.coarse import cell_index, cells_of

IGNORE = 255


def naive(probs_KGG: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Every pixel has the most probable class of its cell (Eq. 16), by the rule of `seglab.coarse`.

    Args:
        probs_KGG: float [K,G,G], probabilities, or anything that rises with them; the two sides may differ.
        size: height and width wanted, pixels; a side may have fewer pixels than the grid has cells.

    Returns:
        uint8 [H,W], 0..K-1; of equal ones the lowest class.

    Raises:
        ValueError: no grid of 1 to 255 classes, not finite, or a side below 1.
    """
    _check(probs_KGG)
    height, width = (int(side) for side in size)
    if min(height, width) < 1:
        raise ValueError(f"a label map of {height} x {width} pixels: expected 1 or more a side")
    best_GG = probs_KGG.argmax(0).astype(np.uint8)
    return best_GG[np.ix_(cell_index(height, best_GG.shape[0]), cell_index(width, best_GG.shape[1]))]


def superpixel(probs_KGG: np.ndarray, superpixels_HW: np.ndarray) -> np.ndarray:
    """Every superpixel has the most probable class of the cells it lies on, by their mean (EQUATIONS 4.6, point 2).

    Args:
        probs_KGG: probabilities, float [K,G,G], adding up to 1 in every cell; the two sides may differ.
        superpixels_HW: number of every pixel's superpixel, whole numbers; some may be absent.

    Returns:
        uint8 [H,W], 0..K-1; of equal ones the lowest class.

    Raises:
        ValueError: no grid of 1 to 255 classes, not finite, or superpixels that are no image of whole numbers.
    """
    _check(probs_KGG)
    if superpixels_HW.ndim != 2 or not superpixels_HW.size or superpixels_HW.dtype.kind not in "iu":
        raise ValueError(
            f"superpixels {superpixels_HW.dtype} {superpixels_HW.shape}: expected whole numbers [H,W], one or more"
        )
    grid = probs_KGG.shape[1:]
    cells = grid[0] * grid[1]
    present_S, number_P = np.unique(superpixels_HW, return_inverse=True)
    number_P = number_P.reshape(-1).astype(np.int64)
    both_P = number_P * cells + cells_of(superpixels_HW.shape, grid).reshape(-1)
    # Pixels that a superpixel shares with a cell; divided by its own they are the weights, which moves no maximum.
    shared_SC = np.bincount(both_P, minlength=len(present_S) * cells).reshape(len(present_S), cells)
    mean_SK = shared_SC @ probs_KGG.reshape(len(probs_KGG), cells).T.astype(np.float64)
    return mean_SK.argmax(1).astype(np.uint8)[number_P].reshape(superpixels_HW.shape)


def _check(probs_KGG: np.ndarray) -> None:
    if probs_KGG.ndim != 3 or 0 in probs_KGG.shape or len(probs_KGG) > IGNORE:
        raise ValueError(f"scores {probs_KGG.shape}: expected [K,G,G] of 1 to {IGNORE} classes and one cell or more")
    if not np.isfinite(probs_KGG).all():
        raise ValueError("scores with NaN or infinity: no class can be found in them")
