"""The edges of a graph by superpixel: who touches superpixel s, and along which edge.

Legend: S superpixels, E edges, A = 2 E arcs (each edge from both of its ends).
Example: ``adjacency(np.array([[0, 1], [1, 2]]), 3).other_A``
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Adjacency(NamedTuple):
    """Arcs of superpixel s are ``start_S1[s]`` up to but not ``start_S1[s + 1]``, in the order of the other ends.

    Attributes:
        start_S1: int64 [S+1].
        other_A: int64, the superpixel at the other end.
        edge_A: int64, row of the edge in ``edges_E2``.
    """

    start_S1: np.ndarray
    other_A: np.ndarray
    edge_A: np.ndarray


def adjacency(edges_E2: np.ndarray, superpixels: int) -> Adjacency:
    """Sort the edges by superpixel.

    Args:
        edges_E2: whole numbers [E,2], 0..S-1.
        superpixels: S.
    """
    edges_E2 = edges_E2.astype(np.int64)
    one_A, other_A = np.concatenate([edges_E2, edges_E2[:, ::-1]]).T
    order_A = np.argsort(one_A * superpixels + other_A, kind="stable")
    start_S1 = np.zeros(superpixels + 1, np.int64)
    np.cumsum(np.bincount(one_A, minlength=superpixels), out=start_S1[1:])
    edge_A = np.tile(np.arange(len(edges_E2)), 2)[order_A]
    return Adjacency(start_S1, np.ascontiguousarray(other_A[order_A]), edge_A)
