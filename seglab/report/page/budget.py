"""Keep a page small: the largest pictures are made smaller first, then left out.

One runnable line: ``python -c "from seglab.report.page.budget import fit; print(fit([], [], room=1000))"``.
"""

from __future__ import annotations

import base64
import binascii
import heapq
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape

from seglab.report.page.figure import Figure

URI = re.compile(r"(data:image/(?:png|jpeg|webp|gif);base64,[A-Za-z0-9+/=]+)")
NARROWEST = 120
"""Pixels of the longer side below which a picture is not made."""
QUALITY = 70
AROUND_FIGURE, AROUND_PICTURE = 700, 200
"""Bytes of markup around each of them."""


@dataclass
class _Picture:
    """One picture, in its place: a figure's HTML cut at its pictures, or the list of images of a run."""

    parts: list[str]
    place: int
    name: str


def weight(figures: Sequence[Figure], grids: Sequence[dict]) -> int:
    """Bytes that figures and pictures of runs take on the page."""
    drawn = sum(len(f.html.encode()) + 2 * len(f.title.encode()) + len(f.caption.encode()) for f in figures)
    images = [len(image) + AROUND_PICTURE for grid in grids for image in grid["images"]]
    return drawn + AROUND_FIGURE * len(figures) + sum(images) + AROUND_FIGURE * len(grids)


def fit(figures: Sequence[Figure], grids: Sequence[dict], *, room: int) -> tuple[list[Figure], list[dict], list[str]]:
    """Make figures and pictures fit.

    Args:
        figures: of the page.
        grids: pictures of runs, see :mod:`seglab.report.page.grids`.
        room: bytes there are for them.

    Returns:
        Both, perhaps smaller, and one line for everything that was made smaller or left out.
    """
    over = weight(figures, grids) - room
    if over <= 0:
        return list(figures), list(grids), []
    cut = [URI.split(figure.html) for figure in figures]
    grids = [{**grid, "images": list(grid["images"])} for grid in grids]
    pictures = [
        _Picture(parts, place, f"figure '{figure.title}'")
        for figure, parts in zip(figures, cut, strict=True)
        for place in range(1, len(parts), 2)
    ]
    pictures += [_Picture(g["images"], i, f"pictures of {g['run']}") for g in grids for i in range(len(g["images"]))]
    over, told = _reduce(pictures, over)
    smaller: list[Figure] = []
    for figure, parts in zip(figures, cut, strict=True):
        gone = any(part == "" for part in parts[1::2])
        smaller.append(replace(figure, html=_instead(figure) if gone else "".join(parts)))
    if over > 0:
        smaller, lines = _without_drawings(smaller, over)
        told += lines
    return smaller, [grid for grid in grids if any(grid["images"])], told


def _reduce(pictures: Sequence[_Picture], over: int) -> tuple[int, list[str]]:
    """Halve the largest picture until all fit; one that is small already goes. Returns what is still too much."""
    heap = [(-len(p.parts[p.place]), number) for number, p in enumerate(pictures)]
    heapq.heapify(heap)
    halves: Counter[str] = Counter()
    gone: Counter[str] = Counter()
    while over > 0 and heap:
        size, number = heapq.heappop(heap)
        picture = pictures[number]
        made = halved(picture.parts[picture.place])
        if made is not None and len(made) < -size:
            halves[picture.name] += 1
            heapq.heappush(heap, (-len(made), number))
        else:
            gone[picture.name] += 1
            made = ""
        picture.parts[picture.place] = made
        over -= -size - len(made)
    lines = [f"made smaller: {name}" for name in halves if name not in gone]
    return over, lines + [f"left out: {name}" + (f" ({n} of them)" if n > 1 else "") for name, n in gone.items()]


def _without_drawings(figures: Sequence[Figure], over: int) -> tuple[list[Figure], list[str]]:
    """Leave out the largest drawings until all fit."""
    found, told = list(figures), []
    for number in sorted(range(len(found)), key=lambda i: -len(found[i].html)):
        figure, instead = found[number], _instead(found[number])
        if over <= 0 or len(instead) >= len(figure.html):
            break
        over -= len(figure.html) - len(instead)
        found[number] = replace(figure, html=instead)
        told.append(f"left out: figure '{figure.title}'")
    return found, told


def _instead(figure: Figure) -> str:
    return f'<p class="left-out">“{escape(figure.title)}” is left out: the page would be larger than its limit.</p>'


def halved(uri: str) -> str | None:
    """A picture of half the width and height as WebP; None where it is small already or cannot be read.

    Args:
        uri: data URI of a picture.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        data = base64.b64decode(uri.partition(",")[2])
        with Image.open(io.BytesIO(data)) as opened:
            image = opened.convert("RGB")
    except (binascii.Error, UnidentifiedImageError, OSError, ValueError):
        return None
    if max(image.size) < 2 * NARROWEST:
        return None
    made = io.BytesIO()
    size = (max(image.width // 2, 1), max(image.height // 2, 1))
    image.resize(size, Image.Resampling.LANCZOS).save(made, "WEBP", quality=QUALITY)
    return "data:image/webp;base64," + base64.b64encode(made.getvalue()).decode()
