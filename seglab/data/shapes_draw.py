"""Pixels of the procedural data set: every picture is drawn with 64-bit keys and 32-bit integers only.

No floating-point function is involved, so the same key gives the same bytes on every machine. Scenes are laid out on
a canvas of 4096 x 4096 units and sampled at the asked size: another size shows the same scene.

One runnable line: ``python -c "from seglab.data.shapes_draw import draw; print(draw(0, 0, size=64)[0].shape)"``.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from seglab.data.rng import Dice
from seglab.data.shapes_outline import RING, direction, outline, root, turned

UNIT = 4096
"""Side of the canvas."""

SINGLE_SHARE = (11, 44)
"""Per cent of the picture that the object of a ``single`` scene covers, from .. to."""


def draw(*key: int | str, size: int, single: bool = False, empty: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Draw one scene.

    Objects and clutter share their colours and their outlines. What sets an object apart is its regular pattern
    (stripes, checks, dots, rings, zigzag); clutter is plain, cloudy or grainy.

    Args:
        key: names the scene.
        size: side in pixels.
        single: exactly one object, near the middle, see :data:`SINGLE_SHARE`; otherwise one to three anywhere.
        empty: no object, clutter alone.

    Returns:
        Image uint8 [size,size,3] and mask uint8 [size,size] (1 = object).
    """
    dice = Dice(*key)
    x, y = canvas(size)
    colours = palette(dice)
    image = _background(dice, colours, size)
    for _ in range(dice.between(3, 6)):
        _paint_clutter(dice, image, x, y, colours)
    mask = np.zeros((size, size), dtype=np.uint8)
    if single and not empty:
        column, row, radius, shape = _one_place(*key)
        box = _box(column, row, radius, size)
        u, v = x[:, box[1]] - column, y[box[0]] - row
        _paint_object(dice, image[:, *box], mask[box], u, v, radius, colours, size, shape=shape)
    elif not empty:
        _paint_objects(dice, image, mask, x, y, colours, size)
    _light(dice, image, x, y, size)
    return np.ascontiguousarray(np.clip(image, 0, 255).astype(np.uint8).transpose(1, 2, 0)), mask


def _paint_objects(
    dice: Dice, image: np.ndarray, mask: np.ndarray, x: np.ndarray, y: np.ndarray, colours: np.ndarray, size: int
) -> None:
    """One to three objects that do not overlap."""
    count = dice.pick((1, 1, 1, 2, 2, 3))
    taken: list[tuple[int, int, int]] = []
    for _ in range(count):
        radius = dice.between(560, 1750 if count == 1 else 1150 if count == 2 else 900)
        place = _free_place(dice, radius, taken)
        if place is None:
            continue
        taken.append((*place, radius))
        box = _box(*place, radius, size)
        _paint_object(
            dice, image[:, *box], mask[box], x[:, box[1]] - place[0], y[box[0]] - place[1], radius, colours, size
        )


def _one_place(*key: int | str) -> tuple[int, int, int, Dice]:
    """Where the object of a single scene lies: column, row, radius, and a stream that its outline is drawn from.

    Rings are left out, and so is what is too small or too large, measured on 64 x 64 points, whatever the size drawn.
    """
    x, y = canvas(64)
    for attempt in range(64):
        name = (*key, "single", attempt)
        dice = Dice(*name)
        column, row = (UNIT // 2 + dice.between(-500, 500) for _ in range(2))
        radius = dice.between(800, 1750)
        if Dice(*name, "outline").between(0, 6) == RING:
            continue
        level = outline(Dice(*name, "outline"), x - column, y - row, radius)
        if SINGLE_SHARE[0] <= int((level >= 0).sum()) * 100 // level.size < SINGLE_SHARE[1]:
            break
    return column, row, radius, Dice(*name, "outline")


@lru_cache(maxsize=4)
def canvas(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixel centres in canvas units: x [1,size] and y [size,1], int32."""
    centres = (2 * np.arange(size, dtype=np.int32) + 1) * UNIT // (2 * size)
    return centres[None, :], centres[:, None]


def palette(dice: Dice) -> np.ndarray:
    """Four colours that go together: int32 [4,3,1,1]."""
    hue = dice.between(0, 1535)
    turns = dice.pick(((0, 90, 760, 160), (0, 520, 1020, 120), (0, 130, 260, 800), (0, 700, 830, 1480)))
    values = dice.pick(((235, 180, 120, 70), (220, 130, 200, 90), (90, 215, 150, 240), (150, 60, 225, 190)))
    colours = [_colour(hue + t, dice.between(70, 200), v) for t, v in zip(turns, values, strict=True)]
    return np.array(colours, np.int32)[:, :, None, None]


def _colour(hue: int, saturation: int, value: int) -> tuple[int, int, int]:
    """HSV with hue 0..1535, the others 0..255, to RGB."""
    sextant, rest = divmod(hue % 1536, 256)
    low = value * (255 - saturation) // 255
    rise = low + (value - low) * rest // 255
    fall = value - (value - low) * rest // 255
    return (
        (value, rise, low),
        (fall, value, low),
        (low, value, rise),
        (low, fall, value),
        (rise, low, value),
        (value, low, fall),
    )[sextant]


@lru_cache(maxsize=32)
def _weights(size: int, cells: int) -> tuple[np.ndarray, np.ndarray]:
    """Lattice cell and smoothstep weight (0..256) of every pixel."""
    place = (2 * np.arange(size, dtype=np.int64) + 1) * cells * 256 // (2 * size)
    cell, t = place >> 8, place & 255
    return cell, (t * t * (768 - 2 * t) >> 16).astype(np.int32)


def noise(dice: Dice, cells: int, size: int) -> np.ndarray:
    """Smooth random field with ``cells`` bumps a side: int32 [size,size], 0..255."""
    lattice = dice.grid(cells + 1, cells + 1)
    cell, t = _weights(size, cells)
    rows = lattice[cell] * (256 - t)[:, None] + lattice[cell + 1] * t[:, None] >> 8
    return rows[:, cell] * (256 - t) + rows[:, cell + 1] * t >> 8


def _blend(first: np.ndarray, second: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Mix two colours [3,1,1] or images [3,size,size] by a share 0..256 [size,size]."""
    return first + ((second - first) * share >> 8)


def _edge(level: np.ndarray, width: int) -> np.ndarray:
    """Ramp of a signed level, 0..256, that is 128 where the level is 0."""
    return np.clip(level * 128 // width + 128, 0, 256)


def _background(dice: Dice, colours: np.ndarray, size: int) -> np.ndarray:
    """Patches of the palette with cloudy borders, grain on top: int32 [3,size,size]."""
    order = dice.pick(((0, 1, 2), (1, 2, 3), (2, 3, 0), (3, 0, 1)))
    a, b, c = colours[list(order)]
    soft = dice.pick((12, 30, 70))
    field = (2 * noise(dice, dice.between(2, 4), size) + noise(dice, dice.between(6, 9), size)) // 3
    image = _blend(a, b, _edge(field - dice.between(115, 140), soft))
    field = (noise(dice, dice.between(3, 5), size) + noise(dice, dice.between(8, 12), size)) // 2
    image = _blend(image, c, _edge(field - dice.between(135, 155), soft))
    grain = noise(dice, dice.between(14, 22), size) + noise(dice, dice.between(26, 40), size) - 255
    image += grain * dice.between(20, 90) >> 8
    return image


def _box(column: int, row: int, radius: int, size: int) -> tuple[slice, slice]:
    """Pixels that a shape, its soft edge and its shadow can reach."""
    reach = radius * 8 // 5 + 240
    rows, columns = (
        slice(max(0, (centre - reach) * size // UNIT), max(0, (centre + reach) * size // UNIT + 1))
        for centre in (row, column)
    )
    return rows, columns


def _paint_clutter(dice: Dice, image: np.ndarray, x: np.ndarray, y: np.ndarray, colours: np.ndarray) -> None:
    """A plain, cloudy or grainy shape: as crisp as an object, as coloured as an object, but without a pattern."""
    radius = dice.between(200, 950)
    column, row = dice.between(0, UNIT), dice.between(0, UNIT)
    size = image.shape[-1]
    box = _box(column, row, radius, size)
    image, u, v = image[:, *box], x[:, box[1]] - column, y[box[0]] - row
    alpha = _edge(outline(dice, u, v, radius), dice.pick((24, 24, 200)))
    first, second = dice.pick(colours), dice.pick(colours)
    kind = dice.between(0, 2)
    if kind == 0:
        paint = first + dice.between(-20, 20)
    elif kind == 1:
        paint = _blend(first, second, _edge(noise(dice, dice.between(4, 9), size)[box] - 128, 40))
    else:
        grain = noise(dice, dice.between(24, 40), size)[box] - 128
        paint = first + (grain * dice.between(40, 160) >> 7)
    _shadow(dice, image, alpha, size)
    _cover(image, paint, alpha)


def _paint_object(
    dice: Dice,
    image: np.ndarray,
    mask: np.ndarray,
    u: np.ndarray,
    v: np.ndarray,
    radius: int,
    colours: np.ndarray,
    size: int,
    *,
    shape: Dice | None = None,
) -> None:
    """A shape with a regular pattern in two colours of the palette, or in one and its lighter or darker self."""
    level = outline(shape or dice, u, v, radius)
    alpha = _edge(level, 24)
    first = dice.pick(colours) + _jitter(dice)
    if dice.chance(50):
        step = dice.between(60, 120)
        second = first + (step if int(first.sum()) < 384 else -step)
    else:
        second = dice.pick(colours) + _jitter(dice)
        if int(np.abs(second - first).sum()) < 150:
            second = first + (90 if int(first.sum()) < 384 else -90)
    paint = _blend(first, second, _pattern(dice, u, v))
    turn = direction(dice.between(0, 31))
    paint = paint + ((u * turn[0] + v * turn[1] >> 10) * 24 // radius)
    _shadow(dice, image, alpha, size)
    _cover(image, paint, alpha)
    mask[level >= 0] = 1


def _cover(image: np.ndarray, paint: np.ndarray, alpha: np.ndarray) -> None:
    change = paint - image
    change *= alpha
    change >>= 8
    image += change


def _jitter(dice: Dice) -> np.ndarray:
    return np.array([dice.between(-25, 25) for _ in range(3)], np.int32)[:, None, None]


def _shadow(dice: Dice, image: np.ndarray, alpha: np.ndarray, size: int) -> None:
    """Darken the image beside a shape, down and to the right."""
    shift = max(1, size * dice.between(1, 3) // 96)
    depth = dice.pick((0, 1, 2))
    shaded = image[:, shift:, shift:]
    shaded *= 1024 - alpha[:-shift, :-shift] * depth
    shaded >>= 10


def _light(dice: Dice, image: np.ndarray, x: np.ndarray, y: np.ndarray, size: int) -> None:
    """A gradient of light over the whole picture and a little sensor noise."""
    turn = direction(dice.between(0, 31))
    ramp = ((x - UNIT // 2) * turn[0] + (y - UNIT // 2) * turn[1]) // 1024
    image *= 1024 + ramp * dice.between(0, 200) // UNIT
    image >>= 10
    image += (dice.grid(size, size) - 128) * dice.between(2, 10) >> 7


def _pattern(dice: Dice, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """A regular texture, 0..256, period a sixteenth to an eighth of the picture."""
    kind = dice.between(0, 5)
    period = dice.between(300, 520)
    p, q = turned(dice, u, v)
    if kind == 0:
        wave = _triangle(p, period)
    elif kind == 1:
        wave = _triangle(p, period) * _triangle(q, period) // 64
    elif kind == 2:
        wave = _triangle(p, period) + _triangle(q, period) - 40
    elif kind == 3:
        wave = np.maximum(_triangle(p, period), _triangle(q, period)) - 40
    elif kind == 4:
        wave = _triangle(root(p * p + q * q), period)
    else:
        wave = _triangle(p + _triangle(q, 2 * period) * period // 512, period)
    return np.clip(wave * 4 + 128, 0, 256)


def _triangle(place: np.ndarray, period: int) -> np.ndarray:
    """Triangle wave, -128..128."""
    phase = (place % period) * 512 // period
    return np.abs(phase - 256) - 128


def _free_place(dice: Dice, radius: int, taken: list[tuple[int, int, int]]) -> tuple[int, int] | None:
    """A centre that keeps the object inside the picture and off the others, or None after a few tries."""
    margin = radius * 3 // 4
    for _ in range(12):
        place = dice.between(margin, UNIT - margin), dice.between(margin, UNIT - margin)
        if all((place[0] - a) ** 2 + (place[1] - b) ** 2 > (radius + r) ** 2 for a, b, r in taken):
            return place
    return None
