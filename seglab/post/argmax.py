"""Regions by the largest channel: the read-out of a network with one channel for each region, as for two textures.

Legend: B batch, M channels, T scales (here 1), P pixels.
Example: ``Argmax(absorb="none")(torch.randn(1, 2, 32, 32)).labels_BTHW``
"""

from __future__ import annotations

from torch import Tensor

from seglab.post.absorb import Absorb
from seglab.post.dense_crf import DenseCRF
from seglab.post.region_post import RegionPost


class Argmax(RegionPost):
    """Largest channel, then absorb small regions.

    Args:
        softmax: descriptors, which the confidence is measured on, are the softmax of the logits; False: the logits.
        unit_norm: scale descriptors to length 1 first; the largest channel stays the largest.
        absorb: what takes small regions: ``crf``, ``nearest`` or ``none``.
        smallest: share of the pixels below which a region is small.
        connected: regions are connected parts of a label; False: all pixels of a label.
        scope: ``small``: only pixels of small regions may change; ``all``: every pixel may.
        gt_prob: probability of a pixel's own label under ``all``.
        crf: the CRF of ``absorb: crf``.

    Raises:
        ValueError: ``eval.post.<key>`` is outside its range.
    """

    def __init__(
        self,
        *,
        softmax: bool = True,
        unit_norm: bool = False,
        absorb: str = "crf",
        smallest: float = 0.02,
        connected: bool = False,
        scope: str = "small",
        gt_prob: float = 0.7,
        crf: DenseCRF | None = None,
    ) -> None:
        absorption = Absorb(
            absorb=absorb, smallest=smallest, connected=connected, scope=scope, gt_prob=gt_prob, crf=crf
        )
        super().__init__(softmax=softmax, unit_norm=unit_norm, absorb=absorption)

    def segment(self, x_BMP: Tensor) -> Tensor:
        """Labels of descriptors, int64 [B, 1, P], from float32 [B, M, P]."""
        return x_BMP.argmax(1)[:, None]
