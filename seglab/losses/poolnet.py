"""Losses of PoolNet (Liu et al., CVPR 2019, section 4): cross-entropy of the map, balanced cross-entropy of the edges.

From the paper: the two losses, the second for its edge branch. The paper trains this branch on a data set of edges.
Our reading: its edges are those of the masks, a pixel being one where the 3x3 pixels around it hold both labels; the
two classes of an image weigh as much as the other one has pixels, as in the work cited there; means over labelled
pixels, then over images; the mean over the three edge outputs has weight 1. On a mask whose regions were exchanged the
edges stay where they were.

    saliency_and_edges(torch.zeros(1, 2, 4, 4), torch.eye(4).long()[None])["bce"]

Legend: B batch, H W pixels.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seglab.losses.saliency import mean_over, object_logit, object_mask, side_outputs


def boundaries(y_BHW: Tensor, valid_BHW: Tensor) -> tuple[Tensor, Tensor]:
    """The pixels whose 3x3 neighbourhood holds both labels, and the pixels whose neighbourhood is labelled.

    Args:
        y_BHW: mask, 0 or 1.
        valid_BHW: factors 0 (ignored) and 1.

    Returns:
        Two tensors of factors 0 and 1, [B, H, W].
    """
    around = {"kernel_size": 3, "stride": 1, "padding": 1}
    highest, lowest = F.max_pool2d(y_BHW, **around), -F.max_pool2d(-y_BHW, **around)
    return highest - lowest, -F.max_pool2d(-valid_BHW, **around)


def balanced(z_BHW: Tensor, edge_BHW: Tensor, valid_BHW: Tensor) -> Tensor:
    """Cross-entropy in which the edges of an image weigh as much as all its other pixels (Xie and Tu 2015).

    Args:
        z_BHW: edge output, sigmoid(z) the probability of an edge.
        edge_BHW: factors 0 and 1.
        valid_BHW: factors 0 (ignored) and 1.

    Returns:
        Scalar >= 0 in nats.
    """
    pixels_B = valid_BHW.flatten(1).sum(1).clamp(min=1)
    share_B11 = ((edge_BHW * valid_BHW).flatten(1).sum(1) / pixels_B)[:, None, None]
    weighed_BHW = (1 - share_B11) * edge_BHW * F.softplus(-z_BHW) + share_B11 * (1 - edge_BHW) * F.softplus(z_BHW)
    return mean_over(weighed_BHW, valid_BHW)


def saliency_and_edges(
    logits_B2HW: Tensor, mask_BHW: Tensor, *, sides: dict[str, Tensor] | None = None, weight: float = 1.0
) -> dict[str, Tensor]:
    """The cross-entropy of the map, and that of the edges where there are edge outputs.

    Args:
        logits_B2HW: scores of background and object.
        mask_BHW: integers 0, 1, or 255 for ignored pixels.
        sides: edge outputs z [B, H, W] by name.
        weight: of the mean over the edge outputs.

    Returns:
        "bce" and perhaps "edge"; scalars >= 0 in nats.

    Raises:
        ValueError: wrong shapes, not two channels, or (on the CPU) another label.
    """
    z_BHW = object_logit(logits_B2HW, name="poolnet")
    y_BHW, valid_BHW = object_mask(logits_B2HW, mask_BHW, name="poolnet")
    terms = {"bce": mean_over(F.softplus(z_BHW) - y_BHW * z_BHW, valid_BHW)}
    if sides:
        edge_BHW, whole_BHW = boundaries(y_BHW, valid_BHW)
        terms["edge"] = weight * torch.stack([balanced(z, edge_BHW, whole_BHW) for z in sides.values()]).mean()
    return terms


class SaliencyAndEdges(nn.Module):
    """PoolNet's losses as a training loss.

    Args:
        side_edges: also judge the edges that the network hands on (`model.edge=true`); False: the map alone.
        weight: of the edges, 0 or more.

    Raises:
        ValueError: a weight below 0.
    """

    batch_coupled = False

    def __init__(self, *, side_edges: bool = True, weight: float = 1.0) -> None:
        super().__init__()
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < float("inf"):
            raise ValueError(f"loss.weight={weight}: expected a number, 0 or more")
        self.reads_aux, self.weight = side_edges, float(weight)

    def forward(self, logits_B2HW: Tensor, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Loss of a batch: logits [B, 2, H, W], batch["mask"] [B, H, W], perhaps batch["aux"]."""
        sides = side_outputs(batch, logits_B2HW[:, 0], edges=True) if self.reads_aux else {}
        return saliency_and_edges(logits_B2HW, batch["mask"], sides=sides, weight=self.weight)
