"""Draws pixels from every region of every image, for losses that compare pixels rather than region means.

    python -c "import torch; from seglab.losses.sampling import draw_samples;
               print(draw_samples(torch.tensor([[[0, 0, 7, 255]]]), 2))"

A region's D pixels are spread over it: its pixels, in reading order, are cut into D equal parts and one is drawn from
each. Every pixel is as likely as any other of its region, none is drawn twice where the region has room (but for
neighbouring parts that share a pixel), and a region of fewer pixels repeats them evenly.

One table of random numbers serves all images, and rows are numbered by the first pixel of their region, so the draw of
an image depends on the generator and on its own mask only: not on the names of the labels, nor on the images beside it.

Legend: B batch, M channels, H W pixels, P = H*W, R rows (regions of an image, some may be absent), D samples a region.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from seglab.losses.regions import IGNORE, label_rows


class Samples(NamedTuple):
    """Pixels drawn; rows that hold no region come last, and their pixels mean nothing."""

    pixel_BRD: Tensor  # int64, numbers of pixels in reading order, 0..P-1
    present_BR: Tensor  # bool


def draw_samples(
    labels_BHW: Tensor, samples: int, *, regions: int | None = None, generator: torch.Generator | None = None
) -> Samples:
    """Draw the same number of pixels from every region of every image; an accelerator is never waited for.

    Args:
        labels_BHW: integer region labels 0..254, checked by the caller; 255 is ignored and never drawn.
        samples: D, pixels of each region.
        regions: at most so many regions of an image, chosen anew at every call; None for all.
        generator: source of the random numbers, on the device of the labels; None for torch's own.

    Returns:
        Pixels [B, R, D] and which rows are regions [B, R]. On the CPU R is the largest number of regions in an image,
        elsewhere the largest possible one (`regions`, or 255), at least 1.

    Raises:
        ValueError: `samples` or `regions` is no whole number above 0.
    """
    check_count("samples", samples)
    if regions is not None:
        check_count("regions", regions)
    labels_BP = labels_BHW.flatten(1).to(torch.uint8)
    chance_RX = torch.rand(IGNORE, samples + 1, generator=generator, device=labels_BP.device)
    order_BP = _stable_order(labels_BP)
    start_BR, count_BR = _rows_by_first_pixel(labels_BP, order_BP)
    if regions is not None and regions < count_BR.shape[1]:
        lot_BR = torch.where(count_BR > 0, chance_RX[: count_BR.shape[1], 0], 2.0)
        chosen_BR = lot_BR.argsort(1)[:, :regions]
        start_BR, count_BR = start_BR.gather(1, chosen_BR), count_BR.gather(1, chosen_BR)
    B, R = count_BR.shape
    part_RD = (torch.arange(samples, device=labels_BP.device) + chance_RX[:R, 1:]) / samples
    within_BRD = (part_RD * count_BR[..., None]).long()
    within_BRD = torch.minimum(within_BRD, count_BR[..., None] - 1).clamp(min=0)  # rounding; absent rows
    place_BS = (start_BR[..., None] + within_BRD).clamp(max=labels_BP.shape[1] - 1).flatten(1)
    return Samples(order_BP.gather(1, place_BS).view(B, R, samples), count_BR > 0)


def take(values_BMHW: Tensor, drawn: Samples) -> Tensor:
    """Values at the drawn pixels, in float32 (float64 for float64); 0 in rows that hold no region.

    Args:
        values_BMHW: any floating type and memory layout; only the drawn pixels are read and converted.
        drawn: from `draw_samples`.

    Returns:
        [B, R, D, M], differentiable.
    """
    B, W = values_BMHW.shape[0], values_BMHW.shape[3]
    images_B11 = torch.arange(B, device=values_BMHW.device)[:, None, None]
    rows_BRD, columns_BRD = drawn.pixel_BRD.div(W, rounding_mode="floor"), drawn.pixel_BRD % W
    taken_BRDM = values_BMHW[images_B11, :, rows_BRD, columns_BRD]
    dtype = torch.float64 if values_BMHW.dtype == torch.float64 else torch.float32
    return torch.where(drawn.present_BR[..., None, None], taken_BRDM.to(dtype), 0.0)


def check_count(key: str, value: int) -> None:
    """Raise ValueError unless `value` of `loss.<key>` is a whole number above 0."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"loss.{key}={value}: expected a whole number, 1 or more")


def _on_host(labels: Tensor) -> bool:
    """Whether to look at values costs no wait."""
    return labels.device.type == "cpu" and not torch.compiler.is_compiling()


def _stable_order(labels_BP: Tensor) -> Tensor:
    """Pixels of each image sorted by label, in reading order within a label."""
    if _on_host(labels_BP):
        # NumPy sorts bytes by counting them, several times faster than torch's comparisons.
        return torch.from_numpy(labels_BP.numpy().argsort(axis=1, kind="stable"))
    return labels_BP.argsort(dim=1, stable=True)


def _rows_by_first_pixel(labels_BP: Tensor, order_BP: Tensor) -> tuple[Tensor, Tensor]:
    """Where each region starts in the sorted pixels, and its size; regions in the order of their first pixels."""
    R = label_rows(labels_BP)
    sorted_BP = labels_BP.gather(1, order_BP)
    bounds_R = torch.arange(R + 1, dtype=torch.uint8, device=labels_BP.device)
    edge_BR = torch.searchsorted(sorted_BP, bounds_R.expand(labels_BP.shape[0], -1).contiguous())
    start_BR, count_BR = edge_BR[:, :-1], edge_BR.diff(dim=1)
    first_BR = order_BP.gather(1, start_BR.clamp(max=labels_BP.shape[1] - 1))
    row_BR = torch.where(count_BR > 0, first_BR, labels_BP.shape[1]).argsort(1)
    if _on_host(labels_BP):  # the host can see how many rows are needed
        row_BR = row_BR[:, : max(1, int((count_BR > 0).sum(1).max()))]
    return start_BR.gather(1, row_BR), count_BR.gather(1, row_BR)
