"""From numbers to positions: nice ticks, their words, and the room that text takes.

One runnable line: ``python -c "from seglab.report.page.axis import nice_ticks; print(nice_ticks(0.03, 0.97))"``.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

LETTER = 0.56
"""Width of an average letter of a sans-serif font, as a share of its size; a little more than is usual."""


@dataclass(frozen=True)
class Axis:
    """A straight or logarithmic map from values to units of the drawing.

    Attributes:
        low: value at ``start``.
        high: value at ``end``; above ``low``.
        start: position, in units of the drawing.
        end: position; below ``start`` for an axis that points upwards.
        log: distances are those of the logarithms; ``low`` is above 0.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        """The position of a value."""
        low, high, value = (math.log(v) if self.log else v for v in (self.low, self.high, value))
        return self.start + (value - low) / (high - low) * (self.end - self.start)


def nice_ticks(low: float, high: float, *, about: int = 5) -> list[float]:
    """Multiples of 1, 2, 2.5 or 5 times a power of ten, the first at or below ``low``, the last at or above ``high``.

    Args:
        low: finite.
        high: finite, at least ``low``; equal ends are moved apart.
        about: how many ticks there should be.
    """
    if not high > low:
        room = abs(low) * 0.1 or 0.5
        low, high = low - room, high + room
    raw = (high - low) / max(1, about - 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(f * power for f in (1, 2, 2.5, 5, 10) if f * power >= raw * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [_clean(i * step, step) for i in range(first, last + 1)]


def tick_words(ticks: Sequence[float]) -> list[str]:
    """The ticks as text, all with the decimals that the finest of them needs."""
    for decimals in range(8):
        if all(math.isclose(round(t, decimals), t, rel_tol=1e-9, abs_tol=1e-12) for t in ticks):
            return [f"{t:.{decimals}f}" for t in ticks] if max(map(abs, ticks), default=0) < 1e6 else short(ticks)
    return short(ticks)


def short(values: Sequence[float]) -> list[str]:
    """Numbers as text, each as short as it can be."""
    return [f"{value:g}" for value in values]


def text_width(text: str, size: float) -> float:
    """About how wide a line of text is, in the units of its size."""
    return LETTER * size * len(text)


def broken(text: str, width: float, size: float) -> list[str]:
    """A text as lines that fit into a width; line ends in the text stay."""
    letters = max(8, int(width / (LETTER * size)))
    return [line for part in text.split("\n") for line in textwrap.wrap(part, letters)]


def _clean(value: float, step: float) -> float:
    decimals = max(0, 2 - math.floor(math.log10(step)))
    return round(value, decimals) + 0.0  # + 0.0: no minus zero
