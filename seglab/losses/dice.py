"""Soft Dice loss of every image (Milletari et al. 2016, section 3): one minus the overlap of probability and mask.

    python -m seglab.train loss=dice data=sod

Legend: B batch, K classes, H W pixels.
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from seglab.losses.ce import cross_entropy
from seglab.losses.checks import check_choice, is_number
from seglab.losses.pixels import pixels_of

CLASSES = ("foreground", "all", "present")
DENOMINATORS = ("squares", "plain")


def dice_loss(
    logits_BKHW: Tensor,
    labels_BHW: Tensor,
    *,
    smoothing: float = 1.0,
    classes: Literal["foreground", "all", "present"] = "foreground",
    denominator: Literal["squares", "plain"] = "squares",
) -> Tensor:
    """1 - (2 sum p g + s) / (sum p^2 + sum g + s), mean over an image's classes, then over images.

    Sums are over the pixels of an image that are not ignored; g is 1 where a pixel has the class.

    Args:
        logits_BKHW: scores before the softmax, any floating type; computed in float32 (float64 for float64).
        labels_BHW: integer classes 0..K-1; 255 is ignored.
        smoothing: s in pixels, above 0; a class that an image does not show costs sum p^2 / (sum p^2 + s) (ours).
        classes: "foreground": labels 1..K-1 (the paper has one); "all": 0 too; "present": those of the image's labels.
        denominator: "squares": of p, as in the paper; "plain": sum p itself.

    Returns:
        Scalar, 0..1; an image without labelled pixels counts as 0, as in cross-entropy.

    Raises:
        ValueError: an option out of range, wrong shapes, or (on the CPU) a label that is neither a class nor 255.
    """
    _check_options(smoothing, classes, denominator)
    pixels = pixels_of(logits_BKHW, labels_BHW, name="dice")
    p_BKP = (pixels.log_BKHW.exp() * pixels.valid_BHW[:, None]).flatten(2)
    truth_BKP = torch.zeros_like(p_BKP).scatter_(1, pixels.class_BHW.flatten(1)[:, None], 1.0)
    truth_BKP = truth_BKP * pixels.valid_BHW.flatten(1)[:, None]
    size_BK = truth_BKP.sum(2)
    mass_BK = (p_BKP.square() if denominator == "squares" else p_BKP).sum(2)
    cost_BK = 1 - (2 * (p_BKP * truth_BKP).sum(2) + smoothing) / (mass_BK + size_BK + smoothing)
    counts_BK = (size_BK > 0) if classes == "present" else torch.ones_like(size_BK, dtype=torch.bool)
    if classes == "foreground":
        counts_BK = counts_BK & (torch.arange(size_BK.shape[1], device=size_BK.device) > 0)
    counts_BK = counts_BK & pixels.valid_BHW.flatten(1).any(1)[:, None]
    return (torch.where(counts_BK, cost_BK, 0.0).sum(1) / counts_BK.sum(1).clamp(min=1)).mean()


def _check_options(smoothing: float, classes: str, denominator: str) -> None:
    if not is_number(smoothing) or smoothing <= 0:
        raise ValueError(f"loss.smoothing={smoothing}: expected a number of pixels above 0")
    check_choice("classes", classes, CLASSES)
    check_choice("denominator", denominator, DENOMINATORS)


class Dice(nn.Module):
    """Soft Dice as a training loss, see `dice_loss`; returns the terms "dice" and, where it has a weight, "ce".

    Args:
        smoothing: as there.
        classes: as there.
        denominator: as there.
        ce: weight of cross-entropy beside it, 0 or more.
    """

    batch_coupled = False

    def __init__(
        self,
        *,
        smoothing: float = 1.0,
        classes: Literal["foreground", "all", "present"] = "foreground",
        denominator: Literal["squares", "plain"] = "squares",
        ce: float = 0.0,
    ) -> None:
        super().__init__()
        _check_options(smoothing, classes, denominator)
        if not is_number(ce) or ce < 0:
            raise ValueError(f"loss.ce={ce}: expected a weight, 0 or more")
        self.options = {"smoothing": float(smoothing), "classes": classes, "denominator": denominator}
        self.ce = float(ce)

    def forward(self, logits_BKHW: Tensor, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Loss of a batch: logits [B, K, H, W], batch["mask"] [B, H, W]."""
        terms = {"dice": dice_loss(logits_BKHW, batch["mask"], **self.options)}
        return terms | ({"ce": self.ce * cross_entropy(logits_BKHW, batch["mask"])} if self.ce else {})
