"""Segmented reduction over pixels: sums of the channel softmax per image and region, and the gradient for them.

The sums are what CAS needs, Eqs. 1 and 2 (mean descriptor of a region, mean squared descriptor); a region is the set of
pixels of one image that carry one label. Label values are 0..254 in any selection; 255 is ignored and so is no region.

    python -c "import torch; from seglab.losses.regions import region_sums as f;
               print(f(torch.zeros(1, 2, 1, 3), torch.tensor([[[0, 7, 7]]])))"

On the CPU in float32 a compiled kernel does the work (`seglab.losses.region_kernel`), elsewhere plain torch, whose
temporaries are a few times the logits (a twelfth of them above 4 million logits).

Legend: B batch, M channels, H W pixels, P = H*W, R rows of a table, one per label value (most may be empty).
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.library import custom_op

from seglab.data.sample import IGNORE

_CHUNKED_FROM = 2**22  # logits; above it plain torch works on slices of the pixels to keep its temporaries small
_CHUNKS = 24


class RegionSums(NamedTuple):
    """Sums of the softmax s over regions; rows of absent labels are zero."""

    count_BR: Tensor  # pixels
    sum_BRM: Tensor  # sum of s
    square_BR: Tensor  # sum of s squared over pixels and channels


def check_inputs(logits_BMHW: Tensor, labels_BHW: Tensor) -> None:
    """Raise ValueError unless logits are float [B, M, H, W] and labels integers [B, H, W] of the same pixels."""
    if logits_BMHW.ndim != 4 or not logits_BMHW.is_floating_point():
        raise ValueError(
            f"logits: {logits_BMHW.dtype} {tuple(logits_BMHW.shape)}, expected floating point [B, M, H, W]"
        )
    expected = (logits_BMHW.shape[0], *logits_BMHW.shape[2:])
    given = tuple(labels_BHW.shape)
    if len(given) == 3 and given[0] == expected[0] and expected[1] * expected[2] < given[1] * given[2]:
        raise ValueError(
            f"the network gives a grid of {expected[1]} x {expected[2]} cells for masks of {given[1]} x {given[2]} "
            "pixels, and this loss compares pixel with pixel: expected loss=ce_soft (or iou, uoi, uoi_ce), whose soft "
            "labels have the size of the grid, or a model with an output for every pixel"
        )
    if tuple(labels_BHW.shape) != expected or labels_BHW.is_floating_point() or labels_BHW.is_complex():
        raise ValueError(f"mask: {labels_BHW.dtype} {tuple(labels_BHW.shape)}, expected integers {list(expected)}")


def check_labels(labels: Tensor, *, below: int, name: str) -> None:
    """Refuse labels that are neither 0..below-1 nor 255.

    On an accelerator this is an assertion on the device, so that a training step never waits for the answer.

    Args:
        labels: integers of any shape.
        below: one more than the largest label allowed.
        name: who asks, for the message.

    Raises:
        ValueError: on the CPU, for a label that is not allowed.
    """
    wrong = ((labels < 0) | (labels >= below)) & (labels != IGNORE)
    if labels.device.type == "cpu" and not torch.compiler.is_compiling():
        if bool(wrong.any()):
            raise _bad_label(int(labels[wrong][0]), below, name)
    else:
        torch._assert_async(~wrong.any(), f"{name}: a mask label is neither 0..{below - 1} nor {IGNORE}")


def _bad_label(found: int | str, below: int, name: str) -> ValueError:
    return ValueError(f"{name}: mask label {found}, expected 0..{below - 1} or {IGNORE} (ignored)")


def label_rows(labels: Tensor) -> int:
    """Rows that a table over the labels needs: the largest label plus one, or 255 where asking would cost a wait."""
    if labels.device.type != "cpu" or torch.compiler.is_compiling() or labels.numel() == 0:
        return IGNORE
    return max(1, int(labels.masked_fill(labels == IGNORE, 0).max()) + 1)


def scatter_sum(values_BCP: Tensor, index_BP: Tensor, rows: int) -> Tensor:
    """Sum values over the pixels of each row: [B, C, P] and row numbers [B, P] give [B, C, rows]; differentiable."""
    B, C, _ = values_BCP.shape
    return values_BCP.new_zeros(B, C, rows).scatter_add(2, index_BP[:, None].expand_as(values_BCP), values_BCP)


def _kernel_applies(logits: Tensor) -> bool:
    return logits.device.type == "cpu" and logits.dtype == torch.float32


def region_sums(logits_BMHW: Tensor, labels_BHW: Tensor, *, below: int = IGNORE, name: str = "loss") -> RegionSums:
    """Sum the channel softmax over every region of every image; not differentiable, see `softmax_gradient`.

    Args:
        logits_BMHW: float32 or float64.
        labels_BHW: integers 0..below-1, or 255 for ignored pixels.
        below: one more than the largest label allowed; with 2 the plain-torch way uses two masks, which
            `torch.compile` fuses into one pass.
        name: who asks, for messages.

    Returns:
        Tables with R <= 255 rows: pixels, sum of s, sum of squares of s (float64 from the kernel).

    Raises:
        ValueError: on the CPU, for a label that is not allowed.
    """
    x_BMP, labels_BP = logits_BMHW.detach().flatten(2), labels_BHW.flatten(1)
    if _kernel_applies(x_BMP):
        if torch.compiler.is_compiling():
            return RegionSums(*_sums_op(x_BMP, labels_BP, below, name))
        return _kernel_sums(x_BMP, labels_BP, None, below, name)
    check_labels(labels_BP, below=below, name=name)
    return _torch_sums(x_BMP, labels_BP, 2 if below == 2 else label_rows(labels_BP))


def softmax_gradient(logits_BMHW: Tensor, labels_BHW: Tensor, slope_BR: Tensor, shift_BRM: Tensor) -> Tensor:
    """Gradient with respect to the logits when that of the softmax s is slope[r] * s + shift[r] at pixels of region r.

    The softmax is computed again from the logits, so nothing of their size is kept between forward and backward.

    Args:
        logits_BMHW: float32 or float64, as given to `region_sums`.
        labels_BHW: as given to `region_sums`.
        slope_BR: any float type.
        shift_BRM: any float type.

    Returns:
        [B, M, H, W] in the type of the logits; 0 at ignored pixels.
    """
    x_BMP, labels_BP = logits_BMHW.detach().flatten(2), labels_BHW.flatten(1)
    slope_BR, shift_BRM = slope_BR.to(x_BMP.dtype), shift_BRM.to(x_BMP.dtype)
    if not _kernel_applies(x_BMP):
        grad_BMP = _torch_gradient(x_BMP, labels_BP, slope_BR, shift_BRM)
    elif torch.compiler.is_compiling():
        grad_BMP = _gradient_op(x_BMP, labels_BP, slope_BR, shift_BRM)
    else:
        grad_BMP = _kernel_gradient(x_BMP, labels_BP, slope_BR, shift_BRM)
    return grad_BMP.view(logits_BMHW.shape)


def _kernel_sums(x_BMP: Tensor, labels_BP: Tensor, rows: int | None, below: int, name: str) -> RegionSums:
    from seglab.losses import region_kernel  # numba: only where it is used

    *tables, largest = region_kernel.softmax_sums(x_BMP, _plain(labels_BP), rows=rows)
    if largest >= below:
        raise _bad_label("outside 0..255" if largest == region_kernel.INVALID else largest, below, name)
    return RegionSums(*tables)


def _kernel_gradient(x_BMP: Tensor, labels_BP: Tensor, slope_BR: Tensor, shift_BRM: Tensor) -> Tensor:
    from seglab.losses import region_kernel  # numba: only where it is used

    return region_kernel.softmax_gradient(x_BMP, _plain(labels_BP), slope_BR, shift_BRM)


def _plain(labels: Tensor) -> Tensor:
    """Keep the two label types that the kernel is compiled for; uint8 masks need no copy."""
    return labels if labels.dtype in (torch.int64, torch.uint8) else labels.long()


# `torch.compile` sees the kernels as single operations with these shapes.
@custom_op("seglab::region_sums", mutates_args=(), device_types="cpu")
def _sums_op(x_BMP: Tensor, labels_BP: Tensor, below: int, name: str) -> tuple[Tensor, Tensor, Tensor]:
    return tuple(_kernel_sums(x_BMP, labels_BP, below, below, name))


@_sums_op.register_fake
def _(x_BMP: Tensor, labels_BP: Tensor, below: int, name: str) -> tuple[Tensor, Tensor, Tensor]:
    B, M, _ = x_BMP.shape
    shapes = ((B, below), (B, below, M), (B, below))
    return tuple(x_BMP.new_empty(shape, dtype=torch.float64) for shape in shapes)


@custom_op("seglab::softmax_gradient", mutates_args=(), device_types="cpu")
def _gradient_op(x_BMP: Tensor, labels_BP: Tensor, slope_BR: Tensor, shift_BRM: Tensor) -> Tensor:
    return _kernel_gradient(x_BMP, labels_BP, slope_BR, shift_BRM)


@_gradient_op.register_fake
def _(x_BMP: Tensor, labels_BP: Tensor, slope_BR: Tensor, shift_BRM: Tensor) -> Tensor:
    return torch.empty_like(x_BMP)


def _slices(x_BMP: Tensor) -> list[slice]:
    """The pixels in one piece, or in pieces where temporaries would matter (a compiler needs none: it fuses)."""
    P = x_BMP.shape[2]
    step = P
    if x_BMP.numel() >= _CHUNKED_FROM and not torch.compiler.is_compiling():
        step = -(-P // _CHUNKS)
    return [slice(start, start + step) for start in range(0, P, max(1, step))]


def _torch_sums(x_BMP: Tensor, labels_BP: Tensor, rows: int) -> RegionSums:
    parts = [_torch_sums_of(x_BMP[:, :, part], labels_BP[:, part], rows) for part in _slices(x_BMP)]
    if len(parts) == 1:
        return parts[0]
    return RegionSums(*(torch.stack(tables).sum(0) for tables in zip(*parts, strict=True)))


def _torch_sums_of(x_BMP: Tensor, labels_BP: Tensor, rows: int) -> RegionSums:
    s_BMP = x_BMP.softmax(1)
    square_BP = (s_BMP * s_BMP).sum(1)
    if rows == 2:
        masks = [labels_BP == 0, labels_BP == 1]
        return RegionSums(
            torch.stack([mask.sum(1).to(x_BMP.dtype) for mask in masks], 1),
            torch.stack([torch.where(mask[:, None], s_BMP, 0.0).sum(2) for mask in masks], 1),
            torch.stack([torch.where(mask, square_BP, 0.0).sum(1) for mask in masks], 1),
        )
    index_BP = labels_BP.long().clamp(max=rows)  # ignored pixels fall into one more row, dropped below
    ones_BP = torch.ones_like(square_BP)
    scalars_B2R = scatter_sum(torch.stack([ones_BP, square_BP], 1), index_BP, rows + 1)[..., :rows]
    sum_BMR = scatter_sum(s_BMP, index_BP, rows + 1)[..., :rows]
    return RegionSums(scalars_B2R[:, 0], sum_BMR.transpose(1, 2), scalars_B2R[:, 1])


def _torch_gradient(x_BMP: Tensor, labels_BP: Tensor, slope_BR: Tensor, shift_BRM: Tensor) -> Tensor:
    pieces = _slices(x_BMP)
    if len(pieces) == 1:
        return _torch_gradient_of(x_BMP, labels_BP, slope_BR, shift_BRM)
    grad_BMP = torch.empty_like(x_BMP)
    for part in pieces:
        grad_BMP[:, :, part] = _torch_gradient_of(x_BMP[:, :, part], labels_BP[:, part], slope_BR, shift_BRM)
    return grad_BMP


def _torch_gradient_of(x_BMP: Tensor, labels_BP: Tensor, slope_BR: Tensor, shift_BRM: Tensor) -> Tensor:
    s_BMP, R = x_BMP.softmax(1), slope_BR.shape[1]
    if R == 2:
        first, second = (labels_BP == 0)[:, None], (labels_BP == 1)[:, None]
        slope = torch.where(first, slope_BR[:, :1, None], torch.where(second, slope_BR[:, 1:, None], 0.0))
        shift = torch.where(first, shift_BRM[:, 0, :, None], torch.where(second, shift_BRM[:, 1, :, None], 0.0))
    else:
        index_BP = labels_BP.long().clamp(max=R)
        slope = torch.nn.functional.pad(slope_BR, (0, 1)).gather(1, index_BP)[:, None]
        shift_BMR = torch.nn.functional.pad(shift_BRM.transpose(1, 2), (0, 1))
        shift = shift_BMR.gather(2, index_BP[:, None].expand_as(s_BMP))
    g_BMP = torch.addcmul(shift, slope, s_BMP)
    return (g_BMP - (g_BMP * s_BMP).sum(1, keepdim=True)) * s_BMP
