"""What a mask of saliency says of each pixel: object, background or ignored.

Example: ``from seglab.metrics.masks import object_and_valid; object_and_valid(masks_BHW, logits_BMHW)``
"""

from __future__ import annotations

import torch
from torch import Tensor

from seglab.data.sample import IGNORE


def object_and_valid(masks_BHW: Tensor, like_BMHW: Tensor) -> tuple[Tensor, Tensor]:
    """Split masks into object and valid pixels.

    Args:
        masks_BHW: int [B, H, W], 0 background, 1 object, 255 ignored; or bool.
        like_BMHW: output of the model for the same batch, [B, M, H, W]; its size is checked.

    Returns:
        Object pixels and valid pixels, bool [B, H, W], on the device of ``like_BMHW``.

    Raises:
        ValueError: sizes differ or the masks hold other values.
    """
    if like_BMHW.ndim != 4 or masks_BHW.shape != (like_BMHW.shape[0], *like_BMHW.shape[2:]):
        raise ValueError(
            f"output {tuple(like_BMHW.shape)} and masks {tuple(masks_BHW.shape)}: expected [B,M,H,W] and [B,H,W]"
        )
    masks_BHW = masks_BHW.to(like_BMHW.device)
    object_BHW, valid_BHW = masks_BHW == 1, masks_BHW != IGNORE
    other_BHW = valid_BHW & ~object_BHW & (masks_BHW != 0)
    if bool(other_BHW.any()):
        found = torch.unique(masks_BHW[other_BHW]).tolist()[:8]
        raise ValueError(f"masks with values {found}: expected 0 background, 1 object, 255 ignored")
    return object_BHW, valid_BHW
