"""Dense-CRF loss: all pairs of pixels of an image, weighted by their nearness in colour and place.

The form is Eq. 1 of Veksler (2020) over all pairs, with w_pq = exp(-|C_p - C_q|^2 / (2 sc^2) - |p - q|^2 / (2 ss^2));
the soft loss and its bandwidths are those of Tang et al. (2018): sum over p != q of w_pq x_p (1 - x_q). The gradient is
free: the kernel is symmetric, so one product with x and 1 - x gives both.

    python -c "import torch; from seglab.losses.dense_crf import dense_crf_loss;
               print(dense_crf_loss(torch.eye(4)[None], torch.zeros(1, 3, 4, 4, dtype=torch.uint8), factor=1))"

All pairs are never held. On the CPU in float32 a compiled kernel takes each pair once (`seglab.losses.crf_kernel`);
elsewhere, attention in tiles. ``method="landmarks"`` is an approximation (Nystroem), which saves time above 128 x 128.

Legend: B batch, H W pixels, h w pixels after shrinking, P = h * w.
"""

import logging
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from seglab.losses.checks import (
    check_choice,
    check_image,
    check_positive,
    check_probability,
    check_use,
    check_whole,
    factors,
)
from seglab.losses.joint import joint_mean

METHODS = ("exact", "landmarks")
DIVISORS = ("pixels", "pairs")
_MISSED = 0.05  # of the kernel's diagonal, mean over pixels

_warned: set[int] = set()  # numbers of landmarks that a warning has been given for

log = logging.getLogger(__name__)


class DenseOptions(NamedTuple):
    """Settings of the loss; `dense_crf_loss` says what they mean."""

    sigma_colour: float = 15.0
    sigma_space: float = 100.0
    factor: float = 0.5
    divide: Literal["pixels", "pairs"] = "pixels"
    method: Literal["exact", "landmarks"] = "exact"
    landmarks: int = 256


def dense_crf_loss(
    x_BHW: Tensor,
    image_B3HW: Tensor,
    *,
    sigma_colour: float = 15.0,
    sigma_space: float = 100.0,
    factor: float = 0.5,
    divide: Literal["pixels", "pairs"] = "pixels",
    method: Literal["exact", "landmarks"] = "exact",
    landmarks: int = 256,
    use_B: Tensor | None = None,
    reduction: Literal["mean", "none"] = "mean",
) -> Tensor:
    """Dense-CRF loss: sum over ordered pairs p != q of w_pq x_p (1 - x_q), divided; Tang et al. (2018).

    For a hard x that is the sum over unordered pairs of w_pq [x_p != x_q], Eq. 1 of Veksler (2020).

    Args:
        x_BHW: object probability 0..1, any floating type; computed in float32 (float64 for float64).
        image_B3HW: RGB, uint8, or floats in grey levels 0..255.
        sigma_colour: standard deviation of colours, grey levels; 15 in the released code of Tang et al.
        sigma_space: standard deviation of place, pixels of the given image; 100 there.
        factor: the loss is computed on image and x shrunk by it (means over areas), with sigma_space times it; 0.5
            there, 1 for the images as they are. In 0..1, above 0.
        divide: by the number of "pixels" P, which gives the mean over pixels of a pixel's cost with all others, or by
            the number of ordered "pairs", P * (P - 1); both after shrinking. Deviation: Tang et al. do not divide, and
            their loss would grow with the image.
        method: "exact": all pairs; "landmarks": approximated from some pixels (Nystroem). With 256 of them the value
            was off by at most 0.3 % on 12 photographs of 128 x 128, but by 6 to 35 % on pixel noise, which no few
            pixels stand for. Where they miss more than 5 % of the kernel (mean over pixels), a warning says so, once.
        landmarks: how many, at most.
        use_B: images that count; None for all. Others get the value 0 and cost no time.
        reduction: "mean": over the images that count, of all processes, which must all call it; "none": each image.

    Returns:
        Scalar or [B], >= 0, no units; 0 for x = 0 and x = 1, and (with a graph) where no image counts.

    Raises:
        ValueError: an option out of range, or shapes that do not fit.
    """
    options = DenseOptions(sigma_colour, sigma_space, factor, divide, method, landmarks)
    check_dense_options(options)
    check_choice("reduction", reduction, ("mean", "none"))
    check_probability(x_BHW)
    check_use(use_B, x_BHW.shape[0])
    check_image(x_BHW, image_B3HW)
    x_BHW = x_BHW if x_BHW.dtype == torch.float64 else x_BHW.float()
    if factor != 1:
        size = [max(1, round(factor * n)) for n in x_BHW.shape[1:]]
        x_BHW = _shrunk(x_BHW[:, None], size)[:, 0]
        image_B3HW = _shrunk(image_B3HW.to(x_BHW.dtype), size)
    values_B = _DenseCRF.apply(x_BHW, image_B3HW, use_B, options)
    return values_B if reduction == "none" else joint_mean(values_B, factors(use_B, values_B))[0]


def check_dense_options(options: DenseOptions) -> None:
    """Refuse settings of the loss before there is a batch.

    Raises:
        ValueError: naming ``loss.dense_<key>``.
    """
    check_positive("dense_sigma_colour", options.sigma_colour)
    check_positive("dense_sigma_space", options.sigma_space)
    if check_positive("dense_factor", options.factor) > 1:
        raise ValueError(f"loss.dense_factor={options.factor}: expected a number above 0, at most 1")
    check_choice("dense_divide", options.divide, DIVISORS)
    check_choice("dense_method", options.method, METHODS)
    check_whole("dense_landmarks", options.landmarks)


class _DenseCRF(torch.autograd.Function):
    """Values of all images. With W the kernel, d/dx_p = sum over q != p of w_pq ((1 - x_q) - x_q)."""

    @staticmethod
    def forward(ctx: Any, x_Bhw: Tensor, image_B3hw: Tensor, use_B: Tensor | None, options: DenseOptions) -> Tensor:
        B, h, w = x_Bhw.shape
        used = [True] * B if use_B is None else use_B.bool().tolist()
        value_B = x_Bhw.new_zeros(B)
        grad_Bhw = torch.zeros_like(x_Bhw) if ctx.needs_input_grad[0] else None
        divisor = h * w if options.divide == "pixels" else h * w * max(1, h * w - 1)
        for b in range(B):
            if not used[b]:
                continue
            near_2hw = _product(x_Bhw[b].detach(), image_B3hw[b], options)
            value_B[b] = (x_Bhw[b].detach() * near_2hw[1]).sum() / divisor
            if grad_Bhw is not None:
                grad_Bhw[b] = (near_2hw[1] - near_2hw[0]) / divisor
        if grad_Bhw is not None:
            ctx.save_for_backward(grad_Bhw)
        return value_B

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_B: Tensor) -> tuple[Tensor, None, None, None]:
        (grad_Bhw,) = ctx.saved_tensors
        return grad_Bhw * grad_B[:, None, None], None, None, None


def _shrunk(planes_BCHW: Tensor, size: list[int]) -> Tensor:
    """Means over areas. Halves have the same values from both ways, but "area" has no reproducible gradient on CUDA."""
    if list(planes_BCHW.shape[2:]) == [2 * n for n in size]:
        return avg_pool2d(planes_BCHW, 2)
    return interpolate(planes_BCHW, size=size, mode="area")


def _product(x_hw: Tensor, image_3hw: Tensor, options: DenseOptions) -> Tensor:
    """Sums over q != p of w_pq x_q and of w_pq (1 - x_q), [2, h, w] (float64 from the kernel)."""
    sigma_space = options.sigma_space * options.factor
    if options.method == "exact" and x_hw.device.type == "cpu" and x_hw.dtype == torch.float32:
        from seglab.losses import crf_kernel  # numba: only where it is used

        return torch.from_numpy(
            crf_kernel.pair_sums(
                x_hw.contiguous().numpy(),
                image_3hw.contiguous().numpy(),
                sigma_colour=options.sigma_colour,
                sigma_space=sigma_space,
            )
        )
    from seglab.post.crf_kernels import Exact, Landmarks
    from seglab.post.dense_crf import bilateral_features

    features_P5 = bilateral_features(image_3hw, sxy=sigma_space, srgb=options.sigma_colour).to(x_hw.dtype)
    if options.method == "exact":
        kernel = Exact(features_P5)
    else:
        kernel = Landmarks(features_P5, landmarks=options.landmarks)
        if kernel.missed > _MISSED:
            _warn_once(options.landmarks, kernel.missed)
    planes_2P = torch.stack([x_hw, 1 - x_hw]).flatten(1)
    return (kernel.between(None, None)(planes_2P) - planes_2P).view(2, *x_hw.shape)  # w_pp = 1


def _warn_once(landmarks: int, missed: float) -> None:
    if landmarks in _warned:
        return
    _warned.add(landmarks)
    log.warning(
        "loss.dense_landmarks=%d: they miss %.0f %% of the dense CRF's kernel in an image; the loss is off, little on "
        "photographs, much on noise; expected more of them, or loss.dense_method=exact",
        landmarks,
        100 * missed,
    )
