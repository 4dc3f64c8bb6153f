"""Precision-recall and F curves of several methods, as PNG and SVG.

Example: ``draw_curves(results, folder, note="SOD, protocol pysodmetrics")``
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seglab.scoring.gather import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLES = ("-", "--", "-.", ":")
KINDS = {
    "pr": ("recall", "precision", "recall (mean over images)", "precision (mean over images)"),
    "f": ("threshold", "fbeta", "threshold k of 255 (map ≥ k/255)", "F-beta (mean over images)"),
    "e": ("threshold", "e_measure", "threshold k of 255 (map ≥ k/255)", "E-measure (mean over images)"),
}
"""File name -> what is on the axes, and their words."""


def draw_curves(results: Sequence[Result], folder: Path, *, note: str) -> list[Path]:
    """Draw all kinds of curves.

    Args:
        results: methods with curves.
        folder: where the files are written.
        note: a line below each figure.

    Returns:
        ``pr``, ``f`` and ``e``, each as ``.png`` and ``.svg``.
    """
    return [path for kind in KINDS for path in draw(kind, results, folder, note=note)]


def draw(kind: str, results: Sequence[Result], folder: Path, *, note: str) -> list[Path]:
    """Draw one kind of curve."""
    from seglab.report.figures.canvas import COLOURS, legend, save_figure, wrapped

    x_name, y_name, x_label, y_label = KINDS[kind]

    def paint(figure: Figure) -> None:
        axes: Axes = figure.subplots()
        for i, result in enumerate(results):
            x, y = result.curves[x_name], result.curves[y_name]
            if kind == "pr":
                # Where no pixel is left the precision of 0 / 0 counts as 0: it belongs to no point of the curve.
                there = x > 0
                x, y = x[there], y[there]
            else:
                x = np.round(255 * x)
            look = {"color": COLOURS[i % len(COLOURS)], "linestyle": STYLES[i % len(STYLES)]}
            axes.plot(x, y, label=result.name, **look)
        axes.set(xlabel=x_label, ylabel=y_label, xlim=(0, 1) if kind == "pr" else (0, 255), ylim=(0, 1.01))
        if kind != "pr":
            axes.set_xticks(range(0, 256, 51))
        axes.grid(True)
        legend(figure, columns=4)

    rows = (len(results) + 3) // 4
    return save_figure(folder / kind, paint, height=4.6 + 0.22 * rows, width=6.4, lines=wrapped(note, 96))
