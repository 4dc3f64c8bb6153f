"""Image standardisation inside the network: zero mean and unit variance (CAS section 4.2).

The CAS papers resize to 256 x 256 and standardise to mean 0 and variance 1; read here as one mean and one deviation per
image, over all its pixels and channels. ImageNet statistics are what the released programs of both papers use.

    Normalise("per_image")(torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)).std()      # close to 1

Shapes: B batch, H W pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

MODES = ("per_image", "imagenet", "none")
IMAGENET_MEAN = (0.485, 0.456, 0.406)  # of colours on a 0..1 scale, in the order R, G, B
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
FLAT = 0.01  # grey levels: an image that varies less is constant up to rounding, and its rounding must not be blown up


class Normalise(nn.Module):
    """Turns an image on the 0..255 scale into the float32 image a network works on.

    Args:
        mode: `per_image`: minus the image's mean, divided by its deviation (over all pixels and channels together, so
            that colour casts survive; a constant image becomes zero). `imagenet`: divided by 255, then ImageNet's mean
            and deviation of each channel. `none`: the values as they are, 0..255.

    Shape:
        image_B3HW: uint8, or float on the 0..255 scale; the result is float32 of the same shape and memory format.

    Raises:
        ValueError: if `mode` is none of the three (config key `model.normalise`).
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, mode: str = "per_image") -> None:
        super().__init__()
        if mode not in MODES:
            raise ValueError(f"model.normalise={mode!r}: expected one of {', '.join(MODES)}")
        self.mode = mode
        if mode == "imagenet":
            self.register_buffer("mean", 255 * torch.tensor(IMAGENET_MEAN).view(3, 1, 1))
            self.register_buffer("deviation", 255 * torch.tensor(IMAGENET_DEVIATION).view(3, 1, 1))

    def forward(self, image_B3HW: Tensor) -> Tensor:
        """Standardises each image by itself; see the class for ranges."""
        image_B3HW = image_B3HW.to(
            torch.float32, copy=True
        )  # ours to change in place: memory traffic is all this costs
        if self.mode == "imagenet":
            return image_B3HW.sub_(self.mean).div_(self.deviation)
        if self.mode == "none":
            return image_B3HW
        each, size = (1, 2, 3), image_B3HW[0].numel()
        image_B3HW.sub_(image_B3HW.mean(each, keepdim=True))
        deviation_B111 = torch.linalg.vector_norm(image_B3HW, dim=each, keepdim=True) / size**0.5
        return image_B3HW.div_(deviation_B111.clamp_min(FLAT))

    def extra_repr(self) -> str:
        """The mode, for the printed model."""
        return repr(self.mode)
