"""Pictures composed of photographed textures: two or more regions with smooth random boundaries, any number of them.

A texture photograph is cut, turned and mirrored, never resampled, and regions are drawn with 64-bit keys and integers
only. The same photos and the same seed give the same bytes on every machine, as far as it decodes the photos alike.
Which texture is label 0 is arbitrary in every picture, so nothing but the division itself can be learned. This is no
data set of the CAS paper; it stands in for the one of table 6 (Khan et al. 2015), which is not public everywhere.

One runnable line: ``python -c "from seglab.data.composer import TextureMosaic;
print(TextureMosaic('Textures', train=2).items('train')[0].read()[0].shape)"``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from seglab.data.content import hash_files
from seglab.data.files import SUFFIXES, read_image
from seglab.data.pairing import PARTS, index, read_lists
from seglab.data.pairs import data_missing
from seglab.data.rng import Dice, permutation
from seglab.words import some

VERSION = 1
"""Raised when the drawing changes, so that no cache mixes old and new pictures."""

TRIES = 40
"""Divisions that are drawn before the one with the largest smallest region is taken."""

LARGEST = 2048
"""Side in pixels, so that the sums of :func:`smooth` stay exact."""


@dataclass(frozen=True)
class Mosaic:
    """One picture, composed when it is read.

    Attributes:
        id: name, unique in the data set.
        textures: the photograph of every region, label 0 first.
        size: side in pixels.
        key: names the drawing.
    """

    id: str
    textures: tuple[Path, ...]
    size: int
    key: tuple[int | str, ...]

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """Image uint8 [S,S,3] RGB and regions uint8 [S,S], 0..R-1, R = number of textures.

        Raises:
            ValueError: a photograph cannot be read, or the regions have no room.
        """
        labels = divide(len(self.textures), self.size, *self.key)
        image = np.zeros((self.size, self.size, 3), dtype=np.uint8)
        for number, path in enumerate(self.textures):
            piece = cut(_photo(path, path.stat().st_mtime_ns if path.is_file() else 0), self.size, *self.key, number)
            here = labels == number
            image[here] = piece[here]
        return image, labels

    def fingerprint(self) -> bytes:
        """Hash of the photographs and of everything that decides the pixels.

        Raises:
            ValueError: a photograph is missing.
        """
        return hash_files(self.textures, how=("mosaic", VERSION, self.size, self.key))


class TextureMosaic:
    """Composed pictures from a folder of photographs of textures, one texture a photograph.

    Args:
        photos: folder of the photographs.
        train_list: text file, stems of the photographs of training pictures; null, for both lists: half of the
            photographs, drawn by the seed.
        test_list: the same for test pictures. No photograph is in both.
        train: number of training pictures.
        test: number of test pictures.
        size: side of a picture in pixels; smaller photographs are continued by their mirror images.
        regions: regions of a picture: a number, or ``[least, most]``; each has its own photograph.
        seed: which pictures.
        name: name of the data set in messages.
        about: prose for messages: ``layout``, ``homepage``.

    Raises:
        ValueError: an option outside its range.
    """

    def __init__(
        self,
        photos: str,
        *,
        train_list: str | None = None,
        test_list: str | None = None,
        train: int = 400,
        test: int = 100,
        size: int = 256,
        regions: int | Sequence[int] = 2,
        seed: int = 0,
        name: str = "texture_mosaic",
        about: Mapping[str, Any] | None = None,
    ) -> None:
        if not _whole(size, 16) or size > LARGEST:
            raise ValueError(f"data.source.size={size}: expected a whole number of pixels from 16 to {LARGEST}")
        for key, value, least in (("train", train, 0), ("test", test, 0), ("seed", seed, 0)):
            if not _whole(value, least):
                raise ValueError(f"data.source.{key}={value}: expected a whole number, {least} or more")
        bounds = [regions, regions] if _whole(regions, 2) else regions
        listed = isinstance(bounds, Sequence) and not isinstance(bounds, str) and len(bounds) == 2
        if not listed or not all(_whole(n, 2) for n in bounds) or not bounds[0] <= bounds[1] <= 255:
            raise ValueError(f"data.source.regions={regions}: expected a number from 2 to 255, or [least, most]")
        if bool(train_list) != bool(test_list):
            raise ValueError(f"data={name}: expected both data.source.train_list and data.source.test_list, or neither")
        self.folder, self.lists = photos, {"train": train_list, "test": test_list}
        self.counts, self.size, self.bounds, self.seed = {"train": train, "test": test}, size, tuple(bounds), seed
        self.name, self.about = name, about or {}

    def items(self, part: str) -> list[Mosaic]:
        """The pictures of ``"train"`` or ``"test"``.

        Raises:
            ValueError: no such part, its count is 0, folder, list or photographs missing, or too few of them.
        """
        if part not in PARTS:
            raise ValueError(f"part={part!r}: expected 'train' or 'test'")
        if not self.counts[part]:
            raise ValueError(f"data.source.{part}=0: {self.name} has no {part} part then; expected 1 or more")
        photos = self.photos(part)
        if len(photos) < self.bounds[1]:
            raise ValueError(
                f"data={self.name}: {len(photos)} photographs for the {part} part, and data.source.regions="
                f"{list(self.bounds)} needs {self.bounds[1]} in one picture: expected as many, each is used once"
            )
        return [self._mosaic(part, number, photos) for number in range(self.counts[part])]

    def photos(self, part: str) -> list[Path]:
        """The photographs of a part, sorted by stem (in list order where there are lists).

        Raises:
            ValueError: folder, list or photographs missing, or one in both parts.
        """
        found, faults = index("image", [str(self.folder)], SUFFIXES, None)
        names, odd = read_lists(self.lists)
        for fault in [*faults, *odd]:
            if fault.kind in ("folder", "list missing"):
                what = "folder of textures" if fault.kind == "folder" else "list"
                raise data_missing(self.name, self.about, what, fault.places[0])
            told = f"{some(fault.names)} in both" if fault.kind == "both" else f"two files '{' '.join(fault.names)}':"
            places = " and ".join(fault.places)
            raise ValueError(f"data={self.name}: {fault.what if fault.kind == 'list' else f'{told} {places}'}")
        if not names:
            stems = sorted(found)
            order = permutation(len(stems), self.seed, "photos")
            half = order[: len(stems) // 2] if part == "test" else order[len(stems) // 2 :]
            return [found[stems[i]] for i in sorted(half)]
        if gone := [stem for stem in names[part] if stem not in found]:
            raise ValueError(
                f"data={self.name}: {some(gone)} listed in '{self.lists[part]}', but not in '{self.folder}'"
            )
        return [found[stem] for stem in names[part]]

    def _mosaic(self, part: str, number: int, photos: Sequence[Path]) -> Mosaic:
        key = (self.seed, "mosaic", part, number)
        count = Dice(*key).between(*self.bounds)
        chosen = permutation(len(photos), *key, "photos")[:count]
        labels = permutation(count, *key, "labels")
        return Mosaic(f"{part}_{number:05d}", tuple(photos[chosen[i]] for i in labels), self.size, key)


def divide(count: int, size: int, *key: int | str) -> np.ndarray:
    """Divide a square into regions with smooth boundaries: everywhere the largest of ``count`` smooth random fields.

    Args:
        count: number of regions, 2 to 255.
        size: side in pixels.
        key: names the drawing.

    Returns:
        uint8 [size,size], 0..count-1; each region has a quarter of its fair share, unless many draws brought none such.

    Raises:
        ValueError: so many regions that no draw had room for all of them.
    """
    best, least = None, -1
    fine = max(1, math.isqrt(count) // 2)  # many regions need finer fields, or most of them appear nowhere
    for attempt in range(TRIES):
        dice = Dice(*key, "division", attempt)
        width = max(3, size // (dice.between(4, 6) * fine)) | 1
        fields = np.stack([smooth(dice, size, width) for _ in range(count)])
        labels = fields.argmax(axis=0).astype(np.uint8)
        smallest = int(np.bincount(labels.ravel(), minlength=count).min())
        if smallest > least:
            best, least = labels, smallest
        if least * 4 * count >= size * size:
            break
    assert best is not None
    if not least:
        raise ValueError(
            f"data.source.regions: {count} regions have no room in data.source.size={size}: none of {TRIES} divisions "
            "has all of them; expected fewer regions or a larger side"
        )
    return best


def smooth(dice: Dice, size: int, width: int) -> np.ndarray:
    """A smooth random field, int64 [size,size]: random bytes summed three times over squares of ``width`` pixels.

    Three sums are close to a Gaussian of deviation width / 2. They are exact: 128 * width**6 < 2**63 up to a width of
    640 pixels, and running totals that leave the 64 bits on the way come back when they are subtracted.
    """
    field = dice.grid(size + 3 * (width - 1), size + 3 * (width - 1)).astype(np.int64) - 128
    for _ in range(3):
        for axis in (0, 1):
            total = np.cumsum(field, axis=axis)
            before = np.insert(total, 0, 0, axis=axis)
            ends, starts = np.arange(width, before.shape[axis]), np.arange(before.shape[axis] - width)
            field = before.take(ends, axis=axis) - before.take(starts, axis=axis)
    return field


def cut(photo: np.ndarray, size: int, *key: int | str) -> np.ndarray:
    """A square of a photograph, turned by quarters and mirrored at random: uint8 [size,size,3], no pixel is changed."""
    dice = Dice(*key, "cut")
    rows, columns = (_span(dice, length, size) for length in photo.shape[:2])
    piece = np.rot90(photo[rows][:, columns], dice.between(0, 3))
    return piece[:, ::-1] if dice.chance(50) else piece


def _span(dice: Dice, length: int, size: int) -> np.ndarray:
    """Positions of ``size`` pixels in a row of ``length``, continued by mirror images where it is shorter."""
    start = dice.between(0, max(0, length - size))
    place = (start + np.arange(size)) % (2 * length)
    return np.minimum(place, 2 * length - 1 - place)


@lru_cache(maxsize=64)
def _photo(path: Path, changed: int) -> np.ndarray:
    # Every photograph is in many pictures; 64 of 384 x 384 pixels take 28 MB.
    return read_image(path)


def _whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
