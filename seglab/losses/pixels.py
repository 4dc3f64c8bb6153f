"""What losses that look at one pixel at a time share: log-probabilities, ignored pixels, and the mean over an image.

    python -c "import torch; from seglab.losses.pixels import image_mean as f;
               print(f(torch.ones(1, 2, 2), torch.tensor([[[True, True], [True, False]]])))"

Legend: B batch, K classes, H W pixels.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from seglab.losses.checks import check_choice
from seglab.losses.regions import IGNORE, check_inputs, check_labels

AVERAGES = ("image", "batch")


class Pixels(NamedTuple):
    """A batch as these losses read it."""

    log_BKHW: Tensor  # log softmax, float32 (float64 for float64)
    class_BHW: Tensor  # int64 0..K-1; 0 where the pixel is ignored
    valid_BHW: Tensor  # bool, False where it is

    @property
    def given_BHW(self) -> Tensor:
        """Log-probability of each pixel's label."""
        return self.log_BKHW.gather(1, self.class_BHW[:, None])[:, 0]


def pixels_of(logits_BKHW: Tensor, labels_BHW: Tensor, *, name: str) -> Pixels:
    """Check a batch and take the logarithm of its softmax, which is never that of 0.

    Args:
        logits_BKHW: scores before the softmax, any floating type, two channels or more.
        labels_BHW: integer classes 0..K-1; 255 is ignored.
        name: of the loss, for messages.

    Raises:
        ValueError: wrong shapes, one channel, or (on the CPU) a label that is neither a class nor 255.
    """
    check_inputs(logits_BKHW, labels_BHW)
    K = logits_BKHW.shape[1]
    if K < 2:
        raise ValueError(f"model.channels: {K}, expected 2 or more for loss={name}")
    check_labels(labels_BHW, below=K, name=f"loss ({name}) with model.channels={K}")
    logits_BKHW = logits_BKHW if logits_BKHW.dtype == torch.float64 else logits_BKHW.float()
    valid_BHW = labels_BHW != IGNORE
    return Pixels(logits_BKHW.log_softmax(1), labels_BHW.long().masked_fill(~valid_BHW, 0), valid_BHW)


def one_minus(log_p: Tensor) -> Tensor:
    """1 - p of log p, exact also where p is almost 1."""
    return -torch.expm1(log_p)


def image_mean(loss_BHW: Tensor, valid_BHW: Tensor, average: Literal["image", "batch"] = "image") -> Tensor:
    """Mean of a cost over the pixels that are not ignored, as cross-entropy takes it.

    Args:
        loss_BHW: finite cost of every pixel.
        valid_BHW: bool, pixels that count.
        average: "image": mean over the pixels of an image, then over images (an image without labelled pixels counts
            as 0); "batch": one mean over all pixels of the batch.

    Returns:
        Scalar; 0 (with a graph) where every pixel is ignored.

    Raises:
        ValueError: unknown average.
    """
    check_choice("average", average, AVERAGES)
    loss_BHW = torch.where(valid_BHW, loss_BHW, 0.0)
    if average == "batch":
        return loss_BHW.sum() / valid_BHW.sum().clamp(min=1)
    return (loss_BHW.flatten(1).sum(1) / valid_BHW.flatten(1).sum(1).clamp(min=1)).mean()
