"""Small blocks of superpixels set to their best classes together, the rest as it is.

A block is a superpixel and those nearest to it along the edges, as many as have ``LABELLINGS`` labellings together:
two of 21 classes each, six of 3. All their labellings are looked at, but for those that a bound shows to be no better.
Where the whole graph is one block, the result is a labelling of least energy.

Legend: S superpixels, K classes, E edges, N superpixels of a block.
Example: see :func:`improve_blocks`, which :func:`seglab.proposals.expansion.alpha_expansion` ends with.
"""

from __future__ import annotations

import numba
import numpy as np

from seglab.proposals.adjacency import Adjacency

LABELLINGS = 1024
NODES = 10
"""Most superpixels of a block: with two classes each they have as many labellings as a block may have."""


def improve_blocks(
    labels_S: np.ndarray, unary_SK: np.ndarray, weight_E: np.ndarray, near: Adjacency, may_SK: np.ndarray
) -> tuple[np.ndarray, bool]:
    """Look at the block around every superpixel once.

    Args:
        labels_S: int64, the labelling to improve; it is not changed.
        unary_SK: float64.
        weight_E: float64, 0 or more.
        near: the graph.
        may_SK: bool, the classes to look at.

    Returns:
        The labelling, int64 [S], and whether it is another one; it has a lower energy then.
    """
    labels_S = labels_S.copy()
    return labels_S, _pass(labels_S, unary_SK, weight_E, *near, may_SK)


@numba.njit(cache=True, nogil=True)
def _pass(labels_S, unary_SK, weight_E, start_S1, other_A, edge_A, may_SK):
    superpixels = len(labels_S)
    options_S = may_SK.sum(1)
    place_S = np.full(superpixels, -1, np.int64)  # where in the block a superpixel is
    block_N, changed = np.empty(NODES, np.int64), False
    for s in range(superpixels):
        if options_S[s] < 2:
            continue
        block_N[0], place_S[s] = s, 0
        size, product = 1, options_S[s]
        i = 0
        while i < size and size < NODES:
            for a in range(start_S1[block_N[i]], start_S1[block_N[i] + 1]):
                t = other_A[a]
                fits = size < NODES and product * options_S[t] <= LABELLINGS
                if fits and place_S[t] < 0 and options_S[t] > 1:
                    block_N[size], place_S[t] = t, size
                    size, product = size + 1, product * options_S[t]
            i += 1
        changed |= _best_of(block_N[:size], place_S, labels_S, unary_SK, weight_E, start_S1, other_A, edge_A, may_SK)
        for i in range(size):
            place_S[block_N[i]] = -1
    return changed


@numba.njit(cache=True, nogil=True)
def _best_of(block_N, place_S, labels_S, unary_SK, weight_E, start_S1, other_A, edge_A, may_SK):
    """Branch and bound over the labellings of one block; True where ``labels_S`` was improved."""
    size, classes = len(block_N), unary_SK.shape[1]
    cost_NK = np.empty((size, classes))  # unary costs, and those of the edges that leave the block
    inside_NN = np.zeros((size, size))
    for i in range(size):
        cost_NK[i] = unary_SK[block_N[i]]
        for a in range(start_S1[block_N[i]], start_S1[block_N[i] + 1]):
            t, weight = other_A[a], weight_E[edge_A[a]]
            if place_S[t] >= 0:
                inside_NN[i, place_S[t]] = weight
            else:
                cost_NK[i, labels_S[t]] -= weight
    rest_N1, now = np.zeros(size + 1), 0.0
    for i in range(size - 1, -1, -1):
        least = np.inf
        for k in range(classes):
            if may_SK[block_N[i], k]:
                least = min(least, cost_NK[i, k])
        rest_N1[i] = rest_N1[i + 1] + least
        now += cost_NK[i, labels_S[block_N[i]]]
        for j in range(i):
            now += inside_NN[i, j] * (labels_S[block_N[i]] != labels_S[block_N[j]])
    # below this a difference may be an error of rounding
    best = now - 1e-12 * (1 + abs(now))
    class_N, best_N, sum_N1 = np.full(size, -1), np.full(size, -1), np.zeros(size + 1)
    depth = 0
    while depth >= 0:
        class_N[depth] += 1
        k = class_N[depth]
        if k == classes:
            class_N[depth] = -1
            depth -= 1
            continue
        if not may_SK[block_N[depth], k]:
            continue
        value = sum_N1[depth] + cost_NK[depth, k]
        for j in range(depth):
            value += inside_NN[depth, j] * (class_N[j] != k)
        if value + rest_N1[depth + 1] >= best:
            continue
        if depth == size - 1:
            best, best_N[:] = value, class_N
            continue
        depth += 1
        sum_N1[depth] = value
    if best_N[0] < 0:
        return False
    for i in range(size):
        labels_S[block_N[i]] = best_N[i]
    return True
