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
from fractions import Fraction
from pathlib import Path
from typing import Any

from seglab.data.filepair import FilePair
from seglab.data.files import SUFFIXES
from seglab.data.rng import permutation

log = logging.getLogger(__name__)

PARTS = ("train", "test")
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
        self.types = {"image": _suffixes(image_types), "mask": _suffixes(mask_types)}
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
            if isinstance(self.images, Mapping):
                self._found[part] = self._scan_part(part)
            else:
                self._found.update(self._divide())
            self._compare_counts(part)
        if not self._found[part]:
            what, use = ("training", "use it in eval.sets") if part == "train" else ("test", "train on it")
            raise self._error(
                f"has no {what} part (data.source.split={self.split}); {use}, or divide it: data.source.split=6:4"
            )
        return self._found[part]

    def _scan_part(self, part: str) -> list[FilePair]:
        if part not in self.images or part not in self.masks:
            raise self._error(f"no {part} part: expected data.source.images.{part} and data.source.masks.{part}")
        pairs = self._scan(self.images[part], self.masks[part], None)
        if not pairs:
            raise self._error(f"the {part} part is empty: no image in {self.images[part]}")
        return pairs

    def _divide(self) -> dict[str, list[FilePair]]:
        names = {part: self._read_list(path) for part, path in self.lists.items() if path}
        if len(names) == 2 and (both := [n for n in names["train"] if n in set(names["test"])]):
            raise self._error(f"{_some(both)} in both {self.lists['train']} and {self.lists['test']}")
        wanted = {n for stems in names.values() for n in stems} if len(names) == 2 and not self.folders else None
        pairs = self._scan(self.images, self.masks, wanted)
        if not pairs:
            raise self._error(f"no image in {self.images}: expected files of type {', '.join(self.types['image'])}")
        if names:
            return self._by_lists(pairs, names)
        if self.split in PARTS:
            return {part: pairs if part == self.split else [] for part in PARTS}
        first, second = map(int, str(self.split).split(":"))
        order = permutation(len(pairs), self.split_seed, "split")
        count = round(Fraction(first, first + second) * len(pairs))
        parts = {"train": sorted(order[:count]), "test": sorted(order[count:])}
        if not all(parts.values()):
            raise self._error(f"data.source.split={self.split} of {len(pairs)} images leaves a part empty")
        return {part: [pairs[i] for i in rows] for part, rows in parts.items()}

    def _by_lists(self, pairs: list[FilePair], names: dict[str, list[str]]) -> dict[str, list[FilePair]]:
        known = {pair.id: pair for pair in pairs}
        parts: dict[str, list[FilePair]] = {}
        for part, stems in names.items():
            if gone := [n for n in stems if n not in known]:
                raise self._error(f"{_some(gone)} listed in '{self.lists[part]}', but not in {self.images}")
            parts[part] = [known[n] for n in stems]
        for part in PARTS:
            if part not in parts:
                other = set(names["test" if part == "train" else "train"])
                parts[part] = [pair for pair in pairs if pair.id not in other]
        return parts

    def _read_list(self, path: str) -> list[str]:
        if not Path(path).is_file():
            raise self._missing("list", path)
        stems = [line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]
        stems = [Path(s).stem if s.lower().endswith(SUFFIXES) else s for s in stems]
        if not stems:
            raise self._error(f"list '{path}' is empty: expected one stem a line")
        if twice := sorted({s for s in stems if stems.count(s) > 1} if len(set(stems)) < len(stems) else []):
            raise self._error(f"{_some(twice)} more than once in '{path}'")
        return stems

    def _scan(self, images: Any, masks: Any, wanted: set[str] | None) -> list[FilePair]:
        """Match stems of image and mask folders; with ``wanted``, only those stems."""
        pairs = []
        for folder in self.folders or (None,):
            photos = self._index("image", images, folder, wanted)
            labels = self._index("mask", masks, folder, wanted)
            bare, orphans = sorted(photos.keys() - labels.keys()), sorted(labels.keys() - photos.keys())
            if bare and self.unmasked == "error":
                raise self._error(
                    f"{_some(bare)}: image without a mask of the same stem in {_in(masks, folder)}; add the masks, or "
                    "data.source.unmasked=skip if they are not meant to have one"
                )
            if bare:
                log.info("data=%s: %d images without a mask left out (unmasked=skip)", self.name, len(bare))
            if orphans:
                raise self._error(f"{_some(orphans)}: mask without an image of the same stem in {_in(images, folder)}")
            prefix = f"{folder}_" if folder else ""
            pairs += [
                FilePair(prefix + stem, photos[stem], labels[stem], self.threshold, self.mask_values)
                for stem in sorted(photos)
                if stem in labels
            ]
        return pairs

    def _index(self, kind: str, paths: Any, folder: str | None, wanted: set[str] | None) -> dict[str, Path]:
        """Stem -> file of the known types in one or several folders."""
        files: dict[str, Path] = {}
        for place in _in(paths, folder):
            if not Path(place).is_dir():
                raise self._missing(f"{kind} folder", place)
            for path in sorted(Path(place).iterdir()):
                if path.suffix.lower() not in self.types[kind] or path.name.startswith("."):
                    continue
                if wanted is not None and path.stem not in wanted:
                    continue
                if path.stem in files:
                    raise self._error(
                        f"two {kind} files with the stem '{path.stem}': '{files[path.stem]}' and '{path}'; keep one, "
                        f"or name the types, e.g. data.source.{kind}_types=[{path.suffix[1:].lower()}]"
                    )
                files[path.stem] = path
        return files

    def _compare_counts(self, part: str) -> None:
        if self._found[part] and any((folder / STANDIN).is_file() for folder in self._found[part][0].image.parents):
            return  # generated, and meant to be small
        counts = self.about.get("counts") or {}
        everything = sum(len(pairs) for pairs in self._found.values())
        found = {part: len(self._found[part]), "total": everything}
        for key, count in found.items():
            if key in counts and counts[key] != count:
                log.warning("data=%s: %d %s images found, %d expected", self.name, count, key, counts[key])

    def _missing(self, what: str, path: Any) -> DataMissing:
        layout = " ".join(str(self.about.get("layout", "")).split())
        message = f"{what} '{path}' not found"
        if layout:
            message += f"; expected below runtime.data_root (environment variable SEGLAB_DATA): {layout}"
        if self.about.get("homepage"):
            message += f"; get it from {self.about['homepage']}"
        return DataMissing(str(self._error(message)))

    def _error(self, message: str) -> ValueError:
        return ValueError(f"data={self.name}: {message}")


def _suffixes(types: Sequence[str] | None) -> tuple[str, ...]:
    if types is None:
        return SUFFIXES
    suffixes = tuple(f".{str(t).lower().lstrip('.')}" for t in types)
    if odd := [s for s in suffixes if s not in SUFFIXES]:
        raise ValueError(f"data.source.image_types/mask_types: {', '.join(odd)}: expected {', '.join(SUFFIXES)}")
    return suffixes


def _in(paths: Any, folder: str | None) -> list[str]:
    many = [paths] if isinstance(paths, str | Path) else list(paths)
    return [str(p).replace("{folder}", folder) if folder else str(p) for p in many]


def _some(names: Sequence[str]) -> str:
    """The first five names and the count."""
    return (
        f"{len(names)} name{'s' if len(names) > 1 else ''} ({', '.join(names[:5])}{', ...' if len(names) > 5 else ''})"
    )
