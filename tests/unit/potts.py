"""Random Potts energies on small graphs, and all their labellings."""

from __future__ import annotations

import itertools

import numpy as np

from seglab.proposals.energy import Energy


def random_energy(rng: np.random.Generator, *, superpixels: int, classes: int, strength: float = 1.0) -> Energy:
    """Each pair is an edge with probability 0.6; costs are normal, weights uniform up to the strength."""
    pairs = [pair for pair in itertools.combinations(range(superpixels), 2) if rng.random() < 0.6]
    edges_E2 = np.array(pairs, np.int64).reshape(-1, 2)
    unary_SK = rng.standard_normal((superpixels, classes))
    return Energy(unary_SK, edges_E2, strength * rng.random(len(pairs)))


def all_labellings(energy: Energy) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every labelling, int64 [N,S], and its unary and pairwise cost, float64 [N]."""
    superpixels, classes = energy.unary_SK.shape
    labels_NS = np.array(list(itertools.product(range(classes), repeat=superpixels)))
    unary_N = energy.unary_SK[np.arange(superpixels), labels_NS].sum(1)
    pair_N = np.zeros(len(labels_NS))
    for (s, t), weight in zip(energy.edges_E2, energy.weight_E, strict=True):
        pair_N += weight * (labels_NS[:, s] != labels_NS[:, t])
    return labels_NS, unary_N, pair_N


def grid_energy(rng: np.random.Generator, *, side: int, classes: int, strength: float) -> Energy:
    """A square grid of superpixels, 4 neighbours."""
    number = np.arange(side * side).reshape(side, side)
    edges_E2 = np.concatenate(
        [
            np.stack([number[:, :-1].ravel(), number[:, 1:].ravel()], 1),
            np.stack([number[:-1].ravel(), number[1:].ravel()], 1),
        ]
    )
    return Energy(rng.standard_normal((side * side, classes)), edges_E2, strength * rng.random(len(edges_E2)))
