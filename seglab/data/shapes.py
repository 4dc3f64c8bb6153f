"""The embedded data set: textured salient objects drawn procedurally, no download, the same bytes everywhere.

``single`` (``data=shapes_single``) is for training without masks: one object near the middle, no ring, 11 to 44 % of
the picture. On 100 test pictures at 64 x 64 (``scripts/shapes_difficulty.py --single``; mean F-beta, mean Jaccard):
Otsu's threshold 0.337, 0.239; the best threshold on a colour channel, chosen with the mask, 0.681, 0.449;
everything object 0.284, 0.235; the best box round the middle, the same for all, 0.697, 0.558, which a network has to
beat. The sparse-CRF loss times its weight of 100 is 0.026 for the masks and 0.490 for this box: it tells them apart.

One runnable line: ``python -c "from seglab.data.shapes import Shapes; print(Shapes(train=2).items('train')[0].id)"``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seglab.data.shapes_draw import draw

VERSION = 1
"""Raised when the drawing changes, so that no cache mixes old and new pictures."""

NEGATIVE = "negative"
"""Part of scenes without object, see :meth:`Shapes.items`."""


@dataclass(frozen=True)
class Scene:
    """One picture, drawn when it is read."""

    id: str
    part: str
    index: int
    size: int
    seed: int
    single: bool = False

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """Image uint8 [S,S,3] and mask uint8 [S,S] (1 = object)."""
        empty = self.part == NEGATIVE
        return draw(self.seed, self.part, self.index, size=self.size, single=self.single, empty=empty)

    def fingerprint(self) -> bytes:
        """Hash of everything that decides the pixels."""
        kind = "shapes single" if self.single else "shapes"
        return hashlib.sha256(f"{kind} {VERSION} {self.seed} {self.part} {self.index} {self.size}".encode()).digest()


class Shapes:
    """One to three patterned objects on clutter of the same colours; no threshold on colour finds them.

    Args:
        train: number of training pictures.
        test: number of test pictures.
        size: side in pixels; another size shows the same scenes.
        seed: which scenes. Training and test scenes never coincide.
        single: exactly one object a picture, near its middle, of 11 to 44 % of it; otherwise one to three anywhere.

    Raises:
        ValueError: a count or the size is out of range.
    """

    def __init__(
        self, *, train: int = 400, test: int = 100, size: int = 256, seed: int = 0, single: bool = False
    ) -> None:
        for key, value, least in (("train", train, 0), ("test", test, 0), ("size", size, 16)):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"data.source.{key}={value}: expected a whole number, {least} or more")
        self.counts = {"train": train, "test": test}
        if not isinstance(single, bool):
            raise ValueError(f"data.source.single={single}: expected true or false")
        self.size, self.seed, self.single = size, seed, single

    @property
    def has_negatives(self) -> bool:
        """Whether there is a part ``negative``: of scenes with one object, for training without masks."""
        return self.single

    def items(self, part: str) -> Sequence[Scene]:
        """The pictures of ``"train"`` or ``"test"``; with ``single`` also ``"negative"``: scenes of clutter alone.

        Of these there are as many as training pictures.

        Raises:
            ValueError: no such part, or its count is 0.
        """
        if part == NEGATIVE and self.single:
            return [Scene(f"{part}_{i:05d}", part, i, self.size, self.seed, True) for i in range(self.counts["train"])]
        if part not in self.counts:
            raise ValueError(f"part={part!r}: expected 'train' or 'test'")
        if not self.counts[part]:
            raise ValueError(f"data.source.{part}=0: the data set shapes has no {part} part then; expected 1 or more")
        return [Scene(f"{part}_{i:05d}", part, i, self.size, self.seed, self.single) for i in range(self.counts[part])]
