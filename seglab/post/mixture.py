"""Probabilities from descriptors: logistic regression with labels, a mixture of two Gaussians without.

Both give ``p = sigmoid(w . x + b)``: of two Gaussians with one covariance the posterior is of that form, so that it
grows with the evidence everywhere, which two covariances would not grant in the tails.

Legend: N pixels, D features. Example: ``logistic(torch.randn(100, 1), torch.rand(100) < 0.5)``
"""

from __future__ import annotations

import torch
from torch import Tensor

STEPS = 200
RIDGE = 1.0
"""Penalty on the squared weights of standardised features, as one observation: it matters where labels separate."""


def logistic(x_ND: Tensor, object_N: Tensor) -> tuple[Tensor, float]:
    """Weights and bias of the most probable logistic regression, by Newton's method.

    Args:
        x_ND: features, float64.
        object_N: bool.

    Returns:
        Weights [D] and bias of the features as they are given.
    """
    mean_D, deviation_D = _moments(x_ND)
    z_NE = torch.cat([(x_ND - mean_D) / deviation_D, torch.ones_like(x_ND[:, :1])], 1)
    y_N = object_N.to(z_NE)
    penalty_E = torch.full_like(z_NE[0], RIDGE)
    penalty_E[-1] = 1e-9
    w_E = torch.zeros_like(z_NE[0])
    w_E[-1] = torch.logit(y_N.mean().clamp(1e-6, 1 - 1e-6))

    def cost(weights_E: Tensor) -> Tensor:
        s_N = z_NE @ weights_E
        return (torch.nn.functional.softplus(s_N) - y_N * s_N).sum() + (penalty_E * weights_E.square()).sum() / 2

    now = cost(w_E)
    for _ in range(STEPS):
        p_N = (z_NE @ w_E).sigmoid()
        slope_E = z_NE.T @ (p_N - y_N) + penalty_E * w_E
        curve_EE = (z_NE * (p_N * (1 - p_N))[:, None]).T @ z_NE + torch.diag(penalty_E + 1e-9)
        step_E = torch.linalg.solve(curve_EE, slope_E)
        size = 1.0
        while cost(w_E - size * step_E) > now and size > 1e-6:
            size /= 2
        w_E = w_E - size * step_E
        before, now = now, cost(w_E)
        if float(before - now) <= 1e-10 * (1 + float(now)):
            break
    w_D = w_E[:-1] / deviation_D
    return w_D, float(w_E[-1] - w_D @ mean_D)


def two_gaussians(x_ND: Tensor) -> tuple[Tensor, float, float]:
    """Posterior of the second of two Gaussians with one covariance, by EM from a cut at the mean of the main axis.

    Args:
        x_ND: features, float64, 2 rows or more.

    Returns:
        Weights [D] and bias of the posterior, and the share of the second component, 0..1; one below 0.01 or above
        0.99 means that there are no two components to tell apart.
    """
    mean_D, deviation_D = _moments(x_ND)
    z_ND = (x_ND - mean_D) / deviation_D
    axis_D = torch.linalg.eigh(z_ND.T @ z_ND / len(z_ND))[1][:, -1]
    r_N = (z_ND @ axis_D > 0).to(z_ND)
    w_D, b, share = torch.zeros_like(mean_D), 0.0, 0.5
    for _ in range(STEPS):
        share = float(r_N.mean())
        if not 1e-4 < share < 1 - 1e-4:
            break
        one_D, two_D = ((r[:, None] * z_ND).sum(0) / r.sum() for r in (1 - r_N, r_N))
        away_ND = z_ND - one_D - r_N[:, None] * (two_D - one_D)
        # The scatter within, plus the part of soft members that lies between the means.
        between_D = two_D - one_D
        cov_DD = away_ND.T @ away_ND / len(z_ND) + torch.outer(between_D, between_D) * (r_N * (1 - r_N)).mean()
        cov_DD += 1e-6 * torch.eye(len(mean_D), dtype=cov_DD.dtype, device=cov_DD.device)
        w_D = torch.linalg.solve(cov_DD, between_D)
        b = float(torch.logit(torch.tensor(share, dtype=torch.float64)) - w_D @ (one_D + two_D) / 2)
        found_N = (z_ND @ w_D + b).sigmoid()
        moved, r_N = float((found_N - r_N).abs().max()), found_N
        if moved < 1e-6:
            break
    w_D = w_D / deviation_D
    return w_D, float(b - w_D @ mean_D), share


def _moments(x_ND: Tensor) -> tuple[Tensor, Tensor]:
    return x_ND.mean(0), x_ND.std(0, correction=0).clamp_min(1e-6)
