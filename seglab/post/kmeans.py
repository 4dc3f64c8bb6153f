"""Regions by k-means on the descriptors of every image (CAS supplement E: 20 clusters; the method is our reading).

Legend: B batch, M channels, T scales, K clusters, P pixels.
Example: ``KMeans(clusters=[5, 20])(torch.randn(1, 4, 32, 32), torch.zeros(1, 3, 32, 32, dtype=torch.uint8))``
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from seglab.post.absorb import Absorb
from seglab.post.dense_crf import DenseCRF
from seglab.post.lloyd import kmeans
from seglab.post.region_post import RegionPost


class KMeans(RegionPost):
    """Cluster, then absorb small regions.

    Args:
        clusters: number of clusters; a list gives a segmentation for each of its numbers (scales).
        softmax: cluster the softmax of the logits; False: the logits.
        unit_norm: scale descriptors to length 1 first.
        iterations: most of Lloyd's iterations.
        tolerance: centres that move by less, relative to the descriptors' variance, have converged.
        sample: most pixels for the seeding.
        restarts: seedings, of which the best is taken.
        seed: of the seeding; every image is clustered alone, so its labels do not depend on the others.
        absorb: what takes small regions: ``crf``, ``nearest`` or ``none``.
        smallest: share of the pixels below which a region is small.
        connected: regions are connected parts of the clusters; False: the clusters.
        scope: ``small``: only pixels of small regions may change; ``all``: every pixel may.
        gt_prob: probability of a pixel's own label under ``all``.
        crf: the CRF of ``absorb: crf``.

    Raises:
        ValueError: ``eval.post.<key>`` is outside its range.
    """

    def __init__(
        self,
        *,
        clusters: int | Sequence[int] = 20,
        softmax: bool = True,
        unit_norm: bool = False,
        iterations: int = 100,
        tolerance: float = 1e-4,
        sample: int = 8192,
        restarts: int = 4,
        seed: int = 0,
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
        listed = isinstance(clusters, Sequence) and not isinstance(clusters, str)
        self.clusters = list(clusters) if listed else [clusters]
        if not self.clusters or not all(_whole(k, 1) for k in self.clusters):
            raise ValueError(f"eval.clusters={clusters}: expected a whole number, 1 or more, or a list of them")
        for key, value, low in (("iterations", iterations, 1), ("sample", sample, 1), ("restarts", restarts, 1)):
            if not _whole(value, low):
                raise ValueError(f"eval.post.{key}={value}: expected a whole number, {low} or more")
        if not _whole(seed, 0):
            raise ValueError(f"eval.post.seed={seed}: expected a whole number, 0 or more")
        if isinstance(tolerance, bool) or not isinstance(tolerance, int | float) or not 0 <= tolerance < math.inf:
            raise ValueError(f"eval.post.tolerance={tolerance}: expected a number, 0 or more")
        self.iterations, self.tolerance, self.seed = iterations, float(tolerance), seed
        self.sample, self.restarts = sample, restarts

    def segment(self, x_BMP: Tensor) -> Tensor:
        """Labels of descriptors, int64 [B, T, P], from float32 [B, M, P]."""
        scales = [
            kmeans(
                x_BMP,
                clusters,
                seed=self.seed,
                iterations=self.iterations,
                tolerance=self.tolerance,
                sample=self.sample,
                restarts=self.restarts,
            ).labels_BP
            for clusters in self.clusters
        ]
        return torch.stack(scales, 1)


def _whole(value: object, low: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= low
