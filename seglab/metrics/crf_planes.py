"""Sparse-CRF and dense-CRF loss of many hard label maps of ONE image at once.

The weights depend on the image alone, and finding them is nearly all of the work of the dense CRF: the 20 predictions
of a table's 20 snapshots cost little more together than one of them. Values are those of
:mod:`seglab.losses.sparse_crf` and :mod:`seglab.losses.dense_crf` for the same maps.

Legend: L label maps (planes), H W pixels, P = H * W, R rows and C columns of the kernel that are needed.
Example: ``dense_planes(torch.eye(8)[None] > 0, torch.zeros(3, 8, 8), sigma_space=5.0, sigma_colour=15.0)``
"""

from __future__ import annotations

import torch
from torch import Tensor

from seglab.losses.sparse_crf import edge_weights, sparse_crf_loss
from seglab.post.crf_kernels import Landmarks
from seglab.post.dense_crf import bilateral_features

_TILE = 2**22
"""Pairs of pixels held at a time: 16 MB."""


def dense_planes(
    planes_LHW: Tensor, image_3HW: Tensor, *, sigma_space: float, sigma_colour: float, landmarks: int | None = None
) -> Tensor:
    """Dense-CRF loss per pixel, ``1/P sum over p != q of w_pq x_p (1 - x_q)`` (EQUATIONS 3.2), Gaussian weights.

    Args:
        planes_LHW: bool, True on the object.
        image_3HW: grey levels 0..255, uint8 or float.
        sigma_space: deviation of position, pixels.
        sigma_colour: deviation of colour, grey levels.
        landmarks: None: all pairs; else approximated from so many landmarks.

    Returns:
        float64 [L] >= 0 on the CPU; 0 for a map that is all object or has none.
    """
    x_LP = planes_LHW.flatten(1)
    features_P5 = bilateral_features(image_3HW, sxy=sigma_space, srgb=sigma_colour)
    # A pixel that is background in every map speaks for no row, one that is object in every map for no column.
    rows, columns = x_LP.any(0).nonzero()[:, 0], (~x_LP).any(0).nonzero()[:, 0]
    if not len(rows) or not len(columns):
        return torch.zeros(len(x_LP), dtype=torch.float64)
    outside_LC = (~x_LP[:, columns]).float()
    if landmarks is not None:
        seen_LR = Landmarks(features_P5, landmarks=landmarks).between(rows, columns)(outside_LC)
    else:
        seen_LR = _kernel_product(features_P5[rows], features_P5[columns], outside_LC)
    return (seen_LR.double() * x_LP[:, rows]).sum(1).cpu() / x_LP.shape[1]


def sparse_planes(
    planes_LHW: Tensor,
    image_3HW: Tensor,
    *,
    sigma: float,
    scale: str = "standardised",
    neighbours: int = 4,
    diagonal: str = "distance",
) -> Tensor:
    """Sparse-CRF loss per pair of neighbours (Eq. 1 and 2), as :func:`seglab.losses.sparse_crf.sparse_crf_loss`.

    Args:
        planes_LHW: bool, True on the object.
        image_3HW: grey levels 0..255, uint8 or float.
        sigma: deviation of colour, in units of ``scale``.
        scale: ``standardised`` or ``unit``.
        neighbours: 4 or 8.
        diagonal: of 8 neighbours, ``distance`` or ``plain``.

    Returns:
        float64 [L] >= 0 on the CPU; 0 for a map that is all object or has none.
    """
    options = {"sigma": sigma, "scale": scale, "neighbours": neighbours}
    weights_1DHW = edge_weights(image_3HW[None], dtype=torch.float64, **options)
    weights_LDHW = weights_1DHW.expand(len(planes_LHW), *weights_1DHW.shape[1:])
    losses_L = sparse_crf_loss(
        planes_LHW.double(), None, weights=weights_LDHW, diagonal=diagonal, reduction="none", **options
    )
    return losses_L.cpu()


def _kernel_product(a_RF: Tensor, b_CF: Tensor, planes_LC: Tensor) -> Tensor:
    """``sum over c of exp(-|a_r - b_c|^2 / 2) planes_lc``, float32 [L, R], in tiles; no pair is found twice."""
    centre_F = b_CF.mean(0)
    a_RF, b_CF = a_RF - centre_F, b_CF - centre_F
    half_C = -0.5 * b_CF.square().sum(1)
    parts = []
    for part_rF in a_RF.split(max(1, _TILE // len(b_CF))):
        exponent_rC = torch.addmm(half_C[None], part_rF, b_CF.T).sub_(0.5 * part_rF.square().sum(1)[:, None])
        # Denormal numbers, which exp gives below -87, make a CPU ten times slower.
        parts.append(exponent_rC.clamp_(min=-46, max=0).exp_() @ planes_LC.T)
    return torch.cat(parts).T
