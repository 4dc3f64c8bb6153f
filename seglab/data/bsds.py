"""BSDS500 in its own layout: photos, each with the segmentations of several people.

Source: Arbelaez, Maire, Fowlkes, Malik, "Contour Detection and Hierarchical Image Segmentation", TPAMI 2011. Which
annotator a training step sees is not said in the CAS paper; reading: one drawn for every image and epoch.

Legend: A annotators, H W pixels. One runnable line: ``python -c "from seglab.data.bsds import Bsds500;
d = 'BSDS500/data/'; print(len(Bsds500(images={'val': d + 'images/val'}, masks={'val': d + 'groundTruth/val'},
train_parts=[], test_parts=['val']).items('test')))"``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seglab.data.annotations import Annotations
from seglab.data.content import check_sizes, hash_files
from seglab.data.files import SUFFIXES, read_image
from seglab.data.mat import count_annotators, read_bsds
from seglab.data.pairing import PARTS, Fault, Layout, scan
from seglab.data.pairs import compare_counts, data_missing
from seglab.data.region_labels import as_mask
from seglab.words import some

RANDOM = "random"
"""All annotators are read; the trainer draws one of them for every image and epoch."""


@dataclass(frozen=True)
class AnnotatedPhoto:
    """One photo and its annotations on disk.

    Attributes:
        id: name, unique in the data set.
        image: image file.
        mask: MATLAB file.
        annotator: ``random``, or the number of the one whose regions are read, from 0.
    """

    id: str
    image: Path
    mask: Path
    annotator: str | int = RANDOM

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """Image uint8 [H,W,3] RGB and regions uint8 [A,H,W] of all annotators or [H,W] of one, at their original size.

        Raises:
            ValueError: a file cannot be read, sizes differ, too few annotators or more than 255 regions.
        """
        image, segments = read_image(self.image), self.annotations().segments_AHW
        check_sizes(image.shape, segments.shape[1:], files=(self.image, self.mask))
        what = f"annotations '{self.mask}'"
        if self.annotator != RANDOM:
            if self.annotator >= len(segments):
                raise ValueError(
                    f"data.source.annotator={self.annotator}: '{self.mask}' has {len(segments)} annotators: expected "
                    f"0 to {len(segments) - 1}, or random"
                )
            segments, what = segments[self.annotator], f"{what}, annotator {self.annotator},"
        return image, as_mask(segments, what=what, remedy="leave the image out, or choose another annotator")

    def annotations(self) -> Annotations:
        """All segmentations with their boundaries as drawn, at original size, whichever annotator is read.

        Raises:
            ValueError: the file cannot be read, see :func:`seglab.data.mat.read_bsds`.
        """
        return read_bsds(self.mask)

    def fingerprint(self) -> bytes:
        """Hash of both files and of the choice of the annotator.

        Raises:
            ValueError: a file is missing.
        """
        return hash_files((self.image, self.mask), how=("bsds", self.annotator))


class Bsds500:
    """Photos and annotations, a folder of each for every part.

    Args:
        images: part -> folder of photos.
        masks: part -> folder of MATLAB files with the same stems.
        train_parts: parts to train on.
        test_parts: parts to score on; none of the training parts.
        annotator: ``random`` (masks of all annotators), or a number from 0: the training masks are those of that one.
            The test part is scored against all.
        name: name of the data set in messages.
        about: prose for messages: ``layout``, ``homepage``; ``counts`` of a part is compared with what is found.

    Raises:
        ValueError: an option outside its range.
    """

    def __init__(
        self,
        images: Mapping[str, str],
        *,
        masks: Mapping[str, str],
        train_parts: Sequence[str] = ("train",),
        test_parts: Sequence[str] = ("test",),
        annotator: str | int = RANDOM,
        name: str = "bsds500",
        about: Mapping[str, Any] | None = None,
    ) -> None:
        self.images, self.masks, self.name, self.about = images, masks, name, about or {}
        self.parts = {"train": train_parts, "test": test_parts}
        self.annotator = annotator
        known = [part for part in images if part in masks]
        for part, wanted in self.parts.items():
            if isinstance(wanted, str) or any(one not in known for one in wanted) or len(set(wanted)) != len(wanted):
                raise ValueError(f"data.source.{part}_parts={wanted}: expected a list of {', '.join(known)}")
        if both := [part for part in train_parts if part in test_parts]:
            raise ValueError(f"data={name}: '{both[0]}' in both data.source.train_parts and data.source.test_parts")
        whole = isinstance(annotator, int) and not isinstance(annotator, bool) and annotator >= 0
        if annotator != RANDOM and not whole:
            raise ValueError(f"data.source.annotator={annotator}: expected random, or a number from 0")

    def items(self, part: str) -> list[AnnotatedPhoto]:
        """The photos of ``"train"`` or ``"test"``, part after part, sorted by stem.

        Raises:
            ValueError: no such part, folders missing, photos and annotations that do not match, or a training photo
                with too few annotators.
        """
        if part not in PARTS:
            raise ValueError(f"part={part!r}: expected 'train' or 'test'")
        if not self.parts[part]:
            raise ValueError(f"data={self.name}: has no {part} part (data.source.{part}_parts=[])")
        annotator = self.annotator if part == "train" else RANDOM
        items = [item for one in self.parts[part] for item in self._items_of(one, annotator)]
        if twice := sorted(name for name, count in Counter(item.id for item in items).items() if count > 1):
            raise ValueError(f"data={self.name}: {some(twice)} in more than one of {', '.join(self.parts[part])}")
        if annotator not in (RANDOM, 0):
            self._check_annotators(items)
        return items

    def _check_annotators(self, items: Sequence[AnnotatedPhoto]) -> None:
        """Whether every file has the annotator that is asked for, told once for all of them."""
        numbers = [count_annotators(item.mask) for item in items]
        if self.annotator >= (fewest := min(numbers)):
            few, path = sum(n <= self.annotator for n in numbers), items[numbers.index(fewest)].mask
            raise ValueError(
                f"data.source.annotator={self.annotator}: {few} of {len(items)} training photos have no annotator of "
                f"this number; '{path}' has {fewest}, the fewest: expected 0 to {fewest - 1}, or random"
            )

    def _items_of(self, part: str, annotator: str | int) -> list[AnnotatedPhoto]:
        layout = Layout(self.images, self.masks, image_types=SUFFIXES, mask_types=(".mat",))
        matches, faults = scan(layout, self.images[part], self.masks[part], None)
        if faults:
            raise self._error(faults[0])
        if not matches:
            raise ValueError(f"data={self.name}: no photo in '{self.images[part]}': expected .jpg files")
        compare_counts(self.name, self.about, {part: len(matches)}, matches[0].image)
        return [AnnotatedPhoto(m.id, m.image, m.mask, annotator) for m in matches]

    def _error(self, fault: Fault) -> ValueError:
        names, place = some(fault.names), fault.places[0]
        if fault.kind == "folder":
            what = "photo" if fault.what == "image" else "annotation"
            return data_missing(self.name, self.about, f"{what} folder", place)
        messages = {
            "double": f"two files with the stem '{fault.names[0]}': {' and '.join(fault.places)}; keep one",
            "bare": f"{names}: photo without annotations (.mat) of the same stem in '{place}'",
            "orphan": f"{names}: annotations without a photo of the same stem in '{place}'",
        }
        return ValueError(f"data={self.name}: {messages[fault.kind]}{fault.hint}")
