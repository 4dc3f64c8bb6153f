"""Image and mask folders: the layout of all saliency data sets of the CAS paper, and of most of one's own.

An image and its mask have the same stem; types may differ. Nothing is ever left out in silence: an image without a
mask, a mask without an image, a listed name that is not there are errors that list what is missing.

One runnable line: ``python -c "from seglab.data.pairs import Pairs;
print(len(Pairs('photos', masks='masks', split='8:2').items('train')))"``.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seglab.data.filepair import FilePair
from seglab.data.files import SUFFIXES
from seglab.data.pairing import PARTS, Fault, Layout, account
from seglab.words import some

log = logging.getLogger(__name__)

STANDIN = ".standin.json"
"""File in every top folder of generated images, see :mod:`seglab.data.standin`."""


class DataMissing(ValueError):
    """A folder or list of a data set is not there."""


class Pairs:
    """Images and masks in folders.

    Args:
        images: a folder, a list of folders, or ``{train: ..., test: ...}`` of these. ``{folder}`` in a path stands for
            each of ``folders``.
        masks: the same for the masks; may be the same folder if ``image_types`` and ``mask_types`` tell them apart.
        name: name of the data set in messages.
        about: prose for messages: ``layout``, ``homepage``; ``counts`` (``train``, ``test`` or ``total``) is compared
            with what is found.
        split: ``"test"`` or ``"train"``: everything is that part; ``"6:4"``: train to test, drawn by ``split_seed``.
            Lists, where given, decide instead; ``{train, test}`` folders exclude it.
        split_seed: draws the ratio split; not the seed of the run, so that the test set stays the same.
        train_list: text file with one stem a line; without ``test_list`` the rest is the test part.
        test_list: the same for the test part.
        folders: names put in place of ``{folder}``; ids become ``<folder>_<stem>``.
        image_types: suffixes to read, e.g. ``[jpg]``; null = all known.
        mask_types: the same for masks.
        threshold: graded masks, see :func:`seglab.data.files.read_mask`; null = strictly two values.
        mask_values: explicit labels, see :func:`seglab.data.files.read_mask`.
        unmasked: ``error`` or ``skip``: what to do with images that have no mask.

    Raises:
        ValueError: an option outside its range.
    """

    def __init__(
        self,
        images: Any,
        *,
        masks: Any,
        name: str = "pairs",
        about: Mapping[str, Any] | None = None,
        split: str | None = None,
        split_seed: int = 0,
        train_list: str | None = None,
        test_list: str | None = None,
        folders: Sequence[str] | None = None,
        image_types: Sequence[str] | None = None,
        mask_types: Sequence[str] | None = None,
        threshold: float | None = None,
        mask_values: Mapping[int, int] | None = None,
        unmasked: str = "error",
    ) -> None:
        self.images, self.masks, self.name, self.about = images, masks, name, about or {}
        self.split, self.split_seed = split, split_seed
        self.lists = {"train": train_list, "test": test_list}
        self.folders = folders
        self.types = {"image": suffixes(image_types), "mask": suffixes(mask_types)}
        self.threshold, self.unmasked = threshold, unmasked
        self.mask_values = None if mask_values is None else {int(k): int(v) for k, v in mask_values.items()}
        self._found: dict[str, list[FilePair]] = {}
        self._check()

    def _check(self) -> None:
        for key, value in (("images", self.images), ("masks", self.masks)):
            if not value:
                raise self._error(f"{key} is not set: expected a folder, e.g. data.images=photos data.masks=masks")
        if self.mask_values and not all(0 <= v <= 255 for pair in self.mask_values.items() for v in pair):
            raise self._error(f"data.source.mask_values={self.mask_values}: expected values and labels 0..255")
        if self.unmasked not in ("error", "skip"):
            raise self._error(f"data.source.unmasked={self.unmasked}: expected error or skip")
        if self.threshold is not None and not 0 < self.threshold <= 1:
            raise self._error(f"data.source.threshold={self.threshold}: expected 0 < threshold <= 1, or null")
        if isinstance(self.images, Mapping) != isinstance(self.masks, Mapping):
            raise self._error("images and masks: expected both as {train, test} folders, or neither")
        if isinstance(self.images, Mapping) and (self.split is not None or any(self.lists.values())):
            raise self._error("split and lists do not apply where data.source.images has train and test folders")
        ruled = isinstance(self.images, Mapping) or any(self.lists.values())
        if not ruled and not (self.split in PARTS or re.fullmatch(r"[1-9]\d*:[1-9]\d*", str(self.split))):
            raise self._error(f"data.source.split={self.split}: expected test, train, or a ratio such as '6:4'")

    def items(self, part: str) -> list[FilePair]:
        """The pairs of ``"train"`` or ``"test"``, sorted by stem (in list order where lists are given).

        Raises:
            ValueError: no such part, folders or files missing, images and masks that do not match.
        """
        if part not in PARTS:
            raise ValueError(f"part={part!r}: expected 'train' or 'test'")
        if part not in self._found:
            self._found.update(self._pairs_of(part))
            self._compare_counts(part)
        if not self._found[part]:
            what, use = ("training", "use it in eval.sets") if part == "train" else ("test", "train on it")
            raise self._error(
                f"has no {what} part (data.source.split={self.split}); {use}, or divide it: data.source.split=6:4"
            )
        return self._found[part]

    def layout(self) -> Layout:
        """Where images and masks lie and how they are divided."""
        return Layout(
            self.images,
            self.masks,
            self.lists,
            self.split,
            self.split_seed,
            self.folders,
            self.types["image"],
            self.types["mask"],
        )

    def _pairs_of(self, part: str) -> dict[str, list[FilePair]]:
        apart = isinstance(self.images, Mapping)
        if apart and (part not in self.images or part not in self.masks):
            raise self._error(f"no {part} part: expected data.source.images.{part} and data.source.masks.{part}")
        found = account(self.layout(), part)
        for fault in found.faults:
            self._refuse(fault)
        return {
            name: [FilePair(m.id, m.image, m.mask, self.threshold, self.mask_values) for m in matches]
            for name, matches in found.parts.items()
        }

    def _refuse(self, fault: Fault) -> None:
        """Raise the error of a fault; images without a mask are passed over where they are not meant to have one."""
        names, places = some(fault.names), list(fault.places)
        if fault.kind == "folder":
            raise self.missing(f"{fault.what} folder", places[0])
        if fault.kind == "list missing":
            raise self.missing("list", places[0])
        if fault.kind == "bare" and self.unmasked == "skip":
            log.info("data=%s: %d images without a mask left out (unmasked=skip)", self.name, len(fault.names))
            return
        if fault.kind == "double":
            suffix = Path(places[1]).suffix[1:].lower()
            raise self._error(
                f"two {fault.what} files with the stem '{fault.names[0]}': '{places[0]}' and '{places[1]}'; keep one, "
                f"or name the types, e.g. data.source.{fault.what}_types=[{suffix}]"
            )
        types = ", ".join(self.types["image"])
        empty = f"no image in {self.images}: expected files of type {types}"
        if fault.kind == "empty" and fault.what:
            empty = f"the {fault.what} part is empty: no image in {self.images[fault.what]}"
        messages = {
            "list": fault.what,
            "both": f"{names} in both {' and '.join(places)}",
            "bare": f"{names}: image without a mask of the same stem in {places}; add the masks, or "
            "data.source.unmasked=skip if they are not meant to have one",
            "orphan": f"{names}: mask without an image of the same stem in {places}",
            "empty": empty,
            "absent": f"{names} listed in '{' '.join(places)}', but not in {self.images}",
            "split": f"data.source.split={self.split} of {fault.what} images leaves a part empty",
        }
        raise self._error(messages[fault.kind] + fault.hint)

    def _compare_counts(self, part: str) -> None:
        if self._found[part]:
            everything = sum(len(pairs) for pairs in self._found.values())
            found = {part: len(self._found[part]), "total": everything}
            compare_counts(self.name, self.about, found, self._found[part][0].image)

    def missing(self, what: str, path: Any) -> DataMissing:
        """The error for a folder or list that is not there; says what is expected where."""
        return data_missing(self.name, self.about, what, path)

    def _error(self, message: str) -> ValueError:
        return ValueError(f"data={self.name}: {message}")


def data_missing(name: str, about: Mapping[str, Any], what: str, path: Any) -> DataMissing:
    """The error of a data set for a folder or list that is not there; says what is expected where."""
    layout = " ".join(str(about.get("layout", "")).split())
    message = f"{what} '{path}' not found"
    if layout:  # somebody's own folders, which have no homepage, lie anywhere
        below = " below runtime.data_root (environment variable SEGLAB_DATA)" if about.get("homepage") else ""
        message += f"; expected{below}: {layout}"
    if about.get("homepage"):
        message += f"; get it from {about['homepage']}"
    return DataMissing(f"data={name}: {message}")


def compare_counts(name: str, about: Mapping[str, Any], found: Mapping[str, int], image: Path) -> None:
    """Warn where parts have other numbers of images than published; stand-ins are meant to be small.

    Args:
        name: of the data set.
        about: ``counts`` of a part or ``total``; others are passed over.
        found: part -> images.
        image: one of them.
    """
    if any((folder / STANDIN).is_file() for folder in image.parents):
        return
    counts = about.get("counts") or {}
    for key, count in found.items():
        if key in counts and counts[key] != count:
            log.warning("data=%s: %d %s images found, %d expected", name, count, key, counts[key])


def suffixes(types: Sequence[str] | None) -> tuple[str, ...]:
    """File types as suffixes with a dot, in small letters; null = all that are read.

    Raises:
        ValueError: one that is not read.
    """
    if types is None:
        return SUFFIXES
    found = tuple(f".{str(t).lower().lstrip('.')}" for t in types)
    if odd := [s for s in found if s not in SUFFIXES]:
        raise ValueError(f"data.source.image_types/mask_types: {', '.join(odd)}: expected {', '.join(SUFFIXES)}")
    return found
