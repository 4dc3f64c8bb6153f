"""Binary energies on a graph, minimised by a minimum cut: the step that alpha-expansion repeats.

``C(x) = sum_s c_s x_s + sum_(s,t) n_st [x_s != x_t]`` with x_s in {0, 1} and n_st >= 0 (Kolmogorov, Zabih, "What energy
functions can be minimized via graph cuts?", TPAMI 2004). First, whatever follows from a superpixel and its neighbours
alone is decided: where ``c_s >= sum_t n_st``, x_s = 0 is right whatever the neighbours do, where ``c_s <= -sum_t
n_st``, x_s = 1. A decided superpixel changes the c of its neighbours, so this goes on until it ends; often nothing is
left. What is left is cut by scipy's maximum flow (Dinitz, 1970): the source gives -c where c < 0, the sink takes c
where c > 0, an edge carries n in each direction; x_s = 1 where the source still reaches. (In an expansion fewer
superpixels would rather take than keep; the search from them is the shorter one.)

Capacities of scipy are int32, so costs are multiplied by a power of two and rounded. Let F be the lesser of what the
source gives and the sink takes, in all: no flow is greater. The power is that with ``2^28 <= 2^k F < 2^29``, so the
flow stays below 2^30; greater capacities, which are in no least cut, are held there, and a capacity and the flow of the
other direction still fit together. Rounding changes a capacity by half a unit, ``2^-k / 2``, at most, so the cost of
the cut is at most ``(L + N) F / 2^29`` above the least, N the edges among the superpixels left. Where costs are
multiples of the unit, as whole numbers are while F < 2^29, it is the least.

Legend: S superpixels, E edges, A arcs, L superpixels left, R rows and arcs of the network.
Example: ``Cut(np.array([[0, 1]]), 2).solve(np.array([-3.0, 1.0]), np.array([2.0]))``
"""

from __future__ import annotations

import math

import numba
import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_flow

from seglab.proposals.adjacency import adjacency

FREE = -1
FLOW_BITS = 29


class Cut:
    """Minimum cuts on one graph; the costs come with each call.

    Args:
        edges_E2: whole numbers [E,2], 0..S-1, each pair once.
        superpixels: S, 1 or more.
    """

    def __init__(self, edges_E2: np.ndarray, superpixels: int) -> None:
        self.near = adjacency(edges_E2, superpixels)

    def solve(self, cost_S: np.ndarray, weight_E: np.ndarray) -> np.ndarray:
        """The x of least cost, but for the rounding of capacities (see the module).

        Args:
            cost_S: float64, c, the cost of x_s = 1 against x_s = 0; infinite where x_s is given.
            weight_E: float64, n, finite, 0 or more.

        Returns:
            int8 [S], 0 or 1.
        """
        cost_S = cost_S.astype(np.float64)
        x_S = _decide(cost_S, weight_E, *self.near)
        left_L = np.flatnonzero(x_S == FREE)
        cost_L = cost_S[left_L]
        if np.any(cost_L < 0) and np.any(cost_L > 0):
            x_S[left_L] = _least_cut(*_network(cost_S, weight_E, left_L, *self.near))
        else:  # all the same is best, and cuts no edge
            x_S[left_L] = np.any(cost_L < 0)
        return x_S


def _least_cut(start_R1: np.ndarray, head_R: np.ndarray, room_R: np.ndarray) -> np.ndarray:
    """The x of the superpixels left, by maximum flow from the last row but one to the last row."""
    rows = len(start_R1) - 1
    network = csr_array((room_R, head_R, start_R1), shape=(rows, rows))
    network.has_sorted_indices = True
    flow = maximum_flow(network, rows - 2, rows - 1, method="dinic").flow
    # every arc has its other direction, so the flow has the same arcs in the same order
    return _reached(start_R1, head_R, room_R, flow.data)


@numba.njit(cache=True, nogil=True)
def _decide(cost_S, weight_E, start_S1, other_A, edge_A):
    """Superpixels whose x follows from what is decided; -1 = free. Of free ones, ``cost_S`` takes in the decided."""
    superpixels = len(cost_S)
    x_S = np.full(superpixels, FREE, np.int8)
    waiting, is_waiting_S = np.arange(superpixels), np.ones(superpixels, np.bool_)
    first, count = 0, superpixels
    while count:
        s = waiting[first]
        first, count, is_waiting_S[s] = (first + 1) % superpixels, count - 1, False
        if x_S[s] != FREE:
            continue
        around = 0.0  # weights of the edges to free neighbours
        for a in range(start_S1[s], start_S1[s + 1]):
            if x_S[other_A[a]] == FREE:
                around += weight_E[edge_A[a]]
        if abs(cost_S[s]) < around:
            continue
        x_S[s] = 0 if cost_S[s] >= 0 else 1
        for a in range(start_S1[s], start_S1[s + 1]):
            t, weight = other_A[a], weight_E[edge_A[a]]
            if x_S[t] == FREE and weight > 0:
                cost_S[t] += weight if x_S[s] == 0 else -weight
                if not is_waiting_S[t]:
                    waiting[(first + count) % superpixels] = t
                    count, is_waiting_S[t] = count + 1, True
    return x_S


@numba.njit(cache=True, nogil=True)
def _whole(value, shift):
    """The value in units of ``2 ** -shift``, rounded; no more than any least cut can hold."""
    return np.int32(min(math.ldexp(value, shift) + 0.5, 2.0 ** (FLOW_BITS + 1) - 1))


@numba.njit(cache=True, nogil=True)
def _network(cost_S, weight_E, left_L, start_S1, other_A, edge_A):
    """Rows of the superpixels left, of the source and of the sink: start by row, head and int32 capacity of the arcs.

    Heads ascend in a row; each arc has its other direction, with capacity 0 where nothing flows.
    """
    left = len(left_L)
    row_S = np.full(len(start_S1) - 1, FREE, np.int32)
    given, taken = 0.0, 0.0
    for i in range(left):
        row_S[left_L[i]] = i
        given += max(-cost_S[left_L[i]], 0.0)
        taken += max(cost_S[left_L[i]], 0.0)
    shift = FLOW_BITS - math.frexp(min(given, taken))[1]
    start_R1 = np.zeros(left + 3, np.int32)
    most = len(other_A) + 2 * left
    head_R, room_R = np.empty(most, np.int32), np.empty(most, np.int32)
    count = 0
    for i in range(left):
        s = left_L[i]
        for a in range(start_S1[s], start_S1[s + 1]):
            if row_S[other_A[a]] != FREE:
                head_R[count] = row_S[other_A[a]]
                room_R[count] = _whole(weight_E[edge_A[a]], shift)
                count += 1
        head_R[count] = left if cost_S[s] < 0 else left + 1
        room_R[count] = _whole(max(cost_S[s], 0.0), shift)
        count += 1
        start_R1[i + 1] = count
    for terminal in range(2):
        for i in range(left):
            cost = cost_S[left_L[i]]
            if (cost < 0) == (terminal == 0):
                head_R[count], room_R[count] = i, _whole(max(-cost, 0.0), shift)
                count += 1
        start_R1[left + 1 + terminal] = count
    return start_R1, head_R[:count], room_R[:count]


@numba.njit(cache=True, nogil=True)
def _reached(start_R1, head_R, room_R, flow_R):
    """1 for rows that the source, the last row but one, still reaches through what the flow leaves; int8 [L]."""
    rows = len(start_R1) - 1
    x_R, queue = np.zeros(rows, np.int8), np.empty(rows, np.int32)
    queue[0], x_R[rows - 2] = rows - 2, 1
    first, count = 0, 1
    while first < count:
        i = queue[first]
        first += 1
        for a in range(start_R1[i], start_R1[i + 1]):
            if room_R[a] > flow_R[a] and x_R[head_R[a]] == 0:
                x_R[head_R[a]] = 1
                queue[count] = head_R[a]
                count += 1
    return x_R[: rows - 2]
