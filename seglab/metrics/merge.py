"""Sums over processes, some of which may have seen no batch.

Example: ``sums, images = merge_sums(sums, images, torch.distributed.all_reduce)``
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def merge_sums(
    sums: Tensor | None,
    images: int,
    all_reduce_fn: Callable[[Tensor], object],
    *,
    device: torch.device | str | None = None,
) -> tuple[Tensor | None, int]:
    """Add up a table of sums and a count of images over the processes; each of them must call it.

    Args:
        sums: float64 [R, M], or None on a process that saw no batch.
        images: images seen by this process.
        all_reduce_fn: sums a tensor over the processes in place.
        device: where to put the sums of a process that saw no batch; the CPU if left out.

    Returns:
        The same two, over all processes; None if none of them saw a batch.

    Raises:
        ValueError: the processes saw outputs of different size.
    """
    device = sums.device if sums is not None else device
    rows, cols = sums.shape if sums is not None else (0, 0)
    # A process without a batch does not know the size; it learns it from the others first.
    header = torch.tensor([rows, cols, cols * cols, sums is not None, images], dtype=torch.float64, device=device)
    all_reduce_fn(header)
    rows, cols, squares, holders, images = (round(x) for x in header.tolist())
    if holders == 0:
        return None, 0
    if squares * holders != cols * cols:
        raise ValueError("processes with different numbers of channels: expected one model's output on all")
    if sums is None:
        sums = torch.zeros(rows // holders, cols // holders, dtype=torch.float64, device=device)
    sums = sums.clone()
    all_reduce_fn(sums)
    return sums, images
