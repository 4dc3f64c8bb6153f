"""A function of two variables as shades of one colour: pale where it is low, full where it is high.

The colour is a CSS variable, its strength an opacity, so that both themes fit. One runnable line: ``python -c "import
numpy as np; from seglab.report.page.surface import surface_svg; print(surface_svg(np.eye(3), x_label='a', y_label='b',
z_label='z', title='t'))"``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seglab.report.page.axis import broken, nice_ticks, tick_words
from seglab.report.page.marks import mark
from seglab.report.page.svgtext import SIZE, escaped, number, picture, words

WIDTH, SIDE, LEFT, LINE = 360, 244, 44, 16
SHADES = 12


def surface_svg(
    values: np.ndarray,
    *,
    x_label: str,
    y_label: str,
    z_label: str,
    title: str,
    ends: tuple[float, float] | None = None,
    marked: Sequence[tuple[float, float]] = (),
) -> str:
    """Values over the unit square in twelve shades, with a key beside it.

    Args:
        values: float [N,N]; first axis y, second x, both from 0 to 1 at equal distances.
        x_label: what x is, with its unit.
        y_label: what y is, with its unit.
        z_label: what the values are, with their unit.
        title: above the picture.
        ends: of the key; None = the least and the greatest value.
        marked: (x, y) of points that are marked, with their values.

    Returns:
        ``<svg>``.
    """
    low, high = (float(values.min()), float(values.max())) if ends is None else ends
    steps = len(values) - 1
    head, z_words = broken(title, WIDTH - 8, SIZE + 1), broken(f"{y_label}; shade: {z_label}", WIDTH - 8, SIZE)
    top = 14 + LINE * (len(head) + len(z_words))
    parts = [words(line, 2, 14 + LINE * i, bold=True, size=SIZE + 1) for i, line in enumerate(head)]
    parts += [words(line, 2, 14 + LINE * (len(head) + i)) for i, line in enumerate(z_words)]
    cell = SIDE / (steps + 1)
    shade = np.clip(((values - low) / ((high - low) or 1) * SHADES).astype(int), 0, SHADES - 1)
    for k in range(SHADES):
        path = "".join(_runs(shade == k, cell, top))
        if path:
            style = f"fill:var(--line-1);fill-opacity:{number((k + 0.5) / SHADES)}"
            parts.append(f'<path class="shade" d="{path}" shape-rendering="crispEdges" style="{style}"/>')
    frame = f"M{LEFT} {number(top)}h{SIDE}v{SIDE}h-{SIDE}z"
    parts.append(f'<path d="{frame}" style="fill:none;stroke:var(--ink)"/>')
    for value, text in zip((0, 0.5, 1), ("0", "0.5", "1"), strict=True):
        x, y = LEFT + (value * steps + 0.5) * cell, top + SIDE - (value * steps + 0.5) * cell
        parts.append(words(text, x, top + SIDE + 15, anchor="middle", kind="x-tick"))
        parts.append(words(text, LEFT - 10, y + 4, anchor="end", kind="y-tick"))
    for x, y in marked:
        value = float(values[round(y * steps), round(x * steps)])
        place = LEFT + (x * steps + 0.5) * cell, top + SIDE - (y * steps + 0.5) * cell
        parts.append(mark("diamond", *place, "var(--line-2)", title=escaped(f"({x:g}, {y:g}): {value:.3g}"), size=5))
        right = x > 0.5
        beside = place[0] + (-11 if right else 11), place[1] + (-9 if y < 0.5 else 18)
        parts.append(words(f"{value:.2f}", *beside, anchor="end" if right else "start", bold=True))
    parts += _key(low, high, top)
    parts.append(words(x_label, LEFT + SIDE / 2, top + SIDE + 33, anchor="middle"))
    about = f"{z_label} over {x_label} and {y_label}: from {values.min():.3g} to {values.max():.3g}."
    return picture(parts, width=WIDTH, height=top + SIDE + 42, title=title, about=about)


def _runs(there: np.ndarray, cell: float, top: float) -> list[str]:
    """Cells of one shade as rectangles, those beside each other as one; y points upwards."""
    found = []
    for i, row in enumerate(there):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(np.int8), [0]])))
        y = top + SIDE - (i + 1) * cell
        for start, end in edges.reshape(-1, 2):
            wide = number((end - start) * cell)
            found.append(f"M{number(LEFT + start * cell)} {number(y)}h{wide}v{number(cell)}h-{wide}z")
    return found


def _key(low: float, high: float, top: float) -> list[str]:
    x, tall = LEFT + SIDE + 14, SIDE / SHADES
    parts = []
    for k in range(SHADES):
        y, shade = top + SIDE - (k + 1) * tall, (k + 0.5) / SHADES
        place = f'x="{number(x)}" y="{number(y)}" width="12" height="{number(tall)}"'
        parts.append(f'<rect {place} style="fill:var(--line-1);fill-opacity:{number(shade)}"/>')
    ticks = [tick for tick in nice_ticks(low, high) if low - 1e-9 <= tick <= high + 1e-9]
    for tick, text in zip(ticks, tick_words(ticks), strict=True):
        parts.append(words(text, x + 16, top + SIDE - (tick - low) / ((high - low) or 1) * SIDE + 4, size=11))
    return parts
