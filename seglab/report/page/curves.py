"""Scores of a table against noise rate, alpha or what else its rows or columns vary; published numbers dashed.

What is a line and what is x: see :mod:`seglab.report.figures.lines`, whose pictures show the same numbers.

One runnable line: ``python -m seglab.table table=cas_t3 scale=small && python -m seglab.report``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from seglab.report.figures.canvas import metric_label, scale_line
from seglab.report.figures.lines import Panel, is_across, panels_of
from seglab.report.page.axis import nice_ticks
from seglab.report.page.figure import Figure, figure_id
from seglab.report.page.svg import Series, curve_svg, panels
from seglab.tables.values import TableValues


def curve_figures(stem: str, values: TableValues) -> list[Figure]:
    """The plots of a table's numbers.

    Args:
        stem: of the table, with its scale.
        values: its numbers; what has none is left out.

    Returns:
        One figure per plot that the table asks for; one of all its metrics where it asks for none and its rows or
        columns have a place on an axis.
    """
    nodes = [dict(n) for n in values.spec.figures if str(n.get("_target_", "")).endswith("figures.lines.lines")]
    if not nodes:
        metrics = list(dict.fromkeys(column.metric for column in values.columns))
        nodes = [{"name": "curves", "metrics": metrics, "x_label": "x, as the table has it"}]
    return [figure for node in nodes if (figure := _figure(stem, values, node)) is not None]


def seeds_note(values: TableValues) -> str:
    """What points and bars are."""
    seeds = ", ".join(map(str, values.seeds))
    bars = "; bars: sample standard deviation over them" if len(values.seeds) > 1 else ""
    return f"Points: mean over the finished seeds (asked for: {seeds}){bars}."


def series_of(
    panel: Panel, *, reference: bool, ours: str = "", at: Mapping[float, float] | None = None
) -> list[Series]:
    """The lines of a plot: ours and, where asked for, the published ones in the colours of theirs.

    Args:
        panel: what it shows; a cell without a number leaves a gap.
        reference: also the published numbers.
        ours: added to the names of our lines.
        at: x -> its position; None = the same.
    """
    lines = []
    for colour, (name, points) in enumerate(panel.cells.items(), 1):
        points = [(value, cell) for value, cell in points if at is None or value in at]
        x = [value if at is None else at[value] for value, _ in points]
        means = [cell.mean for _, cell in points]
        ends = [(cell.mean, cell.deviation) for _, cell in points]
        low, high = ([None if s is None else m + sign * s for m, s in ends] for sign in (-1, 1))
        lines.append(Series(f"{name}{ours}", x, means, low, high, colour=colour))
        if reference:
            published = [cell.published for _, cell in points]
            lines.append(Series(f"{name}, published", x, published, dashed=True, colour=colour))
    return [line for line in lines if any(v is not None for v in line.y)]


def _figure(stem: str, values: TableValues, node: Mapping[str, Any]) -> Figure | None:
    scale, label = node.get("x_scale", "linear"), str(node.get("x_label", "x"))
    reference = bool(node.get("reference", True))
    found = panels_of(values, metrics=list(node.get("metrics") or []), reference=reference)
    drawn = [(x, cell) for panel in found for points in panel.cells.values() for x, cell in points]
    xs = sorted({x for x, cell in drawn if cell.mean is not None or (reference and cell.published is not None)})
    at = {x: float(i) for i, x in enumerate(xs)} if scale == "even" else None
    ticks = {"x_ticks": xs if at is None else list(at.values()), "x_words": [f"{x:g}" for x in xs]}
    plots, named = [], []
    across = is_across(values)
    drawn_lines = [series_of(panel, reference=reference, ours="" if across else ", ours", at=at) for panel in found]
    for panel, lines in zip(found, drawn_lines, strict=True):
        words = {"x_label": label, "y_label": metric_label(panel.metric, panel.better)}
        if across:  # groups are there to be compared: one axis for a metric on a data set
            alike = ((p.metric, p.set) == (panel.metric, panel.set) for p in found)
            words["y_range"] = _ends(
                [line for own, same in zip(drawn_lines, alike, strict=True) if same for line in own]
            )
        title = "; ".join(panel.title.split("\n"))
        plots.append(curve_svg(lines, **words, title=title, legend=False, x_log=scale == "log", **ticks))
        named += lines
    if not plots:
        return None
    dashed = " Dashed, marks hollow: published numbers." if any(line.dashed for line in named) else ""
    return Figure(
        id=figure_id(stem, str(node["name"])),
        title=str(node.get("title") or values.spec.title),
        caption=f"{seeds_note(values)}{dashed} {scale_words(values)}",
        html=panels(plots, named),
        kind=_kind(values),
        table=stem,
    )


def _ends(lines: Sequence[Series]) -> tuple[float, float]:
    """Ends of a vertical axis that all lines fit on, with their bars; one that would end just below 0 ends there."""
    numbers = [v for line in lines for v in (*line.y, *(line.low or ()), *(line.high or ())) if v is not None]
    low, high = min(numbers), max(numbers)
    if -0.05 * high < low < 0:
        low = 0.0
    ticks = nice_ticks(low, high)
    return ticks[0], ticks[-1]


def _kind(values: TableValues) -> str:
    """What the rows or columns vary, by the setting that differs between them."""
    settings = [override for row in values.spec.rows for override in row.run]
    settings += [override for column in values.columns for override in column.overrides]
    for kind, key in (("noise", "noise.rate="), ("alpha", "loss.alpha=")):
        if any(setting.startswith(key) for setting in settings):
            return kind
    return "other"


def scale_words(values: TableValues) -> str:
    """The scale of a table's numbers, as a sentence."""
    words = scale_line(values)
    return f"{words[0].upper()}{words[1:].rstrip('.')}."
