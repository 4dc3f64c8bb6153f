"""Class-agnostic cross-entropy (CACE, CAS v2, section 4.2): the smaller of a mask's and its inverse's cross-entropy.

    python -c "import torch; from seglab.losses.cace import cace_loss;
               print(cace_loss(torch.zeros(1, 2, 4, 4), torch.eye(4).long()[None]))"

Legend: B batch, H W pixels; two channels, 0 background and 1 foreground, whose names the loss forgets.
"""

from typing import Any

import torch
from torch import Tensor, nn

from seglab.losses.regions import IGNORE, check_inputs, check_labels


def cace_loss(logits_B2HW: Tensor, labels_BHW: Tensor) -> Tensor:
    """CACE in nats, mean over images: per image min(mean CE(y, p), mean CE(1 - y, p)); CAS v2, section 4.2.

    Exchanging labels 0 and 1 in any images changes no bit of the value or the gradient.

    Args:
        logits_B2HW: two channels before the softmax, any floating type; computed in float32 (float64 for float64).
        labels_BHW: integers 0 and 1; 255 is ignored.

    Returns:
        Scalar >= 0; 0 (with a graph) where every pixel is ignored.

    Raises:
        ValueError: other than two channels, wrong shapes, or (on the CPU) a label other than 0, 1 and 255.
    """
    check_inputs(logits_B2HW, labels_BHW)
    if logits_B2HW.shape[1] != 2:
        raise ValueError(f"model.channels: {logits_B2HW.shape[1]}, expected 2 for loss=cace")
    check_labels(labels_BHW, below=2, name="loss (cace)")
    logits_B2HW = logits_B2HW if logits_B2HW.dtype == torch.float64 else logits_B2HW.float()
    log_B2P = logits_B2HW.log_softmax(1).flatten(2)
    labels_BP = labels_BHW.flatten(1)
    is_one_BP, valid_BP = labels_BP == 1, labels_BP != IGNORE
    # Deviation: the printed min(-y log p, -(1 - y) log p) is always 0, one of the two being 0 for every pixel; the
    # complement's term needs log(1 - p), and the minimum is over the image: per pixel it would not depend on y.
    given_BP = torch.where(is_one_BP, log_B2P[:, 1], log_B2P[:, 0])
    inverse_BP = torch.where(is_one_BP, log_B2P[:, 0], log_B2P[:, 1])
    pixels_B = valid_BP.sum(1).clamp(min=1)
    given_B = -torch.where(valid_BP, given_BP, 0.0).sum(1) / pixels_B
    inverse_B = -torch.where(valid_BP, inverse_BP, 0.0).sum(1) / pixels_B
    return torch.minimum(given_B, inverse_B).mean()


class CACE(nn.Module):
    """CACE as a training loss, see `cace_loss`. Returns the one term "cace"."""

    batch_coupled = False

    def forward(self, logits_B2HW: Tensor, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Loss of a batch: logits [B, 2, H, W], batch["mask"] [B, H, W]."""
        return {"cace": cace_loss(logits_B2HW, batch["mask"])}
