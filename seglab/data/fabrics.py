"""Pictures composed of photographs: objects cut from cloth, of one class of cloth each, on natural scenes.

A scene is a piece of a photograph, upright; an object has a random outline, is filled with a piece of a photograph of
cloth, shaded as something round with folds, and throws a shadow. A class is a few photographs of cloth that look alike;
objects of training pictures are cut from the upper half of each, those of test pictures from the lower half, and lie on
other scenes: no pixel of a photograph is in both parts. All is drawn with 64-bit keys and integers only: the same
photos and the same seed give the same bytes everywhere, as far as JPEG is decoded alike.

This is no data set of a paper. With real textures and exact masks, it stands in for sets of photographs of one class an
image (voc_coseg, web, pascal_single) and for the PASCAL VOC with several, where those are absent; numbers measured on
it say nothing of theirs.

One runnable line: ``python -c "from seglab.config import compose; from seglab.targets import instantiate;
print(len(instantiate(compose('evaluate', ['run=none', 'data=fabrics']).data.source).items('train')))"``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from seglab.data.composer import LARGEST
from seglab.data.content import hash_files
from seglab.data.fabric_draw import half_of, paint, place_objects, scene_piece
from seglab.data.files import SUFFIXES, read_image
from seglab.data.pairing import PARTS, index
from seglab.data.pairs import data_missing
from seglab.data.rng import Dice, permutation
from seglab.words import nearest, some

VERSION = 2
"""Raised when the drawing changes, so that no cache mixes old and new pictures."""

MOST = 3
"""Classes of one test picture, at most."""


@dataclass(frozen=True)
class Composed:
    """One picture, composed when it is read.

    Attributes:
        id: name, unique in the data set.
        part: ``train``: cloth is cut from the upper half of its photograph; ``test``: from the lower half.
        scene: photograph of the background.
        cloths: photograph of every object.
        labels: label of every object in the mask, 1 or more.
        size: side in pixels.
        key: names the drawing.
    """

    id: str
    part: str
    scene: Path
    cloths: tuple[Path, ...]
    labels: tuple[int, ...]
    size: int
    key: tuple[int | str, ...]

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """Image uint8 [S,S,3] RGB and mask uint8 [S,S]: 0 background, else the label of the object.

        Raises:
            ValueError: a photograph cannot be read.
        """
        image = scene_piece(_photo(self.scene, _changed(self.scene)), self.size, *self.key)
        mask = np.zeros((self.size, self.size), dtype=np.uint8)
        shapes = place_objects(len(self.cloths), *self.key)
        for number, (shape, cloth, label) in enumerate(zip(shapes, self.cloths, self.labels, strict=True)):
            half = half_of(_photo(cloth, _changed(cloth)), self.part)
            inside = paint(image, half, shape, *self.key, number)
            mask[inside] = label
        return image, mask

    def fingerprint(self) -> bytes:
        """Hash of the photographs and of everything that decides the pixels.

        Raises:
            ValueError: a photograph is missing.
        """
        told = (self.labels, self.key)
        return hash_files((self.scene, *self.cloths), how=("fabrics", VERSION, self.part, self.size, *told))


class Fabrics:
    """Composed pictures of objects of cloth.

    Args:
        photos: folder of the photographs of cloth.
        scenes: folders of the photographs of the backgrounds, ``{train: ..., test: ...}``.
        fabrics: class -> ``{train: [stems], test: [stems]}``, photographs of its cloths, the same or others.
        category: the class that is the object, mask 1, of pictures of one class; null: all classes, mask k + 1 for the
            class number k, training pictures of one class (those of every category) and test pictures of one to three.
        single: whether a category has to be chosen.
        train: training pictures of every class.
        test: test pictures.
        size: side of a picture in pixels.
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
        scenes: Mapping[str, str],
        fabrics: Mapping[str, Mapping[str, Sequence[str]]],
        category: str | None = None,
        single: bool = False,
        train: int = 60,
        test: int = 60,
        size: int = 256,
        seed: int = 0,
        name: str = "fabrics",
        about: Mapping[str, Any] | None = None,
    ) -> None:
        for key, value, least, most in (
            ("size", size, 32, LARGEST),
            ("train", train, 0, None),
            ("test", test, 0, None),
            ("seed", seed, 0, None),
        ):
            whole = isinstance(value, int) and not isinstance(value, bool) and value >= least
            if not whole or (most and value > most):
                upto = f" to {most}" if most else " or more"
                raise ValueError(f"data.source.{key}={value}: expected a whole number, {least}{upto}")
        if len(fabrics) < 2:
            raise ValueError(f"data.source.fabrics={list(fabrics)}: expected two classes or more")
        for part in PARTS:
            if part not in scenes or not all(cloths.get(part) for cloths in fabrics.values()):
                raise ValueError(
                    f"data={name}: expected data.source.scenes.{part}, and one stem or more in "
                    f"data.source.fabrics.<class>.{part} of every class"
                )
        self.category = None if category is None else str(category)
        if single and self.category is None:
            raise ValueError(
                f"data.category is not set: expected one of {', '.join(fabrics)}; data=fabrics has all of them"
            )
        if self.category is not None and self.category not in fabrics:
            raise ValueError(f"data.category={category}: no such class{nearest(self.category, list(fabrics))}")
        self.folder, self.scenes, self.fabrics = photos, scenes, fabrics
        self.counts, self.size, self.seed = {"train": train, "test": test}, size, seed
        self.name, self.about = name, about or {}

    @property
    def has_negatives(self) -> bool:
        """Whether there is a negative part: with a category only."""
        return self.category is not None

    def items(self, part: str) -> list[Composed]:
        """The pictures of ``"train"`` or ``"test"``; of one category also ``"negative"``, training pictures without it.

        Raises:
            ValueError: no such part, its count is 0, or a folder or photograph is missing.
        """
        offered = (*PARTS, "negative") if self.category is not None else PARTS
        if part not in offered:
            raise ValueError(f"part={part!r}: data={self.name} has the parts {', '.join(offered)}")
        key = "test" if part == "test" else "train"
        if not self.counts[key]:
            raise ValueError(f"data.source.{key}=0: {self.name} has no {part} part then; expected 1 or more")
        cloths, scenes = self._cloths(key), self._scenes(key)
        if self.category is None and part == "test":
            return [self._several(number, cloths, scenes) for number in range(self.counts["test"])]
        chosen = {"negative": [c for c in self.fabrics if c != self.category]}.get(
            part, list(self.fabrics) if self.category is None else [self.category]
        )
        return [
            self._single(key, name, number, cloths, scenes) for name in chosen for number in range(self.counts[key])
        ]

    def _single(
        self, part: str, name: str, number: int, cloths: Mapping[str, Sequence[Path]], scenes: Sequence[Path]
    ) -> Composed:
        """Picture of one class; the same pixels whichever category is asked for."""
        key = (self.seed, "fabrics", part, name, number)
        dice = Dice(*key, "photos")
        label = 1 + list(self.fabrics).index(name) if self.category is None else int(name == self.category)
        scene, cloth = dice.pick(scenes), dice.pick(cloths[name])
        return Composed(f"{name}_{part}_{number:04d}", part, scene, (cloth,), (label,), self.size, key)

    def _several(self, number: int, cloths: Mapping[str, Sequence[Path]], scenes: Sequence[Path]) -> Composed:
        """Test picture of one to three classes, as many pictures of each."""
        key = (self.seed, "fabrics", "several", number)
        dice, names = Dice(*key, "photos"), list(self.fabrics)
        chosen = permutation(len(names), *key, "classes")[: 1 + number % min(MOST, len(names))]
        photos = tuple(dice.pick(cloths[names[k]]) for k in chosen)
        labels = tuple(1 + int(k) for k in chosen)
        return Composed(f"test_{number:04d}", "test", dice.pick(scenes), photos, labels, self.size, key)

    def _cloths(self, part: str) -> dict[str, list[Path]]:
        """Class -> photographs of a part."""
        found = self._index(self.folder, "folder of cloths")
        wanted = {name: [str(stem) for stem in cloths[part]] for name, cloths in self.fabrics.items()}
        if gone := sorted({stem for stems in wanted.values() for stem in stems} - found.keys()):
            raise ValueError(f"data={self.name}: {some(gone)} of data.source.fabrics not in '{self.folder}'")
        return {name: [found[stem] for stem in stems] for name, stems in wanted.items()}

    def _scenes(self, part: str) -> list[Path]:
        found = self._index(self.scenes[part], "folder of scenes")
        if not found:
            raise data_missing(self.name, self.about, "a photograph in", self.scenes[part])
        return [found[stem] for stem in sorted(found)]

    def _index(self, folder: str, what: str) -> dict[str, Path]:
        found, faults = index("image", [str(folder)], SUFFIXES, None)
        for fault in faults:
            if fault.kind == "folder":
                raise data_missing(self.name, self.about, what, fault.places[0])
            raise ValueError(f"data={self.name}: two files '{' '.join(fault.names)}': {' and '.join(fault.places)}")
        return found


def _changed(path: Path) -> int:
    return path.stat().st_mtime_ns if path.is_file() else 0


@lru_cache(maxsize=96)
def _photo(path: Path, changed: int) -> np.ndarray:
    # Every photograph is in several pictures; 96 of 481 x 321 pixels take 44 MB.
    return read_image(path)
