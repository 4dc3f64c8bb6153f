"""Boundary noise: outlines too wide, too narrow, or drawn with few corners, in a share of the training masks.

Legend: H W pixels, S the longer side of the mask. One number r = u * size * S is drawn for a mask, u uniform in 0..1.

* dilate: every pixel outside the objects and at most r away from them takes the label of the nearest object.
* erode: every pixel of the objects at most r away from what is outside takes the label of what is nearest outside; r is
  at most half of the objects' largest depth, so that they never vanish as a whole.
* polygonise: the outline of every connected piece is simplified by Douglas and Peucker's rule (1973) with tolerance r,
  then scaled about its centre to the area it had: an annotator who sets few points draws neither too much nor too
  little. A piece of which less than half would be left keeps its outline.

The objects are the labels other than the background. Where no label is the background, a seeded half of the labels of
the mask are the objects, so that half of the regions grow (or shrink) at the cost of the others.

One runnable line: ``python -c "import numpy as np; from seglab.data.noise import Boundary;
print(Boundary(rate=1.0, kind='dilate', size=0.5).change(np.eye(8, dtype=np.uint8), id='a'))"``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage

from seglab.data.noise.base import Noise, number, one_of
from seglab.data.noise.draw import order, uniform
from seglab.data.noise.parts import filled, pieces
from seglab.data.rng import integers
from seglab.data.sample import IGNORE

KINDS = ("dilate", "erode", "polygonise")


class Boundary(Noise):
    """Move the outlines of exactly ``round(rate * n)`` training masks.

    Args:
        rate: share of the training images, 0..1.
        kind: ``dilate``, ``erode``, ``polygonise``, or ``mixed``: one of the three for each image.
        size: largest shift of an outline (tolerance of ``polygonise``) as a share of the mask's longer side, above 0 up
            to 1; each image has its own, uniform up to this, 1 pixel or more.
        seed: which images and how.

    Raises:
        ValueError: a value outside its range.
    """

    type = "boundary"

    def __init__(self, *, rate: float = 0.0, kind: str = "mixed", size: float = 0.1, seed: int = 0) -> None:
        super().__init__(rate=rate, seed=seed)
        self.kind = one_of("kind", kind, (*KINDS, "mixed"))
        self.size = number("size", size, "a share of the image's side, 0 < size <= 1", 0, 1, above=True)

    def options(self) -> dict[str, Any]:
        """``kind`` and ``size``."""
        return {"kind": self.kind, "size": self.size}

    def kind_of(self, id: str) -> str:
        """What happens to an image: ``dilate``, ``erode`` or ``polygonise``."""
        if self.kind != "mixed":
            return self.kind
        return KINDS[int(integers(1, self.seed, self.type, id, "kind")[0] % len(KINDS))]

    def change(self, mask_HW: np.ndarray, *, id: str, classes: int = 2, background: int | None = None) -> np.ndarray:
        """The mask with its outlines moved; see :meth:`seglab.data.noise.base.Noise.change`."""
        labels_HW = filled(mask_HW)
        objects_HW = self._objects(labels_HW, id, 0 if classes == 2 else background)
        if objects_HW.all() or not objects_HW.any():  # also where nothing is labelled: 255 is one label
            return mask_HW.copy()
        pixels = max(1.0, uniform(self.seed, self.type, id, "size") * self.size * max(mask_HW.shape))
        kind = self.kind_of(id)
        if kind == "dilate":
            new_HW = _moved(labels_HW, ~objects_HW, pixels)
        elif kind == "erode":
            new_HW = _moved(labels_HW, objects_HW, pixels, share=0.5)
        else:
            new_HW = _polygonised(labels_HW, objects_HW, pixels)
        return np.where(mask_HW == IGNORE, mask_HW, new_HW)

    def _objects(self, labels_HW: np.ndarray, id: str, background: int | None) -> np.ndarray:
        """Which pixels belong to the objects: bool [H,W]."""
        if background is not None:
            return labels_HW != background
        there = np.unique(labels_HW)
        chosen = there[order(len(there), self.seed, self.type, id, "objects")[: len(there) // 2]]
        return np.isin(labels_HW, chosen)


def _moved(labels_HW: np.ndarray, from_HW: np.ndarray, pixels: float, *, share: float = np.inf) -> np.ndarray:
    """Pixels of ``from_HW`` up to so far from the others take the nearest label of these.

    Args:
        labels_HW: labels, none of them ignored.
        from_HW: bool, neither empty nor all.
        pixels: how far.
        share: at most this share of the largest distance there is.
    """
    distance_HW, (y_HW, x_HW) = ndimage.distance_transform_edt(from_HW, return_indices=True)
    taken_HW = from_HW & (distance_HW <= min(pixels, share * distance_HW.max()))
    return np.where(taken_HW, labels_HW[y_HW, x_HW], labels_HW)


def _polygonised(labels_HW: np.ndarray, objects_HW: np.ndarray, tolerance: float) -> np.ndarray:
    """Every connected piece of the objects drawn again by few corners, larger pieces first."""
    new_HW = _moved(labels_HW, objects_HW, np.inf)
    pieces_HW, labels = pieces(np.where(objects_HW, labels_HW, IGNORE))
    boxes = ndimage.find_objects(pieces_HW + 1)
    areas = np.bincount(pieces_HW.ravel(), minlength=len(labels))
    for piece in np.argsort(-areas, kind="stable"):
        if labels[piece] == IGNORE:
            continue
        corner, shape_HW = _few_corners(pieces_HW[boxes[piece]] == piece, tolerance)
        rows = np.arange(shape_HW.shape[0]) + corner[0] + boxes[piece][0].start
        columns = np.arange(shape_HW.shape[1]) + corner[1] + boxes[piece][1].start
        inside = np.ix_((rows >= 0) & (rows < new_HW.shape[0]), (columns >= 0) & (columns < new_HW.shape[1]))
        place = np.ix_(rows[inside[0].ravel()], columns[inside[1].ravel()])
        new_HW[place] = np.where(shape_HW[inside], labels[piece], new_HW[place])
    return new_HW


def _few_corners(piece_HW: np.ndarray, tolerance: float) -> tuple[tuple[int, int], np.ndarray]:
    """A piece as the polygon of few corners that replaces it.

    Returns:
        Offset of the drawn picture to that of the piece, pixels; and the picture, bool.
    """
    from skimage.measure import approximate_polygon, find_contours  # here: its import takes a second

    margin = int(np.ceil(0.3 * max(piece_HW.shape))) + 2
    shape, outlines = tuple(side + 2 * margin for side in piece_HW.shape), []
    for outline in find_contours(np.pad(piece_HW, 1).astype(np.float64), 0.5, fully_connected="high"):
        outline += margin - 1
        before, few = _area(outline), approximate_polygon(outline, tolerance)
        after = _area(few)
        if after < before / 2:  # too small for this tolerance, or flattened to a line
            few = outline
        else:
            centre = few[:-1].mean(axis=0)
            few = centre + (few - centre) * min(1.25, np.sqrt(before / after))
        outlines.append(few)
    return (-margin, -margin), _inside(outlines, shape)


def _inside(outlines: list[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Pixels inside an odd number of closed outlines: bool [H,W]; an outline inside another one is a hole.

    In every row an edge exchanges inside and outside for all pixels to the right of where it crosses the row.
    """
    y0, x0 = np.concatenate([one[:-1] for one in outlines]).T
    y1, x1 = np.concatenate([one[1:] for one in outlines]).T
    low, high = (np.clip(np.ceil(end(y0, y1)), 0, shape[0]).astype(np.int64) for end in (np.minimum, np.maximum))
    edge = np.repeat(np.arange(len(low)), high - low)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(high - low) - high, high - low)
    x = x0[edge] + (row - y0[edge]) * (x1 - x0)[edge] / (y1 - y0)[edge]
    column = np.clip(np.ceil(x), 0, shape[1]).astype(np.int64)
    width = shape[1] + 1
    crossed = np.bincount(row * width + column, minlength=shape[0] * width).reshape(shape[0], width)
    return crossed.cumsum(axis=1)[:, :-1] % 2 == 1


def _area(outline_N2: np.ndarray) -> float:
    """Area inside a closed outline, pixels."""
    y, x = outline_N2[:, 0], outline_N2[:, 1]
    return float(abs(np.dot(y[:-1], x[1:]) - np.dot(y[1:], x[:-1])) / 2)
