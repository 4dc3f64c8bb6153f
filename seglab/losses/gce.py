"""Generalised cross-entropy L_q (Zhang and Sabuncu 2018, Eq. 6): between cross-entropy (q = 0) and MAE (q = 1).

    python -m seglab.train loss=gce data=sod noise.rate=0.3

Its gradient is that of cross-entropy times p^q, so that pixels whose label the network disbelieves teach less.

Legend: B batch, K classes, H W pixels.
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from seglab.losses.checks import check_choice, check_share, is_number
from seglab.losses.pixels import AVERAGES, image_mean, pixels_of


def generalised_cross_entropy(
    logits_BKHW: Tensor,
    labels_BHW: Tensor,
    *,
    q: float = 0.7,
    truncate: float | None = None,
    average: Literal["image", "batch"] = "image",
) -> Tensor:
    """(1 - p^q) / q with p the probability of a pixel's label, averaged as in `seglab.losses.ce`; Eq. 6.

    Args:
        logits_BKHW: scores before the softmax, any floating type; computed in float32 (float64 for float64).
        labels_BHW: integer classes 0..K-1; 255 is ignored.
        q: 0..1; 0 is the limit -log p, 1 gives 1 - p (half the absolute error of the softmax against the label).
        truncate: k, 0..1: a pixel with p < k costs what p = k costs, and teaches nothing (section 3.3); None: none.
            Deviation: the paper decides once in some epochs which samples are left out, we at every step.
        average: see `seglab.losses.pixels.image_mean`.

    Returns:
        Scalar, 0..1/q; 0 (with a graph) where every pixel is ignored.

    Raises:
        ValueError: an option out of range, wrong shapes, or (on the CPU) a label that is neither a class nor 255.
    """
    _check_options(q, truncate, average)
    pixels = pixels_of(logits_BKHW, labels_BHW, name="gce")
    log_BHW = pixels.given_BHW
    if truncate is not None:
        log_BHW = log_BHW.clamp(min=log_BHW.new_tensor(truncate).log())
    cost_BHW = -torch.expm1(q * log_BHW) / q if q > 0 else -log_BHW
    return image_mean(cost_BHW, pixels.valid_BHW, average)


def _check_options(q: float, truncate: float | None, average: str) -> None:
    check_share("q", q)
    if truncate is not None and not (is_number(truncate) and 0 < truncate < 1):
        raise ValueError(f"loss.truncate={truncate}: expected null or a probability, 0 < truncate < 1 (the paper: 0.5)")
    check_choice("average", average, AVERAGES)


class GCE(nn.Module):
    """Generalised cross-entropy as a training loss, see `generalised_cross_entropy`; returns the one term "gce".

    Args:
        q: as there.
        truncate: as there.
        truncate_from: first epoch, counted from 0, in which pixels are left out; before it the network does not know
            the labels yet. The paper starts after 40 of 120 epochs.
        average: as there.
    """

    def __init__(
        self,
        *,
        q: float = 0.7,
        truncate: float | None = None,
        truncate_from: int = 0,
        average: Literal["image", "batch"] = "image",
    ) -> None:
        super().__init__()
        _check_options(q, truncate, average)
        if isinstance(truncate_from, bool) or not isinstance(truncate_from, int) or truncate_from < 0:
            raise ValueError(f"loss.truncate_from={truncate_from}: expected an epoch, a whole number, 0 or more")
        self.q, self.truncate, self.truncate_from, self.average = float(q), truncate, truncate_from, average
        self.batch_coupled = average == "batch"
        self.epoch = truncate_from

    def start_epoch(self, epoch: int) -> None:
        """Tell which epoch begins, counted from 0."""
        self.epoch = epoch

    def forward(self, logits_BKHW: Tensor, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Loss of a batch: logits [B, K, H, W], batch["mask"] [B, H, W]."""
        truncate = self.truncate if self.epoch >= self.truncate_from else None
        options = {"q": self.q, "truncate": truncate, "average": self.average}
        return {"gce": generalised_cross_entropy(logits_BKHW, batch["mask"], **options)}
