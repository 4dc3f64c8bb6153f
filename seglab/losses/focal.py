"""Focal loss (Lin et al. 2017, Eqs. 4 and 5): cross-entropy that counts hard pixels more.

    python -m seglab.train loss=focal data=sod

Under label noise it does the opposite of what is wanted, wrong labels being hard ones; it is here for comparison.

Legend: B batch, K classes, H W pixels.
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from seglab.losses.checks import check_choice, is_number
from seglab.losses.pixels import AVERAGES, image_mean, one_minus, pixels_of


def focal_loss(
    logits_BKHW: Tensor,
    labels_BHW: Tensor,
    *,
    gamma: float = 2.0,
    weight: Sequence[float] | None = None,
    average: Literal["image", "batch"] = "image",
) -> Tensor:
    """-w_y (1 - p)^gamma log p, p the probability of label y, averaged as in `seglab.losses.ce`; Lin 2017, Eq. 5.

    Args:
        logits_BKHW: scores before the softmax, any floating type; computed in float32 (float64 for float64).
        labels_BHW: integer classes 0..K-1; 255 is ignored.
        gamma: >= 0; 0 is cross-entropy.
        weight: K factors, one per class (the paper's alpha: [0.75, 0.25] for background and object); None for 1. The
            mean divides by the number of pixels, not by their weights.
        average: see `seglab.losses.pixels.image_mean`.

    Returns:
        Scalar >= 0; 0 (with a graph) where every pixel is ignored.

    Raises:
        ValueError: an option out of range, wrong shapes, or (on the CPU) a label that is neither a class nor 255.
    """
    _check_options(gamma, weight, average)
    pixels = pixels_of(logits_BKHW, labels_BHW, name="focal")
    log_BHW = pixels.given_BHW
    K = logits_BKHW.shape[1]
    # Never 0, where the slope of a root would be infinite (gamma below 1).
    doubt_BHW = one_minus(log_BHW).clamp(min=torch.finfo(log_BHW.dtype).tiny)
    cost_BHW = -doubt_BHW.pow(gamma) * log_BHW
    if weight is not None:
        if len(weight) != K:
            raise ValueError(f"loss.weight: {len(weight)} factors, expected one for each of {K} channels")
        cost_BHW = cost_BHW * cost_BHW.new_tensor(list(weight))[pixels.class_BHW]
    return image_mean(cost_BHW, pixels.valid_BHW, average)


def _check_options(gamma: float, weight: Sequence[float] | None, average: str) -> None:
    if not is_number(gamma) or gamma < 0:
        raise ValueError(f"loss.gamma={gamma}: expected a number, 0 or more")
    listed = isinstance(weight, Sequence) and not isinstance(weight, str)
    if weight is not None and not (listed and all(is_number(w) and w >= 0 for w in weight)):
        raise ValueError(f"loss.weight={weight}: expected null or one factor of 0 or more for each class")
    check_choice("average", average, AVERAGES)


class Focal(nn.Module):
    """Focal loss as a training loss, see `focal_loss`; returns the one term "focal"."""

    def __init__(
        self,
        *,
        gamma: float = 2.0,
        weight: Sequence[float] | None = None,
        average: Literal["image", "batch"] = "image",
    ) -> None:
        super().__init__()
        _check_options(gamma, weight, average)
        self.options = {"gamma": float(gamma), "weight": weight, "average": average}
        self.batch_coupled = average == "batch"

    def forward(self, logits_BKHW: Tensor, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Loss of a batch: logits [B, K, H, W], batch["mask"] [B, H, W]."""
        return {"focal": focal_loss(logits_BKHW, batch["mask"], **self.options)}
