"""Checks of settings and inputs that the parts of the regularized loss (Veksler 2020) share, one message each.

python -c "from seglab.losses.checks import check_positive; check_positive('sigma', 0.15)"
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def is_number(value: Any) -> bool:
    """Whether it is a finite number, and no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def check_positive(key: str, value: Any) -> float:
    """The value, a number above 0.

    Raises:
        ValueError: it is none.
    """
    if not is_number(value) or value <= 0:
        raise ValueError(f"loss.{key}={value}: expected a number above 0")
    return float(value)


def check_share(key: str, value: Any) -> float:
    """The value, a number from 0 to 1.

    Raises:
        ValueError: it is none.
    """
    if not is_number(value) or not 0 <= value <= 1:
        raise ValueError(f"loss.{key}={value}: expected a number from 0 to 1")
    return float(value)


def check_whole(key: str, value: Any) -> int:
    """The value, a whole number above 0.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"loss.{key}={value}: expected a whole number, 1 or more")
    return value


def check_choice(key: str, value: Any, offered: Sequence[Any]) -> None:
    """Refuse a value that is not offered.

    Raises:
        ValueError: naming what is.
    """
    if isinstance(value, bool) or value not in offered:
        raise ValueError(f"loss.{key}={value}: expected one of {', '.join(map(str, offered))}")


def check_probability(x_BHW: Tensor) -> None:
    """Refuse what is no batch of object probabilities; the values themselves are not looked at.

    Raises:
        ValueError: not floating point, or not [B, H, W].
    """
    if x_BHW.ndim != 3 or not x_BHW.is_floating_point():
        shape = tuple(x_BHW.shape)
        raise ValueError(f"object probability: {x_BHW.dtype} {shape}, expected floating point [B, H, W]")


def check_image(x_BHW: Tensor, image_B3HW: Tensor | None) -> None:
    """Refuse an image that does not belong to these object probabilities or is not in grey levels.

    Raises:
        ValueError: another shape; or a float image whose largest value lies in 0..1, so that sigma would mean nothing.
    """
    check_probability(x_BHW)
    B, H, W = x_BHW.shape
    found = None if image_B3HW is None else tuple(image_B3HW.shape)
    if found != (B, 3, H, W):
        raise ValueError(
            f"image: {found}, expected {[B, 3, H, W]}, the size of the prediction (a coarse network: loss=ce_soft)"
        )
    if image_B3HW.dtype == torch.uint8:
        return
    if not image_B3HW.is_floating_point():
        raise ValueError(f"image: {image_B3HW.dtype}, expected uint8, or floats in grey levels 0..255")
    if image_B3HW.numel() and 0 < float(image_B3HW.max()) <= 1:
        raise ValueError("image: float values up to 1, expected uint8, or floats in grey levels 0..255")


def check_use(use_B: Tensor | None, images: int) -> None:
    """Refuse a choice of images that has not one entry for each.

    Raises:
        ValueError: with the shape that is expected.
    """
    if use_B is not None and tuple(use_B.shape) != (images,):
        raise ValueError(f"images in use: {tuple(use_B.shape)}, expected one entry for each of {images} images")


def factors(use_B: Tensor | None, values_B: Tensor) -> Tensor:
    """Which images count, as factors 0 and 1 in the type of the values; None stands for all."""
    return torch.ones_like(values_B) if use_B is None else use_B.to(values_B.dtype)
