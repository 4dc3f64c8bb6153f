"""Pixels of :mod:`seglab.data.collage`: objects cut out of photographs by their masks, put on a piece of another.

Everything lies on a square canvas whose middle is the picture, so that objects of cloth are those of
:mod:`seglab.data.fabric_draw`. Integers only, and Pillow's own resizing.

Legend: S side of the canvas, H W pixels of the picture. One runnable line: ``python -c "import numpy as np;
from seglab.data.collage_draw import void_band; print(void_band(np.eye(4, dtype=np.uint8)))"``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from seglab.data.fabric_draw import Shape, level, paint
from seglab.data.region_labels import IGNORE
from seglab.data.rng import Dice
from seglab.data.shapes_draw import UNIT
from seglab.data.shapes_outline import RING

TRIES = 20
"""Places that are drawn for the objects of a picture before the last is taken."""
WINDOWS = 40
"""Windows of a scene that are drawn before the best is taken."""
SPAN = (55, 130)
"""Size of a window, per cent of the picture's."""
SCENE = 60
"""Per thousand of a background that its photo's own salient object may cover."""
LARGEST_SCALE = 200
"""Per cent: a cut-out is never enlarged by more."""
HEIGHTS = {1: (55, 100), 2: (40, 90), 3: (32, 75), 4: (28, 65)}
"""Objects of a picture -> longer side of a cut-out, per cent of the picture's shorter side."""
RADII = {1: (700, 1300), 2: (500, 1000), 3: (420, 850), 4: (360, 720)}
"""Objects of a picture -> radius of an object of cloth, canvas units."""
SEEN = 50
"""Per cent of an object that those in front of it leave to be seen, at least."""
LEAST = 12
"""Per thousand of the picture that is seen of every object, at least."""
EDGE = 20
"""Per thousand of a photo's edge: with more of it in the mask, the object counts as cut by the edge."""

HOLE = 5
"""Per thousand of an object: a smaller hole in its mask is filled."""


@dataclass(frozen=True)
class Part:
    """One object of a picture.

    Attributes:
        label: number of its class.
        photo: uint8 [h,w,3], the photograph it is cut from.
        mask: bool [h,w], the object in it; None: cloth, the outline is drawn.
    """

    label: int
    photo: np.ndarray
    mask: np.ndarray | None


@dataclass(frozen=True)
class Piece:
    """An object at its place: pixels uint8 [S,S,3] (None: cloth, painted later) and alpha int32 [S,S], 0 to 256."""

    pixels: np.ndarray | None
    alpha: np.ndarray
    shape: Shape | None = None


def compose(
    scene: np.ndarray, salient: np.ndarray, parts: Sequence[Part], *key: int | str
) -> tuple[np.ndarray, np.ndarray]:
    """One picture.

    Args:
        scene: uint8 [H,W,3], the background.
        salient: bool [H,W], what is left in it of the photo's own salient object.
        parts: its objects, from behind to the front; 1 to 4.
        key: names the drawing.

    Returns:
        Image uint8 [H,W,3] and classes uint8 [H,W]: 0 background, 255 the background's own object, and a band of two
        pixels where two objects, or an object and the background, meet.
    """
    side = max(scene.shape[:2])
    inside = tuple(slice((side - length) // 2, (side - length) // 2 + length) for length in scene.shape[:2])
    pieces = _placed(parts, inside, side, *key)
    canvas = np.zeros((side, side, 3), np.uint8)
    canvas[inside] = scene
    labels, numbers = np.zeros((side, side), np.uint8), np.zeros((side, side), np.uint8)
    labels[inside][salient] = IGNORE
    for number, (part, piece) in enumerate(zip(parts, pieces, strict=True), 1):
        there = piece.alpha >= 128
        if piece.shape is not None:
            there = paint(canvas, part.photo, piece.shape, *key, number)
        else:
            old, new = canvas.astype(np.int32), piece.pixels.astype(np.int32)
            canvas[:] = old + ((new - old) * piece.alpha[..., None] >> 8)
        labels[there], numbers[there] = part.label, number
    labels[void_band(numbers)] = IGNORE
    return np.ascontiguousarray(canvas[inside]), np.ascontiguousarray(labels[inside])


def void_band(numbers_HW: np.ndarray) -> np.ndarray:
    """Where a pixel's right, lower, left or upper neighbour is another object: bool [H,W], two pixels wide."""
    band = np.zeros(numbers_HW.shape, bool)
    for first, second in (
        ((slice(None), slice(1, None)), (slice(None), slice(None, -1))),
        ((slice(1, None),), (slice(None, -1),)),
    ):
        other = numbers_HW[first] != numbers_HW[second]
        band[first] |= other
        band[second] |= other
    return band


def cut_by_edges(mask_HW: np.ndarray) -> tuple[bool, bool]:
    """Whether a photo's lower edge cuts its object, and whether another edge does."""
    upper, lower, left, right = (
        int(edge.sum()) * 1000 > EDGE * len(edge) for edge in (mask_HW[0], mask_HW[-1], mask_HW[:, 0], mask_HW[:, -1])
    )
    return lower, upper or left or right


def without_holes(mask_HW: np.ndarray) -> np.ndarray:
    """A mask bool [H,W] with its small holes filled: those of masks made by a program, not those under an arm."""
    from scipy.ndimage import label

    numbers, _ = label(~mask_HW)
    areas = np.bincount(numbers.ravel())
    small = areas * 1000 < HOLE * int(mask_HW.sum())
    small[0] = True
    return small[numbers]


def scene_window(salient_HW: np.ndarray, size: tuple[int, int], *key: int | str) -> tuple[int, int, int, int]:
    """The part of a photograph that becomes a background.

    Args:
        salient_HW: bool, the photo's own salient object.
        size: height and width of the picture.
        key: names the drawing.

    Returns:
        Top, left, height and width in the photograph, of the picture's proportions: the first of the drawn windows in
        which the object covers no more than :data:`SCENE`, else that in which it covers least.
    """
    height, width = salient_HW.shape
    best, least = (0, 0, 1, 1), 2.0
    for attempt in range(WINDOWS):
        dice = Dice(*key, "window", attempt)
        share = min(height * 100 // size[0], width * 100 // size[1], dice.between(*SPAN))
        rows, columns = max(1, size[0] * share // 100), max(1, size[1] * share // 100)
        top, left = dice.between(0, height - rows), dice.between(0, width - columns)
        covered = int(salient_HW[top : top + rows, left : left + columns].sum()) / (rows * columns)
        if covered < least:
            best, least = (top, left, rows, columns), covered
        if least * 1000 <= SCENE:
            break
    return best


def resized(array: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image uint8 [H,W,3] or a mask bool [H,W] as grey 0..255, at another height and width."""
    grey = array.astype(np.uint8) * 255 if array.dtype == bool else array
    return np.asarray(Image.fromarray(grey).resize((size[1], size[0]), Image.Resampling.BILINEAR))


def _placed(parts: Sequence[Part], inside: tuple[slice, slice], side: int, *key: int | str) -> list[Piece]:
    """Every object at a place where enough of it is seen; the last drawn places where none of the tries is."""
    pieces: list[Piece] = []
    for attempt in range(TRIES):
        pieces = [_piece(part, number, len(parts), inside, side, attempt, *key) for number, part in enumerate(parts, 1)]
        if _all_seen(pieces, inside):
            break
    return pieces


def _all_seen(pieces: Sequence[Piece], inside: tuple[slice, slice]) -> bool:
    there = [piece.alpha >= 128 for piece in pieces]
    for number, mask in enumerate(there):
        seen = mask[inside].copy()
        for other in there[number + 1 :]:
            seen &= ~other[inside]
        if int(seen.sum()) * 100 < SEEN * int(mask.sum()) or int(seen.sum()) * 1000 < LEAST * seen.size:
            return False
    return True


def _piece(
    part: Part, number: int, count: int, inside: tuple[slice, slice], side: int, attempt: int, *key: int | str
) -> Piece:
    dice = Dice(*key, "place", number, attempt)
    if part.mask is None:
        return _cloth(dice, number, count, inside, side, attempt, *key)
    return _cut_out(dice, part, count, inside, side)


def _cloth(
    dice: Dice, number: int, count: int, inside: tuple[slice, slice], side: int, attempt: int, *key: int | str
) -> Piece:
    radius = dice.between(*RADII[count])
    row, column = (
        dice.between(place.start * UNIT // side + radius // 2, place.stop * UNIT // side - radius // 2)
        for place in inside
    )
    outline = TRIES * attempt
    while Dice(*key, number, "outline", outline).between(0, 6) == RING:
        outline += 1  # things have no holes as a rule
    shape = Shape(column, row, radius, outline)
    return Piece(None, np.where(level(shape, side, *key, number) > 0, 256, 0), shape)


def _cut_out(dice: Dice, part: Part, count: int, inside: tuple[slice, slice], side: int) -> Piece:
    mask, photo = part.mask, part.photo
    rows, columns = (np.flatnonzero(mask.any(axis=1 - axis)) for axis in (0, 1))
    box = (slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1))
    mask, photo = mask[box], photo[box]
    if dice.chance(50):
        mask, photo = mask[:, ::-1], photo[:, ::-1]
    height, width = (place.stop - place.start for place in inside)
    long = min(height, width) * dice.between(*HEIGHTS[count]) // 100
    share = min(long * 1000 // max(mask.shape), LARGEST_SCALE * 10)
    size = tuple(max(4, length * share // 1000) for length in mask.shape)
    alpha, pixels = resized(_thinner(mask), size).astype(np.int32), resized(np.ascontiguousarray(photo), size)
    cut_below = cut_by_edges(part.mask)[0]
    # What its photo's lower edge cuts stands on the picture's lower edge; the rest may leave it by a tenth.
    low = inside[0].stop - size[0]
    row = low + 1 if cut_below else dice.between(inside[0].start - size[0] // 10, low + size[0] // 10)
    column = dice.between(inside[1].start - size[1] // 10, inside[1].stop - size[1] + size[1] // 10)
    whole_alpha, whole_pixels = np.zeros((side, side), np.int32), np.zeros((side, side, 3), np.uint8)
    top, left = max(row, 0), max(column, 0)
    bottom, right = min(row + size[0], side), min(column + size[1], side)
    from_ = (slice(top - row, bottom - row), slice(left - column, right - column))
    whole_alpha[top:bottom, left:right] = alpha[from_] * 257 + 128 >> 8
    whole_pixels[top:bottom, left:right] = pixels[from_]
    return Piece(whole_pixels, whole_alpha)


def _thinner(mask_HW: np.ndarray) -> np.ndarray:
    """A mask without its outermost pixels, which show the photo's own background."""
    out = mask_HW.copy()
    out[1:] &= mask_HW[:-1]
    out[:-1] &= mask_HW[1:]
    out[:, 1:] &= mask_HW[:, :-1]
    out[:, :-1] &= mask_HW[:, 1:]
    return out
