"""Label map of classes = the largest channel of every pixel: the read-out of semantic segmentation.

At another size than the network's the scores are resized bilinearly, and the largest is taken there: a label map that
was resized itself would have the stairs of the smaller size.

Legend: B batch, K channels (classes), S the network's size, H W pixels.
Example: ``Classes()(torch.randn(1, 21, 8, 8)); Classes().at_size(torch.randn(21, 8, 8), (375, 500))``
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

_PLANES = 2**24
"""Values held at a time while scores are resized: 64 MB, whatever the number of classes and the size of a photo."""


class Classes:
    """Largest channel; nothing is fitted."""

    gives = "classes"
    """Label maps of classes, not saliency maps."""
    learns = False
    """Whether it is shown held-out images at all."""
    reads_images = False
    """Whether :meth:`at_size` needs the image itself."""

    @property
    def needs_fit(self) -> bool:
        """Whether images with masks must be shown before the first label map."""
        return False

    def scores(self, logits_BKHW: Tensor) -> Tensor:
        """What the largest is taken of: float32 [B, K, H, W].

        Raises:
            ValueError: the output is no stack of channels, or not finite.
        """
        if logits_BKHW.ndim != 4 or logits_BKHW.shape[1] < 2:
            raise ValueError(
                f"output {tuple(logits_BKHW.shape)}: expected [B,K,H,W] with 2 channels or more (model.channels)"
            )
        if not bool(logits_BKHW.isfinite().all()):
            raise ValueError("output of the network with NaN or infinity: no class can be found in it")
        return logits_BKHW.detach().float()

    def __call__(self, logits_BKHW: Tensor, image_BCHW: Tensor | None = None) -> Tensor:
        """Classes at the size of the images, or of the output where none are given: int64 [B, H, W].

        Args:
            logits_BKHW: float [B, K, h, w]; of a coarse network, fewer cells than an image has pixels.
            image_BCHW: the images; only their size is looked at, and at the pixels where ``reads_images`` says so.

        Raises:
            ValueError: as :meth:`scores`.
        """
        scores_BKHW = self.scores(logits_BKHW)
        if image_BCHW is None or (image_BCHW.shape[2:] == scores_BKHW.shape[2:] and not self.reads_images):
            return scores_BKHW.argmax(1)
        size, images_BHWC = image_BCHW.shape[2:], image_BCHW.permute(0, 2, 3, 1).cpu().numpy()
        return torch.stack([self.enlarge(s, size, image) for s, image in zip(scores_BKHW, images_BHWC, strict=True)])

    def at_size(self, logits_KSS: Tensor, size: tuple[int, ...], image_HW3: np.ndarray | None = None) -> Tensor:
        """Classes of one image at another height and width, int64 [H, W].

        Args:
            logits_KSS: float [K, S, S].
            size: height and width wanted.
            image_HW3: the image at that size, uint8; given where ``reads_images`` says so.

        Raises:
            ValueError: as :meth:`scores`.
        """
        return self.enlarge(self.scores(logits_KSS[None])[0], size, image_HW3)

    def enlarge(self, scores_KSS: Tensor, size: tuple[int, ...], image_HW3: np.ndarray | None = None) -> Tensor:
        """What :meth:`at_size` makes of :meth:`scores`: here they are resized, then the largest is taken."""
        return largest(scores_KSS, size)

    def update(self, logits_BKHW: Tensor, masks_BHW: Tensor) -> None:
        """Nothing is learned from held-out images."""

    def sync(self, all_reduce_fn: Callable[[Tensor], object], *, device: torch.device | str | None = None) -> None:
        """Nothing is to be added up."""

    def finish(self) -> None:
        """Nothing is to be chosen."""

    def state(self) -> dict[str, Any]:
        """Nothing was fitted: an empty dict."""
        return {}

    def load(self, state: dict[str, Any]) -> None:
        """Nothing is to be taken over."""


def largest(scores_KSS: Tensor, size: tuple[int, ...]) -> Tensor:
    """Resize scores bilinearly and take the largest of every pixel, a few classes at a time.

    Args:
        scores_KSS: float32 [K, S, S].
        size: height and width wanted.

    Returns:
        int64 [H, W], 0..K-1; of equal scores the lowest class.
    """
    height, width = int(size[0]), int(size[1])
    step = max(1, _PLANES // (height * width))
    best_HW, classes_HW = None, torch.zeros(height, width, dtype=torch.int64, device=scores_KSS.device)
    for first in range(0, len(scores_KSS), step):
        part_KHW = scores_KSS[first : first + step]
        if part_KHW.shape[1:] != (height, width):
            part_KHW = F.interpolate(part_KHW[None], (height, width), mode="bilinear", align_corners=False)[0]
        value_HW, place_HW = part_KHW.max(0)
        if best_HW is None:
            best_HW, classes_HW = value_HW, place_HW
        else:
            better_HW = value_HW > best_HW
            best_HW = torch.where(better_HW, value_HW, best_HW)
            classes_HW = torch.where(better_HW, place_HW + first, classes_HW)
    return classes_HW
