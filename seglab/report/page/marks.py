"""Marks, colours and lines of a plot; all colours are CSS variables of the page, so that both themes fit.

One runnable line: ``python -c "from seglab.report.page.marks import mark; print(mark('square', 5, 5, 'var(--ink)'))"``.
"""

from __future__ import annotations

from seglab.report.page.svgtext import number

LINES = 8
"""Colours of lines that the page defines: --line-1 to --line-8."""
SHAPES = {
    "circle": "M-{r} 0a{r} {r} 0 1 0 {d} 0a{r} {r} 0 1 0 -{d} 0z",
    "square": "M-{s} -{s}h{e}v{e}h-{e}z",
    "triangle": "M0 -{b}L{b} {s}H-{b}z",
    "diamond": "M0 -{b}L{b} 0L0 {b}L-{b} 0z",
    "down": "M0 {b}L{b} -{s}H-{b}z",
    "plus": "M-{t} -{b}H{t}V-{t}H{b}V{t}H{t}V{b}H-{t}V{t}H-{b}V-{t}H-{t}z",
    "bar": "M-{t} -{b}H{t}V{b}H-{t}z",
    "flat": "M-{b} -{t}H{b}V{t}H-{b}z",
}
"""Outlines of marks round the origin; told apart without their colours."""
DASHES = ("", "7 2", "2 2", "9 2 2 2")
"""Lines that take a colour a second, third and fourth time."""
PUBLISHED = "5 4"
"""Dashes of published numbers."""


def colour_of(index: int) -> str:
    """The colour of a line, by its number from 1; 0 is the ink of the page. Colours repeat after eight."""
    return "var(--ink)" if index == 0 else f"var(--line-{(index - 1) % LINES + 1})"


def dash_of(index: int) -> str:
    """The dashes of a line without marks, by its number from 1: solid for the first eight."""
    return DASHES[max(0, index - 1) // LINES % len(DASHES)]


def shape_of(index: int) -> str:
    """The mark of a line, by its number from 1; lines that share a colour have other marks."""
    place = max(0, index - 1)
    return tuple(SHAPES)[(place + place // LINES) % len(SHAPES)]


def mark(shape: str, x: float, y: float, colour: str, *, hollow: bool = False, title: str = "", size: float = 4) -> str:
    """A mark at a position; a title is shown under the pointer and read aloud.

    Args:
        shape: one of :data:`SHAPES`.
        x: position.
        y: position.
        colour: a CSS value.
        hollow: filled with the colour of the paper.
        title: text, escaped already; empty = none.
        size: radius of the circle; the others look as large.
    """
    sizes = {"r": size, "d": 2 * size, "s": 0.9 * size, "e": 1.8 * size, "b": 1.25 * size, "t": 0.42 * size}
    path = SHAPES[shape].format(**{key: number(value) for key, value in sizes.items()})
    fill = "var(--paper)" if hollow else colour
    inside = f"<title>{title}</title>" if title else ""
    return (
        f'<path class="mark" transform="translate({number(x)} {number(y)})" d="{path}" '
        f'style="fill:{fill};stroke:{colour};stroke-width:1.4">{inside}</path>'
    )
