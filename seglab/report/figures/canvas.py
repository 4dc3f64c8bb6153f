"""What all figures share: style, colours, the line that names the scale, and files that are the same bytes every time.

One runnable line: ``python -c "from seglab.report.figures.canvas import COLOURS; print(COLOURS)"``.
"""

from __future__ import annotations

import io
import math
import os
import textwrap
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from seglab.report.figures.context import FigureContext
from seglab.tables.values import TableValues

DPI = 200
WIDTH = 10.0
"""Inches; at 1000 pixels a letter of 10 points is then 14 pixels high."""

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#4D4D4D")
"""Okabe and Ito, "Color Universal Design" (2008): told apart by all kinds of colour vision; yellow left out."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
MARK = "#D55E00"
"""Colour of what is pointed out."""

METRICS = {
    "fbeta_adaptive": "F-beta, threshold 2 x mean (fraction)",
    "fbeta_max_of_mean_f": "F-beta, best threshold (fraction)",
    "fbeta_max_of_mean_pr": "F-beta, best threshold (fraction)",
    "fbeta_fixed": "F-beta at a fixed threshold (fraction)",
    "fbeta_weighted": "weighted F-beta (fraction)",
    "mae": "mean absolute error (fraction)",
    "s_measure": "S-measure (fraction)",
    "jaccard": "Jaccard index (fraction)",
}
"""Metrics on disk -> words on an axis; others are written as they are called."""

_STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 10.5,
    "axes.labelsize": 10,
    "axes.edgecolor": "#4D4D4D",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#E0E0E0",
    "grid.linewidth": 0.8,
    "legend.fontsize": 9.5,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 6.5,
    "errorbar.capsize": 3,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.hashsalt": "seglab",  # the same names inside the file every time
    "svg.fonttype": "none",  # text stays text: it can be searched and copied
}


def write_figure(
    context: FigureContext, paint: Callable[[Figure], None], *, name: str, height: float, note: str = ""
) -> list[Path]:
    """Paint a figure and write it as PNG and SVG; the same paint gives the same bytes.

    Args:
        context: its ``stem`` says where, its ``values`` at which scale.
        paint: fills an empty figure; the style holds while it runs.
        name: end of the files' names.
        height: inches; the width is :data:`WIDTH`.
        note: how to read the figure, put above the line that names the scale.

    Returns:
        ``<stem>-<name>.png`` and ``<stem>-<name>.svg``.
    """
    lines = [line for text in (note, scale_line(context.values)) for line in wrapped(text, 150)]
    return save_figure(context.stem.with_name(f"{context.stem.name}-{name}"), paint, height=height, lines=lines)


def save_figure(
    stem: Path, paint: Callable[[Figure], None], *, height: float, lines: Sequence[str], width: float = WIDTH
) -> list[Path]:
    """Paint a figure and write it as PNG and SVG; the same paint gives the same bytes.

    Args:
        stem: path of the files without suffix.
        paint: fills an empty figure; the style holds while it runs.
        height: inches.
        lines: what is written below the figure.
        width: inches.

    Returns:
        ``<stem>.png`` and ``<stem>.svg``.
    """
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # a matplotlibrc of the user would change the bytes
        matplotlib.rcParams.update(_STYLE)
        figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
        FigureCanvasAgg(figure)
        figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08)
        paint(figure)
        figure.supxlabel("\n".join(lines), x=0.01, ha="left", fontsize=8.5, color="#4D4D4D", linespacing=1.4)
        return [_save(figure, stem.with_name(f"{stem.name}.{end}")) for end in ("png", "svg")]


def scale_line(values: TableValues) -> str:
    """The words every figure ends with: at which scale its numbers were made."""
    return "scale paper" if values.scale == "paper" else f"scale {values.scale}: {values.scale_title}"


def wrapped(text: str, width: int) -> list[str]:
    """A text in as few lines of at most ``width`` characters as it takes, the lines about equally long."""
    lines = textwrap.wrap(text, width)
    for narrower in range(width - 1, 0, -1):
        tried = textwrap.wrap(text, narrower)
        if len(tried) > len(lines):
            break
        lines = tried
    return lines


def legend(figure: Figure, *, columns: int = 4, title: str | None = None) -> None:
    """One legend above all panels, where it covers no data; entries with one label appear once.

    Args:
        figure: whose legend it is.
        columns: how many; they are filled one after the other, from top to bottom.
        title: of the whole figure.
    """
    entries: dict[str, object] = {}
    for panel in figure.axes:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    if entries:
        figure.legend(
            list(entries.values()),
            list(entries),
            loc="outside upper center",
            ncols=min(columns, len(entries)),
            title=title,
            title_fontsize=11.5,
        )


def metric_label(metric: str, better: str) -> str:
    """An axis label: the metric's words and the better direction as an arrow."""
    arrow = "↑ higher is better" if better == "higher" else "↓ lower is better"
    return f"{METRICS.get(metric, metric.replace('_', ' '))}\n{arrow}"


def pictures(
    figure: Figure,
    grid: Sequence[Sequence[np.ndarray]],
    *,
    columns: Sequence[str],
    rows: Sequence[str],
    marked: Collection[tuple[int, int]] = (),
    heights: Sequence[float] | None = None,
) -> None:
    """Fill a figure with pictures in rows and columns.

    Args:
        figure: empty.
        grid: rows of arrays: uint8 [H,W,3] colour, integer [H,W] labels (0 black, the largest white, 255 = ignore
            violet), or float [H,W] in 0..1.
        columns: titles above; broken into lines where they are long.
        rows: words on the left.
        marked: (row, column) of pictures that get a coloured frame.
        heights: of the rows, relative to each other; None = all the same.
    """
    panels = figure.subplots(len(grid), len(grid[0]), squeeze=False, height_ratios=heights)
    room = max(8, int(100 / len(grid[0])))
    for i, line in enumerate(grid):
        for j, array in enumerate(line):
            axes = panels[i, j]
            axes.imshow(to_colour(array), interpolation="nearest")
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set(visible=True, color=MARK if (i, j) in marked else "#B0B0B0")
            axes.spines[:].set_linewidth(3.0 if (i, j) in marked else 0.6)
        panels[i, 0].set_ylabel(textwrap.fill(rows[i], 18), fontsize=9)
    for j, title in enumerate(columns):
        panels[0, j].set_title(textwrap.fill(title, room), fontsize=9.5)


def picture_height(rows: float, columns: int, *, beside: float = 0.9) -> float:
    """Height in inches of a figure of pictures; ``beside`` is the room for words above and below.

    Args:
        rows: how many rows of square pictures; one of other pictures counts as its share of a square's height.
        columns: how many pictures are in a row.
        beside: inches.
    """
    return min(13.0, rows * (WIDTH - 0.6) / max(columns, 4) * 1.02 + beside)


def to_colour(array: np.ndarray) -> np.ndarray:
    """An array as uint8 [H,W,3]; see :func:`pictures`."""
    from seglab.data.sample import IGNORE  # brings torch, which figures without pictures do not need

    array = np.asarray(array)
    if array.ndim == 3:
        return array.astype(np.uint8)
    if np.issubdtype(array.dtype, np.floating):
        return np.repeat((np.clip(array, 0, 1) * 255 + 0.5).astype(np.uint8)[..., None], 3, axis=2)
    labels = array.astype(np.int64)
    ignored = labels == IGNORE
    top = max(1, int(labels[~ignored].max(initial=1)))
    colour = np.repeat((np.where(ignored, 0, labels) * 255 // top)[..., None], 3, axis=2).astype(np.uint8)
    colour[ignored] = (150, 110, 190)
    return colour


def panel_grid(count: int, *, columns: int) -> tuple[int, int]:
    """Rows and columns of ``count`` panels."""
    columns = min(columns, count)
    return math.ceil(count / columns), columns


def look_of(names: Sequence[str]) -> Mapping[str, dict[str, str]]:
    """A colour and a marker for every name, in this order; both repeat after seven."""
    n = len(COLOURS)
    return {name: {"color": COLOURS[i % n], "marker": MARKERS[i % n]} for i, name in enumerate(names)}


def _save(figure: Figure, path: Path) -> Path:
    """Write by way of a temporary file, so that a reader never sees half a picture."""
    content = io.BytesIO()
    metadata = {"Date": None} if path.suffix == ".svg" else {}
    figure.savefig(content, format=path.suffix[1:], dpi=DPI, metadata=metadata)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.tmp{os.getpid()}")
    temporary.write_bytes(content.getvalue())
    os.replace(temporary, path)
    return path
