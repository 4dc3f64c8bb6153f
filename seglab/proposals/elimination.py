"""Classes that a superpixel need not have in the best labelling, found from its neighbours alone.

A class k of superpixel s is left out where another class l is never worse (Goldstein's rule of dead-end elimination,
Biophysical Journal 66, 1994, for Potts costs): ``u_s(k) - (w_st to all t that may be k) >= u_s(l) - (w_st to all t that
must be l)``. What is left out at one superpixel helps at its neighbours, so this goes on until it ends. A labelling of
least energy remains.

Legend: S superpixels, K classes, E edges.
Example: ``possible_classes(np.array([[0.0, 9.0]]), np.zeros(0), adjacency(np.zeros((0, 2), np.int64), 1))``
"""

from __future__ import annotations

import numba
import numpy as np

from seglab.proposals.adjacency import Adjacency


def possible_classes(unary_SK: np.ndarray, weight_E: np.ndarray, near: Adjacency) -> np.ndarray:
    """The classes that remain.

    Args:
        unary_SK: float64, finite.
        weight_E: float64, 0 or more.
        near: the graph.

    Returns:
        bool [S,K], at least one of every row.
    """
    return _eliminate(unary_SK, weight_E, *near)


@numba.njit(cache=True, nogil=True)
def _eliminate(unary_SK, weight_E, start_S1, other_A, edge_A):
    superpixels, classes = unary_SK.shape
    may_SK = np.ones((superpixels, classes), np.bool_)
    only_S = np.full(superpixels, -1, np.int64)  # the class of a superpixel that has one left
    waiting, is_waiting_S = np.arange(superpixels), np.ones(superpixels, np.bool_)
    least_K, most_K = np.empty(classes), np.empty(classes)
    first, count = 0, superpixels
    while count:
        s = waiting[first]
        first, count, is_waiting_S[s] = (first + 1) % superpixels, count - 1, False
        if only_S[s] >= 0:
            continue
        least_K[:], most_K[:] = unary_SK[s], unary_SK[s]
        for a in range(start_S1[s], start_S1[s + 1]):
            t, weight = other_A[a], weight_E[edge_A[a]]
            if only_S[t] >= 0:
                most_K[only_S[t]] -= weight
            for k in range(classes):
                if may_SK[t, k]:
                    least_K[k] -= weight
        best = -1
        for k in range(classes):
            if may_SK[s, k] and (best < 0 or most_K[k] < most_K[best]):
                best = k
        left, changed = 0, False
        for k in range(classes):
            if k != best and may_SK[s, k] and least_K[k] >= most_K[best]:
                may_SK[s, k], changed = False, True
            left += may_SK[s, k]
        if left == 1:
            only_S[s] = best
        if changed:
            for a in range(start_S1[s], start_S1[s + 1]):
                t = other_A[a]
                if not is_waiting_S[t]:
                    waiting[(first + count) % superpixels] = t
                    count, is_waiting_S[t] = count + 1, True
    return may_SK
