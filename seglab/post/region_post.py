"""What all read-outs of regions share: descriptors from logits, labels by some rule, small regions absorbed.

A rule is a subclass with ``segment``. Nothing is fitted on other images, so every image is read out for itself.

Legend: B batch, M channels, T scales (segmentations of one image), R regions, H W pixels, P = H * W.
Example: ``KMeans(clusters=20)(logits_BMHW, image_B3HW).labels_BTHW``
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from seglab.post.absorb import Absorb
from seglab.post.region_maps import RegionMaps


class RegionPost(ABC):
    """Logits to segmentations.

    Args:
        softmax: the descriptors are the softmax of the logits over channels; False: the logits.
        unit_norm: they are then scaled to length 1.
        absorb: what is done with small regions.

    Raises:
        ValueError: ``eval.post.softmax`` or ``eval.post.unit_norm`` is neither true nor false.
    """

    regions = True
    """Gives label maps, not saliency maps."""
    learns = False
    """Whether it is shown held-out images at all."""
    regions = True
    """Gives label maps, not saliency maps."""
    learns = False
    """Whether it is shown held-out images at all."""
    needs_fit = False
    """Whether images with masks must be shown before the first segmentation."""

    def __init__(self, *, softmax: bool, unit_norm: bool, absorb: Absorb) -> None:
        for key, value in (("softmax", softmax), ("unit_norm", unit_norm)):
            if not isinstance(value, bool):
                raise ValueError(f"eval.post.{key}={value}: expected true or false")
        self.softmax, self.unit_norm, self.absorb = softmax, unit_norm, absorb

    @abstractmethod
    def segment(self, x_BMP: Tensor) -> Tensor:
        """Labels of descriptors, int64 [B, T, P], 0 or more, from float32 [B, M, P]."""

    @torch.no_grad()
    def __call__(self, logits_BMHW: Tensor, image_B3HW: Tensor | None = None) -> RegionMaps:
        """Segment a batch.

        Args:
            logits_BMHW: float [B, M, H, W].
            image_B3HW: the images at the same size, uint8 or float in grey levels 0..255; needed by ``absorb: crf``.

        Returns:
            Segmentations; labels of every image and scale are 0..R'-1 without a gap, R is the largest R' of the batch.

        Raises:
            ValueError: sizes differ, the logits are not finite, or the image is missing.
        """
        self._check(logits_BMHW, image_B3HW)
        size = logits_BMHW.shape[2:]
        with torch.autocast(logits_BMHW.device.type, enabled=False):
            x_BMP = self.descriptors(logits_BMHW).flatten(2)
            labels_BTHW = self.segment(x_BMP).unflatten(2, size)
            for i, labels_THW in enumerate(labels_BTHW):
                image = None if image_B3HW is None else image_B3HW[i].to(labels_THW.device)
                for t, labels_HW in enumerate(labels_THW):
                    labels_BTHW[i, t] = self.absorb(labels_HW, image)
            return RegionMaps(labels_BTHW, confidence(x_BMP, labels_BTHW.flatten(2)))

    def descriptors(self, logits_BMHW: Tensor) -> Tensor:
        """What is clustered: float32 [B, M, H, W]."""
        x_BMHW = logits_BMHW.detach().float()
        if self.softmax:
            x_BMHW = x_BMHW.softmax(1)
        return torch.nn.functional.normalize(x_BMHW, dim=1) if self.unit_norm else x_BMHW

    def update(self, logits_BMHW: Tensor, masks_BHW: Tensor) -> None:  # noqa: B027
        """Nothing is learned from held-out images."""

    def sync(self, all_reduce_fn: Callable[[Tensor], object], *, device: torch.device | str | None = None) -> None:  # noqa: B027
        """Nothing is to be added up."""

    def finish(self) -> None:  # noqa: B027
        """Nothing is to be chosen."""

    def state(self) -> dict[str, Any]:
        """Nothing was fitted: an empty dict."""
        return {}

    def load(self, state: dict[str, Any]) -> None:  # noqa: B027
        """Nothing is to be taken over."""

    def _check(self, logits_BMHW: Tensor, image_B3HW: Tensor | None) -> None:
        if logits_BMHW.ndim != 4 or 0 in logits_BMHW.shape:
            raise ValueError(f"output {tuple(logits_BMHW.shape)}: expected [B,M,H,W], none of them 0")
        if not bool(logits_BMHW.isfinite().all()):
            raise ValueError("output of the network with NaN or infinity: no regions can be found in it")
        if self.absorb.absorb == "crf" and image_B3HW is None:
            raise ValueError("eval.post.absorb=crf needs the image: expected one, or eval.post.absorb=nearest")
        batch, size = logits_BMHW.shape[0], logits_BMHW.shape[2:]
        if image_B3HW is not None and image_B3HW.shape != (batch, 3, *size):
            raise ValueError(f"images {tuple(image_B3HW.shape)}: expected {(batch, 3, *size)}, as the output has")


def confidence(x_BMP: Tensor, labels_BTP: Tensor) -> Tensor:
    """How sure a region is: minus the variance of its descriptors, summed over channels.

    Args:
        x_BMP: descriptors, float32.
        labels_BTP: int64, 0..R-1.

    Returns:
        float32 [B, T, R], 0 or below; -inf for a label that an image lacks.
    """
    regions = int(labels_BTP.max()) + 1
    result_BTR = torch.full((*labels_BTP.shape[:2], regions), -torch.inf, device=x_BMP.device)
    for i, x_MP in enumerate(x_BMP.double()):
        for t, labels_P in enumerate(labels_BTP[i]):
            count_R = torch.bincount(labels_P, minlength=regions)
            mean_MR = _sums(x_MP, labels_P, regions) / count_R.clamp(min=1)
            apart_1P = (x_MP - mean_MR[:, labels_P]).square().sum(0, keepdim=True)
            variance_R = _sums(apart_1P, labels_P, regions)[0] / count_R.clamp(min=1)
            result_BTR[i, t] = torch.where(count_R > 0, -variance_R, -torch.inf).float()
    return result_BTR


def _sums(x_MP: Tensor, labels_P: Tensor, regions: int) -> Tensor:
    # In float64 the order of the additions is lost in the rounding to float32.
    return x_MP.new_zeros(len(x_MP), regions).index_add_(1, labels_P, x_MP)
