"""Region noise: regions merged, cut in two, or with their labels permuted, in a share of the training masks.

Masks of two classes (object 1, background 0):

* split: the object is cut by a seeded wavy line; the smaller part, a share up to ``size`` of the object, becomes
  background.
* merge: the background around a seeded point of the object's outline, up to ``size`` times the object in area, becomes
  object: a wavy blob, as far as it is background.
* permute: object and background are exchanged, as ``noise=flip`` does.

Masks of regions (numbers are names) and of classes (where a region is a connected piece of one class): a share
``share`` of them, at least one, is concerned.

* split: a region, larger ones more likely, is cut by a seeded wavy line; of regions the smaller part gets the lowest
  number that is free, of classes the class that surrounds it most.
* merge: a region and the one it shares the longest border with become one, under the label of the larger.
* permute: the labels of some regions (classes) of the mask move on by one place in a seeded circle.

One runnable line: ``python -c "import numpy as np; from seglab.data.noise import Region;
print(Region(rate=1.0, kind='split').change(np.eye(8, dtype=np.uint8), id='a'))"``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import ndimage

from seglab.data.noise.base import Noise, number, one_of
from seglab.data.noise.draw import order, smooth, uniform
from seglab.data.noise.parts import EIGHT, around, filled, pieces, touching, whole_labels
from seglab.data.rng import integers
from seglab.data.sample import IGNORE

KINDS = ("merge", "split", "permute")
WAVES = 4
"""Squares along each side over which the lines and blobs wave."""


class Region(Noise):
    """Merge, cut or rename regions of exactly ``round(rate * n)`` training masks.

    Args:
        rate: share of the training images, 0..1.
        kind: ``merge``, ``split``, ``permute``, or ``mixed``: one of the three for each image.
        size: largest part of a region that is cut off (or added to an object), as a share of its area, above 0 up to
            0.5; each image has its own, uniform from a fifth of this up to it.
        share: of the regions of a mask with more than two, how many are concerned, above 0 up to 1; at least one.
        seed: which images and how.

    Raises:
        ValueError: a value outside its range.
    """

    type = "region"

    def __init__(
        self, *, rate: float = 0.0, kind: str = "mixed", size: float = 0.5, share: float = 0.3, seed: int = 0
    ) -> None:
        super().__init__(rate=rate, seed=seed)
        self.kind = one_of("kind", kind, (*KINDS, "mixed"))
        self.size = number("size", size, "a share of a region's area, 0 < size <= 0.5", 0, 0.5, above=True)
        self.share = number("share", share, "a share of a mask's regions, 0 < share <= 1", 0, 1, above=True)

    def options(self) -> dict[str, Any]:
        """``kind``, ``size`` and ``share``."""
        return {"kind": self.kind, "size": self.size, "share": self.share}

    def kind_of(self, id: str) -> str:
        """What happens to an image: ``merge``, ``split`` or ``permute``."""
        if self.kind != "mixed":
            return self.kind
        return KINDS[int(integers(1, self.seed, self.type, id, "kind")[0] % len(KINDS))]

    def change(self, mask_HW: np.ndarray, *, id: str, classes: int = 2, background: int | None = None) -> np.ndarray:
        """The mask with other regions; see :meth:`seglab.data.noise.base.Noise.change`."""
        if (mask_HW == IGNORE).all():
            return mask_HW.copy()
        labels_HW = filled(mask_HW)
        change: Callable[..., np.ndarray] = getattr(self, f"_{self.kind_of(id)}_{'two' if classes == 2 else 'many'}")
        return np.where(mask_HW == IGNORE, mask_HW, change(labels_HW, id, classes))

    def _permute_two(self, labels_HW: np.ndarray, id: str, classes: int) -> np.ndarray:
        return np.where(labels_HW > 1, labels_HW, 1 - labels_HW)

    def _split_two(self, labels_HW: np.ndarray, id: str, classes: int) -> np.ndarray:
        part_HW = self._cut(labels_HW == 1, id)
        return np.where(part_HW, np.uint8(0), labels_HW)

    def _merge_two(self, labels_HW: np.ndarray, id: str, classes: int) -> np.ndarray:
        object_HW = labels_HW == 1
        outside = np.flatnonzero(~object_HW)
        edge = np.flatnonzero(object_HW & ndimage.binary_dilation(~object_HW, structure=EIGHT))
        count = min(round(self._part(id) * int(object_HW.sum())), len(outside) // 2)
        if not len(edge) or not count:
            return labels_HW
        height, width = labels_HW.shape
        start = edge[int(uniform(self.seed, self.type, id, "start") * len(edge))]
        y, x = outside // width, outside % width
        waves_HW = smooth((height, width), WAVES, self.seed, self.type, id, "waves")
        far = np.hypot(y - start // width, x - start % width) * (1 + 0.5 * waves_HW.ravel()[outside])
        new = labels_HW.ravel().copy()
        new[outside[np.argsort(far, kind="stable")[:count]]] = 1
        return new.reshape(labels_HW.shape)

    def _permute_many(self, labels_HW: np.ndarray, id: str, classes: int) -> np.ndarray:
        there = np.unique(labels_HW)
        if len(there) < 2:
            return labels_HW
        circle = there[order(len(there), self.seed, self.type, id, "permute")[: max(2, self._count(len(there)))]]
        new = np.arange(256, dtype=np.uint8)
        new[circle] = np.roll(circle, 1)
        return new[labels_HW]

    def _split_many(self, labels_HW: np.ndarray, id: str, classes: int) -> np.ndarray:
        parts_HW, labels = pieces(labels_HW) if classes else whole_labels(labels_HW)
        areas = np.bincount(parts_HW.ravel(), minlength=len(labels))
        new_HW = labels_HW.copy()
        for part in self._concerned(labels_HW, id, areas):
            cut_HW = self._cut(parts_HW == part, f"{id}/{part}")
            if classes:
                label = around(cut_HW, labels_HW, besides=parts_HW == part)
            else:
                free = np.setdiff1d(np.arange(IGNORE), new_HW)
                label = int(free[0]) if len(free) else None
            if label is not None:
                new_HW[cut_HW] = label
        return new_HW

    def _merge_many(self, labels_HW: np.ndarray, id: str, classes: int) -> np.ndarray:
        parts_HW, labels = pieces(labels_HW) if classes else whole_labels(labels_HW)
        border, areas = touching(parts_HW, len(labels)), np.bincount(parts_HW.ravel(), minlength=len(labels))
        group = np.arange(len(labels))
        for part in self._concerned(labels_HW, id, areas):
            if border[part].any():
                group[group == group[part]] = group[border[part].argmax()]
        for name in np.unique(group):
            members = np.flatnonzero(group == name)
            labels[members] = labels[members[areas[members].argmax()]]
        return labels[parts_HW]

    def _concerned(self, labels_HW: np.ndarray, id: str, areas: np.ndarray) -> np.ndarray:
        """Numbers of the parts that are split or merged; a larger share adds some to those of a smaller one."""
        chosen = order(len(areas), self.seed, self.type, id, "concerned", weights=areas.astype(np.float64))
        return chosen[: self._count(len(np.unique(labels_HW)))]

    def _count(self, there: int) -> int:
        return max(1, round(self.share * there))

    def _part(self, id: str) -> float:
        """Share of a region that is cut off or added."""
        return self.size * (0.2 + 0.8 * uniform(self.seed, self.type, id, "part"))

    def _cut(self, region_HW: np.ndarray, id: str) -> np.ndarray:
        """The part of a region on one side of a wavy line in a seeded direction: bool [H,W], empty of one pixel."""
        pixels = np.flatnonzero(region_HW)
        count = round(self._part(id) * len(pixels))
        y, x = np.divmod(pixels, region_HW.shape[1])
        angle = 2 * np.pi * uniform(self.seed, self.type, id, "angle")
        waves = smooth(region_HW.shape, WAVES, self.seed, self.type, id, "waves").ravel()[pixels]
        along = y * np.sin(angle) + x * np.cos(angle) + 0.1 * max(region_HW.shape) * waves
        part = np.zeros(region_HW.size, dtype=bool)
        part[pixels[np.argsort(along, kind="stable")[:count]]] = True
        return part.reshape(region_HW.shape)
