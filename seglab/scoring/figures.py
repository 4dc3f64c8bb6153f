"""Precision-recall and F curves of several methods, as PNG and SVG, of saliency maps and of boundary maps.

Example: ``draw_curves(results, folder, note="SOD, protocol pysodmetrics")``
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seglab.scoring.gather import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLES = ("-", "--", "-.", ":")


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What is drawn.

    Attributes:
        file: name of the files without suffix.
        x: curve on the horizontal axis.
        y: curve on the vertical axis.
        of: curve that a method must have to be drawn: two kinds may share their axes.
        x_label: words below.
        y_label: words beside.
        steps: threshold k of so many on the horizontal axis; 0 where it is in 0..1.
        lines_of_f: draw lines of equal F = 2 P R / (P + R).
    """

    file: str
    x: str
    y: str
    of: str
    x_label: str
    y_label: str
    steps: int = 0
    lines_of_f: bool = False


_OVER_IMAGES = "threshold k of 255 (map ≥ k/255)"
KINDS = (
    Kind(
        file="pr",
        x="recall",
        y="precision",
        of="fbeta",
        x_label="recall (mean over images)",
        y_label="precision (mean over images)",
    ),
    Kind(
        file="f",
        x="threshold",
        y="fbeta",
        of="fbeta",
        x_label=_OVER_IMAGES,
        y_label="F-beta (mean over images)",
        steps=255,
    ),
    Kind(
        file="e",
        x="threshold",
        y="e_measure",
        of="e_measure",
        x_label=_OVER_IMAGES,
        y_label="E-measure (mean over images)",
        steps=255,
    ),
    Kind(
        file="pr",
        x="recall",
        y="precision",
        of="f",
        x_label="recall (boundary pixels of all images)",
        y_label="precision (boundary pixels of all images)",
        lines_of_f=True,
    ),
    Kind(file="f", x="threshold", y="f", of="f", x_label="threshold (map ≥ threshold)", y_label="F (all images)"),
)


def draw_curves(results: Sequence[Result], folder: Path, *, note: str) -> list[Path]:
    """Draw all kinds of curves that the methods have.

    Args:
        results: methods with curves.
        folder: where the files are written.
        note: a line below each figure.

    Returns:
        The figures, each as ``.png`` and ``.svg``: ``pr``, ``f`` and ``e`` of saliency maps, ``pr`` and ``f`` of
        boundary maps.
    """
    paths = []
    for kind in KINDS:
        drawn = [(i, r) for i, r in enumerate(results) if {kind.x, kind.y, kind.of} <= r.curves.keys()]
        paths += draw(kind, drawn, folder, note=note) if drawn else []
    return paths


def draw(kind: Kind, results: Sequence[tuple[int, Result]], folder: Path, *, note: str) -> list[Path]:
    """Draw one kind of curve of methods with their places among all methods, which are their colours."""
    from seglab.report.figures.canvas import COLOURS, MARKERS, legend, save_figure, wrapped

    def paint(figure: Figure) -> None:
        axes: Axes = figure.subplots()
        if kind.lines_of_f:
            _lines_of_f(axes)
        for i, result in results:
            x, y = result.curves[kind.x], result.curves[kind.y]
            if kind.x == "recall":
                # Where no pixel is left the precision of 0 / 0 counts as 0: it belongs to no point of the curve.
                there = x > 0
                x, y = x[there], y[there]
            elif kind.steps:
                x = np.round(kind.steps * x)
            look = {"color": COLOURS[i % len(COLOURS)], "linestyle": STYLES[i % len(STYLES)]}
            if "scale" in result.curves:
                look |= {"marker": MARKERS[i % len(MARKERS)]}  # a few points, or a single one
            axes.plot(x, y, label=result.name, **look)
        axes.set(xlabel=kind.x_label, ylabel=kind.y_label, xlim=(0, kind.steps or 1), ylim=(0, 1.01))
        if kind.steps:
            axes.set_xticks(range(0, kind.steps + 1, 51))
        axes.grid(True)
        legend(figure, columns=4)

    rows = (len(results) + 3) // 4
    return save_figure(folder / kind.file, paint, height=4.6 + 0.22 * rows, width=6.4, lines=wrapped(note, 96))


def line_of_f(f: float) -> tuple[np.ndarray, np.ndarray]:
    """Recall and precision of one F, float64 [100] each, from precision 1 to recall 1.

    The line is a hyperbola about (F / 2, F / 2); the points lie at equal ratios of the distance from there, close where
    it is steep.
    """
    recall = f / 2 + np.geomspace(f / (2 - f) - f / 2, 1 - f / 2, 100)
    return recall, f * recall / (2 * recall - f)


def _lines_of_f(axes: Axes) -> None:
    for f in np.arange(1, 10) / 10:
        recall, precision = line_of_f(f)
        axes.plot(recall, precision, color="#BDBDBD", linewidth=0.7, zorder=0)
        axes.annotate(
            f"{f:.1f}", (1, precision[-1]), fontsize=7.5, color="#8A8A8A", xytext=(2, -2), textcoords="offset points"
        )
