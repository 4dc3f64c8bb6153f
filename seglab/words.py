"""Words of messages: the nearest known word to a mistyped one, and a few names of many."""

from __future__ import annotations

import difflib
from collections.abc import Sequence


def nearest(word: str, known: list[str], prefix: str = "") -> str:
    """A half sentence that names the known word closest to a mistyped one, or lists what is known."""
    dot = f"{prefix}." if prefix else ""
    close = [k for k in difflib.get_close_matches(word, known, n=2, cutoff=0.5) if k != word]
    if close:
        return f", did you mean '{dot}{close[0]}'?"
    return f"; known here: {', '.join(dot + k for k in sorted(known))}" if known else ""


def some(names: Sequence[str]) -> str:
    """The first five names and the count: ``7 names (a, b, c, d, e, ...)``."""
    more = ", ..." if len(names) > 5 else ""
    return f"{len(names)} name{'s' if len(names) > 1 else ''} ({', '.join(names[:5])}{more})"
