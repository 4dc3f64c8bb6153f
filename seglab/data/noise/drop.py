"""Drop noise: objects that an annotator overlooked, in a share of the training masks.

An object is a connected piece of a label other than the background (of masks of regions: a region, connected or not)
with at least ``smallest`` of the image's pixels; smaller pieces are specks, they are never dropped. A dropped object
becomes background; where no label is the background, it takes the most frequent label right around it, and the label
with the most pixels is the ground, which is never dropped.

One runnable line: ``python -c "import numpy as np; from seglab.data.noise import Drop;
print(Drop(rate=1.0).change(np.eye(8, dtype=np.uint8), id='a'))"``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from seglab.data.noise.base import Noise, number
from seglab.data.noise.draw import order
from seglab.data.noise.parts import around, filled, pieces, whole_labels
from seglab.data.sample import IGNORE


class Drop(Noise):
    """Remove objects from exactly ``round(rate * n)`` training masks, as far as these have any.

    Args:
        rate: share of the training images, 0..1.
        share: of the objects of a chosen mask that are missing, above 0 up to 1; the number is rounded, at least one.
        keep_one: leave at least one object in every mask; one with a single object is not changed then. False: a mask
            may become empty, as if the annotator had taken the image for one without an object.
        smallest: pixels of the smallest piece that counts as an object, as a share of the image, 0..1.
        seed: which images and which objects.

    Raises:
        ValueError: a value outside its range.
    """

    type = "drop"

    def __init__(
        self,
        *,
        rate: float = 0.0,
        share: float = 0.5,
        keep_one: bool = False,
        smallest: float = 0.002,
        seed: int = 0,
    ) -> None:
        super().__init__(rate=rate, seed=seed)
        self.share = number("share", share, "a share of a mask's objects, 0 < share <= 1", 0, 1, above=True)
        if not isinstance(keep_one, bool):
            raise ValueError(f"noise.keep_one={keep_one}: expected true or false")
        self.keep_one = keep_one
        self.smallest = number("smallest", smallest, "a share of the image's pixels, 0 <= smallest <= 1", 0, 1)

    def options(self) -> dict[str, Any]:
        """``share``, ``keep_one`` and ``smallest``."""
        return {"share": self.share, "keep_one": self.keep_one, "smallest": self.smallest}

    def change(self, mask_HW: np.ndarray, *, id: str, classes: int = 2, background: int | None = None) -> np.ndarray:
        """The mask without some objects; see :meth:`seglab.data.noise.base.Noise.change`."""
        if (mask_HW == IGNORE).all():
            return mask_HW.copy()
        background = 0 if classes == 2 else background
        labels_HW = filled(mask_HW)
        ground = int(np.bincount(labels_HW.ravel()).argmax()) if background is None else background
        parts_HW, labels = pieces(labels_HW) if classes else whole_labels(labels_HW)
        areas = np.bincount(parts_HW.ravel(), minlength=len(labels))
        objects = np.flatnonzero((labels != ground) & (areas >= self.smallest * mask_HW.size))
        count = max(1, round(self.share * len(objects)))
        gone = objects[order(len(objects), self.seed, self.type, id)][: min(count, len(objects) - self.keep_one)]
        gone_HW, new_HW = np.isin(parts_HW, gone), labels_HW.copy()
        for part in gone:
            part_HW = parts_HW == part
            label = around(part_HW, labels_HW, besides=gone_HW) if background is None else background
            new_HW[part_HW] = ground if label is None else label
        return np.where(mask_HW == IGNORE, mask_HW, new_HW)
