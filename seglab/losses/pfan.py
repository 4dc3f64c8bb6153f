"""Edge preservation loss of PFAN (Zhao and Wu, CVPR 2019, section 3.3): the map and its edges, both by cross-entropy.

    L = alpha * L_S + (1 - alpha) * L_B
    L_S: cross-entropy of map P and mask Y, the object weighed by alpha_s, the background by 1 - alpha_s
    L_B: cross-entropy of their edges, where the edges of X are |tanh(Laplace operator of X)|

From the paper: the three formulas. Our reading: alpha = 0.7 and alpha_s = 0.528, of which we are not certain; the
Laplace operator on four neighbours, the border repeated outside the image; means over labelled pixels, then over
images, where the paper has sums; an edge counts where no pixel of its neighbourhood is ignored; edges are kept 1e-6
away from 0 and 1 before the logarithm.

    edge_preservation(torch.zeros(1, 2, 4, 4), torch.eye(4).long()[None])["edge"]

Legend: B batch, H W pixels.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seglab.losses.checks import check_share
from seglab.losses.saliency import mean_over, object_logit, object_mask

EPSILON = 1e-6  # distance of an edge's strength from 0 and 1


def neighbours(x_BHW: Tensor) -> Tensor:
    """The sum of a pixel's four neighbours; outside the image the border is repeated.

    Args:
        x_BHW: any values.
    """
    x_BHW = F.pad(x_BHW[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    return x_BHW[:, :-2, 1:-1] + x_BHW[:, 2:, 1:-1] + x_BHW[:, 1:-1, :-2] + x_BHW[:, 1:-1, 2:]


def edges(x_BHW: Tensor) -> Tensor:
    """Strength of the edges, |tanh(Laplace operator)|, in 0..1.

    Args:
        x_BHW: map or mask in 0..1.
    """
    return torch.tanh(neighbours(x_BHW) - 4 * x_BHW).abs()


def edge_preservation(
    logits_B2HW: Tensor, mask_BHW: Tensor, *, alpha: float = 0.7, alpha_s: float = 0.528
) -> dict[str, Tensor]:
    """The two weighted terms, "saliency" and "edge", in nats.

    Args:
        logits_B2HW: scores of background and object.
        mask_BHW: integers 0, 1, or 255 for ignored pixels.
        alpha: share of the map's own cross-entropy, in 0..1.
        alpha_s: weight of the object's pixels in it, in 0..1.

    Returns:
        Scalars >= 0.

    Raises:
        ValueError: wrong shapes, not two channels, or (on the CPU) another label.
    """
    z_BHW = object_logit(logits_B2HW, name="pfan")
    y_BHW, valid_BHW = object_mask(logits_B2HW, mask_BHW, name="pfan")
    saliency_BHW = alpha_s * y_BHW * F.softplus(-z_BHW) + (1 - alpha_s) * (1 - y_BHW) * F.softplus(z_BHW)
    found_BHW = edges(torch.sigmoid(z_BHW)).clamp(EPSILON, 1 - EPSILON)
    true_BHW = edges(y_BHW)
    edge_BHW = -(true_BHW * found_BHW.log() + (1 - true_BHW) * (1 - found_BHW).log())
    whole_BHW = ((neighbours(valid_BHW) + valid_BHW) == 5).to(valid_BHW.dtype)
    return {
        "saliency": alpha * mean_over(saliency_BHW, valid_BHW),
        "edge": (1 - alpha) * mean_over(edge_BHW, whole_BHW),
    }


class EdgePreservation(nn.Module):
    """Edge preservation loss as a training loss; the arguments are those of `edge_preservation`.

    Args:
        alpha: share of the map's own cross-entropy, in 0..1.
        alpha_s: weight of the object's pixels in it, in 0..1.
    """

    batch_coupled = False
    reads_aux = False  # PFAN has one output

    def __init__(self, *, alpha: float = 0.7, alpha_s: float = 0.528) -> None:
        super().__init__()
        self.alpha, self.alpha_s = check_share("alpha", alpha), check_share("alpha_s", alpha_s)

    def forward(self, logits_B2HW: Tensor, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Loss of a batch: logits [B, 2, H, W], batch["mask"] [B, H, W]."""
        return edge_preservation(logits_B2HW, batch["mask"], alpha=self.alpha, alpha_s=self.alpha_s)
