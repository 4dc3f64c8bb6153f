"""The up-sampling baselines of SegNet as read-outs of classes: ``eval=semantic eval/post=naive`` or ``superpixel``.

The rules are those of :mod:`seglab.post.upsampling`. For a network with an output for every pixel a cell is a pixel.

Legend: B batch, K classes, S cells a side, H W pixels.
Example: ``Naive().at_size(torch.randn(21, 13, 13), (375, 500))``
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from seglab.post.classes import Classes
from seglab.post.upsampling import naive, superpixel


class Naive(Classes):
    """Every pixel has the most probable class of its cell (Cogswell et al. 2014, Eq. 16)."""

    def enlarge(self, scores_KSS: Tensor, size: tuple[int, ...], image_HW3: np.ndarray | None = None) -> Tensor:
        """Classes of one image, int64 [H, W], from its scores float32 [K, S, S]; the image is not looked at."""
        return _tensor(naive(scores_KSS.cpu().numpy(), size), scores_KSS)

    def state(self) -> dict[str, Any]:
        """What label maps depend on besides the scores; nothing was fitted."""
        return {"upsampling": "naive"}


class Superpixel(Classes):
    """Every superpixel of the image has the most probable class of the mean of its cells (Cogswell et al. 2014, 4).

    Args:
        superpixels: SLIC superpixels of an image, about so many; fewer in one with less than four pixels for each.
        compactness: of SLIC; large values make them square, small ones follow the colours.

    Raises:
        ValueError: ``eval.post.<key>`` is outside its range.
    """

    reads_images = True
    """Whether :meth:`at_size` needs the image itself."""

    def __init__(self, *, superpixels: int = 400, compactness: float = 10.0) -> None:
        if isinstance(superpixels, bool) or not isinstance(superpixels, int) or superpixels < 1:
            raise ValueError(f"eval.post.superpixels={superpixels}: expected a whole number, 1 or more")
        number = isinstance(compactness, int | float) and not isinstance(compactness, bool)
        if not number or not 0 < compactness < float("inf"):
            raise ValueError(f"eval.post.compactness={compactness}: expected a number above 0")
        self.superpixels, self.compactness = superpixels, float(compactness)

    def __call__(self, logits_BKHW: Tensor, image_BCHW: Tensor | None = None) -> Tensor:
        """Classes at the size of the images, int64 [B, H, W]; see :class:`Classes`.

        Raises:
            ValueError: as :meth:`enlarge`.
        """
        if image_BCHW is None:
            raise _without_image()
        return super().__call__(logits_BKHW, image_BCHW)

    def enlarge(self, scores_KSS: Tensor, size: tuple[int, ...], image_HW3: np.ndarray | None = None) -> Tensor:
        """Classes of one image, int64 [H, W].

        Args:
            scores_KSS: logits, float32 [K, S, S]; their softmax is what is averaged.
            size: height and width, those of the image.
            image_HW3: the image, uint8.

        Raises:
            ValueError: there is no image, or it has another size.
        """
        from seglab.proposals.superpixels import PIXELS_EACH, superpixels

        if image_HW3 is None:
            raise _without_image()
        if image_HW3.shape != (int(size[0]), int(size[1]), 3):
            raise ValueError(f"eval/post=superpixel: an image {image_HW3.shape}: expected {(*size, 3)}, colours 0..255")
        count = max(1, min(self.superpixels, image_HW3.shape[0] * image_HW3.shape[1] // PIXELS_EACH))
        labels_HW = superpixels(np.ascontiguousarray(image_HW3), count=count, compactness=self.compactness)
        probs_KSS = scores_KSS.double().softmax(0).cpu().numpy()
        return _tensor(superpixel(probs_KSS, labels_HW), scores_KSS)

    def state(self) -> dict[str, Any]:
        """What label maps depend on besides scores and image; nothing was fitted."""
        return {"upsampling": "superpixel", "superpixels": self.superpixels, "compactness": self.compactness}


def _without_image() -> ValueError:
    return ValueError("eval/post=superpixel: superpixels are found in the image: expected it with the scores")


def _tensor(classes_HW: np.ndarray, like: Tensor) -> Tensor:
    return torch.from_numpy(classes_HW.astype(np.int64)).to(like.device)
