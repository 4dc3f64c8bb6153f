"""The coarse grid of SegNet: which cell a pixel lies in, and what a label map looks like from there.

One rule for everything that meets at the grid, soft labels, reduced proposals and up-sampling: of a side of L pixels,
pixel j lies in cell floor((2 j + 1) G / (2 L)), that is, where its centre is. Cells do not overlap and cover the image.
Source: Cogswell, Lin, Purushwalkam, Batra, 2014, sections 3.1 and 4 (EQUATIONS 4.3, 4.6).

Legend: H W pixels, G cells a side, K classes.
One runnable line: ``python -c "from seglab.coarse import cell_index; print(cell_index(5, 2))"``.
"""

from __future__ import annotations

import numpy as np

IGNORE = 255


def cell_index(length: int, cells: int) -> np.ndarray:
    """The cell of every pixel of a side.

    Args:
        length: pixels of the side, 1 or more.
        cells: cells of the side, 1 or more; with fewer pixels than cells some cells have none.

    Returns:
        int64 [length], 0..cells-1, never falling.
    """
    assert min(length, cells) > 0, f"{length} pixels in {cells} cells"
    return (2 * np.arange(length, dtype=np.int64) + 1) * cells // (2 * length)


def cells_of(size: tuple[int, int], grid: tuple[int, int]) -> np.ndarray:
    """The cell of every pixel of an image, row by row: int64 [H,W], 0..G*G-1."""
    rows_H, columns_W = cell_index(size[0], grid[0]), cell_index(size[1], grid[1])
    return rows_H[:, None] * grid[1] + columns_W[None]


def class_shares(
    labels_HW: np.ndarray, *, classes: int, grid: tuple[int, int] = (13, 13)
) -> tuple[np.ndarray, np.ndarray]:
    """Share of each class among the labelled pixels of every cell: the soft segmentation of the paper.

    Args:
        labels_HW: whole numbers [H,W], 0..K-1, and 255 = ignored.
        classes: K.
        grid: cells from top to bottom and from left to right.

    Returns:
        float64 [K,G,G], adding up to 1 over the classes, or 0 everywhere in a cell without labelled pixels; and int64
        [G,G], the labelled pixels of every cell.

    Raises:
        ValueError: a label is neither a class nor 255.
    """
    valid = labels_HW != IGNORE
    labels, cells = labels_HW[valid].astype(np.int64), cells_of(labels_HW.shape, grid)[valid]
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(f"labels {labels.min()} to {labels.max()}: expected 0 to {classes - 1}, or {IGNORE} = ignored")
    counts_KGG = np.bincount(labels * grid[0] * grid[1] + cells, minlength=classes * grid[0] * grid[1])
    counts_KGG = counts_KGG.reshape(classes, *grid)
    total_GG = counts_KGG.sum(0)
    return counts_KGG / np.maximum(total_GG, 1), total_GG
