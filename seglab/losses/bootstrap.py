"""Bootstrapping (Reed et al. 2015, Eqs. 6 and 7): the target is part label, part what the network itself believes.

    python -m seglab.train loss=bootstrap data=sod noise.rate=0.3

Legend: B batch, K classes, H W pixels.
"""

from typing import Any, Literal

from torch import Tensor, nn

from seglab.losses.checks import check_choice, check_share
from seglab.losses.pixels import AVERAGES, image_mean, pixels_of

KINDS = ("hard", "soft")


def bootstrap_loss(
    logits_BKHW: Tensor,
    labels_BHW: Tensor,
    *,
    kind: Literal["hard", "soft"] = "hard",
    beta: float = 0.8,
    average: Literal["image", "batch"] = "image",
) -> Tensor:
    """-sum_k (beta t_k + (1 - beta) z_k) log p_k, averaged as in `seglab.losses.ce`; Reed et al. 2015, Eqs. 6 and 7.

    Args:
        logits_BKHW: scores before the softmax, any floating type; computed in float32 (float64 for float64).
        labels_BHW: integer classes 0..K-1; 255 is ignored.
        kind: "hard": z is 1 for the most probable class, Eq. 7; "soft": z = p, with its gradient, so that the second
            part is the entropy, which is made small (Eq. 6).
        beta: share of the label in the target, 0..1; in the paper 0.8 for "hard", 0.95 for "soft".
        average: see `seglab.losses.pixels.image_mean`.

    Returns:
        Scalar >= 0; 0 (with a graph) where every pixel is ignored.

    Raises:
        ValueError: an option out of range, wrong shapes, or (on the CPU) a label that is neither a class nor 255.
    """
    _check_options(kind, beta, average)
    pixels = pixels_of(logits_BKHW, labels_BHW, name="bootstrap")
    log_BKHW = pixels.log_BKHW
    own_BHW = -log_BKHW.amax(1) if kind == "hard" else -(log_BKHW.exp() * log_BKHW).sum(1)
    return image_mean(-beta * pixels.given_BHW + (1 - beta) * own_BHW, pixels.valid_BHW, average)


def _check_options(kind: str, beta: float, average: str) -> None:
    check_choice("kind", kind, KINDS)
    check_share("beta", beta)
    check_choice("average", average, AVERAGES)


class Bootstrap(nn.Module):
    """Bootstrapping as a training loss, see `bootstrap_loss`; returns the one term "bootstrap"."""

    def __init__(
        self,
        *,
        kind: Literal["hard", "soft"] = "hard",
        beta: float = 0.8,
        average: Literal["image", "batch"] = "image",
    ) -> None:
        super().__init__()
        _check_options(kind, beta, average)
        self.options = {"kind": kind, "beta": beta, "average": average}
        self.batch_coupled = average == "batch"

    def forward(self, logits_BKHW: Tensor, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Loss of a batch: logits [B, K, H, W], batch["mask"] [B, H, W]."""
        return {"bootstrap": bootstrap_loss(logits_BKHW, batch["mask"], **self.options)}
