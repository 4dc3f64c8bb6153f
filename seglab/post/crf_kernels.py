"""Gaussian kernels between all pixels of an image, multiplied with label planes: exactly, or by landmarks.

A mean-field step of a fully connected CRF needs sum_j k(f_i, f_j) q_j for every pixel i, k(f, g) = exp(-|f - g|^2 / 2)
(Kraehenbuehl and Koltun 2011, eq. 3). The pairs are never stored:

* ``Spatial``: positions alone. The kernel is a product of one over rows and one over columns: two matrix products.
* ``Exact``: any features. The sum over j is softmax attention times the sum of the row, which is found once.
* ``Landmarks``: Nystroem's approximation K = C W^-1 C' + D from m landmarks (k-means centres of the features, as Zhang,
  Tsang and Kwok 2008 advise). D restores K_ii = 1, so a pixel of a rare colour keeps its weight for itself.

Legend: P pixels, F features, m landmarks, L labels, R rows asked for, C columns given, H W pixels.
Example: ``Exact(torch.rand(100, 5)).between(None, None)(torch.rand(3, 100))``
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from seglab.post.lloyd import kmeans

_TILE = 2**22
"""Pairs held at a time: 16 MB."""
_STORED = 2**28
"""Products of pixels and landmarks that are kept, 1 GB; those of a larger image are computed anew in every pass."""
_SAMPLE = 4096
"""Pixels, evenly spaced, among which the landmarks are sought."""
_NOTHING = 1e-20
"""A weight that cannot be told from none: that of a pixel for itself is 1."""
_SMALLEST_EIGENVALUE = 1e-5
"""Of the landmarks' own kernel, relative to the largest: below it float32 knows nothing."""

Product = Callable[[Tensor], Tensor]
"""Planes [L, C] to planes [L, R]."""


class Kernel(Protocol):
    """A symmetric matrix over the pixels of an image."""

    sums_P: Tensor

    def between(self, rows: Tensor | None, columns: Tensor | None) -> Product:
        """The product with the part of the matrix at those rows and columns (indices of pixels; None = all)."""


class Spatial:
    """Gaussian of position; without approximation.

    Args:
        height: pixels.
        width: pixels.
        sxy: standard deviation, pixels.
        device: where the image lies.
    """

    def __init__(self, height: int, width: int, *, sxy: float, device: torch.device) -> None:
        self.size = height, width
        self.down_HH, self.across_WW = (_line(n, sxy, device) for n in self.size)
        self.sums_P = (self.down_HH.sum(1)[:, None] * self.across_WW.sum(1)).flatten()

    def between(self, rows: Tensor | None, columns: Tensor | None) -> Product:
        """See :class:`Kernel`."""
        return lambda planes_LC: _some(self._apply(_all(planes_LC, columns, len(self.sums_P))), rows)

    def _apply(self, planes_LP: Tensor) -> Tensor:
        return (self.down_HH @ planes_LP.unflatten(1, self.size) @ self.across_WW).flatten(1)


class Exact:
    """Gaussian of any features, all pairs, in tiles.

    Args:
        features_PF: divided by their standard deviations, float32.
    """

    def __init__(self, features_PF: Tensor) -> None:
        self.features_PF = features_PF - features_PF.mean(0)  # keeps the exponents small
        self.sums_P = _row_sums(self.features_PF, self.features_PF)

    def between(self, rows: Tensor | None, columns: Tensor | None) -> Product:
        """See :class:`Kernel`; the cost is that of the rows times the columns."""
        a_RF = self.features_PF if rows is None else self.features_PF[rows]
        b_CF = self.features_PF if columns is None else self.features_PF[columns]
        if rows is None and columns is None:
            sums_R = self.sums_P
        else:
            sums_R = self.sums_P[rows] if columns is None else _row_sums(a_RF, b_CF)
        return lambda planes_LC: _attention(a_RF, b_CF, planes_LC) * sums_R


class Landmarks:
    """Gaussian of any features, approximated from some landmarks.

    Args:
        features_PF: divided by their standard deviations, float32.
        landmarks: how many, m; fewer are taken where the features have fewer distinct values.

    Attributes:
        missed: mean over pixels of what the landmarks do not explain of K_ii = 1, 0..1; near 0 the product is accurate.
    """

    def __init__(self, features_PF: Tensor, *, landmarks: int) -> None:
        self.features_PF = features_PF - features_PF.mean(0)
        pixels = len(features_PF)
        sample = torch.linspace(0, pixels - 1, min(_SAMPLE, pixels), device=features_PF.device).round().long()
        found = kmeans(self.features_PF[sample].T[None], landmarks, iterations=5, restarts=1, trials=1)
        self.landmarks_mF = found.centres_BMK[0].T[found.alive_BK[0]]
        # W^-1/2 by eigenvalues: landmarks that lie close together make W nearly singular.
        values, vectors = torch.linalg.eigh(_gaussian(self.landmarks_mF.double(), self.landmarks_mF.double()))
        kept = values > _SMALLEST_EIGENVALUE * values[-1]
        self.root_mm = (vectors[:, kept] / values[kept].sqrt()).to(features_PF.dtype)
        step = max(1, _TILE // len(self.landmarks_mF))
        self.starts, self.step = range(0, pixels, step), step
        self.stored = [self._make(s) for s in self.starts] if pixels * len(self.landmarks_mF) <= _STORED else None
        explained_P = torch.cat([block.square().sum(1) for block in self._blocks()])
        self.rest_P = (1 - explained_P).clamp(min=0)
        self.missed = float(self.rest_P.mean())
        self.sums_P = self._apply(torch.ones_like(self.rest_P)[None])[0]

    def between(self, rows: Tensor | None, columns: Tensor | None) -> Product:
        """See :class:`Kernel`."""
        return lambda planes_LC: _some(self._apply(_all(planes_LC, columns, len(self.rest_P))), rows)

    def _make(self, start: int) -> Tensor:
        return _gaussian(self.features_PF[start : start + self.step], self.landmarks_mF) @ self.root_mm

    def _blocks(self) -> Iterator[Tensor]:
        return iter(self.stored) if self.stored is not None else (self._make(s) for s in self.starts)

    def _apply(self, planes_LP: Tensor) -> Tensor:
        parts = planes_LP.split(self.step, 1)
        seen_Lm = sum(part @ block for part, block in zip(parts, self._blocks(), strict=True))
        # Weights are never negative; Nystroem's may be, by a little.
        return torch.cat([seen_Lm @ block.T for block in self._blocks()], 1).clamp_(min=0) + self.rest_P * planes_LP


def _line(length: int, sxy: float, device: torch.device) -> Tensor:
    place = torch.arange(length, dtype=torch.float32, device=device) / sxy
    weights = (place[:, None] - place).square().mul(-0.5).exp()
    return weights * (weights > _NOTHING)


def _gaussian(a_RF: Tensor, b_CF: Tensor) -> Tensor:
    exponent = torch.addmm(-0.5 * b_CF.square().sum(1)[None], a_RF, b_CF.T)
    # Denormal numbers, which exp gives below -87, make a CPU ten times slower.
    return exponent.sub_(0.5 * a_RF.square().sum(1)[:, None]).clamp_(min=math.log(_NOTHING), max=0).exp_()


def _row_sums(a_RF: Tensor, b_CF: Tensor) -> Tensor:
    step = max(1, _TILE // max(1, len(b_CF)))
    return torch.cat([_gaussian(part, b_CF).sum(1) for part in a_RF.split(step)])


def _attention(a_RF: Tensor, b_CF: Tensor, planes_LC: Tensor) -> Tensor:
    """Weighted means: planes times the kernel, each row divided by its sum, [L, R].

    exp(a.b - |b|^2 / 2) is the kernel but for a factor that the division by the row's sum takes out.
    """
    features, labels = a_RF.shape[1] + 1, len(planes_LC)
    width = -(-max(features, labels) // 8) * 8  # queries, keys and values of one width, a multiple of 8
    q_RF = F.pad(torch.cat([a_RF, torch.ones_like(a_RF[:, :1])], 1), (0, width - features))
    k_CF = F.pad(torch.cat([b_CF, -0.5 * b_CF.square().sum(1, keepdim=True)], 1), (0, width - features))
    v_CL = F.pad(planes_LC.T, (0, width - labels))
    means = F.scaled_dot_product_attention(q_RF[None, None], k_CF[None, None], v_CL[None, None], scale=1.0)
    return means[0, 0, :, :labels].T


def _all(planes_LC: Tensor, columns: Tensor | None, pixels: int) -> Tensor:
    if columns is None:
        return planes_LC
    whole = planes_LC.new_zeros(len(planes_LC), pixels)
    whole[:, columns] = planes_LC
    return whole


def _some(planes_LP: Tensor, rows: Tensor | None) -> Tensor:
    return planes_LP if rows is None else planes_LP[:, rows]
