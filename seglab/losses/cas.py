"""Class-agnostic segmentation loss (CAS): Eqs. 1 and 2 of the CAS paper, with the gradient in closed form.

Pixels of one region of an image should get alike descriptors, different regions of the image different ones; which
descriptor a region gets is left to the network. Label names never enter, so inverted masks train the same network.

    python -c "import torch; from seglab.losses.cas import cas_loss;
               print(cas_loss(torch.zeros(1, 2, 4, 4), torch.eye(4).long()[None]))"

Legend: B batch, M channels, N regions of an image, R rows of a table (one per label value), H W pixels.
"""

from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from seglab.losses.regions import IGNORE, RegionSums, check_inputs, region_sums, softmax_gradient


class _Options(NamedTuple):
    alpha: float
    kappa: float
    normalise: bool
    foreground: bool
    binary: bool


def cas_loss(
    logits_BMHW: Tensor,
    labels_BHW: Tensor,
    *,
    alpha: float = 0.1,
    pairs: Literal["once", "ordered"] = "once",
    normalise: bool = False,
    regions: Literal["all", "foreground"] = "all",
    binary: bool = False,
) -> Tensor:
    """CAS loss, the mean over images: CAS v2, Eq. 1, with s the softmax of the logits over channels.

    With U_i the variance of s within region i (summed over channels) and s_i the mean of s over it, one image costs
    alpha * sum_i U_i - kappa * (1 - alpha) * sum_{i<j} ||s_i - s_j||^2. For two regions and two channels this lies
    between -2 * kappa * (1 - alpha) and alpha; no units.

    Args:
        logits_BMHW: scores before the softmax, any floating type; computed in float32 (float64 for float64).
        labels_BHW: integer region labels 0..254, any selection of them, renamed at will; 255 is ignored.
        alpha: weight of the uniformer in [0, 1]; the paper uses 0.1.
        pairs: "once" counts every pair of regions once (kappa = 1), which gives the bounds the paper states;
            "ordered" counts it twice, as the sum is printed (kappa = 2).
        normalise: divide the discriminator by N - 1, so that the lowest loss is -(1 - alpha) * N for every N.
        regions: "all", or "foreground" for the released code's variant, whose uniformer covers label 1 only.
        binary: labels are known to be 0, 1 or 255; saves tables on a GPU. Implied by regions="foreground".

    Returns:
        Scalar; 0 (with a graph) where every pixel is ignored.

    Raises:
        ValueError: alpha outside [0, 1], unknown option, wrong shapes, or labels that are not allowed.
    """
    options = _options(alpha, pairs, normalise, regions, binary)
    return sum(_terms(logits_BMHW, labels_BHW, options))


class CAS(nn.Module):
    """CAS as a training loss; the arguments are those of `cas_loss`.

    Returns the terms of Eq. 1 as "uniformer" (>= 0) and "discriminator" (<= 0), weights and sign applied: their sum is
    the loss.
    """

    batch_coupled = False

    def __init__(
        self,
        *,
        alpha: float = 0.1,
        pairs: Literal["once", "ordered"] = "once",
        normalise: bool = False,
        regions: Literal["all", "foreground"] = "all",
        binary: bool = False,
    ) -> None:
        super().__init__()
        self.options = _options(alpha, pairs, normalise, regions, binary)

    def forward(self, logits_BMHW: Tensor, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Loss terms of a batch: logits [B, M, H, W], batch["mask"] [B, H, W]."""
        uniformer, discriminator = _terms(logits_BMHW, batch["mask"], self.options)
        return {"uniformer": uniformer, "discriminator": discriminator}

    def extra_repr(self) -> str:
        """Options, for printing the module."""
        return ", ".join(f"{key}={value}" for key, value in self.options._asdict().items())


def _options(alpha: float, pairs: str, normalise: bool, regions: str, binary: bool) -> _Options:
    if not 0 <= alpha <= 1:
        raise ValueError(f"loss.alpha={alpha}: expected a number in [0, 1]")
    if pairs not in ("once", "ordered"):
        raise ValueError(f"loss.pairs={pairs}: expected 'once' or 'ordered'")
    if regions not in ("all", "foreground"):
        raise ValueError(f"loss.regions={regions}: expected 'all' or 'foreground'")
    foreground = regions == "foreground"
    return _Options(float(alpha), 1.0 if pairs == "once" else 2.0, bool(normalise), foreground, binary or foreground)


def _terms(logits_BMHW: Tensor, labels_BHW: Tensor, options: _Options) -> tuple[Tensor, Tensor]:
    check_inputs(logits_BMHW, labels_BHW)
    if logits_BMHW.dtype != torch.float64:
        logits_BMHW = logits_BMHW.float()  # means and small differences do not survive half precision
    return _CAS.apply(logits_BMHW, labels_BHW, options)


class _CAS(torch.autograd.Function):
    """Both terms of Eq. 1; backward recomputes the softmax, so beside the inputs only R x M tables are kept."""

    @staticmethod
    def forward(ctx: Any, logits_BMHW: Tensor, labels_BHW: Tensor, options: _Options) -> tuple[Tensor, Tensor]:
        name = "loss.regions=foreground" if options.foreground else "loss.binary" if options.binary else "loss"
        sums = region_sums(logits_BMHW, labels_BHW, below=2 if options.binary else IGNORE, name=name)
        means_BRM = sums.sum_BRM / sums.count_BR.clamp(min=1)[..., None]
        uniformer, discriminator = _values(sums, means_BRM, options)
        ctx.save_for_backward(logits_BMHW, labels_BHW, sums.count_BR, means_BRM)
        ctx.options = options
        return uniformer.to(logits_BMHW.dtype), discriminator.to(logits_BMHW.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_uniformer: Tensor, grad_discriminator: Tensor) -> tuple[Tensor, None, None]:
        logits_BMHW, labels_BHW, count_BR, means_BRM = ctx.saved_tensors
        slope_BR, shift_BRM = _coefficients(count_BR, means_BRM, ctx.options, grad_uniformer, grad_discriminator)
        return softmax_gradient(logits_BMHW, labels_BHW, slope_BR, shift_BRM), None, None


def _values(sums: RegionSums, means_BRM: Tensor, options: _Options) -> tuple[Tensor, Tensor]:
    """Uniformer and discriminator with weights and sign; every sum ends in one over regions, so two of them commute."""
    size_BR = sums.count_BR.clamp(min=1)
    # U_i = mean of ||s||^2 minus ||mean of s||^2; rounding must not make a variance negative.
    variance_BR = (sums.square_BR / size_BR - means_BRM.square().sum(2)).clamp(min=0)
    uniformer_B = variance_BR[:, 1:].sum(1) if options.foreground else variance_BR.sum(1)
    present_BR, regions_B = _present(sums.count_BR)
    centre_BM = means_BRM.sum(1) / regions_B.clamp(min=1)[:, None]
    # sum_{i<j} ||a_i - a_j||^2 = N * sum_i ||a_i - centre||^2, without the N^2 pairs and without cancellation
    spread_BR = (means_BRM - centre_BM[:, None]).square().sum(2) * present_BR
    pairs_B = spread_BR.sum(1) * _pair_weight(regions_B, options)
    B = max(1, means_BRM.shape[0])
    return options.alpha * (uniformer_B.sum() / B), -(1 - options.alpha) * (pairs_B.sum() / B)


def _coefficients(
    count_BR: Tensor, means_BRM: Tensor, options: _Options, grad_uniformer: Tensor, grad_discriminator: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradient with respect to the softmax s at a pixel of region r (Eq. 2, its first factors): slope * s + shift."""
    present_BR, regions_B = _present(count_BR)
    weight_BR = 2 * present_BR / count_BR.clamp(min=1) / max(1, count_BR.shape[0])
    slope_BR = grad_uniformer * options.alpha * weight_BR
    if options.foreground:
        slope_BR = torch.cat([torch.zeros_like(slope_BR[:, :1]), slope_BR[:, 1:]], 1)
    centre_BM = means_BRM.sum(1) / regions_B.clamp(min=1)[:, None]
    # sum_{j != i} (s_i - s_j) = N * (s_i - centre); one N is in the pair weight already
    away_BR = grad_discriminator * (1 - options.alpha) * _pair_weight(regions_B, options)[:, None] * weight_BR
    shift_BRM = -slope_BR[..., None] * means_BRM - away_BR[..., None] * (means_BRM - centre_BM[:, None])
    return slope_BR, shift_BRM


def _present(count_BR: Tensor) -> tuple[Tensor, Tensor]:
    present_BR = (count_BR > 0).to(count_BR.dtype)
    return present_BR, present_BR.sum(1)


def _pair_weight(regions_B: Tensor, options: _Options) -> Tensor:
    """Kappa times N, divided by N - 1 where asked; the spread of a single region is 0 anyway."""
    weight_B = options.kappa * regions_B
    return weight_B / (regions_B - 1).clamp(min=1) if options.normalise else weight_B
