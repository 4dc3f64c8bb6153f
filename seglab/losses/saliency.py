"""What the losses of the saliency networks share: the object's logit, the binary mask, means over labelled pixels.

A saliency network predicts one probability a pixel, sigmoid(z). A two-channel network predicts the same by its softmax,
with z the difference of its logits, so that these losses train any network of two channels.

    object_logit(torch.zeros(1, 2, 4, 4)).shape      # [1, 4, 4]

Legend: B batch, H W pixels, Z maps of one output.
"""

from typing import Any

import torch
from torch import Tensor, nn

from seglab.losses.regions import IGNORE, check_inputs, check_labels


def object_logit(logits_B2HW: Tensor, *, name: str = "loss") -> Tensor:
    """The number z with sigmoid(z) = softmax channel 1, in float32 (float64 for float64).

    Args:
        logits_B2HW: scores before the softmax.
        name: the loss, for the message.

    Returns:
        [B, H, W].

    Raises:
        ValueError: another number of channels.
    """
    if logits_B2HW.ndim != 4 or logits_B2HW.shape[1] != 2:
        raise ValueError(
            f"loss ({name}) with logits {tuple(logits_B2HW.shape)}: expected two channels, background and object "
            "(model.channels=2)"
        )
    x = logits_B2HW if logits_B2HW.dtype == torch.float64 else logits_B2HW.float()
    return x[:, 1] - x[:, 0]


def object_mask(logits_B2HW: Tensor, mask_BHW: Tensor, *, name: str) -> tuple[Tensor, Tensor]:
    """The mask and which of its pixels are labelled, as factors 0 and 1 in the type of :func:`object_logit`.

    Args:
        logits_B2HW: what the mask belongs to.
        mask_BHW: integers 0 (background), 1 (object), 255 (ignored).
        name: the loss, for the message.

    Returns:
        y [B, H, W], 0 where ignored, and v [B, H, W].

    Raises:
        ValueError: wrong shapes, or (on the CPU) another label.
    """
    check_inputs(logits_B2HW, mask_BHW)
    check_labels(mask_BHW, below=2, name=f"loss ({name})")
    dtype = torch.float64 if logits_B2HW.dtype == torch.float64 else torch.float32
    return (mask_BHW == 1).to(dtype), (mask_BHW != IGNORE).to(dtype)


def mean_over(values_BHW: Tensor, weight_BHW: Tensor) -> Tensor:
    """Weighted mean over the pixels of every image, then over images; an image without weight counts as 0.

    Args:
        values_BHW: any values.
        weight_BHW: factors of 0 or more, broadcast over leading dimensions.
    """
    sums_B = (values_BHW * weight_BHW).flatten(-2).sum(-1)
    return (sums_B / weight_BHW.flatten(-2).sum(-1).clamp(min=1e-12)).mean()


def side_outputs(batch: dict[str, Any], like_BHW: Tensor, *, edges: bool) -> dict[str, Tensor]:
    """The network's further outputs z [B, H, W] of one kind by name; empty where it hands on none.

    Args:
        batch: perhaps with "aux", tensors [B, 1, h, w] by name.
        like_BHW: main output; smaller ones are enlarged to its size, bilinearly.
        edges: those of edges, whose names begin with "edge"; otherwise the maps, which are all others.
    """
    size = like_BHW.shape[1:]
    maps = {}
    for name, z_B1hw in batch.get("aux", {}).items():
        if name.startswith("edge") != edges:
            continue
        z = z_B1hw.to(like_BHW.dtype)
        if z.shape[2:] != size:
            z = nn.functional.interpolate(z, size, mode="bilinear", align_corners=False)
        maps[name] = z[:, 0]
    return maps
