"""Numbers and text inside SVG.

One runnable line: ``python -c "from seglab.report.page.svgtext import words; print(words('a < b', 10, 20))"``.
"""

from __future__ import annotations

import html
from collections.abc import Sequence

SIZE = 12
"""Of letters, in units of the drawing: a plot is 360 units wide, which a phone of 375 pixels shows about 1 to 1."""


def number(value: float) -> str:
    """A position with at most two decimals, and no minus zero."""
    return f"{round(value, 2) + 0.0:.2f}".rstrip("0").rstrip(".")


def escaped(text: object) -> str:
    """Text as it may stand in markup and between quotes of an attribute; signs that XML cannot hold are left out."""
    return html.escape("".join(sign for sign in str(text) if sign >= " " or sign in "\t\n"), quote=True)


def words(
    text: str, x: float, y: float, *, anchor: str = "start", bold: bool = False, size: float = SIZE, kind: str = "label"
) -> str:
    """One line of text; ``anchor`` is ``start``, ``middle`` or ``end``, ``kind`` the class of the element."""
    place = "" if anchor == "start" else f' text-anchor="{anchor}"'
    weight = ";font-weight:600" if bold else ""
    return (
        f'<text class="{kind}" x="{number(x)}" y="{number(y)}"{place} '
        f'style="fill:var(--ink);font-size:{number(size)}px{weight}">{escaped(text)}</text>'
    )


def picture(parts: Sequence[str], *, width: float, height: float, title: str, about: str) -> str:
    """An ``<svg>`` of parts that scales with its place and is read aloud as one picture.

    Args:
        parts: elements.
        width: of the drawing, in units.
        height: of the drawing, in units.
        title: its name.
        about: what it shows, in words: for readers who do not see it.
    """
    name = escaped(title)
    return (
        f'<svg class="plot" role="img" aria-label="{name}" viewBox="0 0 {number(width)} {number(height)}" '
        f'style="display:block;width:100%;max-width:{number(width * 1.3)}px;height:auto">'
        f"<title>{name}</title><desc>{escaped(about)}</desc>{''.join(parts)}</svg>"
    )


def side_by_side(svgs: Sequence[str], *, legend: str = "") -> str:
    """Pictures beside each other where there is room, below each other on a phone; one legend above all of them."""
    columns = "repeat(auto-fill,minmax(min(310px,100%),1fr))"
    style = f"display:grid;grid-template-columns:{columns};gap:20px"
    return f'{legend}<div class="panels" style="{style}">{"".join(svgs)}</div>'
