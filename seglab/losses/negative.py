"""Negative loss (Veksler 2020, Eq. 7, corrected): images known to be without the object should hold none of it.

    python -c "import torch; from seglab.losses.negative import negative_loss as f; print(f(torch.ones(1, 4, 4)))"

Legend: B batch, H W pixels.
"""

from typing import Literal

from torch import Tensor

from seglab.losses.checks import check_choice, check_probability, check_use, factors
from seglab.losses.joint import joint_mean

PER = ("image", "batch")


def negative_loss(x_BHW: Tensor, *, per: Literal["image", "batch"] = "image", use_B: Tensor | None = None) -> Tensor:
    """Squared share of object in negative images: Veksler 2020, Eq. 7.

    Deviation: Eq. 7 is printed as (share - 1)^2, which would make negative images all object; the released code has
    the square of the share itself, as here.

    Args:
        x_BHW: object probability 0..1, floating point.
        per: "image": the mean of the images' squares, as Eq. 7 is of one image; "batch": the square of the mean over
            images, as in the released code.
        use_B: images that count (the negative ones); None for all.

    Returns:
        Scalar in 0..1, of the images of all processes; 0 (with a graph) where no image counts.

    Raises:
        ValueError: an unknown option or a wrong shape.
    """
    check_choice("negative_per", per, PER)
    check_probability(x_BHW)
    check_use(use_B, x_BHW.shape[0])
    share_B = x_BHW.mean((1, 2))
    if per == "image":
        return joint_mean(share_B.square(), factors(use_B, share_B))[0]
    return joint_mean(share_B, factors(use_B, share_B))[0].square()
