"""Points in the plane as one image: the class-imbalance toy of the CAS supplement, section B.2 and table 1.

A draw of N points is an image one pixel high and N wide whose channels are the coordinates and whose mask holds the
classes, so networks of 1 x 1 convolutions are the fully connected networks of the paper, and losses over regions take
each class's set of points as a region.

One runnable line: ``python -c "from seglab.data.points import Points; print(len(Points().dataset('train')))"``.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seglab.data.rng import integers

if TYPE_CHECKING:
    from seglab.data.arrays import ArrayDataset

VERSION = 1
"""Raised when the drawing changes."""

READINGS = ("variance", "deviation")


@dataclass(frozen=True)
class Draw:
    """One draw of all classes, as an item: one pixel a point."""

    part: str
    seed: int
    counts: tuple[int, ...]
    centres: tuple[tuple[float, ...], ...]
    deviation: float

    @property
    def id(self) -> str:
        """Name of the draw: its part."""
        return self.part

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates float32 [1,N,C] and classes uint8 [1,N], class after class."""
        classes = np.repeat(np.arange(len(self.counts), dtype=np.uint8), self.counts)
        centres = np.asarray(self.centres, dtype=np.float64)[classes]
        points = centres + self.deviation * normals(centres.size, self.seed, "points", self.part).reshape(centres.shape)
        return points.astype(np.float32)[None], classes[None]

    def fingerprint(self) -> bytes:
        """Hash of everything that decides the points."""
        parts = (VERSION, self.part, self.seed, self.counts, self.centres, self.deviation)
        return hashlib.sha256(f"points {parts}".encode()).digest()


class Points:
    """Gaussian clouds round given centres, one a class; a training draw and an independent test draw.

    Args:
        counts: points of each class, 1 or more; classes are numbered from 0 (the paper's class 1 is label 0).
        centres: centre of each class, coordinates without units.
        noise: what ``reading`` says, 0 or more, the same for each component of each class (paper: 0.2).
        reading: ``variance``: ``noise`` is the variance, as printed; ``deviation``: it is the standard deviation.
        repeat: the training data set is the one draw so many times, so that an epoch has more than one step.
        seed: which draw.

    Raises:
        ValueError: naming ``data.source.<key>``.
    """

    def __init__(
        self,
        *,
        counts: Sequence[int] = (10000, 10),
        centres: Sequence[Sequence[float]] = ((1.0, 0.0), (0.0, 1.0)),
        noise: float = 0.2,
        reading: str = "variance",
        repeat: int = 101,
        seed: int = 0,
    ) -> None:
        counts, centres = list(counts), [list(centre) for centre in centres]
        if not 2 <= len(counts) < 255 or not all(_whole(n, 1) for n in counts):
            raise ValueError(f"data.source.counts={counts}: expected two whole numbers or more, each 1 or more")
        if len(centres) != len(counts) or not centres[0] or len({len(centre) for centre in centres}) != 1:
            raise ValueError(f"data.source.centres={centres}: expected {len(counts)} points of one dimension")
        if isinstance(noise, bool) or not isinstance(noise, int | float) or not 0 <= noise < math.inf:
            raise ValueError(f"data.source.noise={noise}: expected a number, 0 or more")
        if reading not in READINGS:
            raise ValueError(f"data.source.reading={reading}: expected one of {', '.join(READINGS)}")
        for key, value, least in (("repeat", repeat, 1), ("seed", seed, 0)):
            if not _whole(value, least):
                raise ValueError(f"data.source.{key}={value}: expected a whole number, {least} or more")
        self.counts = tuple(counts)
        self.centres = tuple(tuple(float(x) for x in centre) for centre in centres)
        self.deviation = math.sqrt(noise) if reading == "variance" else float(noise)
        self.times = {"train": repeat, "test": 1}
        self.seed = seed

    def items(self, part: str) -> list[Draw]:
        """The one draw of ``"train"`` or ``"test"``.

        Raises:
            ValueError: no such part.
        """
        if part not in self.times:
            raise ValueError(f"part={part!r}: expected 'train' or 'test'")
        return [Draw(part, self.seed, self.counts, self.centres, self.deviation)]

    def dataset(self, part: str) -> ArrayDataset:
        """The draw as arrays, float32 [1,C,1,N] and uint8 [1,1,N], the training part ``repeat`` times without copies.

        Raises:
            ValueError: no such part.
        """
        from seglab.data.arrays import ArrayDataset

        items = self.items(part)
        points, classes = items[0].read()
        images = np.ascontiguousarray(points.transpose(2, 0, 1))[None]
        once = ArrayDataset(images, classes[None], [items[0].id], items)
        return once.subset(np.zeros(self.times[part], dtype=np.int64))


def normals(n: int, *key: int | str) -> np.ndarray:
    """``n`` independent standard normal numbers (float64 [n]) of a key, by Box and Muller's transform."""
    u = (integers(2 * n, *key) >> np.uint64(11)).astype(np.float64) * 2.0**-53  # in [0, 1)
    return np.sqrt(-2 * np.log1p(-u[:n])) * np.cos(2 * np.pi * u[n:])


def _whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
