"""k-means on many images at once: greedy k-means++ on a sample of pixels, then Lloyd's iterations on all of them.

Every image is clustered as if it were alone: random numbers depend on the seed and the sizes only, an image that has
converged is left as it is while others go on. The sample makes the first, slow part of Lloyd's iterations cheap; of
several starts on it the best goes on to all pixels.

Arthur and Vassilvitskii 2007 (k-means++, several trials for each centre as in their section 5). Draws are by the
exponential race, argmax w / e with e ~ Exp(1), which needs no running sum and is the same on every device.

Legend: B images, M channels, P pixels, S sampled pixels, K clusters, N restarts.
Example: ``kmeans(torch.rand(2, 3, 100), 4).labels_BP``
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

_ON_SAMPLE = 25
"""Most iterations on the sample; the last small steps are better made with all pixels."""


class Clusters(NamedTuple):
    """A clustering.

    Attributes:
        labels_BP: int64, 0..K-1; a cluster may have no pixel.
        centres_BMK: float32.
        alive_BK: False where there were fewer distinct descriptors than clusters; such a cluster has no pixel.
        inertia_B: sum of squared distances to the centres, float32.
    """

    labels_BP: Tensor
    centres_BMK: Tensor
    alive_BK: Tensor
    inertia_B: Tensor


def kmeans(
    x_BMP: Tensor,
    clusters: int,
    *,
    seed: int = 0,
    iterations: int = 100,
    tolerance: float = 1e-4,
    sample: int = 8192,
    restarts: int = 4,
    trials: int = 4,
) -> Clusters:
    """Cluster the pixels of every image.

    Args:
        x_BMP: descriptors, float32.
        clusters: number of clusters, K; where an image has fewer distinct descriptors it gets fewer.
        seed: of the random numbers.
        iterations: most of Lloyd's iterations on all pixels; on the sample there are 25 at most.
        tolerance: stop once the centres move, squared and summed, by less than this times the descriptors' mean
            variance (scikit-learn's rule).
        sample: most pixels for the seeding.
        restarts: seedings; the best on the sample is taken.
        trials: pixels drawn for each centre; the one that lowers the inertia most is taken.

    Returns:
        The clusters; on the CPU, bit for bit the same for an image in any batch.
    """
    if x_BMP.device.type == "cpu" and len(x_BMP) > 1:  # one image fits into the cache, a batch does not
        parts = [
            kmeans(
                x_BMP[i : i + 1],
                clusters,
                seed=seed,
                iterations=iterations,
                tolerance=tolerance,
                sample=sample,
                restarts=restarts,
                trials=trials,
            )
            for i in range(len(x_BMP))
        ]
        return Clusters(*(torch.cat(field) for field in zip(*parts, strict=True)))
    mean_BM1 = x_BMP.mean(2, keepdim=True)
    x_BMP = x_BMP - mean_BM1  # |x - c|^2 is computed as |c|^2 - 2 x.c, which wants small numbers
    limit_B = tolerance * x_BMP.square().mean((1, 2))
    centres_BMK, alive_BK = _start(x_BMP, clusters, seed, iterations, limit_B, sample, restarts, trials)
    centres_BMK = _lloyd(x_BMP, centres_BMK, alive_BK, iterations, limit_B)
    scores_BP, labels_BP = _nearest(x_BMP, centres_BMK, alive_BK)
    inertia_B = (scores_BP + x_BMP.square().sum(1)).clamp(min=0).sum(1)
    return Clusters(labels_BP, centres_BMK + mean_BM1, alive_BK, inertia_B)


def _start(
    x_BMP: Tensor, clusters: int, seed: int, iterations: int, limit_B: Tensor, sample: int, restarts: int, trials: int
) -> tuple[Tensor, Tensor]:
    """Centres [B, M, K] from a sample, and which of them are in use [B, K]."""
    images, pixels = len(x_BMP), x_BMP.shape[2]
    chosen = min(sample, pixels)
    order, noise = _random(seed, pixels, chosen, clusters, restarts, trials)
    s_BMS = x_BMP[:, :, order.to(x_BMP.device)]
    s_NMS = s_BMS.repeat_interleave(restarts, 0)  # N = images x restarts from here on
    centres, alive = _plus_plus(s_NMS, noise.to(x_BMP.device).repeat(images, 1, 1, 1))
    centres = _lloyd(s_NMS, centres, alive, min(iterations, _ON_SAMPLE), limit_B.repeat_interleave(restarts))
    scores, _ = _nearest(s_NMS, centres, alive)
    best_B = scores.sum(1).view(images, restarts).argmin(1) + torch.arange(images, device=x_BMP.device) * restarts
    return centres[best_B], alive[best_B]


@lru_cache(maxsize=4)
def _random(seed: int, pixels: int, chosen: int, clusters: int, restarts: int, trials: int) -> tuple[Tensor, Tensor]:
    """Which pixels are sampled [S], and one over Exp(1) numbers [restarts, K, trials, S], on the CPU."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(pixels, generator=generator)[:chosen]
    draws = torch.empty(restarts, clusters, trials, chosen).exponential_(generator=generator)
    return order, draws.clamp_(min=1e-20).reciprocal_()


def _plus_plus(s_NMS: Tensor, noise_NKtS: Tensor) -> tuple[Tensor, Tensor]:
    """Greedy k-means++: centres [N, M, K], and False [N, K] for those that found no descriptor left to take."""
    squares_NS = s_NMS.square().sum(1)
    far_NS = torch.full_like(squares_NS, torch.finfo(squares_NS.dtype).max)
    weight_NS = torch.ones_like(squares_NS)
    # Distances below this are rounding, not another descriptor.
    noise_floor_N1 = 1e-6 * squares_NS.amax(1, keepdim=True)
    rows, centres, alive = torch.arange(len(s_NMS), device=s_NMS.device), [], []
    for k in range(noise_NKtS.shape[1]):
        drawn_Nt = (weight_NS[:, None] * noise_NKtS[:, k]).argmax(2)
        c_NMt = s_NMS.gather(2, drawn_Nt[:, None].expand(-1, s_NMS.shape[1], -1))
        d_NtS = torch.baddbmm(squares_NS[:, None], c_NMt.transpose(1, 2), s_NMS, alpha=-2)
        d_NtS = (d_NtS + c_NMt.square().sum(1)[:, :, None]).clamp_(min=0)
        d_NtS = torch.minimum(d_NtS, far_NS[:, None])
        best_N = d_NtS.sum(2).argmin(1)
        alive.append((weight_NS > 0).any(1))
        centres.append(c_NMt[rows, :, best_N])
        far_NS = d_NtS[rows, best_N]
        weight_NS = far_NS * (far_NS > noise_floor_N1)
    return torch.stack(centres, 2), torch.stack(alive, 1)


def _nearest(x_BMP: Tensor, centres_BMK: Tensor, alive_BK: Tensor) -> tuple[Tensor, Tensor]:
    """Squared distance to the nearest centre less |x|^2, and that centre, both [B, P]."""
    offset_BK = centres_BMK.square().sum(1).masked_fill(~alive_BK, torch.inf)
    scores_BKP = torch.baddbmm(offset_BK[:, :, None], centres_BMK.transpose(1, 2), x_BMP, alpha=-2)
    return scores_BKP.min(1)


def _lloyd(x_BMP: Tensor, centres_BMK: Tensor, alive_BK: Tensor, iterations: int, limit_B: Tensor) -> Tensor:
    """Centres after Lloyd's iterations; a cluster without pixels keeps its centre."""
    index_K1 = torch.arange(centres_BMK.shape[2], device=x_BMP.device)[:, None]
    done_B = torch.zeros(len(x_BMP), dtype=torch.bool, device=x_BMP.device)
    for step in range(iterations):
        _, labels_BP = _nearest(x_BMP, centres_BMK, alive_BK)
        # A product with the one-hot labels instead of index_add: the order of the sums does not vary on a GPU.
        member_BKP = (labels_BP[:, None] == index_K1).to(x_BMP.dtype)
        count_BK = member_BKP.sum(2)
        new_BMK = (member_BKP @ x_BMP.transpose(1, 2)).transpose(1, 2) / count_BK.clamp(min=1)[:, None]
        keep_BK = (count_BK == 0) | done_B[:, None]
        new_BMK = torch.where(keep_BK[:, None], centres_BMK, new_BMK)
        done_B |= (new_BMK - centres_BMK).square().sum((1, 2)) <= limit_B
        centres_BMK = new_BMK
        if (x_BMP.device.type == "cpu" or step % 8 == 7) and bool(done_B.all()):  # asking a GPU makes it wait
            break
    return centres_BMK
