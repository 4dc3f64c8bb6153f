"""What a noise draws: numbers, white and smooth fields, each a function of its key alone.

Every draw has a name of its own in its key, so that one option never shifts what another one draws.

One runnable line: ``python -c "from seglab.data.noise.draw import uniform; print(uniform(0, 'drop', 'photo7'))"``.
"""

from __future__ import annotations

import numpy as np

from seglab.data.rng import integers


def uniform(*key: int | str) -> float:
    """A number, 0 < value < 1."""
    return float(white((1,), *key)[0])


def white(shape: tuple[int, ...], *key: int | str) -> np.ndarray:
    """Independent uniform numbers, float64 of this shape, 0 < value < 1."""
    words = integers(int(np.prod(shape)), *key) >> np.uint64(12)
    return ((words.astype(np.float64) + 0.5) * 2.0**-52).reshape(shape)


def smooth(shape: tuple[int, int], cells: int, *key: int | str) -> np.ndarray:
    """A smooth field, float64 [H,W] in -1..1: random values at corners of ``cells`` x ``cells`` squares, blended."""
    corners = 2 * white((cells + 1, cells + 1), *key) - 1
    (y, v), (x, u) = (_between(side, cells) for side in shape)
    top = corners[y][:, x] * (1 - u) + corners[y][:, x + 1] * u
    low = corners[y + 1][:, x] * (1 - u) + corners[y + 1][:, x + 1] * u
    return top * (1 - v[:, None]) + low * v[:, None]


def order(n: int, *key: int | str, weights: np.ndarray | None = None) -> np.ndarray:
    """A random order of 0..n-1 in which larger weights tend to come first (Efraimidis and Spirakis 2006)."""
    draws = -np.log(white((n,), *key))
    return np.argsort(draws if weights is None else draws / weights, kind="stable")


def _between(side: int, cells: int) -> tuple[np.ndarray, np.ndarray]:
    """Corner before every pixel, and how far the pixel is on the way to the next, eased at both ends."""
    place = np.arange(side) * (cells / max(1, side - 1))
    corner = np.minimum(place.astype(np.int64), cells - 1)
    way = place - corner
    return corner, way * way * (3 - 2 * way)
