"""The line plot of the HTML report, as inline SVG.

Colours are the page's CSS variables, letters stay legible on a phone, and every point says its number under the
pointer. One runnable line: ``python -c "from seglab.report.page.svg import curve_svg;
print(curve_svg([('CAS', [0, 1], [0.9, 0.8])], x_label='rate', y_label='F-beta', title='Noise'))"``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from seglab.report.page.axis import Axis, broken, nice_ticks, short, text_width, tick_words
from seglab.report.page.marks import PUBLISHED, colour_of, dash_of, mark, shape_of
from seglab.report.page.svgtext import SIZE, escaped, number, picture, side_by_side, words
from seglab.report.page.thin import thinned

WIDTH, PLOT = 360, 210
"""Of a plot and of the height of its inner part, in units."""
LINE = 16
"""Height of a line of text."""


class Series(NamedTuple):
    """One line.

    Attributes:
        name: in the legend.
        x: positions; they need not be in order.
        y: values; None, nan and infinite ones leave a gap.
        low: lower ends of the error bars, None where one is not known; None = no bars at all.
        high: upper ends.
        dashed: as published numbers are drawn, marks hollow.
        marker: one of :data:`seglab.report.page.marks.SHAPES`, ``auto``, or None for a line without marks.
        colour: number of the line's colour from 1, 0 = the page's ink; None = by its place among the series.
        faint: thin and pale, without an entry in the legend: a single seed beside a mean.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float | None]
    low: Sequence[float | None] | None = None
    high: Sequence[float | None] | None = None
    dashed: bool = False
    marker: str | None = "auto"
    colour: int | None = None
    faint: bool = False


@dataclass(frozen=True)
class Frame:
    """Where the inner part of a plot lies."""

    x: Axis
    y: Axis


def curve_svg(
    series: Sequence[Series | tuple],
    *,
    x_label: str,
    y_label: str,
    title: str,
    legend: bool = True,
    band: bool = False,
    x_ticks: Sequence[float] | None = None,
    x_words: Sequence[str] | None = None,
    x_log: bool = False,
    x_range: tuple[float | None, float | None] = (None, None),
    y_range: tuple[float | None, float | None] = (None, None),
) -> str:
    """A line plot.

    Args:
        series: :class:`Series`, or tuples of their first values.
        x_label: what x is, with its unit.
        y_label: what y is, with its unit; a second line says which direction is better.
        title: above the plot, and the name of the picture for readers who do not see it.
        legend: whether the lines are named below the plot; see :func:`panels` for plots that share a legend.
        band: draw low and high as a pale band and not as bars.
        x_ticks: where x has ticks; None = at nice numbers.
        x_words: their texts.
        x_log: logarithmic x; values are above 0.
        x_range: ends of the x axis; None = by the values.
        y_range: ends of the y axis; None = by the values.

    Returns:
        ``<svg>``; a plot without any number says so.
    """
    lines = [_numbered(Series(*one), i) for i, one in enumerate(series, 1)]
    head = broken(title, WIDTH - 8, SIZE + 1)
    y_words, x_lines = broken(y_label, WIDTH - 8, SIZE), broken(x_label, WIDTH - 8, SIZE)
    top = 6 + LINE * (len(head) + len(y_words)) + 8
    parts = [words(line, 2, 14 + LINE * i, bold=True, size=SIZE + 1) for i, line in enumerate(head)]
    parts += [words(line, 2, 14 + LINE * (len(head) + i)) for i, line in enumerate(y_words)]
    if not any(_is_number(v) for line in lines for v in line.y):
        parts.append(words("no number yet", WIDTH / 2, top + 30, anchor="middle"))
        return picture(parts, width=WIDTH, height=top + 60, title=title, about="no number yet")
    frame, axes = _axes(lines, top, x_ticks, x_words, x_log, x_range, y_range)
    parts += axes
    for line in sorted(lines, key=lambda line: not line.faint):
        parts += _line(line, frame, band)
    below = top + PLOT + 20
    middle = (frame.x.start + frame.x.end) / 2
    parts += [words(line, middle, below + 14 + LINE * i, anchor="middle") for i, line in enumerate(x_lines)]
    below += LINE * len(x_lines) + 8
    if legend:
        entries, below = _legend(lines, below + 8)
        parts += entries
    return picture(parts, width=WIDTH, height=below + 4, title=title, about=described(lines, x_label, y_label))


def panels(svgs: Sequence[str], series: Sequence[Series]) -> str:
    """Plots that were made with ``legend=False`` beside each other, with one legend above them.

    Args:
        svgs: from :func:`curve_svg`.
        series: what is named; each name once.
    """
    named = {line.name: line for i, one in enumerate(series, 1) if not (line := _numbered(Series(*one), i)).faint}
    entries = "".join(
        '<span style="display:inline-flex;align-items:center;gap:6px">'
        f'<svg aria-hidden="true" viewBox="0 0 26 12" style="width:26px;height:12px;flex:none">{_swatch(line, 0, 6)}'
        f"</svg>{escaped(name)}</span>"
        for name, line in named.items()
    )
    legend = (
        '<div class="legend" style="display:flex;flex-wrap:wrap;gap:4px 18px;margin:0 0 8px;font-size:.9em">'
        f"{entries}</div>"
    )
    return side_by_side(svgs, legend=legend)


def described(lines: Sequence[Series], x_label: str, y_label: str) -> str:
    """A plot in words: what its axes are, and the numbers of its lines, of long ones the first and the last."""
    told = [f"{_one_line(y_label)} against {_one_line(x_label)}."]
    for line in lines:
        points = [(x, y) for x, y in zip(line.x, line.y, strict=True) if _is_number(y)]
        if line.faint or not points:
            continue
        shown = points if len(points) <= 10 else [points[0], points[-1]]
        more = "" if len(points) <= 10 else f" ({len(points)} points, first and last)"
        told.append(f"{line.name}{more}: {', '.join(f'{x:.3g}: {y:.4g}' for x, y in shown)}.")
    return " ".join(told)


def _numbered(line: Series, place: int) -> Series:
    colour = place if line.colour is None else line.colour
    return line._replace(colour=colour, marker=shape_of(colour or 1) if line.marker == "auto" else line.marker)


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _axes(
    lines: Sequence[Series],
    top: float,
    x_ticks: Sequence[float] | None,
    x_words: Sequence[str] | None,
    x_log: bool,
    x_range: tuple[float | None, float | None],
    y_range: tuple[float | None, float | None],
) -> tuple[Frame, list[str]]:
    """The frame of a plot, and its ticks, grid lines and axes."""
    ys = [v for line in lines for values in (line.y, line.low, line.high) for v in values or () if _is_number(v)]
    y_ticks = nice_ticks(*(_or(end, found) for end, found in zip(y_range, (min(ys), max(ys)), strict=True)))
    low, high = _or(y_range[0], y_ticks[0]), _or(y_range[1], y_ticks[-1])
    y_ticks = [t for t in y_ticks if low - 1e-12 <= t <= high + 1e-12]
    y_texts = tick_words(y_ticks)
    left = 12 + max(text_width(text, SIZE) for text in y_texts)
    xs = [x for line in lines for x, y in zip(line.x, line.y, strict=True) if _is_number(y)]
    ends = _or(x_range[0], min(xs)), _or(x_range[1], max(xs))
    given = x_ticks is not None
    ticks = list(x_ticks) if given else sorted(set(xs)) if x_log else nice_ticks(*ends)
    if not given and _are_whole(line.x for line in lines if not line.dashed):  # epochs, say
        ticks = [tick for tick in ticks if tick == round(tick)]
    texts = list(x_words) if x_words is not None else short(ticks) if x_log else tick_words(ticks)
    ends = (min(ends[0], *ticks), max(ends[1], *ticks)) if given else (*ends,)
    if not ends[1] > ends[0]:
        ends = (ends[0] / 2, ends[0] * 2) if x_log else (ends[0] - 0.5, ends[0] + 0.5)
    pad = 10 if any(line.marker for line in lines) else 0
    frame = Frame(Axis(*ends, left + pad, WIDTH - 14 - pad, x_log), Axis(low, high, top + PLOT, top))
    parts = []
    for value, text in zip(y_ticks, y_texts, strict=True):
        y = frame.y.at(value)
        parts.append(_rule(left, y, WIDTH - 14, y, "grid"))
        parts.append(words(text, left - 6, y + 4, anchor="end", kind="y-tick"))
    taken = -math.inf
    for value, text in sorted(zip(ticks, texts, strict=True)):
        if not ends[0] - 1e-12 <= value <= ends[1] + 1e-12:
            continue
        x, half = frame.x.at(value), text_width(text, SIZE) / 2
        parts.append(_rule(x, top + PLOT, x, top + PLOT + 4, "ink"))
        if x - half > taken + 3:  # ticks that lie close to each other: the text of the first stays
            parts.append(words(text, x, top + PLOT + 17, anchor="middle", kind="x-tick"))
            taken = x + half
    parts.append(_rule(left, top + PLOT, WIDTH - 14, top + PLOT, "ink"))
    return frame, parts


def _are_whole(columns: Iterable[Sequence[float]]) -> bool:
    return all(value == round(value) for column in columns for value in column)


def _or(value: float | None, other: float) -> float:
    return other if value is None else value


def _rule(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f'<path d="M{number(x1)} {number(y1)}L{number(x2)} {number(y2)}" style="stroke:var(--{colour});fill:none"/>'


def _line(line: Series, frame: Frame, band: bool) -> list[str]:
    """A line with its marks and its error bars or band."""
    colour = colour_of(line.colour)
    order = sorted(range(len(line.x)), key=lambda i: line.x[i])
    points = [(frame.x.at(line.x[i]), frame.y.at(line.y[i])) if _is_number(line.y[i]) else None for i in order]
    pieces = _pieces(points) if line.marker else [thinned(piece) for piece in _pieces(points)]
    path = "".join(f"M{'L'.join(f'{number(x)} {number(y)}' for x, y in piece)}" for piece in pieces if len(piece) > 1)
    dashes = PUBLISHED if line.dashed else "" if line.marker else dash_of(line.colour)
    style = f"fill:none;stroke:{colour};stroke-width:{0.8 if line.faint else 1.4 if line.dashed else 2}"
    style += f";stroke-dasharray:{dashes}" if dashes else ""
    style += ";opacity:.55" if line.faint else ""
    parts = _spread(line, frame, order, colour, band) if line.low is not None and line.high is not None else []
    if path:
        title = f"<title>{escaped(line.name)}</title>"
        parts.append(f'<path class="line" d="{path}" style="{style};stroke-linejoin:round">{title}</path>')
    if line.marker or not path:  # a single point without a mark would not be seen
        for i, point in zip(order, points, strict=True):
            if point is not None:
                said = escaped(f"{line.name}, {line.x[i]:g}: {_with_spread(line, i)}")
                parts.append(mark(line.marker or "circle", *point, colour, hollow=line.dashed, title=said))
    return parts


def _pieces(points: Sequence[tuple[float, float] | None]) -> list[list[tuple[float, float]]]:
    """Points between gaps."""
    pieces: list[list[tuple[float, float]]] = [[]]
    for point in points:
        if point is not None:
            pieces[-1].append(point)
        elif pieces[-1]:
            pieces.append([])
    return [piece for piece in pieces if piece]


def _spread(line: Series, frame: Frame, order: Sequence[int], colour: str, band: bool) -> list[str]:
    ends = [
        (frame.x.at(line.x[i]), frame.y.at(line.low[i]), frame.y.at(line.high[i]))
        for i in order
        if _is_number(line.y[i]) and _is_number(line.low[i]) and _is_number(line.high[i])
    ]
    if band and len(ends) > 1:
        there = "L".join(f"{number(x)} {number(low)}" for x, low, _ in ends)
        back = "L".join(f"{number(x)} {number(high)}" for x, _, high in reversed(ends))
        return [f'<path class="band" d="M{there}L{back}z" style="fill:{colour};opacity:.18"/>']
    style = f"stroke:{colour};fill:none;stroke-width:1.4"
    return [
        f'<path class="bar" d="M{number(x)} {number(low)}V{number(high)}M{number(x - 4)} {number(low)}h8'
        f'M{number(x - 4)} {number(high)}h8" style="{style}"/>'
        for x, low, high in ends
    ]


def _with_spread(line: Series, i: int) -> str:
    known = line.low is not None and line.high is not None and _is_number(line.low[i]) and _is_number(line.high[i])
    return f"{line.y[i]:.4g}" + (f" ({line.low[i]:.4g} to {line.high[i]:.4g})" if known else "")


def _legend(lines: Sequence[Series], top: float) -> tuple[list[str], float]:
    """Entries below a plot, as many in a line as fit, and where they end."""
    parts, x, y = [], 2.0, top + 10
    for line in {line.name: line for line in lines if not line.faint}.values():
        name = line.name if text_width(line.name, SIZE) < WIDTH - 40 else f"{line.name[:44]}..."
        width = 32 + text_width(name, SIZE)
        if x > 2 and x + width > WIDTH:
            x, y = 2.0, y + LINE + 2
        parts.append(f"<g>{_swatch(line, x, y - 4)}{words(name, x + 32, y)}</g>")
        x += width + 12
    return parts, y + 6


def _swatch(line: Series, x: float, y: float) -> str:
    """A line with its mark, 26 units long, as a legend shows it."""
    colour = colour_of(line.colour)
    dashes = PUBLISHED if line.dashed else "" if line.marker else dash_of(line.colour)
    style = f"stroke:{colour};stroke-width:2;fill:none" + (f";stroke-dasharray:{dashes}" if dashes else "")
    path = f'<path d="M{number(x)} {number(y)}h26" style="{style}"/>'
    return path + (mark(line.marker, x + 13, y, colour, hollow=line.dashed, size=3.5) if line.marker else "")


def _one_line(text: str) -> str:
    return " ".join(text.split())
