"""Alpha-expansion: a labelling of low energy by minimum cuts (Boykov, Veksler, Zabih, TPAMI 2001).

An expansion of class alpha lets every superpixel keep its class or take alpha, and finds the best of these 2^S
labellings by one cut. On an edge (s,t) whose ends are not alpha, with classes that differ, the cost is w w w 0 for
(keep, keep), (keep, take), (take, keep), (take, take): an edge of weight w / 2 in the cut and w / 2 off the cost of
taking, at both ends; no auxiliary nodes are needed. Where no expansion helps any more the energy is less than E_u + 2
E_p of a best labelling, E_u its unary and E_p its pairwise part.

Ours: classes that the best labelling need not have are left out before (:mod:`seglab.proposals.elimination`), and where
no expansion helps, small blocks are set to their optimum (:mod:`seglab.proposals.blocks`), which may open the way
for further expansions. Two classes are solved by one cut, which is exact but for the
rounding of capacities to int32 (:mod:`seglab.proposals.cut`).

Legend: S superpixels, K classes, E edges.
Example: ``alpha_expansion(Energy(np.eye(3), np.array([[0, 1], [1, 2]]), np.array([0.5, 2.0])))``
"""

from __future__ import annotations

import numba
import numpy as np

from seglab.proposals.blocks import improve_blocks
from seglab.proposals.cut import Cut
from seglab.proposals.elimination import possible_classes
from seglab.proposals.energy import Energy


def alpha_expansion(energy: Energy, *, start_S: np.ndarray | None = None, sweeps: int = 10) -> np.ndarray:
    """A labelling of low energy; of least energy for two classes (but for rounding), and where the graph is one block.

    Args:
        energy: the energy.
        start_S: labelling to start from, 0..K-1; None: the class with the least unary cost. The result is never worse.
        sweeps: expansions of every class at most; it ends before, when a whole sweep and the blocks gain nothing.

    Returns:
        int64 [S], 0..K-1.

    Raises:
        ValueError: ``sweeps`` is not a whole number above 0, or the start is no labelling.
    """
    if isinstance(sweeps, bool) or not isinstance(sweeps, int | np.integer) or sweeps < 1:
        raise ValueError(f"sweeps={sweeps}: expected a whole number, 1 or more")
    unary_SK, classes = energy.unary_SK, energy.unary_SK.shape[1]
    labels_S = unary_SK.argmin(1) if start_S is None else energy.checked(start_S)
    cut = Cut(energy.edges_E2, len(unary_SK))
    if classes == 2:
        cut_S = cut.solve(unary_SK[:, 1] - unary_SK[:, 0], energy.weight_E).astype(np.int64)
        return min(labels_S, cut_S, key=energy.of)
    may_SK = possible_classes(unary_SK, energy.weight_E, cut.near)
    best, without_gain = energy.of(labels_S), 0
    for step in range(sweeps * classes):
        expanded_S = expansion(energy, cut, labels_S, alpha=step % classes, may_SK=may_SK)
        without_gain += 1
        if not np.array_equal(expanded_S, labels_S) and (value := energy.of(expanded_S)) < best:
            labels_S, best, without_gain = expanded_S, value, 0
        if without_gain == classes:
            improved_S, changed = improve_blocks(labels_S, unary_SK, energy.weight_E, cut.near, may_SK)
            if not changed or energy.of(improved_S) >= best:
                break
            labels_S, best, without_gain = improved_S, energy.of(improved_S), 0
    return labels_S


def expansion(
    energy: Energy, cut: Cut, labels_S: np.ndarray, *, alpha: int, may_SK: np.ndarray | None = None
) -> np.ndarray:
    """The best labelling in which every superpixel keeps its class or takes another one, the same for all.

    Args:
        energy: the energy.
        cut: cuts on its graph.
        labels_S: the labelling to start from, int64.
        alpha: the class to take.
        may_SK: bool, whether a superpixel may take a class; None: all.

    Returns:
        int64 [S]; never worse, but for rounding errors.
    """
    may_S = np.ones(len(labels_S), np.bool_) if may_SK is None else may_SK[:, alpha]
    if not np.any(may_S & (labels_S != alpha)):
        return labels_S
    costs = _costs(labels_S, alpha, may_S, energy.unary_SK, energy.edges_E2, energy.weight_E)
    return np.where(cut.solve(*costs) == 1, alpha, labels_S)


@numba.njit(cache=True, nogil=True)
def _costs(labels_S, alpha, may_S, unary_SK, edges_E2, weight_E):
    """Costs of the cut: taking alpha, float64 [S], and edges, float64 [E]."""
    cost_S, cut_E = np.empty(len(labels_S)), weight_E.copy()
    for s in range(len(labels_S)):
        cost_S[s] = unary_SK[s, alpha] - unary_SK[s, labels_S[s]]
        if labels_S[s] == alpha:
            cost_S[s] = -np.inf
        elif not may_S[s]:
            cost_S[s] = np.inf
    for e in range(len(weight_E)):
        s, t = edges_E2[e]
        if labels_S[s] != labels_S[t] and labels_S[s] != alpha and labels_S[t] != alpha:
            cut_E[e] = weight_E[e] / 2
            cost_S[s] -= cut_E[e]
            cost_S[t] -= cut_E[e]
    return cost_S, cut_E
