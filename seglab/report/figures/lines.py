"""A table as curves: score against noise rate, against alpha ...; the paper's numbers dashed beside ours.

Example, in ``conf/table/cas_t3.yaml`` (CAS table 3 as a plot)::

    figures:
      - {_target_: seglab.report.figures.lines.lines, name: noise, metrics: [fbeta_adaptive, mae], x_label: noise rate}
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from seglab.report.figures.canvas import legend, look_of, metric_label, panel_grid, wrapped, write_figure
from seglab.report.figures.context import FigureContext
from seglab.tables.spec import Column, Row
from seglab.tables.values import TableValues
from seglab.words import nearest

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

log = logging.getLogger(__name__)

SCALES = ("linear", "log", "even")


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
    """One panel per column with one of the metrics, one line per ``series`` of the rows, mean and deviation over seeds.

    Args:
        context: the table's values; rows need ``series`` and ``x``. What has no number yet is left out.
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
    rows = [row for row in context.values.spec.rows if row.series is not None and row.x is not None]
    _check(context.values, rows, name, metrics, x_scale)
    columns = [c for metric in metrics for c in context.values.columns if c.metric == metric]
    # A column without any number gives no panel: a table may be half run.
    columns = [c for c in columns if any(_points(context.values, rows, c, r) for r in (False, reference))]
    if not columns:
        log.info("figure %s: no row with a series and a number yet, nothing is drawn", name)
        return []
    sets = len({c.set for c in columns})
    shape = panel_grid(len(columns), columns=min(4, sets) if sets > 1 else min(3, len(columns)))

    def paint(figure: Figure) -> None:
        panels = figure.subplots(*shape, squeeze=False).flat
        for axes in panels[len(columns) :]:
            axes.set_axis_off()
        for axes, column in zip(panels, columns, strict=False):
            _panel(axes, context.values, rows, column, reference=reference, x_scale=x_scale)
            axes.set_xlabel("\n".join(wrapped(x_label, 104 // shape[1] - 4)))
        series = {row.series for row in rows}
        legend(figure, columns=min(4, len(series)), title=title)

    seeds = ", ".join(str(seed) for seed in context.values.seeds)
    note = f"points: mean over finished seeds (asked for: {seeds}); bars: sample standard deviation"
    return write_figure(context, paint, name=name, height=1.0 + 3.3 * shape[0] + (0.3 if title else 0), note=note)


def _check(values: TableValues, rows: Sequence[Row], name: str, metrics: Sequence[str], x_scale: str) -> None:
    place = f"table {values.spec.id}: figures: {name}"
    offered = sorted({c.metric for c in values.columns} | {c.metric for c in values.spec.columns})
    for metric in metrics:
        if metric not in offered:
            raise ValueError(f"{place}: metrics={metric}: no column has it{nearest(metric, offered)}")
    if x_scale not in SCALES:
        raise ValueError(f"{place}: x_scale={x_scale}: expected one of {', '.join(SCALES)}")
    low = [row.name for row in rows if row.x <= 0]
    if x_scale == "log" and low:
        raise ValueError(f"{place}: x_scale=log: row '{low[0]}' has an x that is not above 0; use linear or even")


def _panel(
    axes: Axes, values: TableValues, rows: Sequence[Row], column: Column, *, reference: bool, x_scale: str
) -> None:
    xs = sorted({row.x for row in rows})
    at = {x: float(i) if x_scale == "even" else x for i, x in enumerate(xs)}
    look = look_of(list(dict.fromkeys(row.series for row in rows)))
    for series, style in look.items():
        own = [row for row in rows if row.series == series]
        if points := _points(values, own, column, False):
            x, y, deviation = zip(*points, strict=True)
            axes.plot([at[v] for v in x], y, label=f"{series}, ours", **style)
            if any(deviation):
                axes.errorbar([at[v] for v in x], y, yerr=deviation, fmt="none", ecolor=style["color"])
        if reference and (points := _points(values, own, column, True)):
            x, y, _ = zip(*points, strict=True)
            style = style | {"markerfacecolor": "white", "linestyle": "--", "linewidth": 1.3, "markersize": 5}
            axes.plot([at[v] for v in x], y, label=f"{series}, published", **style)
    if x_scale == "even":
        axes.set_xticks(range(len(xs)), [f"{x:g}" for x in xs])
    elif x_scale == "log":
        axes.set_xscale("log")
        axes.set_xticks(xs, [f"{x:g}" for x in xs])
        axes.minorticks_off()
    axes.grid(True)
    paper = "" if not reference or column.name == column.paper_name else f"\npublished: {column.paper_name}"
    axes.set_title(f"{column.name}{paper}")
    axes.set_ylabel(metric_label(column.metric, column.better))


def _points(
    values: TableValues, rows: Sequence[Row], column: Column, published: bool
) -> list[tuple[float, float, float]]:
    """(x, number, deviation) of the rows that have a number, by x; the deviation is 0 where it is not known."""
    points = []
    for row in rows:
        cell = values.cells.get((row.name, column.name))
        number = None if cell is None else cell.published if published else cell.mean
        if number is not None:
            points.append((row.x, number, 0.0 if published else cell.deviation or 0.0))
    return sorted(points)
