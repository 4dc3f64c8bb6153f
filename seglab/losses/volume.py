"""Volume loss (Veksler 2020, Eq. 4): over a batch the object fills about half of the images, and is lost in none.

    python -c "import torch; from seglab.losses.volume import volume_loss; print(volume_loss(torch.zeros(2, 4, 4)))"

Legend: B batch, H W pixels.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from seglab.losses.checks import check_choice, check_probability, check_share, check_use, factors
from seglab.losses.joint import joint_mean

REDUCTIONS = ("mean", "sum")


class VolumeTerms(NamedTuple):
    """The two terms of Eq. 4 without their weights."""

    batch: Tensor  # (mean over the batch - target)^2
    small: Tensor  # [mean of an image < below] (mean of the image - below)^2


def volume_loss(
    x_BHW: Tensor,
    *,
    target: float = 0.5,
    below: float = 0.15,
    small: Literal["mean", "sum"] = "mean",
    use_B: Tensor | None = None,
) -> VolumeTerms:
    """Both terms of the volume loss: Veksler 2020, Eq. 4.

    Args:
        x_BHW: object probability 0..1, floating point; an image's share of object is its mean.
        target: share of object over the batch, 0..1; 0.5 in the paper.
        below: share under which an image's object counts as too small, 0..1; 0.15 in the paper.
        small: the second term is the "mean" over images, as in the released code, or the "sum", as printed. A weight
            of 5 with the sum over 16 images is 16 times that with the mean.
        use_B: images that count (the positive ones); None for all.

    Returns:
        Scalars >= 0, of the images of all processes; both 0 (with a graph) where no image counts.

    Raises:
        ValueError: an option out of range, or a wrong shape.
    """
    check_volume_options(target=target, below=below, small=small)
    check_probability(x_BHW)
    check_use(use_B, x_BHW.shape[0])
    share_B = x_BHW.mean((1, 2))
    lack_B = (below - share_B).clamp(min=0)
    means_2, count = joint_mean(torch.stack([share_B, lack_B.square()]), factors(use_B, share_B))
    batch = (means_2[0] - target).square() * (count > 0)
    return VolumeTerms(batch, means_2[1] * count if small == "sum" else means_2[1])


def check_volume_options(*, target: float, below: float, small: str) -> None:
    """Refuse settings of the loss before there is a batch.

    Raises:
        ValueError: naming ``loss.<key>``.
    """
    check_share("volume_target", target)
    check_share("small_below", below)
    check_choice("small_reduction", small, REDUCTIONS)
