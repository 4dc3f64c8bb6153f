"""Sparse-CRF loss (Veksler 2020, Eqs. 1-3): neighbouring pixels of alike colour should belong to the same side.

A pair of neighbours p, q costs w_pq |x_p - x_q| with w_pq = exp(-||C_p - C_q||^2 / (2 sigma^2)), so the contour of the
object is short and lies where colours change. No mask is read.

    python -c "import torch; from seglab.losses.sparse_crf import sparse_crf_loss;
               print(sparse_crf_loss(torch.eye(4)[None], torch.zeros(1, 3, 4, 4, dtype=torch.uint8)))"

On the CPU in float32 with uint8 images a compiled kernel computes value and gradient in one pass, weights included
(`seglab.losses.crf_kernel`), elsewhere plain torch. Keeping the weights (`edge_weights`) saves next to nothing with the
kernel, which computes a weight about as fast as it could read it; plain torch gains by it.

Legend: B batch, H W pixels, D directions to a neighbour.
"""

from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from seglab.losses.checks import (
    check_choice,
    check_image,
    check_positive,
    check_probability,
    check_share,
    check_use,
    factors,
)
from seglab.losses.joint import joint_mean
from seglab.models.normalise import IMAGENET_DEVIATION

Scale = Literal["standardised", "unit"]
Diagonal = Literal["distance", "plain"]

SCALES = ("standardised", "unit")
NEIGHBOURS = (4, 8)
DIAGONALS = ("distance", "plain")
_STEPS = ((0, 1), (1, 0), (1, 1), (1, -1))  # rows and columns to the neighbour
_SMALLEST_SIGMA = 1e-6  # far below the smallest difference of colours; its square is still a float32


class _Options(NamedTuple):
    scales: tuple[float, float, float]  # of squared differences in grey levels
    steps: tuple[tuple[int, int], ...]
    shares: tuple[float, ...]  # of the directions; their sum is 1
    bilinear: float


def sparse_crf_loss(
    x_BHW: Tensor,
    image_B3HW: Tensor | None,
    *,
    sigma: float = 0.15,
    scale: Scale = "standardised",
    neighbours: Literal[4, 8] = 4,
    diagonal: Diagonal = "distance",
    bilinear: float = 0.0,
    weights: Tensor | None = None,
    use_B: Tensor | None = None,
    reduction: Literal["mean", "none"] = "mean",
) -> Tensor:
    """Sparse-CRF loss: Veksler 2020, Eq. 3; on a hard x, Eq. 1 divided by the number of pairs.

    w |x_p - x_q| is averaged over the pairs of each direction, then over the directions. Deviation: Eq. 1 is printed as
    a sum; the released code takes this mean, and the published weight of 100 fits no sum.

    Args:
        x_BHW: object probability 0..1, any floating type; computed in float32 (float64 for float64).
        image_B3HW: RGB, uint8, or floats in grey levels 0..255; not read (may be None) where weights are given.
        sigma: standard deviation of the colour difference, in the units of `scale`.
        scale: "standardised": colours divided by 255, minus ImageNet's mean, divided by its deviation, as in the
            released code; "unit": colours 0..1. Sigma 0.15 of the first is about 0.034 of the second.
        neighbours: 4 (Veksler 2020) or 8; each pair counts once.
        diagonal: for 8 neighbours, "distance": the mean over the two diagonal directions counts 1/sqrt(2) of that over
            the others, the reciprocal of the distance, as for the length of a contour; "plain": as much.
        bilinear: share b of the bilinear form, 0..1: w ((1 - b) |x_p - x_q| + b (x_p (1 - x_q) + x_q (1 - x_p))). 0 is
            Eq. 3. Ours; both forms are Eq. 1 on a hard x, but a grey map, free in Eq. 3, costs b w / 2 at x = 1/2.
        weights: what `edge_weights` returns for these images; sigma and scale are then not used.
        use_B: images that count; None for all. Others get the value 0, and on the CPU no time is spent on them.
        reduction: "mean": over the images that count, of all processes, which must all call it; "none": each image.

    Returns:
        Scalar or [B], >= 0, no units; 0 for a constant x (with bilinear above 0 only for x = 0 and x = 1), and (with a
        graph) where no image counts.

    Raises:
        ValueError: an option out of range, or shapes that do not fit.
    """
    options = _options(sigma, scale, neighbours, diagonal, bilinear)
    check_choice("reduction", reduction, ("mean", "none"))
    check_probability(x_BHW)
    check_use(use_B, x_BHW.shape[0])
    _check_size(x_BHW)
    if weights is None:
        check_image(x_BHW, image_B3HW)
    else:
        expected = (x_BHW.shape[0], len(options.steps), *x_BHW.shape[1:])
        if tuple(weights.shape) != expected:
            raise ValueError(f"weights: {tuple(weights.shape)}, expected {list(expected)} (see edge_weights)")
    x_BHW = x_BHW if x_BHW.dtype == torch.float64 else x_BHW.float()
    values_B = _SparseCRF.apply(x_BHW, image_B3HW, weights, use_B, options)
    return values_B if reduction == "none" else joint_mean(values_B, factors(use_B, values_B))[0]


def edge_weights(
    image_B3HW: Tensor,
    *,
    sigma: float = 0.15,
    scale: Scale = "standardised",
    neighbours: Literal[4, 8] = 4,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Weights w of every pixel and its neighbours: Veksler 2020, Eq. 2.

    Args:
        image_B3HW: as in `sparse_crf_loss`.
        sigma: as there.
        scale: as there.
        neighbours: as there.
        dtype: floating type of the weights.

    Returns:
        [B, D, H, W] in 0..1: to the right and downwards; for 8 neighbours also down-right and down-left (D 2 or 4).
        0 where there is no such neighbour.

    Raises:
        ValueError: an option out of range, or shapes that do not fit.
    """
    options = _options(sigma, scale, neighbours, "plain")
    grey_B3HW = image_B3HW.to(dtype)
    check_image(grey_B3HW[:, 0], image_B3HW)
    _check_size(grey_B3HW[:, 0])
    B, _, H, W = image_B3HW.shape
    weights_BDHW = grey_B3HW.new_zeros(B, len(options.steps), H, W)
    for k, step in enumerate(options.steps):
        here, there = _overlap(step, H, W)
        weights_BDHW[:, k][:, here[0], here[1]] = _weights(grey_B3HW, here, there, options.scales)
    return weights_BDHW


def check_sparse_options(*, sigma: float, scale: str, neighbours: int, diagonal: str, bilinear: float = 0.0) -> None:
    """Refuse settings of the loss before there is a batch.

    Raises:
        ValueError: naming ``loss.<key>``.
    """
    _options(sigma, scale, neighbours, diagonal, bilinear)


def _options(sigma: float, scale: str, neighbours: int, diagonal: str, bilinear: float = 0.0) -> _Options:
    sigma = max(check_positive("sigma", sigma), _SMALLEST_SIGMA)
    check_choice("scale", scale, SCALES)
    check_choice("neighbours", neighbours, NEIGHBOURS)
    check_choice("diagonal", diagonal, DIAGONALS)
    deviations = IMAGENET_DEVIATION if scale == "standardised" else (1.0, 1.0, 1.0)
    length = 2**0.5 if diagonal == "distance" else 1.0
    parts = (1.0, 1.0, 1 / length, 1 / length)[: neighbours // 2]
    return _Options(
        tuple(1 / (2 * (sigma * deviation * 255) ** 2) for deviation in deviations),
        _STEPS[: neighbours // 2],
        tuple(part / sum(parts) for part in parts),
        check_share("bilinear", bilinear),
    )


def _check_size(x_BHW: Tensor) -> None:
    if min(x_BHW.shape[1:]) < 2:
        raise ValueError(f"image: {tuple(x_BHW.shape[1:])} pixels, expected at least 2 x 2 for loss.neighbours")


class _SparseCRF(torch.autograd.Function):
    """Values of all images; their gradient is found on the way, so nothing is computed twice."""

    @staticmethod
    def forward(
        ctx: Any, x_BHW: Tensor, image: Tensor | None, weights: Tensor | None, use_B: Tensor | None, options: _Options
    ) -> Tensor:
        wanted = ctx.needs_input_grad[0]
        readable = weights is not None or image.dtype == torch.uint8
        if x_BHW.device.type == "cpu" and x_BHW.dtype == torch.float32 and readable:
            value_B, grad_BHW = _by_kernel(x_BHW, image, weights, use_B, options, wanted)
        else:
            value_B, grad_BHW = _by_torch(x_BHW, image, weights, options, wanted)
            if use_B is not None:
                value_B = torch.where(use_B.bool(), value_B, 0.0)
                grad_BHW = grad_BHW * use_B.to(grad_BHW.dtype)[:, None, None] if wanted else None
        if wanted:
            ctx.save_for_backward(grad_BHW)
        return value_B

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_B: Tensor) -> tuple[Tensor, None, None, None, None]:
        (grad_BHW,) = ctx.saved_tensors
        return grad_BHW * grad_B[:, None, None], None, None, None, None


def _by_kernel(
    x_BHW: Tensor, image: Tensor | None, weights: Tensor | None, use_B: Tensor | None, options: _Options, wanted: bool
) -> tuple[Tensor, Tensor | None]:
    from seglab.losses import crf_kernel  # numba: only where it is used

    _, H, W = x_BHW.shape
    use_B = torch.ones(len(x_BHW), dtype=torch.bool) if use_B is None else use_B.bool().contiguous()
    value_B, grad_BHW = crf_kernel.edge_terms(
        x_BHW.detach().contiguous().numpy(),
        None if weights is not None else image.contiguous().numpy(),
        None if weights is None else weights.detach().float().contiguous().numpy(),
        use_B.numpy(),
        steps=options.steps,
        factors=[share / _pairs(step, H, W) for share, step in zip(options.shares, options.steps, strict=True)],
        scales=options.scales,
        gradient=wanted,
        bilinear=options.bilinear,
    )
    return torch.from_numpy(value_B).float(), torch.from_numpy(grad_BHW) if wanted else None


def _by_torch(
    x_BHW: Tensor, image: Tensor | None, weights: Tensor | None, options: _Options, wanted: bool
) -> tuple[Tensor, Tensor | None]:
    _, H, W = x_BHW.shape
    x_BHW = x_BHW.detach()
    value_B = x_BHW.new_zeros(len(x_BHW))
    grad_BHW = torch.zeros_like(x_BHW) if wanted else None
    grey_B3HW = None if weights is not None else image.to(x_BHW.dtype)
    for k, (share, step) in enumerate(zip(options.shares, options.steps, strict=True)):
        here, there = _overlap(step, H, W)
        if weights is None:
            w_Bhw = _weights(grey_B3HW, here, there, options.scales)
        else:
            w_Bhw = weights[:, k][:, here[0], here[1]].to(x_BHW.dtype)
        a_Bhw, b_Bhw = x_BHW[:, here[0], here[1]], x_BHW[:, there[0], there[1]]
        difference_Bhw = a_Bhw - b_Bhw
        factor = share / _pairs(step, H, W)
        cost_Bhw = difference_Bhw.abs()
        if options.bilinear > 0:
            more_Bhw = torch.minimum(a_Bhw, b_Bhw) * (1 - torch.maximum(a_Bhw, b_Bhw))
            cost_Bhw += 2 * options.bilinear * more_Bhw  # exactly |a - b| on hard labels
        value_B += factor * (w_Bhw * cost_Bhw).sum((1, 2))
        if wanted:
            slope_Bhw = difference_Bhw.sign_().mul_(w_Bhw).mul_(factor)
            back_Bhw = slope_Bhw
            if options.bilinear > 0:
                slope_Bhw, scaled_Bhw = (1 - options.bilinear) * slope_Bhw, options.bilinear * factor * w_Bhw
                back_Bhw = slope_Bhw - scaled_Bhw * (1 - 2 * a_Bhw)
                slope_Bhw += scaled_Bhw * (1 - 2 * b_Bhw)
            grad_BHW[:, here[0], here[1]] += slope_Bhw
            grad_BHW[:, there[0], there[1]] -= back_Bhw
    return value_B, grad_BHW


def _overlap(step: tuple[int, int], H: int, W: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Rows and columns of the pixels that have such a neighbour, and of these neighbours."""
    rows, columns = step
    left, right = max(0, -columns), max(0, columns)
    return (slice(0, H - rows), slice(left, W - right)), (slice(rows, H), slice(right, W - left))


def _pairs(step: tuple[int, int], H: int, W: int) -> int:
    return (H - step[0]) * (W - abs(step[1]))


def _weights(grey_B3HW: Tensor, here: tuple, there: tuple, scales: tuple[float, float, float]) -> Tensor:
    # Differences of grey levels first: they are exact, those of standardised colours are not.
    square_B3hw = (grey_B3HW[:, :, here[0], here[1]] - grey_B3HW[:, :, there[0], there[1]]).square_()
    return sum(-scale * square_B3hw[:, c] for c, scale in enumerate(scales)).exp_()
