"""The energy of a labelling of superpixels: unary costs and Potts costs on the edges of a graph.

``E(y) = sum_s u_s(y_s) + sum_(s,t) w_st [y_s != y_t]``. The score S(y) that DivMBest maximises is -E (EQUATIONS 4.5).

Legend: S superpixels, K classes, E edges.
Example: ``Energy(np.eye(2), np.array([[0, 1]]), np.array([0.5])).of(np.array([1, 0]))``
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Energy:
    """A Potts energy on a graph.

    Attributes:
        unary_SK: cost of every class for every superpixel, kept as float64, finite.
        edges_E2: pairs of superpixels, kept as int64, each pair once, in any order.
        weight_E: cost of different classes at the two ends of an edge, kept as float64, finite, 0 or more.

    Raises:
        ValueError: shapes do not fit together, or values are outside these ranges.
    """

    unary_SK: np.ndarray
    edges_E2: np.ndarray
    weight_E: np.ndarray

    def __post_init__(self) -> None:
        unary_SK = np.ascontiguousarray(self.unary_SK, dtype=np.float64)
        weight_E = np.ascontiguousarray(self.weight_E, dtype=np.float64)
        edges_E2 = np.asarray(self.edges_E2)
        if unary_SK.ndim != 2 or not unary_SK.size or not np.isfinite(unary_SK).all():
            raise ValueError(f"unary costs {list(unary_SK.shape)}: expected finite numbers [S, K], S and K above 0")
        if edges_E2.size == 0:
            edges_E2 = edges_E2.reshape(-1, 2).astype(np.int64)
        elif edges_E2.ndim != 2 or edges_E2.shape[1] != 2 or not np.issubdtype(edges_E2.dtype, np.integer):
            raise ValueError(f"edges {edges_E2.dtype} {list(edges_E2.shape)}: expected whole numbers [E, 2]")
        edges_E2 = np.ascontiguousarray(edges_E2, dtype=np.int64)
        if weight_E.shape != (len(edges_E2),) or not np.isfinite(weight_E).all() or (weight_E < 0).any():
            raise ValueError(
                f"edge weights {list(weight_E.shape)}: expected [{len(edges_E2)}] finite numbers, 0 or more"
            )
        _check_edges(edges_E2, len(unary_SK))
        for name, value in (("unary_SK", unary_SK), ("edges_E2", edges_E2), ("weight_E", weight_E)):
            object.__setattr__(self, name, value)

    def of(self, labels_S: np.ndarray) -> float:
        """The energy of a labelling.

        Args:
            labels_S: whole numbers, 0..K-1.

        Raises:
            ValueError: another number of labels, or a label that is no class.
        """
        labels_S = self.checked(labels_S)
        differ_E = labels_S[self.edges_E2[:, 0]] != labels_S[self.edges_E2[:, 1]]
        return float(self.unary_SK[np.arange(len(labels_S)), labels_S].sum() + self.weight_E[differ_E].sum())

    def checked(self, labels_S: np.ndarray) -> np.ndarray:
        """The labelling as int64 [S].

        Raises:
            ValueError: another number of labels, or a label that is no class.
        """
        labels_S = np.asarray(labels_S)
        superpixels, classes = self.unary_SK.shape
        if labels_S.shape != (superpixels,) or not np.issubdtype(labels_S.dtype, np.integer):
            raise ValueError(f"labelling {labels_S.dtype} {list(labels_S.shape)}: expected [{superpixels}] numbers")
        if labels_S.min() < 0 or labels_S.max() >= classes:
            raise ValueError(f"labelling {labels_S.min()} to {labels_S.max()}: expected classes 0 to {classes - 1}")
        return labels_S.astype(np.int64)


def _check_edges(edges_E2: np.ndarray, superpixels: int) -> None:
    if not len(edges_E2):
        return
    if edges_E2.min() < 0 or edges_E2.max() >= superpixels:
        raise ValueError(f"edges between {edges_E2.min()} and {edges_E2.max()}: expected 0 to {superpixels - 1}")
    if (edges_E2[:, 0] == edges_E2[:, 1]).any():
        raise ValueError("edge from a superpixel to itself: expected pairs of different superpixels")
    keys_E = np.sort(edges_E2.min(1) * superpixels + edges_E2.max(1))
    if (keys_E[1:] == keys_E[:-1]).any():
        raise ValueError("the same edge twice: expected each pair of superpixels once")
