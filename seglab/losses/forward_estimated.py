"""Forward loss correction with an estimated transition (Patrini et al. 2017, section 4): nothing is known of the noise.

    python -m seglab.train loss=forward_estimated data=sod noise.rate=0.3

First the network learns the noisy labels by cross-entropy. In the last of these epochs the pixels it is surest of are
collected; what it predicts there is the transition, with which the rest of the training is corrected.

Legend: B batch, K classes, H W pixels.
"""

import logging
from typing import Any, Literal

import torch
from torch import Tensor, nn

from seglab.losses.anchors import Anchors
from seglab.losses.checks import check_choice, check_share
from seglab.losses.forward_correction import forward_loss
from seglab.losses.pixels import AVERAGES
from seglab.losses.regions import IGNORE
from seglab.losses.transition import shown, warn_if_lost

log = logging.getLogger(__name__)


class ForwardEstimated(nn.Module):
    """Cross-entropy, then forward correction with the transition found; returns the one term "forward".

    Deviation: Patrini et al. train a second network from new weights with the transition; here the same network goes
    on. They predict the training images once more with the trained network; here the predictions are those of the last
    warm-up epoch itself.

    Args:
        warmup: share of the epochs with cross-entropy, 0..1; at least one, and all but one at most.
        percentile: see `seglab.losses.anchors.Anchors.transition`; 0.97 in the paper for CIFAR-100.
        average: see `seglab.losses.pixels.image_mean`.

    Raises:
        ValueError: an option out of range.
    """

    def __init__(
        self, *, warmup: float = 0.3, percentile: float = 0.97, average: Literal["image", "batch"] = "image"
    ) -> None:
        super().__init__()
        self.warmup, self.percentile = check_share("warmup", warmup), check_share("percentile", percentile)
        check_choice("average", average, AVERAGES)
        self.average, self.batch_coupled = average, average == "batch"
        self.epoch, self.warm_epochs = 0, 0
        self.anchors = Anchors()
        self.matrix_KK: Tensor | None = None

    def tell_epochs(self, epochs: int) -> None:
        """Learn of how many epochs the warm-up is a share."""
        self.warm_epochs = max(1, min(round(self.warmup * epochs), epochs - 1))
        if epochs == 1:
            log.warning("loss (forward_estimated): one epoch is all warm-up, so it is cross-entropy")

    def start_epoch(self, epoch: int) -> None:
        """Note which epoch begins; the first one after the warm-up estimates the transition, once."""
        self.epoch = epoch
        if not 0 < self.warm_epochs <= epoch or self.matrix_KK is not None:
            return
        self.matrix_KK = self.anchors.transition(self.percentile)
        self.anchors = Anchors()
        if self.matrix_KK is None:
            log.warning("loss (forward_estimated): no pixel was predicted in the warm-up; it stays cross-entropy")
            return
        log.info("loss (forward_estimated): transition estimated after %d epochs: %s", epoch, shown(self.matrix_KK))
        warn_if_lost(self.matrix_KK)

    def forward(self, logits_BKHW: Tensor, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Loss of a batch: logits [B, K, H, W], batch["mask"] [B, H, W]."""
        if self.matrix_KK is None:
            matrix_KK = torch.eye(logits_BKHW.shape[1], device=logits_BKHW.device)
        else:
            self.matrix_KK = matrix_KK = self.matrix_KK.to(logits_BKHW.device)
        term = forward_loss(logits_BKHW, batch["mask"], matrix_KK, average=self.average)
        if self.epoch == self.warm_epochs - 1:
            with torch.no_grad():
                p_KBHW = logits_BKHW.detach().float().softmax(1).transpose(0, 1)
                self.anchors.add(p_KBHW[:, batch["mask"] != IGNORE])
        return {"forward": term}

    def get_extra_state(self) -> dict[str, Tensor]:
        """The histograms and the transition, as far as they are there."""
        found = {"anchors": self.anchors.sums_KRC, "matrix": self.matrix_KK}
        return {name: tensor for name, tensor in found.items() if tensor is not None}

    def set_extra_state(self, state: dict[str, Tensor]) -> None:
        """Take what `get_extra_state` gave."""
        self.anchors.sums_KRC, self.matrix_KK = state.get("anchors"), state.get("matrix")
