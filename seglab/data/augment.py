"""Augmentation of training batches: mirroring, and the DeepLab stage's flip, blur and rescaling (regularized loss 4.3).

What happens to an image follows from its 64-bit key alone, in any process, whatever else is in the batch.

One runnable line: ``python -c "from seglab.data.augment import Flip; print(Flip(p=0.5))"``.

Shapes: B images of a batch, C channels, H W pixels of the network's size, h w of a rescaled image.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from seglab.data.rng import Dice
from seglab.data.sample import IGNORE, Batch

FILL = (124, 116, 104)
"""Colour outside a shrunken image: ImageNet's mean, in the order R, G, B; close to zero once standardised."""

_DRAWS = 2**32


class Flip:
    """Mirrors image and mask, left to right, in a share of the images.

    Args:
        p: probability, 0..1; the released program of the regularized loss uses 0.5.

    Raises:
        ValueError: ``p`` outside 0..1.
    """

    def __init__(self, *, p: float = 0.5) -> None:
        self.p = _probability("p", p)

    def __call__(self, batch: Batch, keys_B: np.ndarray) -> Batch:
        """A new batch; the one given is left as it is.

        Args:
            batch: images uint8 or float32 [B,C,H,W], masks int64 [B,H,W].
            keys_B: uint64 [B].
        """
        image_BCHW, mask_BHW = _mirrored(batch, keys_B, self.p)
        return Batch(**{**batch, "image": image_BCHW, "mask": mask_BHW})

    def __repr__(self) -> str:
        return f"Flip(p={self.p})"


class DeepLabAugment:
    """Random flip, Gaussian blur and rescaling, in this order, each image by its own draws.

    A rescaled image is cut or filled up to the size it had: cut at a random place, or put at a random place with mean
    colour around it, whose mask is 255. Images are resized bilinearly with antialiasing, masks to the nearest pixel.

    The paper prints no ranges; the defaults are those common for DeepLab. A loss that does not read masks does not know
    which pixels were filled: for it, choose :class:`Flip`.

    Args:
        flip: probability of mirroring, 0..1.
        blur: probability of a blur, 0..1.
        sigma: smallest and largest deviation of the blur in pixels of the network's size; drawn uniformly.
        scale: smallest and largest factor of height and width; drawn uniformly in steps of 0.001.

    Raises:
        ValueError: a value outside its range.

    Source: Veksler 2020, section 4.3; Chen et al. 2018 (DeepLab, scales 0.5 to 2).
    """

    def __init__(
        self,
        *,
        flip: float = 0.5,
        blur: float = 0.5,
        sigma: Sequence[float] = (0.0, 1.0),
        scale: Sequence[float] = (0.5, 2.0),
    ) -> None:
        self.flip, self.blur = _probability("flip", flip), _probability("blur", blur)
        self.sigma = _range("sigma", sigma, low=0, high=20)
        self.scale = _range("scale", scale, low=0.1, high=10)

    def __call__(self, batch: Batch, keys_B: np.ndarray) -> Batch:
        """A new batch of the same shapes and types; the one given is left as it is.

        Args:
            batch: images uint8 [B,3,H,W], masks int64 [B,H,W] of 0..255.
            keys_B: uint64 [B].

        Raises:
            ValueError: images that are no photographs.
        """
        image_B3HW = batch["image"]
        if image_B3HW.dtype != torch.uint8 or image_B3HW.shape[1] != len(FILL):
            kind = f"{str(image_B3HW.dtype).removeprefix('torch.')} of {image_B3HW.shape[1]} channels"
            raise ValueError(
                f"augment=deeplab: the images of these data are {kind}; expected photographs, uint8 of 3 channels: "
                "choose augment=none or augment=flip"
            )
        image_B3HW, mask_BHW = _mirrored(batch, keys_B, self.flip)
        pairs = [
            self._rescaled(self._blurred(image_3HW, key), mask_HW, key)
            for image_3HW, mask_HW, key in zip(image_B3HW, mask_BHW, keys_B, strict=True)
        ]
        images, masks = zip(*pairs, strict=True)
        return Batch(**{**batch, "image": torch.stack(images), "mask": torch.stack(masks)})

    def _blurred(self, image_3HW: Tensor, key: np.uint64) -> Tensor:
        from torchvision.transforms.v2 import functional

        dice = Dice(int(key), "blur")
        low, high = self.sigma
        hit, sigma = _hit(dice, self.blur), low + (high - low) * dice.between(0, 1000) / 1000
        reach = min(int(np.ceil(3 * sigma)), min(image_3HW.shape[-2:]) - 1)  # the border is mirrored so far
        if not hit or reach < 1:
            return image_3HW
        return functional.gaussian_blur(image_3HW, [2 * reach + 1] * 2, [sigma, sigma])

    def _rescaled(self, image_3HW: Tensor, mask_HW: Tensor, key: np.uint64) -> tuple[Tensor, Tensor]:
        from torchvision.transforms.v2 import InterpolationMode, functional

        dice = Dice(int(key), "rescale")
        height, width = mask_HW.shape
        thousandths = dice.between(*(round(1000 * factor) for factor in self.scale))
        h, w = (max(1, (side * thousandths + 500) // 1000) for side in (height, width))
        # Negative where the image has grown and is cut, positive where it has shrunk and is surrounded.
        top, left = (dice.between(min(0, room), max(0, room)) for room in (height - h, width - w))
        image_3hw = functional.resize(image_3HW, [h, w], InterpolationMode.BILINEAR, antialias=True)
        # "Exact" has the pixels' centres where the bilinear resize has them; plain nearest is half a pixel off.
        mask_1hw = functional.resize(mask_HW.to(torch.uint8)[None], [h, w], InterpolationMode.NEAREST_EXACT)
        image = torch.tensor(FILL, dtype=torch.uint8)[:, None, None].expand_as(image_3HW).clone()
        mask = torch.full_like(mask_HW, IGNORE)
        rows, columns = slice(max(0, top), top + h), slice(max(0, left), left + w)
        from_rows = slice(max(0, -top), max(0, -top) + height)
        from_columns = slice(max(0, -left), max(0, -left) + width)
        image[:, rows, columns] = image_3hw[:, from_rows, from_columns]
        mask[rows, columns] = mask_1hw[0, from_rows, from_columns].to(mask.dtype)
        return image, mask

    def __repr__(self) -> str:
        return f"DeepLabAugment(flip={self.flip}, blur={self.blur}, sigma={self.sigma}, scale={self.scale})"


def _mirrored(batch: Batch, keys_B: np.ndarray, p: float) -> tuple[Tensor, Tensor]:
    image_BCHW, mask_BHW = batch["image"], batch["mask"]
    assert len(keys_B) == len(image_BCHW) == len(mask_BHW)
    hit_B = torch.tensor([_hit(Dice(int(key), "flip"), p) for key in keys_B], dtype=torch.bool)
    return (
        torch.where(hit_B[:, None, None, None], image_BCHW.flip(-1), image_BCHW),
        torch.where(hit_B[:, None, None], mask_BHW.flip(-1), mask_BHW),
    )


def _hit(dice: Dice, p: float) -> bool:
    return dice.between(0, _DRAWS - 1) < p * _DRAWS


def _probability(key: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"augment.{key}={value}: expected a probability, 0..1")
    return float(value)


def _range(key: str, value: Sequence[float], *, low: float, high: float) -> tuple[float, float]:
    expected = f"expected the smallest and the largest value, {low} <= smallest <= largest <= {high}"
    numbers = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else []
    known = all(isinstance(number, int | float) and not isinstance(number, bool) for number in numbers)
    if len(numbers) != 2 or not known or not low <= numbers[0] <= numbers[1] <= high:
        raise ValueError(f"augment.{key}={value}: {expected}")
    return float(numbers[0]), float(numbers[1])
