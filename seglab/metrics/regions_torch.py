"""Overlaps of regions counted on a GPU, equal to those of :func:`seglab.metrics.regions.overlaps` to the last digit.

Only the pixels are worked on there; the few numbers of the tables come back. All steps give the same result every time.

Legend: T scales, A annotators, H W pixels, P = H W, L labels that occur, R N regions, E cells that are not 0.
Example: ``on_device(torch.zeros(1, 4, 4).long().cuda(), torch.zeros(2, 4, 4).long().cuda())``
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from seglab.metrics.regions import DENSE, Overlaps, check_range, tables_of


def on_device(labels_THW: Tensor, segments_AHW: Tensor) -> Overlaps:
    """Count on the device of the arguments, which may be any.

    Args:
        labels_THW: whole numbers from 0, [T, H, W].
        segments_AHW: whole numbers from 0, [A, H, W], -1 where a pixel is ignored.

    Returns:
        The tables, as NumPy arrays.

    Raises:
        ValueError: a label is negative or no whole number, or there is no pixel to score.
    """
    return tables_of(labels_THW, segments_AHW, renumber=_renumbered, count=_counted)


def _renumbered(map_HW: Tensor, name: str, *, lowest: int) -> tuple[Tensor, np.ndarray]:
    """Regions numbered by their first pixel, int64 [P] with -1 for ignored pixels, and their labels, int64 [R]."""
    low, high = (map_HW if map_HW.is_floating_point() else map_HW.long()).aminmax()
    check_range(low.item(), high.item(), name, lowest=lowest)
    if map_HW.is_floating_point() and bool((map_HW != map_HW.floor()).any()):
        raise ValueError(f"{name} with fractions: expected whole numbers from 0")
    sorted_P, from_P = torch.sort(map_HW.flatten().long(), stable=True)
    value_L, group_P, size_L = torch.unique_consecutive(sorted_P, return_inverse=True, return_counts=True)
    first_L = from_P[size_L.cumsum(0) - size_L]
    first_L[value_L < 0] = -1  # ignored pixels come first in the order and get the number -1
    ignored = int((value_L < 0).any())
    order_L = first_L.argsort()
    number_L = torch.empty_like(order_L)
    number_L[order_L] = torch.arange(len(order_L), device=order_L.device) - ignored
    out_P = torch.empty_like(from_P)
    out_P[from_P] = number_L[group_P]
    return out_P, value_L[order_L][ignored:].cpu().numpy()


def _counted(regions_P: Tensor, true_P: Tensor, regions: int, true_regions: int) -> tuple:
    """Cells of the table that are not 0, and what is in them; nothing else leaves the device."""
    valid_P = true_P >= 0
    cell_P = (regions_P * true_regions + true_P)[valid_P]
    if regions * true_regions > DENSE * valid_P.numel() + 2**16:
        cell_E, pixels_E = torch.unique(cell_P, return_counts=True)
    else:
        table = torch.bincount(cell_P, minlength=regions * true_regions)
        cell_E = table.nonzero()[:, 0]
        pixels_E = table[cell_E]
    return cell_E.cpu().numpy(), pixels_E.cpu().numpy()
