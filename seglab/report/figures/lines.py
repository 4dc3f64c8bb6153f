"""A table as curves: score against noise rate, against alpha ...; the paper's numbers dashed beside ours.

Where x lies depends on the table. In CAS table 3 a row is a loss at a rate: rows have ``series`` and ``x``, and every
column is a panel. In a table whose columns differ in their ``overrides`` a row is a line, columns have ``x`` and
perhaps ``group``, and every metric of every group is a panel; a column with ``x`` and without ``group`` (clean masks)
belongs to all panels of its metric.

Example, in ``conf/table/cas_t3.yaml`` (CAS table 3 as a plot)::

    figures:
      - {_target_: seglab.report.figures.lines.lines, name: noise, metrics: [fbeta_adaptive, mae], x_label: noise rate}
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from seglab.report.figures.canvas import (
    COLOURS,
    MARKERS,
    legend,
    look_of,
    metric_label,
    panel_grid,
    wrapped,
    write_figure,
)
from seglab.report.figures.context import FigureContext
from seglab.tables.spec import Column, Row
from seglab.tables.values import Cell, TableValues
from seglab.words import nearest

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

log = logging.getLogger(__name__)

SCALES = ("linear", "log", "even")
DASHES = ("-", "--", ":")
"""Of the lines of a panel, changed when all colours are used up."""


@dataclass(frozen=True)
class Panel:
    """What one panel shows.

    Attributes:
        title: above it.
        metric: name of the metric on the vertical axis.
        better: ``higher`` or ``lower``.
        set: name of the data set.
        cells: line -> its (x, cell), by x.
    """

    title: str
    metric: str
    better: str
    set: str
    cells: Mapping[str, Sequence[tuple[float, Cell]]]

    def points(self, series: str, *, published: bool) -> list[tuple[float, float, float]]:
        """(x, number, deviation) of what a line has numbers for; the deviation is 0 where it is not known."""
        points = []
        for x, cell in self.cells.get(series, ()):
            number = cell.published if published else cell.mean
            if number is not None:
                points.append((x, number, 0.0 if published else cell.deviation or 0.0))
        return points

    def has_numbers(self, *, reference: bool) -> bool:
        """Whether any line has a point."""
        return any(self.points(s, published=p) for s in self.cells for p in (False, reference))


def lines(
    context: FigureContext,
    *,
    name: str,
    metrics: Sequence[str],
    x_label: str,
    title: str | None = None,
    reference: bool = True,
    x_scale: str = "linear",
) -> list[Path]:
    """One panel per column, or per group of columns, with one of the metrics; mean and deviation over seeds.

    Args:
        context: the table's values; rows need ``series`` and ``x``, or columns ``x``. What has no number yet is left
            out.
        name: end of the files' names.
        metrics: names of metrics as the columns have them; panels of one metric stand side by side.
        x_label: what ``x`` is, with its unit.
        title: above all panels.
        reference: draw the published numbers too, dashed in the colour of their series.
        x_scale: ``linear``, ``log``, or ``even`` for equal distances between the values of ``x``.

    Returns:
        The files written; none where no row has a number.

    Raises:
        ValueError: an unknown metric or ``x_scale``, or a logarithmic axis with an x that is not above 0.
    """
    values = context.values
    across = is_across(values)
    rows = _rows(values)
    _check(values, rows, name, metrics, x_scale)
    panels = panels_of(values, metrics=metrics, reference=reference)
    if not panels:
        log.info("figure %s: no row with a series and a number yet, nothing is drawn", name)
        return []
    look = _look([_series(row) for row in rows])
    shape = panel_grid(len(panels), columns=_abreast(panels, across=across))

    def paint(figure: Figure) -> None:
        places = figure.subplots(*shape, squeeze=False, sharey="row" if across else False).flat
        for axes in places[len(panels) :]:
            axes.set_axis_off()
        for axes, panel in zip(places, panels, strict=False):
            _panel(axes, panel, look, reference=reference, x_scale=x_scale, ours="" if across else ", ours")
            axes.set_xlabel("\n".join(wrapped(x_label, 104 // shape[1] - 4)))
            if across:
                axes.label_outer(remove_inner_ticks=False)
        legend(figure, columns=min(4 if len(look) < 9 else 6, len(look)), title=title)

    seeds = ", ".join(str(seed) for seed in values.seeds)
    note = f"points: mean over finished seeds (asked for: {seeds}); bars: sample standard deviation"
    return write_figure(context, paint, name=name, height=1.0 + 3.3 * shape[0] + (0.3 if title else 0), note=note)


def is_across(values: TableValues) -> bool:
    """Whether a row is a line and columns are its points; else rows are points."""
    return any(c.x is not None for c in values.columns)


def panels_of(values: TableValues, *, metrics: Sequence[str], reference: bool) -> list[Panel]:
    """What is drawn of a table: the panels that have a number, a table may be half run.

    Args:
        values: of the table.
        metrics: names of metrics as the columns have them.
        reference: whether published numbers are drawn, too.
    """
    make = _by_group if is_across(values) else _by_column
    panels = [panel for metric in metrics for panel in make(values, _rows(values), metric, reference)]
    return [panel for panel in panels if panel.has_numbers(reference=reference)]


def _rows(values: TableValues) -> list[Row]:
    """The rows that have a place in a plot."""
    across = is_across(values)
    return [row for row in values.spec.rows if across or (row.series is not None and row.x is not None)]


def _check(values: TableValues, rows: Sequence[Row], name: str, metrics: Sequence[str], x_scale: str) -> None:
    place = f"table {values.spec.id}: figures: {name}"
    offered = sorted({c.metric for c in values.columns} | {c.metric for c in values.spec.columns})
    for metric in metrics:
        if metric not in offered:
            raise ValueError(f"{place}: metrics={metric}: no column has it{nearest(metric, offered)}")
    if x_scale not in SCALES:
        raise ValueError(f"{place}: x_scale={x_scale}: expected one of {', '.join(SCALES)}")
    placed = [("row", r.name, r.x) for r in rows] + [("column", c.name, c.x) for c in values.columns]
    low = [f"{what} '{which}'" for what, which, x in placed if x is not None and x <= 0]
    if x_scale == "log" and low:
        raise ValueError(f"{place}: x_scale=log: {low[0]} has an x that is not above 0; use linear or even")


def _by_column(values: TableValues, rows: Sequence[Row], metric: str, reference: bool) -> list[Panel]:
    """A panel per column: rows are points."""
    panels = []
    for column in (c for c in values.columns if c.metric == metric):
        cells: dict[str, list[tuple[float, Cell]]] = {}
        for row in sorted(rows, key=lambda r: r.x):
            cells.setdefault(_series(row), []).append((row.x, values.cells.get((row.name, column.name), Cell())))
        paper = "" if not reference or column.name == column.paper_name else f"\npublished: {column.paper_name}"
        panels.append(Panel(f"{column.name}{paper}", metric, column.better, column.set, cells))
    return panels


def _by_group(values: TableValues, rows: Sequence[Row], metric: str, reference: bool) -> list[Panel]:
    """A panel per group and data set: columns are points, those without a group in all panels."""
    columns = [c for c in values.columns if c.metric == metric and c.x is not None]
    sets = list(dict.fromkeys(c.set for c in columns))
    panels = []
    for group in list(dict.fromkeys(c.group for c in columns if c.group)) or [""]:
        for name in sets:
            own = sorted((c for c in columns if c.group in ("", group) and c.set == name), key=_x)
            if own and any(c.group == group for c in own):
                cells = {
                    _series(row): [(c.x, values.cells.get((row.name, c.name), Cell())) for c in own] for row in rows
                }
                words = filter(None, (group, name if len(sets) > 1 else ""))
                panels.append(Panel(", ".join(words) or own[0].metric, metric, own[0].better, name, cells))
    return panels


def _abreast(panels: Sequence[Panel], *, across: bool) -> int:
    """How many panels stand side by side; a metric of a table with groups has a line of its own where that fits."""
    if across:
        metrics = [panel.metric for panel in panels]
        most = max(map(metrics.count, metrics))
        return most if most <= 5 else 4
    sets = len({panel.set for panel in panels})
    return min(4, sets) if sets > 1 else min(3, len(panels))


def _series(row: Row) -> str:
    return row.series or row.name


def _x(column: Column) -> float:
    return column.x


def _look(names: Sequence[str]) -> dict[str, dict[str, str]]:
    """Colour, marker and dashes of every line; more than seven are told apart by their dashes and other markers."""
    names, many = list(dict.fromkeys(names)), len(COLOURS)
    look = {name: dict(style) for name, style in look_of(names).items()}
    for i, style in enumerate(look.values()):
        if i >= many:
            style |= {"linestyle": DASHES[i // many % 3], "marker": MARKERS[(i + 3 * (i // many)) % len(MARKERS)]}
    return look


def _panel(
    axes: Axes, panel: Panel, look: Mapping[str, dict[str, str]], *, reference: bool, x_scale: str, ours: str
) -> None:
    xs = sorted({x for cells in panel.cells.values() for x, _ in cells})
    at = {x: float(i) if x_scale == "even" else x for i, x in enumerate(xs)}
    for series, style in look.items():
        if points := panel.points(series, published=False):
            x, y, deviation = zip(*points, strict=True)
            axes.plot([at[v] for v in x], y, label=f"{series}{ours}", **style)
            if any(deviation):
                axes.errorbar([at[v] for v in x], y, yerr=deviation, fmt="none", ecolor=style["color"])
        if reference and (points := panel.points(series, published=True)):
            x, y, _ = zip(*points, strict=True)
            style = style | {"markerfacecolor": "white", "linestyle": "--", "linewidth": 1.3, "markersize": 5}
            axes.plot([at[v] for v in x], y, label=f"{series}, published", **style)
    if x_scale == "even":
        axes.set_xticks(range(len(xs)), [f"{x:g}" for x in xs])
    elif x_scale == "log":
        axes.set_xscale("log")
        axes.set_xticks(xs, [f"{x:g}" for x in xs])
        axes.minorticks_off()
    elif not ours and len(xs) <= 6:
        near = 0.12 * (xs[-1] - xs[0])  # two numbers so near would be written over each other
        apart = [x for i, x in enumerate(xs) if i == 0 or x - xs[i - 1] >= near or x == xs[-1]]
        axes.set_xticks(apart, [f"{x:g}" for x in apart])
    axes.grid(True)
    axes.set_title(panel.title)
    axes.set_ylabel(metric_label(panel.metric, panel.better))
