"""Magnet loss (Rippel et al. 2016), a comparison loss of the CAS paper, with the regions of an image as classes.

The channels of the network are an embedding of each pixel, without a softmax. Pixels are drawn from every region and
should lie nearer to the mean of their own cluster than to those of other regions, by a margin, in units of the spread
of all clusters; a region may be split into several clusters.

    python -c "import torch; from seglab.losses.magnet import magnet_loss;
               print(magnet_loss(torch.randn(1, 8, 4, 4), torch.eye(4).long()[None]))"

Legend: B batch, E embedding dimensions, H W pixels, R rows (regions of an image, some may be absent), K clusters of a
region, S = K*D pixels drawn of a region, C clusters of an image.
"""

from typing import Any

import torch
from torch import Tensor, nn

from seglab.losses.regions import IGNORE, check_inputs, check_labels
from seglab.losses.sampling import check_count, draw_samples, take

_SMALLEST_VARIANCE = 1e-12  # squared embedding units; keeps the quotients finite where all pixels of clusters are equal


def magnet_loss(
    embedding_BEHW: Tensor,
    labels_BHW: Tensor,
    *,
    alpha: float = 1.0,
    samples: int = 16,
    subclusters: int = 1,
    rounds: int = 3,
    clusters: int | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Magnet loss, the mean over images: Rippel et al. 2016, one image taken as one of its batches.

    For a drawn pixel e with mean mu of its cluster: max(0, d(e, mu) + alpha + log sum_{mu'} exp(-d(e, mu'))), the sum
    over clusters of other regions, d the squared distance divided by 2 sigma^2, and sigma^2 the squared distance of
    pixels from their means, summed and divided by one less than their number. Means and sigma carry gradients.

    Args:
        embedding_BEHW: network output, any floating type; the drawn pixels are computed in float32 (float64 for
            float64).
        labels_BHW: integer region labels 0..254, any selection of them, renamed at will; 255 is ignored.
        alpha: margin >= 0, in units of 2 sigma^2.
        samples: D, pixels drawn for each cluster on average: `subclusters * samples` of each region.
        subclusters: K, clusters that the drawn pixels of a region are split into by k-means.
        rounds: k-means rounds, from centres that lie far apart.
        clusters: M, clusters of an image that take part: one chosen evenly and its nearest impostors, the clusters of
            other regions whose means are nearest to its mean; None for all clusters.
        generator: source of the random numbers, see `draw_samples`.

    Returns:
        Scalar >= 0. An image with one region or none counts as 0, for its clusters have no impostor.

    Raises:
        ValueError: a setting out of range, wrong shapes, or (on the CPU) a label outside 0..255.
    """
    _check_options(alpha, samples, subclusters, rounds, clusters)
    check_inputs(embedding_BEHW, labels_BHW)
    check_labels(labels_BHW, below=IGNORE, name="loss (magnet)")
    drawn = draw_samples(labels_BHW, subclusters * samples, generator=generator)
    e_BRSE = take(embedding_BEHW, drawn)
    cluster_BRS = _split(e_BRSE.detach(), subclusters, rounds)
    member_BRKS = _members(cluster_BRS, subclusters).to(e_BRSE.dtype) * drawn.present_BR[..., None, None]
    size_BRK = member_BRKS.sum(3)
    mean_BRKE = member_BRKS @ e_BRSE / size_BRK.clamp(min=1)[..., None]
    chosen_BC, there_BC = _choose(mean_BRKE.detach(), size_BRK > 0, clusters, generator)
    return _hinge(e_BRSE, mean_BRKE, cluster_BRS, chosen_BC, there_BC, alpha).mean()


def _members(cluster_XS: Tensor, K: int) -> Tensor:
    """Which pixels belong to each cluster: bool [..., K, S]; torch's one_hot would look at the values and wait."""
    return cluster_XS[..., None, :] == torch.arange(K, device=cluster_XS.device)[:, None]


def _split(e_BRSE: Tensor, K: int, rounds: int) -> Tensor:
    """Cluster 0..K-1 of every drawn pixel, by k-means within its region: int64 [B, R, S]."""
    B, R, S, E = e_BRSE.shape
    if K == 1:
        return torch.zeros(B, R, S, dtype=torch.int64, device=e_BRSE.device)
    e_QSE = e_BRSE.flatten(0, 1)
    centre_QKE = e_QSE[:, :1]
    for _ in range(K - 1):  # the pixel farthest from all centres so far is the next one
        far_Q = torch.cdist(e_QSE, centre_QKE).amin(2).argmax(1)
        centre_QKE = torch.cat([centre_QKE, e_QSE.gather(1, far_Q[:, None, None].expand(-1, 1, E))], 1)
    for _ in range(rounds):
        nearest_QS = torch.cdist(e_QSE, centre_QKE).argmin(2)
        member_QKS = _members(nearest_QS, K).to(e_QSE.dtype)
        size_QK1 = member_QKS.sum(2, keepdim=True)
        centre_QKE = torch.where(size_QK1 > 0, member_QKS @ e_QSE / size_QK1.clamp(min=1), centre_QKE)
    return torch.cdist(e_QSE, centre_QKE).argmin(2).view(B, R, S)


def _choose(
    mean_BRKE: Tensor, there_BRK: Tensor, clusters: int | None, generator: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    """Clusters of each image that take part, as numbers r * K + k, and which of these exist: [B, C] both."""
    B, R, K, _ = mean_BRKE.shape
    there_BC, mean_BCE = there_BRK.flatten(1), mean_BRKE.flatten(1, 2)
    all_C = torch.arange(R * K, device=mean_BCE.device)
    if clusters is None:
        return all_C.expand(B, -1), there_BC
    # Deviation: Rippel et al. draw seeds in proportion to their running losses; regions are met in one image only.
    lot_X = torch.rand(IGNORE * K, generator=generator, device=mean_BCE.device)
    seed_B1 = torch.where(there_BC, lot_X[: R * K], -1.0).argmax(1, keepdim=True)
    seed_B1E = mean_BCE.gather(1, seed_B1[..., None].expand(-1, 1, mean_BCE.shape[2]))
    distance_BC = (mean_BCE - seed_B1E).square().sum(2)
    impostor_BC = there_BC & (all_C.div(K, rounding_mode="floor") != seed_B1.div(K, rounding_mode="floor"))
    distance_BC = torch.where(impostor_BC, distance_BC, torch.inf)
    distance_BC = torch.where(all_C == seed_B1, -1.0, distance_BC)
    chosen_BC = distance_BC.argsort(dim=1, stable=True)[:, :clusters]
    there_BC = there_BC & (impostor_BC | (all_C == seed_B1))
    return chosen_BC, there_BC.gather(1, chosen_BC)


def _hinge(
    e_BRSE: Tensor, mean_BRKE: Tensor, cluster_BRS: Tensor, chosen_BC: Tensor, there_BC: Tensor, alpha: float
) -> Tensor:
    """The printed mean over pixels and clusters, for each image."""
    B, R, S, E = e_BRSE.shape
    K = mean_BRKE.shape[2]
    mean_BCE = mean_BRKE.flatten(1, 2).gather(1, chosen_BC[..., None].expand(-1, -1, E))
    kept_BRK = torch.zeros(B, R * K, dtype=torch.bool, device=e_BRSE.device)
    kept_BRK = kept_BRK.scatter(1, chosen_BC, there_BC).view(B, R, K)
    kept_BRS = kept_BRK.gather(2, cluster_BRS)
    pixels_B = kept_BRS.sum((1, 2))

    own_BRSE = mean_BRKE.gather(2, cluster_BRS[..., None].expand_as(e_BRSE))
    own_BRS = (e_BRSE - own_BRSE).square().sum(3)
    variance_B = torch.where(kept_BRS, own_BRS, 0.0).sum((1, 2)) / (pixels_B - 1).clamp(min=1)
    unit_B11 = 2 * variance_B.clamp(min=_SMALLEST_VARIANCE)[:, None, None]

    apart_BRSC = torch.cdist(e_BRSE.flatten(1, 2), mean_BCE, compute_mode="donot_use_mm_for_euclid_dist")
    apart_BRSC = (apart_BRSC.square() / unit_B11).view(B, R, S, -1)
    region_BC = chosen_BC.div(K, rounding_mode="floor")
    row_R1 = torch.arange(R, device=e_BRSE.device)[:, None]
    other_BRC = there_BC[:, None] & (region_BC[:, None] != row_R1)
    # Rows without any impostor are left out below; 0 instead of minus infinity keeps their gradient a number.
    counts_BRS = kept_BRS & other_BRC.any(2)[..., None]
    excluded_BRSC = torch.where(counts_BRS, -torch.inf, 0.0)[..., None].to(e_BRSE.dtype)
    evidence_BRS = torch.where(other_BRC[:, :, None], -apart_BRSC, excluded_BRSC).logsumexp(3)
    hinge_BRS = (own_BRS / unit_B11 + alpha + evidence_BRS).clamp(min=0)
    return torch.where(counts_BRS, hinge_BRS, 0.0).sum((1, 2)) / pixels_B.clamp(min=1)


def _check_options(alpha: float, samples: int, subclusters: int, rounds: int, clusters: int | None) -> None:
    if not alpha >= 0:
        raise ValueError(f"loss.alpha={alpha}: expected a number >= 0")
    for key, value in {"samples": samples, "subclusters": subclusters, "rounds": rounds}.items():
        check_count(key, value)
    if clusters is not None and (isinstance(clusters, bool) or not isinstance(clusters, int) or clusters < 2):
        raise ValueError(f"loss.clusters={clusters}: expected null or a whole number, 2 or more")


class Magnet(nn.Module):
    """The magnet loss as a training loss; the arguments are those of `magnet_loss`. Returns the one term "magnet"."""

    batch_coupled = False

    def __init__(
        self,
        *,
        alpha: float = 1.0,
        samples: int = 16,
        subclusters: int = 1,
        rounds: int = 3,
        clusters: int | None = None,
    ) -> None:
        super().__init__()
        _check_options(alpha, samples, subclusters, rounds, clusters)
        self.options = {"alpha": alpha, "samples": samples, "subclusters": subclusters, "rounds": rounds}
        self.options["clusters"] = clusters

    def forward(self, embedding_BEHW: Tensor, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Loss of a batch: embedding [B, E, H, W], batch["mask"] [B, H, W]."""
        return {"magnet": magnet_loss(embedding_BEHW, batch["mask"], **self.options)}

    def extra_repr(self) -> str:
        """Options, for printing the module."""
        return ", ".join(f"{key}={value}" for key, value in self.options.items())
