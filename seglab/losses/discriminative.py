"""Discriminative loss (De Brabandere et al. 2017), a comparison loss of the CAS paper.

The channels of the network are an embedding of each pixel, without a softmax: pixels are pulled to within delta_v of
the mean of their region, means of different regions of an image are pushed 2 * delta_d apart.

    python -c "import torch; from seglab.losses.discriminative import discriminative_loss;
               print(discriminative_loss(torch.randn(1, 8, 4, 4), torch.eye(4).long()[None]))"

Legend: B batch, D embedding dimensions, C regions of an image, R rows of a table (one per label value), P = H*W pixels.
"""

from typing import Any

import torch
from torch import Tensor, nn

from seglab.losses.regions import IGNORE, check_inputs, check_labels, label_rows, scatter_sum


def discriminative_loss(
    embedding_BDHW: Tensor,
    labels_BHW: Tensor,
    *,
    delta_v: float = 0.5,
    delta_d: float = 1.5,
    alpha: float = 1.0,
    beta: float = 1.0,
    gamma: float = 0.001,
) -> dict[str, Tensor]:
    """Discriminative loss, in terms, weights applied, each the mean over images: De Brabandere et al. 2017.

    Args:
        embedding_BDHW: network output, any floating type; computed in float32 (float64 for float64).
        labels_BHW: integer region labels 0..254, any selection of them; 255 is ignored.
        delta_v: distance from the mean, in embedding units, below which a pixel is not pulled.
        delta_d: half the distance between means, in embedding units, above which they are not pushed.
        alpha: weight of the variance term.
        beta: weight of the distance term; the term is 0 where an image has one region.
        gamma: weight of the regularisation, the mean norm of the means.

    Returns:
        {"variance", "distance", "regularisation"}, scalars >= 0 whose sum is the loss; an image without labelled
        pixels counts as 0.

    Raises:
        ValueError: wrong shapes, a negative weight or margin, or (on the CPU) a label outside 0..255.
    """
    _check_options(delta_v=delta_v, delta_d=delta_d, alpha=alpha, beta=beta, gamma=gamma)
    check_inputs(embedding_BDHW, labels_BHW)
    check_labels(labels_BHW, below=IGNORE, name="loss (discriminative)")
    dtype = torch.float64 if embedding_BDHW.dtype == torch.float64 else torch.float32
    e_BDP, labels_BP = embedding_BDHW.flatten(2).to(dtype), labels_BHW.flatten(1).long()
    R = label_rows(labels_BP)
    index_BP = labels_BP.clamp(max=R)  # ignored pixels fall into the last of R + 1 rows
    count_BR = scatter_sum(torch.ones_like(e_BDP[:, :1]), index_BP, R + 1)[:, 0].clone()
    count_BR[:, R] = 0
    present_BR = count_BR > 0
    regions_B = present_BR.sum(1)
    size_BR, some_B = count_BR.clamp(min=1), regions_B.clamp(min=1)
    mean_BDR = scatter_sum(e_BDP, index_BP, R + 1) / size_BR[:, None]

    distance_BP = torch.linalg.vector_norm(mean_BDR.gather(2, index_BP[:, None].expand_as(e_BDP)) - e_BDP, dim=1)
    weight_BP = (present_BR / size_BR).gather(1, index_BP)  # 1 / N_c, 0 where ignored
    variance_B = ((distance_BP - delta_v).clamp(min=0).square() * weight_BP).sum(1) / some_B

    means_BRD = mean_BDR.transpose(1, 2)
    apart_BRR = torch.cdist(means_BRD, means_BRD, compute_mode="donot_use_mm_for_euclid_dist")
    same_RR = torch.eye(R + 1, dtype=torch.bool, device=e_BDP.device)
    pair_BRR = present_BR[:, :, None] & present_BR[:, None, :] & ~same_RR
    push_B = ((2 * delta_d - apart_BRR).clamp(min=0).square() * pair_BRR).sum((1, 2))
    distance_B = push_B / (regions_B * (regions_B - 1)).clamp(min=1)

    norm_B = (torch.linalg.vector_norm(mean_BDR, dim=1) * present_BR).sum(1) / some_B
    return {
        "variance": alpha * variance_B.mean(),
        "distance": beta * distance_B.mean(),
        "regularisation": gamma * norm_B.mean(),
    }


def _check_options(**options: float) -> None:
    for key, value in options.items():
        if not value >= 0:
            raise ValueError(f"loss.{key}={value}: expected a number >= 0")


class Discriminative(nn.Module):
    """The discriminative loss as a training loss; arguments and terms are those of `discriminative_loss`."""

    batch_coupled = False

    def __init__(
        self,
        *,
        delta_v: float = 0.5,
        delta_d: float = 1.5,
        alpha: float = 1.0,
        beta: float = 1.0,
        gamma: float = 0.001,
    ) -> None:
        super().__init__()
        self.options = {"delta_v": delta_v, "delta_d": delta_d, "alpha": alpha, "beta": beta, "gamma": gamma}
        _check_options(**self.options)

    def forward(self, embedding_BDHW: Tensor, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Loss terms of a batch: embedding [B, D, H, W], batch["mask"] [B, H, W]."""
        return discriminative_loss(embedding_BDHW, batch["mask"], **self.options)
