"""Regions by mean shift on the descriptors of every image; the number of regions follows from the bandwidth.

De Brabandere et al. 2017 read their embedding out by mean shift with the loss's margin delta_v as the bandwidth. Here
seeds climb together on a sample of the pixels (Comaniciu and Meer 2002), seeds that arrive within a bandwidth of each
other are one mode, the one with more pixels around it, and each pixel takes the nearest mode.

Legend: B batch, M channels, T scales, S sampled pixels, s seeds, P pixels.
Example: ``MeanShift(bandwidth=0.5, softmax=False, absorb="none")(torch.randn(1, 8, 32, 32)).labels_BTHW``
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from seglab.post.absorb import Absorb
from seglab.post.dense_crf import DenseCRF
from seglab.post.region_post import RegionPost

KERNELS = ("flat", "gaussian")
_TILE = 2**24
"""Distances held at a time: 64 MB."""


class MeanShift(RegionPost):
    """Find modes, give each pixel the nearest, then absorb small regions.

    Args:
        bandwidth: radius (flat) or standard deviation (gaussian), in units of the descriptors; a list gives a
            segmentation for each of its numbers (scales).
        kernel: ``flat`` or ``gaussian``.
        softmax: shift on the softmax of the logits; False: the logits.
        unit_norm: scale descriptors to length 1 first.
        iterations: most shifts of a seed.
        sample: most pixels, drawn at random, that pull at the seeds.
        seeds: most seeds, the first of the sample.
        modes: most modes; of more, those with most pixels around them are taken.
        seed: of the sample.
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
        bandwidth: float | Sequence[float] = 0.5,
        kernel: str = "flat",
        softmax: bool = True,
        unit_norm: bool = False,
        iterations: int = 100,
        sample: int = 4096,
        seeds: int = 1024,
        modes: int = 255,
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
        listed = isinstance(bandwidth, Sequence) and not isinstance(bandwidth, str)
        self.bandwidths = list(bandwidth) if listed else [bandwidth]
        if not self.bandwidths or not all(_above_0(b) for b in self.bandwidths):
            raise ValueError(f"eval.post.bandwidth={bandwidth}: expected a number above 0, or a list of them")
        if kernel not in KERNELS:
            raise ValueError(f"eval.post.kernel={kernel}: expected one of {', '.join(KERNELS)}")
        bounds = {"iterations": (iterations, 1), "sample": (sample, 1), "seeds": (seeds, 1), "modes": (modes, 1)}
        for key, (value, low) in {**bounds, "seed": (seed, 0)}.items():
            if isinstance(value, bool) or not isinstance(value, int) or value < low:
                raise ValueError(f"eval.post.{key}={value}: expected a whole number, {low} or more")
        self.kernel, self.iterations, self.sample = kernel, iterations, sample
        self.seeds, self.modes, self.seed = seeds, modes, seed

    def segment(self, x_BMP: Tensor) -> Tensor:
        """Labels of descriptors, int64 [B, T, P], from float32 [B, M, P]."""
        return torch.stack([torch.stack([self._labels(x.T, b) for b in self.bandwidths]) for x in x_BMP])

    def _labels(self, x_PM: Tensor, bandwidth: float) -> Tensor:
        x_PM = x_PM - x_PM.mean(0)
        generator = torch.Generator().manual_seed(self.seed)
        order = torch.randperm(len(x_PM), generator=generator)[: self.sample].to(x_PM.device)
        data_SM = x_PM[order]
        peaks_sM = self._climb(data_SM, bandwidth)
        modes_KM = self._merge(peaks_sM, data_SM, bandwidth)
        step = max(1, _TILE // len(modes_KM))
        return torch.cat([torch.cdist(part, modes_KM).argmin(1) for part in x_PM.split(step)])

    def _climb(self, data_SM: Tensor, bandwidth: float) -> Tensor:
        peaks_sM = data_SM[: self.seeds]
        for _ in range(self.iterations):
            weights_sS = self._weights(torch.cdist(peaks_sM, data_SM), bandwidth)
            moved_sM = weights_sS @ data_SM / weights_sS.sum(1, keepdim=True).clamp(min=1e-20)
            still = float((moved_sM - peaks_sM).square().sum(1).max()) <= (1e-3 * bandwidth) ** 2
            peaks_sM = moved_sM
            if still:
                break
        return peaks_sM

    def _weights(self, distances: Tensor, bandwidth: float) -> Tensor:
        if self.kernel == "flat":
            return (distances <= bandwidth).to(distances.dtype)
        return (distances / bandwidth).square().mul(-0.5).clamp(min=-46).exp()  # no denormal numbers, which are slow

    def _merge(self, peaks_sM: Tensor, data_SM: Tensor, bandwidth: float) -> Tensor:
        """Modes, the one with most pixels around it first."""
        around_s = self._weights(torch.cdist(peaks_sM, data_SM), bandwidth).sum(1)
        peaks_sM = peaks_sM[around_s.argsort(descending=True, stable=True)]
        near_ss = (torch.cdist(peaks_sM, peaks_sM) <= bandwidth).cpu()
        taken: list[int] = []
        gone = torch.zeros(len(peaks_sM), dtype=torch.bool)
        for i in range(len(peaks_sM)):
            if not gone[i] and len(taken) < self.modes:
                taken.append(i)
                gone |= near_ss[i]
        return peaks_sM[taken]


def _above_0(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf
