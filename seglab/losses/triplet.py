"""Triplet loss (Schroff et al. 2015), a comparison loss of the CAS paper, with the regions of an image as identities.

The channels of the network are an embedding of each pixel, scaled to length 1 here. Pixels are drawn from every region;
each should lie nearer to the others of its region than to those of other regions, by a margin.

    python -c "import torch; from seglab.losses.triplet import triplet_loss;
               print(triplet_loss(torch.randn(1, 8, 4, 4), torch.eye(4).long()[None]))"

Legend: B batch, E embedding dimensions, H W pixels, R rows (regions of an image, some may be absent), D pixels drawn of
a region, S = R*D pixels drawn of an image.
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from seglab.losses.regions import IGNORE, check_inputs, check_labels
from seglab.losses.sampling import Samples, check_count, draw_samples, take

_SMALLEST_SQUARE = 1e-12  # squared length below which an embedding is not scaled further
_NEGATIVES = ("semi_hard", "all", "hardest")


def triplet_loss(
    embedding_BEHW: Tensor,
    labels_BHW: Tensor,
    *,
    margin: float = 0.2,
    samples: int = 16,
    regions: int | None = 32,
    negatives: Literal["semi_hard", "all", "hardest"] = "semi_hard",
    generator: torch.Generator | None = None,
) -> Tensor:
    """Triplet loss, mean over an image's triplets, then over images: Schroff et al. 2015.

    A triplet costs max(0, d(a, p) - d(a, n) + margin) with d the squared distance of unit-norm embeddings, 0..4. Anchor
    a and positive p are all ordered pairs of different drawn pixels of a region, n drawn pixels of other regions.

    Args:
        embedding_BEHW: network output, any floating type; the drawn pixels are computed in float32 (float64 for
            float64) and scaled to length 1.
        labels_BHW: integer region labels 0..254, any selection of them, renamed at will; 255 is ignored.
        margin: >= 0, in squared distance.
        samples: D, pixels drawn of each region.
        regions: at most so many regions of an image, chosen anew at every call, which bounds the memory,
            (regions * samples)^2 distances an image; None for all.
        negatives: which n a pair (a, p) gets. "semi_hard": the nearest one farther from a than p is; it costs something
            where it lies within the margin. Where none is farther than p, the farthest one, the least hard. "hardest":
            the one nearest to a; the embeddings may become equal, at a loss of `margin`, as Schroff et al. warn. "all":
            every one, so that the mean is over all triplets.
        generator: source of the random numbers, see `draw_samples`.

    Returns:
        Scalar >= 0. An image without a triplet (one region, or no region of two pixels) counts as 0.

    Raises:
        ValueError: a setting out of range, wrong shapes, or (on the CPU) a label outside 0..255.
    """
    _check_options(margin, samples, regions, negatives)
    check_inputs(embedding_BEHW, labels_BHW)
    check_labels(labels_BHW, below=IGNORE, name="loss (triplet)")
    drawn = draw_samples(labels_BHW, samples, regions=regions, generator=generator)
    e_BSE = take(embedding_BEHW, drawn).flatten(1, 2)
    e_BSE = e_BSE / e_BSE.square().sum(2, keepdim=True).clamp(min=_SMALLEST_SQUARE).sqrt()
    distance_BSS = torch.cdist(e_BSE, e_BSE, compute_mode="donot_use_mm_for_euclid_dist").square()
    positive_BSD, pair_BSD = _positives(distance_BSS, drawn)
    sorted_BSS, others_B = _sorted_negatives(distance_BSS, drawn)
    cost_BSD = _cost(positive_BSD, sorted_BSS, others_B, margin, negatives)
    pair_BSD = pair_BSD & (others_B > 0)[:, None, None]
    # Deviation: the mean, where a sum is printed, so that the number of pixels drawn does not change the scale.
    return (torch.where(pair_BSD, cost_BSD, 0.0).sum((1, 2)) / pair_BSD.sum((1, 2)).clamp(min=1)).mean()


def _positives(distance_BSS: Tensor, drawn: Samples) -> tuple[Tensor, Tensor]:
    """Distances of every anchor to the D pixels of its region, and which of these are other pixels than the anchor."""
    B, R, D = drawn.pixel_BRD.shape
    blocks_BDDR = distance_BSS.view(B, R, D, R, D).diagonal(dim1=1, dim2=3)
    positive_BSD = blocks_BDDR.permute(0, 3, 1, 2).reshape(B, R * D, D)
    pair_BRDD = drawn.pixel_BRD[..., None] != drawn.pixel_BRD[:, :, None]
    return positive_BSD, (pair_BRDD & drawn.present_BR[..., None, None]).flatten(1, 2)


def _sorted_negatives(distance_BSS: Tensor, drawn: Samples) -> tuple[Tensor, Tensor]:
    """Distances of every anchor to the pixels of other regions, rising, then infinity; and how many there are [B]."""
    _, R, D = drawn.pixel_BRD.shape
    region_S = torch.arange(R * D, device=distance_BSS.device).div(D, rounding_mode="floor")
    present_BS = drawn.present_BR.repeat_interleave(D, 1)
    negative_BSS = present_BS[:, None] & (region_S[:, None] != region_S)
    sorted_BSS = distance_BSS.masked_fill(~negative_BSS, torch.inf).sort(2).values
    return sorted_BSS, (drawn.present_BR.sum(1) - 1).clamp(min=0) * D


def _cost(positive_BSD: Tensor, sorted_BSS: Tensor, others_B: Tensor, margin: float, negatives: str) -> Tensor:
    """Hinge of every pair of anchor and positive, where there is a negative."""
    if negatives == "all":
        # sum_n max(0, limit - d_n) over rising d_n is count * limit minus the sum of the first `count` of them, so the
        # S * D * S triplets are never written down.
        limit_BSD = positive_BSD + margin
        count_BSD = torch.searchsorted(sorted_BSS.detach(), limit_BSD.detach().contiguous())
        finite_BSS = torch.where(sorted_BSS.isfinite(), sorted_BSS, 0.0)
        sums_BSX = nn.functional.pad(finite_BSS.cumsum(2), (1, 0))
        return (count_BSD * limit_BSD - sums_BSX.gather(2, count_BSD)) / others_B.clamp(min=1)[:, None, None]
    if negatives == "semi_hard":
        place_BSD = torch.searchsorted(sorted_BSS.detach(), positive_BSD.detach().contiguous(), right=True)
        place_BSD = torch.minimum(place_BSD, (others_B - 1).clamp(min=0)[:, None, None])
    else:
        place_BSD = torch.zeros_like(positive_BSD, dtype=torch.int64)
    return (positive_BSD - sorted_BSS.gather(2, place_BSD) + margin).clamp(min=0)


def _check_options(margin: float, samples: int, regions: int | None, negatives: str) -> None:
    if not margin >= 0:
        raise ValueError(f"loss.margin={margin}: expected a number >= 0")
    check_count("samples", samples)
    if samples < 2:
        raise ValueError(f"loss.samples={samples}: expected 2 or more, an anchor and a positive of each region")
    if regions is not None and (isinstance(regions, bool) or not isinstance(regions, int) or regions < 2):
        raise ValueError(f"loss.regions={regions}: expected null or a whole number, 2 or more")
    if negatives not in _NEGATIVES:
        raise ValueError(f"loss.negatives={negatives}: expected one of {', '.join(_NEGATIVES)}")


class Triplet(nn.Module):
    """The triplet loss as a training loss; arguments as of `triplet_loss`. Returns the one term "triplet"."""

    batch_coupled = False

    def __init__(
        self,
        *,
        margin: float = 0.2,
        samples: int = 16,
        regions: int | None = 32,
        negatives: Literal["semi_hard", "all", "hardest"] = "semi_hard",
    ) -> None:
        super().__init__()
        _check_options(margin, samples, regions, negatives)
        self.options = {"margin": margin, "samples": samples, "regions": regions, "negatives": negatives}

    def forward(self, embedding_BEHW: Tensor, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Loss of a batch: embedding [B, E, H, W], batch["mask"] [B, H, W]."""
        return {"triplet": triplet_loss(embedding_BEHW, batch["mask"], **self.options)}

    def extra_repr(self) -> str:
        """Options, for printing the module."""
        return ", ".join(f"{key}={value}" for key, value in self.options.items())
