"""Outlines of the procedural data set, in integer canvas units.

One runnable line: ``python -c "from seglab.data.rng import Dice; from seglab.data.shapes_draw import canvas;
from seglab.data.shapes_outline import outline; print(outline(Dice(0), *canvas(8), 900).shape)"``.
"""

from __future__ import annotations

import numpy as np

from seglab.data.rng import Dice

_QUARTER = (1024, 1004, 946, 851, 724, 569, 392, 200, 0)
_COS = (*_QUARTER, *(-v for v in _QUARTER[-2::-1]), *(-v for v in _QUARTER[1:]), *_QUARTER[-2:0:-1])
"""1024 cos(2 pi k / 32), k = 0..31, rounded."""

RING = 5
"""The kind of outline with a hole, by the first number that :func:`outline` draws, 0..6."""


def direction(k: int) -> tuple[int, int]:
    """Unit vector number ``k`` of 32, times 1024."""
    return _COS[k % 32], _COS[(k - 8) % 32]


def turned(dice: Dice, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates in a randomly turned frame, same units."""
    cosine, sine = direction(dice.between(0, 31))
    return (u * cosine + v * sine) >> 10, (v * cosine - u * sine) >> 10


def root(value: np.ndarray) -> np.ndarray:
    """Integer square root; IEEE 754 rounds a double's root correctly, so the floor is exact everywhere."""
    return np.sqrt(value.astype(np.float64)).astype(np.int32)


def outline(dice: Dice, u: np.ndarray, v: np.ndarray, radius: int) -> np.ndarray:
    """Signed distance-like level of a random shape, positive inside, in canvas units: int32 [size,size]."""
    kind = dice.between(0, 6)
    p, q = turned(dice, u, v)
    ratio = dice.between(600, 1024)
    if kind == 0:
        return radius - root(p * p + (q * 1024 // ratio) ** 2)
    if kind == 1:
        return _rounded_box(p, q, radius * 13 // 16, radius * ratio // 1260, radius // 5)
    if kind in (2, 3):
        corners = dice.between(3, 6)
        start = dice.between(0, 31)
        sides = [direction(start + 32 * i // corners) for i in range(corners)]
        return radius * 3 // 4 - np.max([(u * a + v * b) >> 10 for a, b in sides], axis=0)
    if kind == 4:
        start = dice.between(0, 31)
        sides = [direction(start + 32 * i // 5) for i in range(5)]
        reach = np.sort([(u * a + v * b) >> 10 for a, b in sides], axis=0)
        return radius * 2 // 5 - reach[3]
    if kind == RING:
        return np.minimum(radius - root(p * p + q * q), root(p * p + q * q) - radius * dice.between(35, 50) // 100)
    return _blob(dice, p, q, radius)


def _rounded_box(p: np.ndarray, q: np.ndarray, width: int, height: int, corner: int) -> np.ndarray:
    a, b = np.abs(p) - (width - corner), np.abs(q) - (height - corner)
    far = root(np.maximum(a, 0) ** 2 + np.maximum(b, 0) ** 2)
    return corner - far - np.minimum(np.maximum(a, b), 0)


def _blob(dice: Dice, p: np.ndarray, q: np.ndarray, radius: int) -> np.ndarray:
    """Three overlapping discs around the centre."""
    level = None
    for i in range(3):
        a, b = direction(11 * i + dice.between(0, 4))
        shift, disc = radius * dice.between(30, 50) // 100, radius * dice.between(50, 62) // 100
        part = disc - root((p - shift * a // 1024) ** 2 + (q - shift * b // 1024) ** 2)
        level = part if level is None else np.maximum(level, part)
    return level
