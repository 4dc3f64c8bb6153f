"""Soft labels of a coarse grid, made on the fly from full-size masks: the share of each class in every cell.

The rule of `seglab.coarse`, in torch and on the device of the mask, without a wait of the host: pixel j of a side of L
lies in cell floor((2 j + 1) G / (2 L)). Where the grid is as large as the mask, the labels are one-hot.
Source: Cogswell, Lin, Purushwalkam, Batra, 2014, section 3.1.

    python -c "import torch; from seglab.losses.soft_labels import soft_labels;
               print(soft_labels(torch.eye(4).long()[None], classes=2, grid=(2, 2)).share_BKhw)"

Legend: B batch, K classes, H W pixels, h w cells.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from seglab.losses.regions import IGNORE, check_labels


class SoftLabels(NamedTuple):
    """What the cells of a grid hold."""

    share_BKhw: Tensor  # share of each class among a cell's labelled pixels; 0 everywhere where none is labelled
    labelled_Bhw: Tensor  # share of a cell's pixels that are labelled, 0..1


def soft_labels(
    mask_BHW: Tensor,
    *,
    classes: int,
    grid: tuple[int, int],
    dtype: torch.dtype = torch.float32,
    name: str = "soft labels",
) -> SoftLabels:
    """Shares of the classes in every cell of a grid over each mask.

    Args:
        mask_BHW: integers 0..K-1, or 255 for ignored pixels.
        classes: K.
        grid: cells from top to bottom and from left to right, not more than there are pixels.
        dtype: of the result; counts are exact up to 2^24 pixels a cell.
        name: who asks, for messages.

    Raises:
        ValueError: no [B, H, W] of integers, more cells than pixels, or (on the CPU) a label that is not allowed.
    """
    if mask_BHW.ndim != 3 or mask_BHW.is_floating_point() or mask_BHW.is_complex():
        raise ValueError(f"mask: {mask_BHW.dtype} {tuple(mask_BHW.shape)}, expected integers [B, H, W]")
    (B, H, W), (h, w) = mask_BHW.shape, grid
    if h > H or w > W:
        raise ValueError(f"logits: a grid of {h} x {w} cells over masks of {H} x {W} pixels, expected no more cells")
    check_labels(mask_BHW, below=classes, name=name)
    rows_H, columns_W = _cell_index(H, h, mask_BHW.device), _cell_index(W, w, mask_BHW.device)
    cell_HW = rows_H[:, None] * w + columns_W
    # One bin for each image, class and cell; ignored pixels have a class of their own, dropped below.
    class_BHW = mask_BHW.long().masked_fill(mask_BHW == IGNORE, classes)
    image_B11 = torch.arange(B, device=mask_BHW.device)[:, None, None]
    bin_BHW = (image_B11 * (classes + 1) + class_BHW) * (h * w) + cell_HW
    counts = torch.zeros(B * (classes + 1) * h * w, dtype=dtype, device=mask_BHW.device)
    counts = counts.scatter_add_(0, bin_BHW.flatten(), counts.new_ones(()).expand(bin_BHW.numel()))
    counts_BKhw = counts.view(B, classes + 1, h, w)
    labelled_B1hw = counts_BKhw[:, :classes].sum(1, keepdim=True)
    pixels_Bhw = counts_BKhw.sum(1)
    return SoftLabels(counts_BKhw[:, :classes] / labelled_B1hw.clamp(min=1), labelled_B1hw[:, 0] / pixels_Bhw)


def _cell_index(length: int, cells: int, device: torch.device) -> Tensor:
    """As `seglab.coarse.cell_index`."""
    return (2 * torch.arange(length, device=device) + 1) * cells // (2 * length)
