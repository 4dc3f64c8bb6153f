"""The class-imbalance toy: CAS supplement, figure 4 (v1, figure 9), with the boundaries that the networks learned.

Example, in a table's YAML: ``figures: [{_target_: seglab.report.figures.toy_scatter.toy_scatter, name: points}]``
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seglab.report.figures.canvas import COLOURS, MARKERS, legend, write_figure
from seglab.report.figures.context import FigureContext
from seglab.report.figures.networks import load_network, run_config, trained_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

log = logging.getLogger(__name__)

FINE = 400
"""Points of the grid on each axis on which a network's classes are asked for."""


def toy_scatter(context: FigureContext, *, name: str, rows: Sequence[str] | None = None) -> list[Path]:
    """Training points by class, the smaller the class the larger its markers, and each row's decision boundary.

    Args:
        context: of rows whose data are points in the plane; a boundary is drawn where a run is finished.
        name: end of the files' names.
        rows: names of rows; None = all.

    Returns:
        The files written; none where no row is trained.

    Raises:
        ValueError: no such row, or its data are not points in the plane.
    """
    from seglab.data.build import load_part

    finished = trained_rows(context, rows, name)
    known = [row for row in (rows or context.configs) if row in context.configs]
    if not finished and not known:
        log.info("figure %s: no row that is trained, nothing is drawn", name)
        return []
    cfg = run_config(context, finished[0]) if finished else context.configs[known[0]]
    draw = load_part(cfg.data, cfg.runtime, "train")
    points = np.asarray(draw[0]["image"])
    if points.shape[:2] != (2, 1):
        raise ValueError(
            f"figures: {name}: data={cfg.data.name}: expected points as an image of shape (2, 1, N), "
            f"found {tuple(points.shape)}"
        )
    points, classes = points[:, 0], draw.mask(0)[0]
    axes = [np.linspace(low - 0.1, high + 0.1, FINE) for low, high in zip(points.min(1), points.max(1), strict=True)]
    decided = {row: boundary(context, row, axes) for row in finished}

    def paint(figure: Figure) -> None:
        _paint(figure, points, classes, axes, decided)

    seed = "" if "seed" not in cfg else f", seed {cfg.seed}"
    note = f"training draw{seed}; lines: where the class of each row's first finished network changes"
    return write_figure(context, paint, name=name, height=6.2, note=note)


def boundary(context: FigureContext, row: str, axes: Sequence[np.ndarray]) -> np.ndarray:
    """The class a row's network gives to every point of a grid.

    Args:
        context: of the figure.
        row: a row with a finished run.
        axes: coordinates of the grid along each axis.

    Returns:
        Integer classes, [second axis, first axis].
    """
    import torch

    evaluator = load_network(context, row)
    grid = np.stack(np.meshgrid(*axes)).astype(np.float32)  # [2, second, first]
    image = torch.from_numpy(grid.reshape(1, 2, 1, -1)).to(evaluator.device)
    with torch.inference_mode():
        return evaluator.post(evaluator.model(image).float()).cpu().numpy().reshape(grid.shape[1:])


def _paint(
    figure: Figure,
    points: np.ndarray,
    classes: np.ndarray,
    axes: Sequence[np.ndarray],
    decided: dict[str, np.ndarray],
) -> None:
    panel = figure.subplots()
    numbers = {int(k): int((classes == k).sum()) for k in np.unique(classes)}
    for k, number in sorted(numbers.items(), key=lambda item: -item[1]):  # the small ones on top
        few = number < 0.05 * classes.size
        panel.plot(
            *points[:, classes == k],
            MARKERS[k % len(MARKERS)],
            color=COLOURS[k % len(COLOURS)],
            markersize=10 if few else 2.2,
            markeredgecolor="white" if few else "none",
            alpha=1.0 if few else 0.25,
            zorder=3 if few else 1,
            label=f"class {k + 1}: {number} points",
            rasterized=not few,  # ten thousand vector circles are no good in a browser
        )
    for i, (row, labels) in enumerate(decided.items()):
        colour, style = COLOURS[2:][i % len(COLOURS[2:])], ("-", "--", "-.", ":")[i % 4]
        words = f"boundary of {row}"
        if len(found := np.unique(labels)) > 1:
            panel.contour(*axes, labels, levels=(found[:-1] + found[1:]) / 2, colors=colour, linestyles=style,
                          linewidths=2.6, zorder=4)  # fmt: skip
        else:
            words, style = f"{row}: class {int(found[0]) + 1} everywhere", "none"
        panel.plot([], [], color=colour, linestyle=style, linewidth=2.6, label=words)
    panel.set(xlabel="first component (no unit)", ylabel="second component (no unit)", aspect="equal")
    panel.grid(True)
    legend(figure, columns=2)
    figure.legends[0].legend_handles[0].set(markersize=6, alpha=1.0)
