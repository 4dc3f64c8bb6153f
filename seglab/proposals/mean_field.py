"""Mean field on the graph of superpixels: marginals of the Gibbs distribution of a Potts energy, approximately.

The distribution q with independent superpixels that minimises the free energy
``F(q) = sum_s sum_k q_s(k) u_s(k) + sum_(s,t) w_st (1 - sum_k q_s(k) q_t(k)) + sum_s sum_k q_s(k) log q_s(k)``
is looked for one superpixel after the other, each update seeing those before it: ``q_s(k) ~ exp(-u_s(k) + sum_t w_st
q_t(k))``. With q_t fixed, F is convex in q_s and this is its minimum, so that a step towards it of any damping never
raises F. (Updating all superpixels at once can swing for ever; it is not offered.)

Legend: S superpixels, K classes.
Example: ``mean_field(Energy(np.eye(2), np.array([[0, 1]]), np.array([0.5])), iterations=10, damping=0.0)``
"""

from __future__ import annotations

import math

import numba
import numpy as np

from seglab.proposals.adjacency import Adjacency, adjacency
from seglab.proposals.energy import Energy

SETTLED = 1e-7
"""Where no marginal moves by more in a pass over the superpixels, the rest of the passes is left out."""


def mean_field(energy: Energy, *, iterations: int, damping: float) -> tuple[np.ndarray, np.ndarray]:
    """Approximate marginals and the class with the largest one.

    Args:
        energy: the energy, in nats.
        iterations: passes over all superpixels at most, 1 or more; fewer where the marginals have settled.
        damping: share of the old marginal that an update keeps, 0 up to but not 1.

    Returns:
        int64 [S], 0..K-1, the first of the classes with the largest marginal; and float64 [S,K], the marginals, each
        row of which sums to 1. Starts from the unary costs alone, ``softmax(-u)``.

    Raises:
        ValueError: ``proposals.iterations`` or ``proposals.damping`` is outside its range.
    """
    if isinstance(iterations, bool) or not isinstance(iterations, int | np.integer) or iterations < 1:
        raise ValueError(f"proposals.iterations={iterations}: expected a whole number, 1 or more")
    if isinstance(damping, bool) or not math.isfinite(damping) or not 0 <= damping < 1:
        raise ValueError(f"proposals.damping={damping}: expected a number from 0 up to but not 1")
    near = adjacency(energy.edges_E2, len(energy.unary_SK))
    q_SK = np.exp(energy.unary_SK.min(1, keepdims=True) - energy.unary_SK)
    q_SK /= q_SK.sum(1, keepdims=True)
    for _ in range(iterations):
        if update(energy, near, q_SK, damping=damping) <= SETTLED:
            break
    return q_SK.argmax(1), q_SK


def update(energy: Energy, near: Adjacency, q_SK: np.ndarray, *, damping: float = 0.0) -> float:
    """One pass over all superpixels, in place.

    Returns:
        The largest change of a marginal.
    """
    return _update(energy.unary_SK, energy.weight_E, near.start_S1, near.other_A, near.edge_A, q_SK, float(damping))


def free_energy(energy: Energy, q_SK: np.ndarray) -> float:
    """The free energy F(q), in nats; at a labelling written as zeros and ones it is the energy."""
    one_EK, other_EK = q_SK[energy.edges_E2[:, 0]], q_SK[energy.edges_E2[:, 1]]
    entropy = -(q_SK * np.log(np.where(q_SK > 0, q_SK, 1))).sum()
    pairwise = (energy.weight_E * (1 - (one_EK * other_EK).sum(1))).sum()
    return float((q_SK * energy.unary_SK).sum() + pairwise - entropy)


@numba.njit(cache=True, nogil=True)
def _update(unary_SK, weight_E, start_S1, other_A, edge_A, q_SK, damping):
    superpixels, classes = unary_SK.shape
    target_K, moved = np.empty(classes), 0.0
    for s in range(superpixels):
        for k in range(classes):
            target_K[k] = -unary_SK[s, k]
        for a in range(start_S1[s], start_S1[s + 1]):
            weight, t = weight_E[edge_A[a]], other_A[a]
            for k in range(classes):
                target_K[k] += weight * q_SK[t, k]
        highest, total = target_K.max(), 0.0
        for k in range(classes):
            target_K[k] = math.exp(target_K[k] - highest)
            total += target_K[k]
        for k in range(classes):
            new = (1 - damping) * target_K[k] / total + damping * q_SK[s, k]
            moved = max(moved, abs(new - q_SK[s, k]))
            q_SK[s, k] = new
    return moved
