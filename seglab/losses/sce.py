"""Symmetric cross-entropy (Wang et al. 2019, Eqs. 5 to 7): cross-entropy plus its reverse, in which labels are doubted.

    python -m seglab.train loss=sce data=sod noise.rate=0.3

With a label of one class the reverse term -sum_k p_k log q_k is -A (1 - p), where A stands for log 0: beta and A count
as their product alone. alpha and beta are the paper's for CIFAR-10, which tries several A; -4 is our reading.

Legend: B batch, K classes, H W pixels.
"""

from typing import Any, Literal, NamedTuple

from torch import Tensor, nn

from seglab.losses.checks import check_choice, is_number
from seglab.losses.pixels import AVERAGES, image_mean, one_minus, pixels_of


class SymmetricTerms(NamedTuple):
    """Both terms, weights applied."""

    ce: Tensor  # alpha CE
    rce: Tensor  # beta RCE


def symmetric_cross_entropy(
    logits_BKHW: Tensor,
    labels_BHW: Tensor,
    *,
    alpha: float = 0.1,
    beta: float = 1.0,
    log_zero: float = -4.0,
    average: Literal["image", "batch"] = "image",
) -> SymmetricTerms:
    """Terms alpha CE and beta RCE, averaged as in `seglab.losses.ce`; Wang et al. 2019, Eq. 7.

    Args:
        logits_BKHW: scores before the softmax, any floating type; computed in float32 (float64 for float64).
        labels_BHW: integer classes 0..K-1; 255 is ignored.
        alpha: weight of the cross-entropy, >= 0.
        beta: weight of the reverse cross-entropy, >= 0.
        log_zero: A, what log 0 counts, below 0.
        average: see `seglab.losses.pixels.image_mean`.

    Returns:
        Both terms, scalars >= 0, to be added; 0 (with a graph) where every pixel is ignored.

    Raises:
        ValueError: an option out of range, wrong shapes, or (on the CPU) a label that is neither a class nor 255.
    """
    _check_options(alpha, beta, log_zero, average)
    pixels = pixels_of(logits_BKHW, labels_BHW, name="sce")
    log_BHW = pixels.given_BHW
    return SymmetricTerms(
        alpha * image_mean(-log_BHW, pixels.valid_BHW, average),
        beta * image_mean(-log_zero * one_minus(log_BHW), pixels.valid_BHW, average),
    )


def _check_options(alpha: float, beta: float, log_zero: float, average: str) -> None:
    for key, value in (("alpha", alpha), ("beta", beta)):
        if not is_number(value) or value < 0:
            raise ValueError(f"loss.{key}={value}: expected a weight, 0 or more")
    if alpha == beta == 0:
        raise ValueError("loss.alpha=0 with loss.beta=0: expected one of them above 0")
    if not is_number(log_zero) or log_zero >= 0:
        raise ValueError(f"loss.log_zero={log_zero}: expected a number below 0, what log 0 counts")
    check_choice("average", average, AVERAGES)


class SCE(nn.Module):
    """Symmetric cross-entropy as a training loss, see `symmetric_cross_entropy`; returns the terms "ce" and "rce"."""

    def __init__(
        self,
        *,
        alpha: float = 0.1,
        beta: float = 1.0,
        log_zero: float = -4.0,
        average: Literal["image", "batch"] = "image",
    ) -> None:
        super().__init__()
        _check_options(alpha, beta, log_zero, average)
        self.options = {"alpha": alpha, "beta": beta, "log_zero": log_zero, "average": average}
        self.batch_coupled = average == "batch"

    def forward(self, logits_BKHW: Tensor, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Loss of a batch: logits [B, K, H, W], batch["mask"] [B, H, W]."""
        return symmetric_cross_entropy(logits_BKHW, batch["mask"], **self.options)._asdict()
