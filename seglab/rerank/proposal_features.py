"""Features of a proposal by itself: energies, shapes, colours, boundaries, layout, agreement with the other proposals.

The group "DivMBest+ReRank" of Cogswell et al. 2014 are the 1966 features of Yadollahpour et al. 2013, files of another
group of people that cannot be made from a label map and an image alone. These stand in for them and cover what that
work names: what the model says (energy, with diversity, rank, margins), which classes lie where and next to which, how
regions and their boundaries fit the colours of the image, and how much the proposals agree. Compare differences between
groups of features, not absolute numbers (EQUATIONS 4.8.10). 26 + 14 K + K (K - 1) features: 740 for the 21 classes of
VOC. :func:`proposal_feature_names` lists them; colours are CIE Lab / 100, positions -0.5 to 0.5 from the middle of the
image, areas shares of its pixels, boundaries shares of all neighbouring pairs of pixels.

Legend: M proposals, K classes, H W pixels, P = H W, D features, C colour channels.
One runnable line: ``features_MD = proposal_features(image_HW3, store.read("0001", part="test", size=(240, 320),
classes=21), classes=21)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from seglab.coarse import IGNORE
from seglab.rerank.agreement import AGREEMENT, agreement
from seglab.rerank.appearance import BOUNDARY, PER_CLASS, appearance, boundaries, lab, segments
from seglab.rerank.overlay import overlay

if TYPE_CHECKING:
    from seglab.proposals.store import ProposalSet

ENERGY = (
    "energy",
    "energy_scaled",
    "energy_margin_best",
    "energy_margin_previous",
    "energy_margin_next",
    "augmented_scaled",
    "augmented_margin_best",
    "diversity_paid",
    "rank",
    "rank_inverse",
    "is_first",
)
LAYOUT = ("classes", "segments", "largest_area", "entropy", "colour_within")


def proposal_features(image_HW3: np.ndarray, proposals: ProposalSet, *, classes: int) -> np.ndarray:
    """Features of every proposal of one image.

    Args:
        image_HW3: uint8 [H,W,3], RGB.
        proposals: of this image; a single one works (its margins are 0, its agreement 1).
        classes: K.

    Returns:
        float64 [M,D], all finite, in the order of :func:`proposal_feature_names`.

    Raises:
        ValueError: image and proposals differ in size, there is no proposal, an energy is not finite, or a label is no
            class.
    """
    labels_MHW = np.asarray(proposals.labels_MHW)
    if labels_MHW.ndim != 3 or not len(labels_MHW) or labels_MHW.shape[1:] != image_HW3.shape[:2]:
        raise ValueError(f"image {image_HW3.shape} and proposals {labels_MHW.shape}: expected [H,W,3] and [M,H,W]")
    if not 0 <= labels_MHW.min() <= labels_MHW.max() < min(classes, IGNORE):
        raise ValueError(f"proposals with labels {labels_MHW.min()} to {labels_MHW.max()}: expected 0 to {classes - 1}")
    pieces = overlay(labels_MHW, lab(image_HW3), classes=classes)
    boundary_M4, boundary_MD, adjacent_MD = boundaries(pieces, classes=classes)
    shapes_MD, area_MK, within_M = appearance(pieces, classes=classes)
    segments_MK = segments(pieces, classes=classes)
    return np.concatenate(
        [
            energies(proposals.energy_M, proposals.augmented_M),
            layout(area_MK, segments_MK, within_M),
            agreement(pieces.labels_MR, pieces.moments_9R[0], classes=classes),
            boundary_M4,
            shapes_MD,
            segments_MK,
            boundary_MD,
            together(area_MK),
            adjacent_MD,
        ],
        1,
    )


def proposal_feature_names(classes: int | Sequence[str]) -> list[str]:
    """Names of the features, in order; ``classes`` is their number or their names."""
    names = [str(k) for k in range(classes)] if isinstance(classes, int) else list(classes)
    pairs = [f"{a}_{b}" for i, a in enumerate(names) for b in names[i + 1 :]]
    return [
        *(*ENERGY, *LAYOUT, *AGREEMENT, *BOUNDARY),
        *(f"{feature}_{name}" for feature in PER_CLASS for name in names),
        *(f"together_{pair}" for pair in pairs),
        *(f"adjacent_{pair}" for pair in pairs),
    ]


def energies(energy_M: np.ndarray, augmented_M: np.ndarray) -> np.ndarray:
    """What the model says of every proposal: float64 [M,11], named by ENERGY.

    ``scaled`` is 0 for the lowest and 1 for the highest of the image; margins are differences to the first proposal, to
    the one before and to the one after, divided by the same range; all are 0 where the energies are equal. The first
    feature keeps the model's units (relative to the first proposal, which changes no choice).

    Raises:
        ValueError: an energy is not finite.
    """
    energy_M, augmented_M = np.asarray(energy_M, np.float64), np.asarray(augmented_M, np.float64)
    if not (np.isfinite(energy_M).all() and np.isfinite(augmented_M).all()):
        raise ValueError("an energy of a proposal is not finite")
    scaled_M, more_M = _scaled(energy_M), _scaled(augmented_M)
    step_M = np.diff(scaled_M, prepend=scaled_M[0], append=scaled_M[-1])
    paid_M = augmented_M - energy_M
    rank_M = np.arange(len(energy_M), dtype=np.float64)
    columns = (
        energy_M - energy_M[0],
        scaled_M,
        scaled_M - scaled_M[0],
        step_M[:-1],
        step_M[1:],
        more_M,
        more_M - more_M[0],
        _scaled(paid_M),
        rank_M / max(len(rank_M) - 1, 1),
        1 / (1 + rank_M),
        rank_M == 0,
    )
    return np.stack(columns, 1).astype(np.float64)


def layout(area_MK: np.ndarray, segments_MK: np.ndarray, within_M: np.ndarray) -> np.ndarray:
    """How a proposal is divided: float64 [M,5], named by LAYOUT.

    Numbers of classes and of connected parts, largest area of a class, entropy of the areas in nats, and the variance
    of the colour within classes, over all pixels.
    """
    entropy_M = -(area_MK * np.log(np.maximum(area_MK, 1e-300))).sum(1)
    columns = (area_MK > 0).sum(1), segments_MK.sum(1), area_MK.max(1), entropy_M, within_M
    return np.stack(columns, 1).astype(np.float64)


def together(area_MK: np.ndarray) -> np.ndarray:
    """Which two classes occur in one proposal: 1 or 0, [M, K (K - 1) / 2], pairs row by row."""
    there_MK = area_MK > 0
    first, second = np.triu_indices(area_MK.shape[1], 1)
    return (there_MK[:, first] & there_MK[:, second]).astype(np.float64)


def _scaled(values_M: np.ndarray) -> np.ndarray:
    spread = np.ptp(values_M)
    return (values_M - values_M.min()) / spread if spread > 0 else np.zeros(len(values_M))
