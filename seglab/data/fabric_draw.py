"""Pixels of :mod:`seglab.data.fabrics`: where objects lie, how cloth is shaded, in integers only.

Outlines and places are laid out on the canvas of :mod:`seglab.data.shapes_draw`, 4096 x 4096 units, and sampled at the
asked size. One runnable line: ``python -c "from seglab.data.fabric_draw import place_objects; print(place_objects(3,
0))"``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seglab.data.rng import Dice
from seglab.data.shapes_draw import UNIT, canvas, noise
from seglab.data.shapes_outline import RING, direction, outline

COARSE = 64
"""Side in pixels at which the area of an outline is measured, so that every size shows the same picture."""

AREAS = {1: (10, 40), 2: (6, 22), 3: (5, 16)}
"""Objects of a picture -> least and largest part of the picture that one covers, percent."""

RADII = {1: (900, 1500), 2: (650, 1050), 3: (560, 900)}
"""Objects of a picture -> range of their radius, canvas units."""

TRIES = 60
"""Draws of a shape or a place before the best so far is taken."""


@dataclass(frozen=True)
class Shape:
    """One object: canvas units, and which of the outlines that can be drawn there it has."""

    column: int
    row: int
    radius: int
    attempt: int


def place_objects(count: int, *key: int | str) -> list[Shape]:
    """Places and outlines of the objects of a picture, apart from each other; a single one lies near the centre.

    Args:
        count: 1 to 3.
        key: names the drawing.
    """
    low, high = RADII[count]
    for attempt in range(TRIES):
        dice = Dice(*key, "places", attempt)
        shapes: list[Shape] = []
        for _ in range(count):
            radius = dice.between(low, high)
            reach = 520 if count == 1 else max(0, UNIT // 2 - radius * 9 // 10)
            column, row = (UNIT // 2 + dice.between(-reach, reach) for _ in range(2))
            shapes.append(Shape(column, row, radius, 0))
        if all(_apart(a, b) for i, a in enumerate(shapes) for b in shapes[:i]):
            break
    return [_sized(shape, number, AREAS[count], *key) for number, shape in enumerate(shapes)]


def _apart(a: Shape, b: Shape) -> bool:
    return (a.column - b.column) ** 2 + (a.row - b.row) ** 2 > (a.radius + b.radius) ** 2


def _sized(shape: Shape, number: int, area: tuple[int, int], *key: int | str) -> Shape:
    """The shape with the first outline that covers the wanted part of the picture; else with the one nearest to it."""
    best, distance = shape, COARSE**2
    low, high = (percent * COARSE**2 // 100 for percent in area)
    for attempt in range(TRIES):
        if Dice(*key, number, "outline", attempt).between(0, 6) == RING:
            continue  # things have no holes as a rule
        drawn = Shape(shape.column, shape.row, shape.radius, attempt)
        pixels = int((level(drawn, COARSE, *key, number) > 0).sum())
        off = max(low - pixels, pixels - high, 0)
        if off < distance:
            best, distance = drawn, off
        if not off:
            break
    return best


def level(shape: Shape, size: int, *key: int | str) -> np.ndarray:
    """Signed distance-like level of an object, positive inside, canvas units: int32 [size,size]."""
    x, y = canvas(size)
    return outline(Dice(*key, "outline", shape.attempt), x - shape.column, y - shape.row, shape.radius)


def paint(image: np.ndarray, cloth: np.ndarray, shape: Shape, *key: int | str) -> np.ndarray:
    """Put an object of cloth into a picture, in place, with its shadow.

    Args:
        image: uint8 [S,S,3].
        cloth: uint8 [H,W,3], the part of a photograph that the object may show.
        shape: of :func:`place_objects`.
        key: names the drawing of this object.

    Returns:
        Where the object is, bool [S,S].
    """
    size, dice = image.shape[0], Dice(*key, "light")
    high = level(shape, size, *key)
    cloth = cloth_piece(cloth, high > 0, *key)
    # Half covered where the level is 0, over about a pixel and a half, as a lens would show an edge.
    alpha = np.clip(high * 128 // dice.between(16, 36) + 128, 0, 256)
    shift, depth = max(1, size * dice.between(2, 5) // 128), dice.between(60, 130)
    shadow = np.zeros_like(alpha)
    shadow[shift:, shift:] = np.clip(high * 128 // 160 + 128, 0, 256)[:-shift, :-shift]
    lit = image.astype(np.int32) * (256 - (shadow * depth >> 8))[..., None] >> 8
    lit += (cloth.astype(np.int32) * _light(dice, shape, high)[..., None] // 256 - lit) * alpha[..., None] >> 8
    image[:] = np.clip(lit, 0, 255)
    return high > 0


def half_of(photo: np.ndarray, part: str) -> np.ndarray:
    """The rows of a photograph of cloth [H,W,3] that belong to a part: the upper half trains, the lower half tests."""
    middle = photo.shape[0] // 2
    return photo[:middle] if part == "train" else photo[middle:]


def cloth_piece(cloth: np.ndarray, inside: np.ndarray, *key: int | str) -> np.ndarray:
    """Cloth for an object, turned by quarters and mirrored at random, no pixel changed: uint8 [S,S,3].

    Args:
        cloth: uint8 [H,W,3]; where an object is wider or higher, and outside the object, it goes on mirrored.
        inside: where the object is, bool [S,S].
        key: names the drawing of this object.
    """
    dice = Dice(*key, "cut")
    turned = np.rot90(cloth, dice.between(0, 3))
    turned = turned[:, ::-1] if dice.chance(50) else turned
    rows, columns = (_span(dice, turned.shape[axis], inside.any(axis=1 - axis)) for axis in (0, 1))
    return turned[rows][:, columns]


def _span(dice: Dice, length: int, inside: np.ndarray) -> np.ndarray:
    """Places in a row of ``length`` pixels, mirrored beyond its ends, so that the object lies between them."""
    there = np.flatnonzero(inside)
    first, last = (int(there[0]), int(there[-1])) if len(there) else (0, 0)
    start = dice.between(0, max(0, length - (last - first + 1))) - first
    place = (start + np.arange(len(inside))) % (2 * length)
    return np.minimum(place, 2 * length - 1 - place)


def _light(dice: Dice, shape: Shape, high: np.ndarray) -> np.ndarray:
    """How bright cloth is, 256 = as photographed: darker to the border and away from the light, with soft folds."""
    size = high.shape[0]
    x, y = canvas(size)
    rim = max(1, shape.radius * dice.between(25, 45) // 100)
    round_off = dice.between(40, 90) * (rim - np.clip(high, 0, rim)) // rim
    a, b = direction(dice.between(0, 31))
    across = ((x - shape.column) * a + (y - shape.row) * b >> 10) * dice.between(20, 60) // shape.radius
    folds = (noise(dice, dice.between(3, 6), size) - 128) * dice.between(20, 60) >> 7
    return np.clip(270 - round_off + across + folds, 90, 320)


def scene_piece(photo: np.ndarray, size: int, *key: int | str) -> np.ndarray:
    """A square of a photograph, upright, mirrored at random: uint8 [size,size,3]; a smaller photograph is enlarged."""
    height, width = photo.shape[:2]
    dice, side = Dice(*key, "scene"), min(height, width)
    # Without a filter, by whole pixels: the same bytes whatever the version of a library.
    span = min(side, size * dice.between(100, 125) // 100)
    top, left = dice.between(0, height - span), dice.between(0, width - span)
    place = (2 * np.arange(size) + 1) * span // (2 * size)
    piece = photo[top + place][:, left + place]
    return np.ascontiguousarray(piece[:, ::-1] if dice.chance(50) else piece)
