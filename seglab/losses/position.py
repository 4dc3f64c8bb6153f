"""Position loss (Veksler 2020, Eq. 5): no object in a strip along the border, object in the middle of the image.

    python -c "import torch; from seglab.losses.position import border_loss, centre_loss;
               print(border_loss(torch.ones(1, 8, 8)), centre_loss(torch.ones(1, 8, 8)))"

Legend: B batch, H W pixels.
"""

from typing import Literal

import torch
from torch import Tensor

from seglab.losses.checks import check_choice, check_probability, check_use, check_whole, factors
from seglab.losses.joint import joint_mean

SIDES = ("together", "apart")
PER = ("image", "batch")


def border_loss(
    x_BHW: Tensor,
    *,
    width: int = 3,
    sides: Literal["together", "apart"] = "together",
    per: Literal["image", "batch"] = "image",
    use_B: Tensor | None = None,
) -> Tensor:
    """Squared mean of x along the border: the first term of Veksler 2020, Eq. 5.

    Args:
        x_BHW: object probability 0..1, floating point.
        width: of the strip, pixels; 3 in the paper.
        sides: "together": one mean over the strip, as printed; "apart": a mean for each of the four sides, corners
            belonging to two, and the mean of the four squares, as in the released code.
        per: "image": squares are taken of each image, then averaged, as printed; "batch": means are over all images
            before they are squared, as in the released code.
        use_B: images that count; None for all.

    Returns:
        Scalar in 0..1, of the images of all processes; 0 (with a graph) where no image counts.

    Raises:
        ValueError: an option out of range, a wrong shape, or an image without a pixel inside the strip.
    """
    check_position_options(border_width=width, border_sides=sides, per=per)
    check_probability(x_BHW)
    check_use(use_B, x_BHW.shape[0])
    H, W = x_BHW.shape[1:]
    if min(H, W) <= 2 * width:
        raise ValueError(
            f"loss.border_width={width}: images of {H} x {W} pixels, expected more than {2 * width} each way"
        )
    strips = x_BHW[:, :width], x_BHW[:, H - width :], x_BHW[:, :, :width], x_BHW[:, :, W - width :]
    if sides == "apart":
        means_SB = torch.stack([strip.mean((1, 2)) for strip in strips])
    else:
        rows = slice(width, H - width)  # corners once
        total_B = sum(strip.sum((1, 2)) for strip in (*strips[:2], strips[2][:, rows], strips[3][:, rows]))
        means_SB = (total_B / (H * W - (H - 2 * width) * (W - 2 * width)))[None]
    use_B = factors(use_B, means_SB[0])
    if per == "image":
        return joint_mean(means_SB.square().mean(0), use_B)[0]
    return joint_mean(means_SB, use_B)[0].square().mean()


def centre_loss(
    x_BHW: Tensor,
    *,
    side: int = 3,
    per: Literal["image", "batch"] = "image",
    use_B: Tensor | None = None,
) -> Tensor:
    """Squared lack of x in a central box: the second term of Veksler 2020, Eq. 5.

    Args:
        x_BHW: object probability 0..1, floating point.
        side: of the box, pixels; 3 in the paper, 4 in the released code. Where it cannot lie in the middle, as 3 of
            128 pixels, it lies half a pixel to the top and left.
        per: as in `border_loss`.
        use_B: images that count; None for all.

    Returns:
        Scalar in 0..1, of the images of all processes; 0 (with a graph) where no image counts.

    Raises:
        ValueError: an option out of range, a wrong shape, or an image smaller than the box.
    """
    check_position_options(centre=side, per=per)
    check_probability(x_BHW)
    check_use(use_B, x_BHW.shape[0])
    H, W = x_BHW.shape[1:]
    if min(H, W) < side:
        raise ValueError(f"loss.centre={side}: images of {H} x {W} pixels, expected at least {side} each way")
    top, left = (H - side) // 2, (W - side) // 2
    mean_B = x_BHW[:, top : top + side, left : left + side].mean((1, 2))
    if per == "image":
        return joint_mean((1 - mean_B).square(), factors(use_B, mean_B))[0]
    mean, count = joint_mean(mean_B, factors(use_B, mean_B))
    return (1 - mean).square() * (count > 0)


def check_position_options(
    *, border_width: int = 3, border_sides: str = "together", centre: int = 3, per: str = "image"
) -> None:
    """Refuse settings of the losses before there is a batch.

    Raises:
        ValueError: naming ``loss.<key>``.
    """
    check_whole("border_width", border_width)
    check_choice("border_sides", border_sides, SIDES)
    check_whole("centre", centre)
    check_choice("position_per", per, PER)
