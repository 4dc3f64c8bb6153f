"""The CAS loss over the mean outputs of two regions: CAS supplement, figure 1 (v1, figure 7).

Drawn from :func:`seglab.losses.cas.cas_loss` itself, on images whose regions have the means asked for. With two
channels a region's mean is (a0, 1 - a0), so a0 and b0 of the two regions say everything the discriminator sees.

Example, in a table's YAML: ``figures: [{_target_: seglab.report.figures.loss_profile.loss_profile, name: profile}]``
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seglab.report.figures.canvas import write_figure
from seglab.report.figures.context import FigureContext

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STEPS = 40
"""Between 0 and 1 on each axis; also the pixels of a region, so that one-hot pixels reach every mean exactly."""


def loss_profile(context: FigureContext, *, name: str, alpha: float = 0.1, pairs: str = "once") -> list[Path]:
    """Three panels over (a0, b0): the discriminator alone, and the whole loss with the smallest and largest uniformer.

    Regions of one colour have variance 0; for a given mean the variance is largest where every pixel is one-hot. The
    whole loss of any image with these means lies between the two.

    Args:
        context: where to write; no run is needed.
        name: end of the files' names.
        alpha: weight of the uniformer, in [0, 1].
        pairs: how pairs of regions are counted, see :func:`seglab.losses.cas.cas_loss`.

    Returns:
        The files written.

    Raises:
        ValueError: ``alpha`` or ``pairs`` outside its range.
    """
    titles = (
        "discriminator alone (alpha = 0)",
        f"whole loss, alpha = {alpha:g},\nconstant regions: uniformer 0",
        f"whole loss, alpha = {alpha:g},\none-hot pixels: uniformer largest",
    )
    surfaces = (
        profile(alpha=0.0, pairs=pairs),
        profile(alpha=alpha, pairs=pairs),
        profile(alpha=alpha, pairs=pairs, one_hot=True),
    )
    note = "a, b: mean softmax outputs of the two regions; stars: minima, (a0, b0) = (1, 0) and (0, 1)"
    return write_figure(context, lambda figure: _paint(figure, surfaces, titles), name=name, height=4.2, note=note)


def profile(*, alpha: float, pairs: str = "once", one_hot: bool = False) -> np.ndarray:
    """The loss at every pair of means.

    Args:
        alpha: weight of the uniformer.
        pairs: ``once`` or ``ordered``.
        one_hot: pixels are (1, 0) or (0, 1) in the share that gives the mean; else all pixels of a region are equal.

    Returns:
        float64 [STEPS + 1, STEPS + 1]; first axis b0, second a0, both from 0 to 1.
    """
    import torch

    from seglab.losses.cas import cas_loss

    shares = torch.arange(STEPS + 1, dtype=torch.float64) / STEPS
    one_hot_pixels = (torch.arange(STEPS)[None] < torch.arange(STEPS + 1)[:, None]).double()
    pixels = one_hot_pixels if one_hot else shares[:, None]
    labels = torch.arange(2).repeat_interleave(pixels.shape[1])[None, None]
    values = np.empty((STEPS + 1, STEPS + 1))
    for i, b0 in enumerate(pixels):
        for j, a0 in enumerate(pixels):
            first = torch.cat([a0, b0])
            outputs = torch.stack([first, 1 - first])[None, :, None]
            # The logarithm is a logit; 1e-300 is 0 to a softmax in float64 and keeps infinities away.
            values[i, j] = cas_loss(outputs.clamp(min=1e-300).log(), labels, alpha=alpha, pairs=pairs).item()
    return values


def _paint(figure: Figure, surfaces: Sequence[np.ndarray], titles: Sequence[str]) -> None:
    axis = np.linspace(0, 1, STEPS + 1)
    low, high = min(s.min() for s in surfaces), max(s.max() for s in surfaces)
    step = 0.1 if low > -2.5 else 0.2
    steps = step * np.arange(np.floor(low / step + 1e-6), np.ceil(high / step - 1e-6) + 1)
    panels = figure.subplots(1, len(surfaces), sharey=True)
    for axes, surface, title in zip(panels, (s + 0.0 for s in surfaces), titles, strict=True):  # + 0.0: no minus zero
        filled = axes.contourf(axis, axis, surface, levels=steps, cmap="cividis")
        axes.contour(axis, axis, surface, levels=steps, colors="white", linewidths=0.4, linestyles="solid")
        least = surface.min()
        for a0, b0, side, up in ((1, 0, "right", "bottom"), (0, 1, "left", "top")):
            axes.plot(a0, b0, "*", color="#D55E00", markersize=15, markeredgecolor="white", clip_on=False, zorder=5)
            text = f" {surface[round(b0 * STEPS), round(a0 * STEPS)]:.2f} "
            where = (abs(a0 - 0.05), abs(b0 - 0.05))
            axes.text(*where, text, color="white", ha=side, va=up, fontweight="bold")
        axes.set(title=f"{title}\nfrom {least:.2f} to {surface.max():.2f}", xlabel="a0 (no unit)", aspect="equal")
    panels[0].set_ylabel("b0 (no unit)")
    figure.colorbar(
        filled,
        ax=list(panels),
        label="loss of one image (no unit)",
        ticks=np.arange(np.ceil(2 * low), 2 * high + 1e-6) / 2,
        shrink=0.85,
    )
