"""Features of a proposal from a coarse network: divergences, expected intersection and union (2 + 4 K of them).

Both directions of the Kullback-Leibler divergence, and for every class E[I_k] = sum_i p_ik q_ik, E[U_k] = sum_i (p_ik +
q_ik - p_ik q_ik), E[I_k]/E[U_k] and E[U_k]/E[I_k] between the network's p and the reduced proposal q: 2 + 84 for the 21
classes of VOC. Source: Cogswell et al. 2014, section 4 (EQUATIONS 4.2, 4.6).

Reading: the printed quotients have no value for a class in neither, and no finite one for a class that only one of the
two has. As in the losses (4.8.1), both get a small constant above and below, c, 1/1000 of a cell: (I + c)/(U + c)
and (U + c)/(I + c). For a class of a cell or more that is the printed quotient but for a thousandth; a class in neither
has 1, agreement; one on one side only has next to 0, and U/c, which grows with what is missing: 1000 for each cell of
it, so that this last quotient has a long tail, as the printed one has without any bound.

Legend: M proposals, K classes, G cells a side.
One runnable line: ``python -c "import numpy as np; from seglab.rerank.network_features import network_features;
print(network_features(np.full((2, 1, 1), .5), np.ones((1, 2, 1, 1)) / 2, epsilon=1e-3))"``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seglab.rerank.distance import as_distributions, kl_directions

CONSTANT = 1e-3
STATISTICS = ("intersection", "union", "iou", "uoi")


def network_features(p_KGG: np.ndarray, q_MKGG: np.ndarray, *, epsilon: float) -> np.ndarray:
    """Features of every proposal of one image.

    Args:
        p_KGG: [K,G,G], distribution of the network over the classes of every cell.
        q_MKGG: [M,K,G,G], reduced proposals (:func:`seglab.rerank.distance.reduce`).
        epsilon: of the divergences, above 0.

    Returns:
        float64 [M, 2 + 4 K], all finite, in the order of :func:`network_feature_names`; intersections and unions in
        cells.

    Raises:
        ValueError: as :func:`seglab.rerank.distance.kl_directions`.
    """
    directions_M2 = kl_directions(p_KGG, q_MKGG, epsilon=epsilon)
    p_KGG, q_MKGG = as_distributions(p_KGG, q_MKGG)
    both_MK = (p_KGG * q_MKGG).sum((2, 3))
    either_MK = np.maximum(p_KGG.sum((1, 2)) + q_MKGG.sum((2, 3)) - both_MK, 0.0)
    iou_MK = (both_MK + CONSTANT) / (either_MK + CONSTANT)
    return np.concatenate([directions_M2, both_MK, either_MK, iou_MK, 1.0 / iou_MK], 1)


def network_feature_names(classes: int | Sequence[str]) -> list[str]:
    """Names of the features, in order; ``classes`` is their number or their names."""
    names = [str(k) for k in range(classes)] if isinstance(classes, int) else list(classes)
    return ["kl_network_proposal", "kl_proposal_network", *(f"{s}_{name}" for s in STATISTICS for name in names)]
