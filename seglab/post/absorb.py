"""Small regions absorbed by large ones: by a dense CRF (CAS supplement E), or by the nearest large region.

CAS absorbs regions under 2 % of the image "with a dense CRF" and says no more. Our reading (``scope: small``): pixels
of large regions keep their label and are observed evidence; those of small regions have none and get the label of a
large region by mean field. ``scope: all`` asks every pixel, as the usual library's ``unary_from_labels`` does: the
label of a large region has probability ``gt_prob``, pixels of small regions are unsure.

The labels of the result are 0..R-1 without a gap, in the order of the labels they come from.

Legend: L labels, H W pixels.
Example: ``Absorb(absorb="nearest")(torch.zeros(8, 8, dtype=torch.int64), None)``
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from seglab.post.dense_crf import DenseCRF

WAYS = ("crf", "nearest", "none")
SCOPES = ("small", "all")
MOST_PLANES = 2**29
"""Labels times pixels that a CRF is given: 2 GB of float32."""


class Absorb:
    """Give the pixels of small regions to large ones.

    Args:
        absorb: ``crf``; ``nearest``: the label of the nearest pixel of a large region; ``none``: nothing is absorbed.
        smallest: share of the image's pixels below which a region is small. Where all are, the largest stays.
        connected: a region is a connected part (4 neighbours) of a label; False: all pixels of a label.
        scope: ``small``: only pixels of small regions may change; ``all``: every pixel may.
        gt_prob: probability of a pixel's own label under ``all``.
        crf: the CRF; None takes the usual one.

    Raises:
        ValueError: ``eval.post.<key>`` is outside its range.
    """

    def __init__(
        self,
        *,
        absorb: str = "crf",
        smallest: float = 0.02,
        connected: bool = False,
        scope: str = "small",
        gt_prob: float = 0.7,
        crf: DenseCRF | None = None,
    ) -> None:
        for key, value, offered in (("absorb", absorb, WAYS), ("scope", scope, SCOPES)):
            if value not in offered:
                raise ValueError(f"eval.post.{key}={value}: expected one of {', '.join(offered)}")
        if not isinstance(connected, bool):
            raise ValueError(f"eval.post.connected={connected}: expected true or false")
        if not _is_number(smallest) or not 0 <= smallest <= 1:
            raise ValueError(f"eval.post.smallest={smallest}: expected a share of the pixels, 0 to 1")
        if not _is_number(gt_prob) or not 0 < gt_prob < 1:
            raise ValueError(f"eval.post.gt_prob={gt_prob}: expected a probability between 0 and 1")
        self.absorb, self.smallest, self.connected = absorb, float(smallest), connected
        self.scope, self.gt_prob = scope, float(gt_prob)
        self.crf = DenseCRF() if crf is None else crf

    def __call__(self, labels_HW: Tensor, image_3HW: Tensor | None) -> Tensor:
        """Absorb what is small.

        Args:
            labels_HW: int64, 0 or more.
            image_3HW: uint8, or float in grey levels 0..255; needed by ``crf`` alone.

        Returns:
            int64 [H, W], 0..R-1, every one of which occurs.

        Raises:
            ValueError: ``crf`` without an image, or far too many labels for ``scope: all``.
        """
        if self.absorb == "crf" and image_3HW is None:
            raise ValueError("eval.post.absorb=crf needs the image: expected one, or eval.post.absorb=nearest")
        if self.connected:
            labels_HW = connected_parts(labels_HW)
        _, index_HW, count_L = torch.unique(labels_HW, return_inverse=True, return_counts=True)
        large_L = count_L >= self.smallest * labels_HW.numel()
        if not bool(large_L.any()):
            large_L[count_L.argmax()] = True
        if self.absorb == "none" or len(large_L) == 1:
            return index_HW
        # -1 = to be found, else 0.. among the large regions
        known_HW = torch.where(large_L, large_L.cumsum(0) - 1, -1)[index_HW]
        return compact(self._found(known_HW, int(large_L.sum()), image_3HW))

    def _found(self, known_HW: Tensor, labels: int, image_3HW: Tensor | None) -> Tensor:
        if labels == 1:
            return torch.zeros_like(known_HW)
        if self.absorb == "nearest":
            return _nearest(known_HW)
        everything = self.scope == "all"
        if not everything and not bool((known_HW < 0).any()):
            return known_HW
        if labels * known_HW.numel() > MOST_PLANES:
            raise ValueError(
                f"{labels} regions of {tuple(known_HW.shape)} pixels: expected fewer for a CRF; a larger "
                "eval.post.smallest, or eval.post.absorb=nearest"
            )
        assert image_3HW is not None
        if not everything:
            unary_LHW = torch.zeros(labels, *known_HW.shape, device=known_HW.device)
            q_LHW = self.crf(unary_LHW, image_3HW, observed_HW=known_HW)
        else:
            q_LHW = self.crf(unary_from_labels(known_HW, labels, gt_prob=self.gt_prob), image_3HW)
        return q_LHW.argmax(0)


def unary_from_labels(labels_HW: Tensor, labels: int, *, gt_prob: float) -> Tensor:
    """Energies from a label map, as the usual library's function of this name.

    Args:
        labels_HW: int64, 0..L-1; -1 = unsure, where all labels are equally probable.
        labels: number of labels, L, 2 or more.
        gt_prob: probability of a pixel's own label; the others share the rest.

    Returns:
        float32 [L, H, W].
    """
    unary_LHW = torch.full((labels, *labels_HW.shape), -math.log((1 - gt_prob) / (labels - 1)), device=labels_HW.device)
    unary_LHW.scatter_(0, labels_HW.clamp(min=0)[None], -math.log(gt_prob))
    return torch.where(labels_HW < 0, math.log(labels), unary_LHW)


def connected_parts(labels_HW: Tensor) -> Tensor:
    """Number the connected parts (4 neighbours) of every label, int64 [H, W], 0.. in reading order."""
    from skimage.measure import label

    parts = label(labels_HW.cpu().numpy(), background=-1, connectivity=1)
    return torch.from_numpy(parts.astype(np.int64) - 1).to(labels_HW.device)


def compact(labels_HW: Tensor) -> Tensor:
    """The same regions as 0..R-1 without a gap, in the same order."""
    return torch.unique(labels_HW, return_inverse=True)[1]


def _nearest(known_HW: Tensor) -> Tensor:
    from scipy.ndimage import distance_transform_edt

    known = known_HW.cpu().numpy()
    rows, columns = distance_transform_edt(known < 0, return_distances=False, return_indices=True)
    return torch.from_numpy(known[rows, columns]).to(known_HW.device)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
