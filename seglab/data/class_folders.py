"""One folder of photos a class: one class is the object, photos of the others are negative images.

    <images>/<class>/*.jpg    <masks>/<class>/*.png (two values; may be missing altogether)

The layout of cosegmentation and of photos collected by a class name (Veksler, "Regularized loss for weakly supervised
single class semantic segmentation", ECCV 2020, tables 5 and 6), and of most of one's own.

One runnable line: ``python -c "from seglab.data.class_folders import ClassFolders;
print(len(ClassFolders('photos', category='cow').items('negative')))"``.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from seglab.data.filepair import FilePair
from seglab.data.pairing import PARTS
from seglab.data.pairs import Pairs, compare_counts, data_missing, suffixes
from seglab.data.photos import Photo, photos_in
from seglab.words import nearest

NEGATIVE = "negative"
"""The part of images without the object."""

BOTH = "both"
SAME = ("stem", "bytes")


class ClassFolders:
    """Photos in class folders, of which one holds the object.

    Args:
        images: folder of the class folders.
        category: name of the class folder whose photos hold the object.
        masks: folder of class folders with masks of the same stems; null = there are none: the training masks are 255
            everywhere, and there is no test part.
        split: ``both``: all photos of the class train, and are scored if there are masks (cosegmentation, where
            training reads no mask); ``train`` or ``test``: all are that part; ``"8:2"``: train to test.
        split_seed: draws a ratio split; not the seed of the run.
        test_images: folder of class folders of the test part; all photos of ``images`` train then.
        test_masks: folder of class folders with its masks.
        same: by what a photo of another class is known to be one of this class too, and so no negative: ``bytes``,
            equal files; ``stem``, equal stems or equal files, where a stem names a photo in the whole data set.
        image_types: suffixes to read, e.g. ``[jpg]``; null = all known.
        mask_types: the same for masks.
        threshold: graded masks, see :func:`seglab.data.files.read_mask`; null = strictly two values.
        mask_values: explicit labels, see :func:`seglab.data.files.read_mask`.
        name: name of the data set in messages.
        about: prose for messages: ``layout``, ``homepage``; ``counts.train`` is compared with what is found.

    Raises:
        ValueError: an option outside its range.
    """

    has_negatives = True
    """Whether there is a part ``negative``; :meth:`items` says where a category has none."""

    def __init__(
        self,
        images: str | None,
        *,
        category: str | None,
        masks: str | None = None,
        split: str = BOTH,
        split_seed: int = 0,
        test_images: str | None = None,
        test_masks: str | None = None,
        same: str = "bytes",
        image_types: Sequence[str] | None = None,
        mask_types: Sequence[str] | None = None,
        threshold: float | None = None,
        mask_values: Mapping[int, int] | None = None,
        name: str = "class_folders",
        about: Mapping[str, Any] | None = None,
    ) -> None:
        self.images, self.masks, self.name, self.about = images, masks, name, about or {}
        self.category = None if category is None else str(category)
        self.split, self.split_seed, self.same = str(split), split_seed, same
        self.test_images, self.test_masks = test_images, test_masks
        self.types = suffixes(image_types)
        self._read = {"threshold": threshold, "mask_values": mask_values, "mask_types": mask_types}
        self._read["image_types"] = image_types
        self._check()

    @property
    def trains_on_test(self) -> bool:
        """Whether the photos that are scored are those that train, with the same masks."""
        return bool(self.masks) and self.split == BOTH and not self.test_images

    def _check(self) -> None:
        if not self.images:
            raise self._error("images is not set: expected a folder of class folders, e.g. data.images=photos")
        if not self.category:
            self.name = self.name.split("/")[0]
            raise self._error(f"data.category is not set: expected the name of a class folder{self._offered()}")
        if {"/", "\\"} & set(self.category) or self.category.startswith("."):
            raise self._error(f"data.category={self.category}: expected the name of a folder in '{self.images}'")
        if bool(self.test_images) != bool(self.test_masks):
            given = "test_images" if self.test_images else "test_masks"
            raise self._error(f"data.{given} alone: expected both test_images and test_masks, or neither")
        if self.same not in SAME:
            raise self._error(f"data.source.same={self.same}: expected one of {', '.join(SAME)}")
        if self.split not in (BOTH, *PARTS) and not re.fullmatch(r"[1-9]\d*:[1-9]\d*", self.split):
            raise self._error(f"split={self.split}: expected both, train, test, or a ratio such as '8:2'")
        if self.test_images and self.split not in (BOTH, "train"):
            raise self._error(f"split={self.split}: photos are not divided where test_images is set; expected both")
        if not self.masks and not self.test_masks and self.split not in (BOTH, "train"):
            raise self._error(
                f"split={self.split}: there is no mask to score a test part by; set masks, or split=train"
            )

    def items(self, part: str) -> list[Photo] | list[FilePair]:
        """The photos of a part, sorted by stem.

        Args:
            part: ``"train"`` or ``"test"``: photos of the class; ``"negative"``: those of the other classes, which are
                not in the class too, test photos of its own included, each once, with masks of 255.

        Raises:
            ValueError: no such part, class or folder; a class folder that is empty; images and masks that do not match;
                two negative photos of one name.
        """
        if part == NEGATIVE:
            return self._negatives()
        if part not in PARTS:
            raise ValueError(f"part={part!r}: expected 'train', 'test' or '{NEGATIVE}'")
        looked = self.looked_at(part)
        if not looked:
            raise self._error(
                "has no test part, there are no masks (data.source.masks=null); name their folder, or score on other "
                "sets, or on none: data.test_sets=[]"
            )
        found = looked.items(part) if isinstance(looked, Pairs) else looked
        if part == "train":
            compare_counts(self.name, self.about, {part: len(found)}, found[0].image)
        return found

    def looked_at(self, part: str) -> Pairs | list[Photo]:
        """What a part is made of: pairs of images and masks, or photos alone; nothing where there is no such part.

        Args:
            part: as for :meth:`items`.

        Raises:
            ValueError: no such class or folder, or a class folder that is empty.
        """
        if part == NEGATIVE:
            return self._negatives()
        if part == "test" and self.test_images:
            return self._pairs(self.test_images, self.test_masks, "test")
        if self.masks:
            alone = part if self.split == BOTH or self.test_images else self.split
            return self._pairs(self.images, self.masks, alone)
        return self._photos(self.category) if part == "train" else []

    def categories(self) -> list[str]:
        """Names of the class folders, sorted.

        Raises:
            ValueError: the folder of the images is missing or holds no folder.
        """
        return self._categories(self.images)

    def _categories(self, root: str) -> list[str]:
        if not Path(root).is_dir():
            raise data_missing(self.name, self.about, "folder of class folders", root)
        found = sorted(path.name for path in Path(root).iterdir() if path.is_dir() and not path.name.startswith("."))
        if not found:
            raise self._error(f"no class folder in '{root}': expected <class>/*.jpg there, e.g. {self.category}/1.jpg")
        return found

    def _folder(self, root: str, category: str) -> str:
        """The folder of a class, which is there and is not empty."""
        there = self._categories(root)
        if category not in there:
            guess = nearest(category, there)
            guess = (
                f"{guess} There are: {', '.join(there)}"
                if "did you mean" in guess
                else f"; there are: {', '.join(there)}"
            )
            raise self._error(f"no class folder '{category}' in '{root}'{guess}")
        folder = Path(root) / category
        if not any(path.suffix.lower() in self.types and not path.name.startswith(".") for path in folder.iterdir()):
            raise self._error(f"class folder '{folder}' is empty: expected files of type {', '.join(self.types)}")
        return str(folder)

    def _photos(self, category: str, prefix: str = "", root: str | None = None) -> list[Photo]:
        folder = self._folder(root or self.images, category)
        return photos_in([folder], types=self.types, name=self.name, about=self.about, prefix=prefix)

    def _pairs(self, images: str, masks: str, split: str) -> Pairs:
        folder = self._folder(images, self.category)
        return Pairs(
            folder,
            masks=str(Path(masks) / self.category),
            name=self.name,
            about={key: value for key, value in self.about.items() if key != "counts"},
            split=split,
            split_seed=self.split_seed,
            **self._read,
        )

    def _negatives(self) -> list[Photo]:
        others = [one for one in self.categories() if one != self.category]
        if not others:
            raise self._error(
                f"'{self.images}' has one class folder, {self.category}: negative images are those of other classes; "
                "add a folder of them, or negatives=other negatives.data=<data set>"
            )
        mine = self._photos(self.category) + self._tested()
        photos = [photo for one in others for photo in self._photos(one, prefix=f"{one}_")]
        twin = equal_files([photo.image for photo in (*mine, *photos)])
        stems = {photo.image.stem for photo in mine} if self.same == "stem" else set()
        known = {twin.get(photo.image) for photo in mine} - {None}
        found = []
        for photo in photos:
            stem, content = photo.image.stem, twin.get(photo.image)
            if stem in stems or content in known:
                continue
            found.append(photo)
            known |= {content} - {None}
            stems |= {stem} if self.same == "stem" else set()
        if not found:
            raise self._error(
                f"no negative image: every photo of the other classes ({', '.join(others[:5])}) is also in "
                f"{self.category}, by data.source.same={self.same}; expected photos without the object"
            )
        check_names(found, name=self.name)
        return found

    def _tested(self) -> list[Photo]:
        """Photos of the class in a test part of its own, where there is one and it has the class."""
        if not self.test_images or not (Path(self.test_images) / str(self.category)).is_dir():
            return []
        return self._photos(self.category, root=self.test_images)

    def _offered(self) -> str:
        there = self.categories() if Path(self.images).is_dir() else list(self.about.get("categories") or [])
        return f" ({', '.join(there)})" if there else ""

    def _error(self, message: str) -> ValueError:
        return ValueError(f"data={self.name}: {message}")


def check_names(photos: Iterable[Photo], *, name: str) -> None:
    """Refuse two photos of one name: the class ``b`` with ``c_1.jpg`` and the class ``b_c`` with ``1.jpg``.

    Args:
        photos: photos, their ids made of class and stem.
        name: the data set in the message.

    Raises:
        ValueError: naming both files.
    """
    known: dict[str, Path] = {}
    for photo in photos:
        if (other := known.setdefault(photo.id, photo.image)) != photo.image:
            raise ValueError(
                f"data={name}: two photos are called '{photo.id}', after class and file: '{other}' and "
                f"'{photo.image}'; expected another name for one of them"
            )


def equal_files(paths: Iterable[Path]) -> dict[Path, bytes]:
    """Which of some files are equal: SHA-256 of every file that has the size of another one; others are left out.

    Raises:
        ValueError: a file cannot be read.
    """
    by_size: dict[int, list[Path]] = defaultdict(list)
    found: dict[Path, bytes] = {}
    try:
        for path in paths:
            by_size[path.stat().st_size].append(path)
        for same in by_size.values():
            if len(same) > 1:
                found |= {path: hashlib.sha256(path.read_bytes()).digest() for path in same}
    except OSError as error:
        raise ValueError(f"file '{error.filename}' cannot be read ({error.strerror}): expected a photo") from error
    return found
