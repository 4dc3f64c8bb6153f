"""A user's clicks on objects: a CSV of ``image,x,y`` that says which output channel is the object.

The file has the header ``image,x,y`` and a click a line: the name of a training image (with or without its suffix) and
a pixel on the object, counted from the upper left corner of the original, upright image, from 0; fractions are allowed.
Several clicks may fall on one image. It can be typed by hand; ``scripts/simulate_clicks.py`` draws one from masks.

Example: ``python -m seglab.train loss=cas eval.post.channel=clicks eval.post.clicks=clicks.csv``
"""

from __future__ import annotations

import csv
import difflib
import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from seglab.data.files import SUFFIXES

HEADER = ("image", "x", "y")


class Click(NamedTuple):
    """One click: stem of an image, column and row in pixels of the original, and the line of the file."""

    image: str
    x: float
    y: float
    line: int


def read_clicks(path: Path | str) -> list[Click]:
    """The clicks of a file, in its order.

    Args:
        path: CSV, UTF-8.

    Raises:
        ValueError: no such file, another header, a line that is no click, or no click at all.
    """
    what = f"eval.post.clicks={path}"
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ValueError(f"{what}: it cannot be read ({error.strerror}): expected a CSV of image,x,y") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{what}: it is not UTF-8 text ({error.reason} at byte {error.start})") from error
    try:
        rows = [(n, [c.strip() for c in row]) for n, row in enumerate(csv.reader(text.splitlines()), 1) if any(row)]
    except csv.Error as error:
        raise ValueError(f"{what}: it is no CSV ({error}): expected the header image,x,y and a click a line") from error
    if not rows or tuple(c.lower() for c in rows[0][1]) != HEADER:
        found = ",".join(rows[0][1])[:60] if rows else "nothing"
        raise ValueError(f"{what}: its first line is {found!a}: expected the header image,x,y")
    clicks = [_click(what, line, cells) for line, cells in rows[1:]]
    if not clicks:
        raise ValueError(f"{what}: it holds no click: expected a line <image>,<x>,<y> for each")
    return clicks


def _click(what: str, line: int, cells: Sequence[str]) -> Click:
    try:
        name, x, y = cells
        where = float(x), float(y)
    except ValueError:
        where = (math.nan, math.nan)
    if not all(map(math.isfinite, where)) or not cells[0]:
        raise ValueError(f"{what}, line {line}: {','.join(cells)[:60]!a}: expected <image>,<x>,<y>, x and y in pixels")
    return Click(Path(name).stem if name.lower().endswith(SUFFIXES) else name, *where, line)


def digest(clicks: Sequence[Click]) -> str:
    """First 16 hexadecimal digits of a hash over the clicks themselves, whatever the file is called."""
    text = "\n".join(f"{c.image},{c.x!r},{c.y!r}" for c in clicks)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def check_names(path: Path | str, clicks: Sequence[Click], names: Sequence[str]) -> None:
    """Refuse clicks on images that are not among the training images.

    Args:
        path: of the file, for the message.
        clicks: see :func:`read_clicks`.
        names: of the training images.

    Raises:
        ValueError: naming the first such line and the nearest name, or one of those there are.
    """
    known = set(names)
    for click in clicks:
        if click.image not in known:
            close = difflib.get_close_matches(click.image, sorted(known), n=1)
            raise ValueError(
                f"eval.post.clicks={path}, line {click.line}: no training image is called '{click.image}'; "
                f"{'did you mean' if close else 'they are called, for example,'} '{(close or sorted(known))[0]}'"
            )


def places(
    path: Path | str, clicks: Sequence[Click], sizes: Mapping[str, tuple[int, int]]
) -> dict[str, list[tuple[float, float]]]:
    """Clicks as shares of the image's width and height, which hold at any size.

    Args:
        path: of the file, for the message.
        clicks: see :func:`read_clicks`.
        sizes: height and width in pixels of every clicked image.

    Returns:
        For every clicked image ``(u, v)`` of each click: column and row of the pixel's centre, 0..1.

    Raises:
        ValueError: a click lies outside its image.
    """
    found: dict[str, list[tuple[float, float]]] = {}
    for click in clicks:
        height, width = sizes[click.image]
        if not (0 <= click.x < width and 0 <= click.y < height):
            raise ValueError(
                f"eval.post.clicks={path}, line {click.line}: x={click.x:g}, y={click.y:g} is outside image "
                f"'{click.image}': expected 0 <= x < {width} and 0 <= y < {height}"
            )
        column, row = math.floor(click.x) + 0.5, math.floor(click.y) + 0.5
        found.setdefault(click.image, []).append((column / width, row / height))
    return found
