"""Forward loss correction (Patrini et al. 2017, Theorem 2): the network predicts the clean label, the loss the noisy.

    python -m seglab.train loss=forward data=sod noise.rate=0.3

Legend: B batch, K classes, H W pixels.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from seglab.losses.checks import check_choice
from seglab.losses.pixels import AVERAGES, image_mean, pixels_of
from seglab.losses.transition import checked_transition, shown, transition_of, warn_if_lost

log = logging.getLogger(__name__)

NEVER = 1e-12
"""Probability of a label that the transition excludes; without it one such pixel would make the loss infinite."""


def forward_loss(
    logits_BKHW: Tensor,
    labels_BHW: Tensor,
    matrix_KK: Tensor,
    *,
    average: Literal["image", "batch"] = "image",
) -> Tensor:
    """-log sum_i T[i][y] p_i, averaged as in `seglab.losses.ce`: -log (T^T p)_y of Patrini et al. 2017, Theorem 2.

    Args:
        logits_BKHW: scores before the softmax, any floating type; computed in float32 (float64 for float64).
        labels_BHW: integer classes 0..K-1, noisy; 255 is ignored.
        matrix_KK: T, float; T[i][j] is the probability that a pixel of class i is labelled j. A label that no class is
            ever given counts as one that all are given with probability `NEVER`.
        average: see `seglab.losses.pixels.image_mean`.

    Returns:
        Scalar >= 0; 0 (with a graph) where every pixel is ignored.

    Raises:
        ValueError: T has not one row for each channel, an unknown average, wrong shapes, or (on the CPU) a label that
            is neither a class nor 255.
    """
    check_choice("average", average, AVERAGES)
    pixels = pixels_of(logits_BKHW, labels_BHW, name="forward")
    K = logits_BKHW.shape[1]
    if tuple(matrix_KK.shape) != (K, K):
        raise ValueError(f"loss.matrix: {tuple(matrix_KK.shape)}, expected one row for each of {K} channels")
    matrix_KK = torch.where(matrix_KK.sum(0) > 0, matrix_KK, NEVER)
    log_T_KK = matrix_KK.to(pixels.log_BKHW).log()  # -inf where a class never gets a label: it adds nothing to the sum
    cost_BHW = -torch.logsumexp(pixels.log_BKHW + log_T_KK[:, pixels.class_BHW].transpose(0, 1), 1)
    return image_mean(cost_BHW, pixels.valid_BHW, average)


class ForwardCorrection(nn.Module):
    """Forward correction with a known transition, see `forward_loss`; returns the one term "forward".

    Until a transition is known the loss is cross-entropy. In a training `tell_noise` makes it known.

    Args:
        matrix: T, K rows of K numbers; None: that of the noise which seglab makes itself.
        average: as there.

    Raises:
        ValueError: an option out of range.
    """

    def __init__(
        self, *, matrix: Sequence[Sequence[float]] | None = None, average: Literal["image", "batch"] = "image"
    ) -> None:
        super().__init__()
        check_choice("average", average, AVERAGES)
        self.average, self.batch_coupled = average, average == "batch"
        self.given = None if matrix is None else checked_transition(matrix)
        self.matrix_KK = self.given

    def tell_noise(self, report: Mapping[str, Any]) -> None:
        """Take the transition from what was done to the masks, unless it was given.

        Args:
            report: content of ``noise.json``.

        Raises:
            ValueError: it does not tell the transition.
        """
        self.matrix_KK = transition_of(report) if self.given is None else self.given
        if self.matrix_KK is None:
            log.info("loss (forward): no mask was changed, so it is cross-entropy")
            return
        log.info("loss (forward): transition %s", shown(self.matrix_KK))
        warn_if_lost(self.matrix_KK)

    def forward(self, logits_BKHW: Tensor, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Loss of a batch: logits [B, K, H, W], batch["mask"] [B, H, W]."""
        if self.matrix_KK is None:
            matrix_KK = torch.eye(logits_BKHW.shape[1], device=logits_BKHW.device)
        else:
            self.matrix_KK = matrix_KK = self.matrix_KK.to(logits_BKHW.device)
        return {"forward": forward_loss(logits_BKHW, batch["mask"], matrix_KK, average=self.average)}
