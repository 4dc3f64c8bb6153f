"""The CAS loss of an image with two regions over their mean outputs, and against alpha: CAS supplement, figure 1.

In closed form: with two channels the means are (a, 1 - a) and (b, 1 - b), so Eq. 1 of the CAS paper is

    alpha * (U_a + U_b) - kappa * (1 - alpha) * 2 * (a - b)^2

where U is 0 for a region of one colour and 2 a (1 - a) where every pixel is one-hot, the largest that a mean allows. It
is what :func:`seglab.losses.cas.cas_loss` gives, which a test asserts; the page needs no torch for it.

One runnable line: ``python -c "from seglab.report.page.loss_profile import loss; print(loss(1, 0, alpha=0.1))"``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from seglab.report.page.figure import Figure, figure_id
from seglab.report.page.surface import surface_svg
from seglab.report.page.svg import Series, curve_svg, panels
from seglab.report.page.svgtext import side_by_side

STEPS = 60
ALPHAS = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9)
"""Of the curves; 0.1 is the paper's choice."""
CORNERS = ((1.0, 0.0), (0.0, 1.0))
"""Means (a, b) at which the loss is least."""


def loss(
    a: float | np.ndarray, b: float | np.ndarray, *, alpha: float, pairs: str = "once", one_hot: bool = False
) -> float | np.ndarray:
    """CAS loss of one image with two regions and two channels, Eq. 1; no unit.

    Args:
        a: mean of the first channel over the first region, in 0..1.
        b: over the second region.
        alpha: weight of the uniformer, in [0, 1].
        pairs: ``once`` (kappa = 1) or ``ordered`` (kappa = 2).
        one_hot: every pixel is (1, 0) or (0, 1); False: all pixels of a region are equal.
    """
    kappa = 1 if pairs == "once" else 2
    uniformer = 2 * (a * (1 - a) + b * (1 - b)) if one_hot else 0.0
    return alpha * uniformer - kappa * (1 - alpha) * 2 * (a - b) ** 2


def profile_figures(*, alpha: float = 0.1, pairs: str = "once", stem: str = "") -> list[Figure]:
    """The surface of the loss, and its run against alpha.

    Args:
        alpha: of the surfaces.
        pairs: how pairs of regions are counted.
        stem: of the table they belong to.
    """
    axis = np.linspace(0, 1, STEPS + 1)
    a, b = np.meshgrid(axis, axis)
    kinds = (
        ("discriminator alone (alpha = 0)", {"alpha": 0.0}),
        (f"alpha = {alpha:g}, regions of one colour: uniformer 0", {"alpha": alpha}),
        (f"alpha = {alpha:g}, one-hot pixels: uniformer largest", {"alpha": alpha, "one_hot": True}),
    )
    surfaces = {title: loss(a, b, pairs=pairs, **options) for title, options in kinds}
    ends = min(float(s.min()) for s in surfaces.values()), max(float(s.max()) for s in surfaces.values())
    labels = {"x_label": "a (fraction)", "y_label": "b (fraction)", "z_label": "loss (no unit)"}
    plots = [surface_svg(s, title=title, ends=ends, marked=CORNERS, **labels) for title, s in surfaces.items()]
    return [
        Figure(
            id=figure_id(stem, "loss-profile"),
            title="CAS loss over the mean outputs of two regions",
            caption=(
                "a, b: mean of the first softmax channel over the first and the second region; diamonds: the minima, "
                "where the regions have different colours. The whole loss of any image with these means lies between "
                f"the second and the third picture. From Eq. 1, every pair of regions counted {pairs}; no run needed."
            ),
            html=side_by_side(plots),
            kind="loss_profile",
            table=stem,
        ),
        _against_alpha(pairs, stem),
    ]


def _against_alpha(pairs: str, stem: str, alphas: Sequence[float] = ALPHAS) -> Figure:
    """The loss while two regions go from one colour to different ones, a line for each alpha."""
    apart = np.linspace(0, 1, STEPS + 1)
    a, b = (1 + apart) / 2, (1 - apart) / 2
    plots, lines = [], []
    for title, one_hot in (("regions of one colour each", False), ("one-hot pixels", True)):
        lines = [_line(alpha, apart, loss(a, b, alpha=alpha, pairs=pairs, one_hot=one_hot), i)
                 for i, alpha in enumerate(alphas, 1)]  # fmt: skip
        labels: dict[str, Any] = {"x_label": "a - b, distance of the regions' means (fraction)", "title": title}
        plots.append(
            curve_svg(lines, y_label="CAS loss of one image (no unit)", legend=False, x_range=(0, 1), **labels)
        )
    return Figure(
        id=figure_id(stem, "loss-against-alpha"),
        title="CAS loss against the distance of two regions, for values of alpha",
        caption=(
            "From a = b = 0.5 to a = 1, b = 0: the larger alpha, the less the loss gains by keeping regions apart, and "
            f"the more it asks for pixels of a region that are alike. From Eq. 1, every pair counted {pairs}."
        ),
        html=panels(plots, lines),
        kind="loss_profile",
        table=stem,
    )


def _line(alpha: float, x: np.ndarray, y: np.ndarray, colour: int) -> Series:
    return Series(f"alpha = {alpha:g}", x.tolist(), y.tolist(), marker=None, colour=colour)
