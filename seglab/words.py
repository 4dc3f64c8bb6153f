"""Words: the nearest known one to a mistyped one, a few names of many, a path as Hydra has to read it."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping, Sequence

MOST_TOLD = 40
"""Numbers in a line of the log; where there are more, those of single classes are left to the file."""


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


def told(values: Mapping[str, float]) -> str:
    """Numbers of a set as a line for the log."""
    few = len(values) <= MOST_TOLD
    return "  ".join(f"{name} {value:.4f}" for name, value in values.items() if few or not name.startswith("iou_"))


def quoted(argument: str) -> str:
    """``key=value`` with the value in quotes where Hydra would read it as something else than text.

    Blanks, commas and brackets have a meaning of their own to Hydra, and ``12e4567890`` would be a number. Left as they
    are: a value in quotes already, one that holds ``${``, and a list ``[...]``, unless a file has this very name.
    """
    key, _, value = argument.partition("=")
    plain = re.fullmatch(r"[\w./*?:@%+-]*", value, flags=re.ASCII) and not re.fullmatch(r"[\d.e+-]+", value)
    written = re.fullmatch(r"""(['"])(?:(?!\1)[^\\]|\\.)*\1""", value, flags=re.DOTALL)
    listed = value.startswith("[") and value.endswith("]") and not os.path.exists(os.path.expanduser(value))
    if plain or written or listed or "${" in value:
        return argument
    # To Hydra a backslash is one, except before a quote.
    return f"{key}='" + re.sub(r"\\+(?='|\Z)", lambda found: 2 * found[0], value).replace("'", "\\'") + "'"
