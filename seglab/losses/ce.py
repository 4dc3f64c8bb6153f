"""Pixel cross-entropy: the comparison loss CE of the CAS paper (section 4.2) and the baseline of the other papers.

    python -c "import torch; from seglab.losses.ce import cross_entropy;
               print(cross_entropy(torch.zeros(1, 2, 4, 4), torch.eye(4).long()[None]))"

Legend: B batch, K classes, H W pixels.
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from seglab.losses.regions import IGNORE, check_inputs, check_labels


def cross_entropy(
    logits_BKHW: Tensor,
    labels_BHW: Tensor,
    *,
    average: Literal["image", "batch"] = "image",
    weight: Sequence[float] | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross-entropy in nats, -log softmax(logits)[label], averaged over the pixels that are not ignored.

    Args:
        logits_BKHW: scores before the softmax, any floating type; computed in float32 (float64 for float64).
        labels_BHW: integer classes 0..K-1; 255 is ignored.
        average: "image": mean over the pixels of an image, then over images (an image without labelled pixels counts
            as 0); "batch": one mean over all pixels of the batch, so images with more labels weigh more.
        weight: K factors, one per class; None for 1. The mean divides by the number of pixels, not by their weights.
        label_smoothing: share of the target spread evenly over all classes, in [0, 1).

    Returns:
        Scalar >= 0; 0 (with a graph) where every pixel is ignored.

    Raises:
        ValueError: unknown option, wrong shapes, or (on the CPU) a label that is neither a class nor 255.
    """
    _check_options(average, label_smoothing)
    check_inputs(logits_BKHW, labels_BHW)
    K = logits_BKHW.shape[1]
    if weight is not None and len(weight) != K:
        raise ValueError(f"loss.weight: {len(weight)} factors, expected one for each of {K} channels")
    check_labels(labels_BHW, below=K, name=f"loss (ce) with model.channels={K}")
    logits_BKHW = logits_BKHW if logits_BKHW.dtype == torch.float64 else logits_BKHW.float()
    factor_K = None if weight is None else logits_BKHW.new_tensor(list(weight))
    loss_BHW = nn.functional.cross_entropy(
        logits_BKHW,
        labels_BHW.long(),
        weight=factor_K,
        ignore_index=IGNORE,
        reduction="none",
        label_smoothing=label_smoothing,
    )
    valid_BHW = labels_BHW != IGNORE
    if average == "batch":
        return loss_BHW.sum() / valid_BHW.sum().clamp(min=1)
    return (loss_BHW.flatten(1).sum(1) / valid_BHW.flatten(1).sum(1).clamp(min=1)).mean()


def _check_options(average: str, label_smoothing: float) -> None:
    if average not in ("image", "batch"):
        raise ValueError(f"loss.average={average}: expected 'image' or 'batch'")
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"loss.label_smoothing={label_smoothing}: expected a number in [0, 1)")


class CE(nn.Module):
    """Cross-entropy as a training loss; the arguments are those of `cross_entropy`. Returns the one term "ce"."""

    batch_coupled = False

    def __init__(
        self,
        *,
        average: Literal["image", "batch"] = "image",
        weight: Sequence[float] | None = None,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        _check_options(average, label_smoothing)
        self.average, self.label_smoothing = average, label_smoothing
        self.weight = None if weight is None else list(weight)
        self.batch_coupled = average == "batch"

    def forward(self, logits_BKHW: Tensor, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Loss of a batch: logits [B, K, H, W], batch["mask"] [B, H, W]."""
        options = {"average": self.average, "weight": self.weight, "label_smoothing": self.label_smoothing}
        return {"ce": cross_entropy(logits_BKHW, batch["mask"], **options)}
