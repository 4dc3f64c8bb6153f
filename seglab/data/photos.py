"""Photos without masks: a training part for losses that read none, with masks for a test part where there are some.

Every pixel of such a mask is 255, ignored: a loss that reads masks learns nothing from it, and a metric counts nothing.
:func:`image_of` and :func:`content_of` look at the photo of any item and leave its mask, where there is one, unread.

Source: Veksler, "Regularized loss for weakly supervised single class semantic segmentation", ECCV 2020 (training from
images alone). Legend: H W pixels. One runnable line: ``python -c "from seglab.data.photos import Photos;
print(len(Photos('photos').items('train')))"``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seglab.data.content import hash_files
from seglab.data.filepair import FilePair
from seglab.data.files import SUFFIXES, read_image
from seglab.data.pairing import PARTS, index
from seglab.data.pairs import Pairs, compare_counts, data_missing, suffixes
from seglab.data.sample import Item

IGNORED = 255
"""Value of every pixel of a mask that nobody drew, see :mod:`seglab.data.sample`."""


@dataclass(frozen=True)
class Photo:
    """One photo on disk, without a mask.

    Attributes:
        id: name, unique in the data set.
        image: image file.
    """

    id: str
    image: Path

    @property
    def mask(self) -> None:
        """There is none."""
        return None

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """Image uint8 [H,W,3] RGB at its original size, and a mask uint8 [H,W] of 255 everywhere.

        Raises:
            ValueError: the file cannot be read.
        """
        image = read_image(self.image)
        return image, np.full(image.shape[:2], IGNORED, dtype=np.uint8)

    def fingerprint(self) -> bytes:
        """Hash of the file.

        Raises:
            ValueError: it is missing.
        """
        return hash_files((self.image,), how=("photo",))


def image_of(item: Item) -> np.ndarray:
    """The image of an item, uint8 [H,W,3] RGB; its mask is not read where the image is a file of its own.

    Raises:
        ValueError: the file cannot be read.
    """
    path = getattr(item, "image", None)
    return read_image(path) if isinstance(path, Path) else item.read()[0]


def content_of(item: Item) -> bytes:
    """Hash of the image of an item, and of its mask only where the two are no files of their own.

    Raises:
        ValueError: the file is missing.
    """
    path = getattr(item, "image", None)
    return hash_files((path,), how=("photo",)) if isinstance(path, Path) else item.fingerprint()


class Photos:
    """A folder of photos to train on, and perhaps pairs to be scored on.

    Args:
        images: a folder of photos, or a list of folders; other files in it are passed over.
        test_images: folder of the photos to be scored on; null = those of ``images``, where ``test_masks`` is set.
        test_masks: folder of their masks, same stems; null = there is no test part.
        image_types: suffixes to read, e.g. ``[jpg]``; null = all known.
        mask_types: the same for masks.
        threshold: graded masks, see :func:`seglab.data.files.read_mask`; null = strictly two values.
        mask_values: explicit labels, see :func:`seglab.data.files.read_mask`.
        unmasked: ``error`` or ``skip``: what to do with test images that have no mask.
        name: name of the data set in messages.
        about: prose for messages: ``layout``, ``homepage``; ``counts.train`` is compared with what is found.

    Raises:
        ValueError: an option outside its range.
    """

    def __init__(
        self,
        images: Any,
        *,
        test_images: Any = None,
        test_masks: Any = None,
        image_types: Sequence[str] | None = None,
        mask_types: Sequence[str] | None = None,
        threshold: float | None = None,
        mask_values: Mapping[int, int] | None = None,
        unmasked: str = "error",
        name: str = "photos",
        about: Mapping[str, Any] | None = None,
    ) -> None:
        self.name, self.about = name, about or {}
        if not images:
            raise ValueError(f"data={name}: images is not set: expected a folder, e.g. data.images=photos")
        if test_images and not test_masks:
            raise ValueError(
                f"data={name}: data.test_images={test_images} without data.test_masks: expected the folder of their "
                "masks"
            )
        self.folders = [str(images)] if isinstance(images, str | Path) else [str(one) for one in images]
        self.types = suffixes(image_types)
        self.tests = None
        if test_masks:
            self.tests = Pairs(
                test_images or images,
                masks=test_masks,
                name=name,
                about={key: value for key, value in self.about.items() if key != "counts"},
                split="test",
                image_types=image_types,
                mask_types=mask_types,
                threshold=threshold,
                mask_values=mask_values,
                unmasked=unmasked,
            )

    def items(self, part: str) -> list[Photo] | list[FilePair]:
        """The photos of ``"train"``, sorted by stem, or the pairs of ``"test"``.

        Raises:
            ValueError: no such part; a folder is missing or holds no photo; two photos of one stem; see also
                :meth:`seglab.data.pairs.Pairs.items`.
        """
        if part not in PARTS:
            raise ValueError(f"part={part!r}: expected 'train' or 'test'")
        looked = self.looked_at(part)
        if not looked:
            raise ValueError(
                f"data={self.name}: has no test part, there are no masks (data.test_masks=null); name their folder, or "
                "score on other sets, or on none: data.test_sets=[]"
            )
        if isinstance(looked, Pairs):
            return looked.items(part)
        compare_counts(self.name, self.about, {part: len(looked)}, looked[0].image)
        return looked

    def looked_at(self, part: str) -> Pairs | list[Photo]:
        """What a part is made of: photos for ``"train"``, pairs for ``"test"``; nothing where there is no such part.

        Raises:
            ValueError: a folder is missing or holds no photo; two photos of one stem.
        """
        if part == "test":
            return self.tests or []
        return photos_in(self.folders, types=self.types, name=self.name, about=self.about)


def photos_in(
    folders: Sequence[str],
    *,
    types: tuple[str, ...] = SUFFIXES,
    name: str,
    about: Mapping[str, Any] | None = None,
    prefix: str = "",
) -> list[Photo]:
    """The photos of folders, sorted by stem.

    Args:
        folders: where they lie.
        types: suffixes that are read.
        name: the data set in messages.
        about: its prose.
        prefix: put before every id.

    Raises:
        ValueError: a folder is missing, there is no photo, or there are two of one stem.
    """
    files, faults = index("image", folders, types, None)
    for fault in faults:
        if fault.kind == "folder":
            raise data_missing(name, about or {}, "image folder", fault.places[0])
        raise ValueError(
            f"data={name}: two photos with the stem '{fault.names[0]}': '{fault.places[0]}' and '{fault.places[1]}'; "
            "keep one, or name the types, e.g. data.source.image_types=[jpg]"
        )
    if not files:
        where = ", ".join(f"'{folder}'" for folder in folders)
        raise ValueError(f"data={name}: no photo in {where}: expected files of type {', '.join(types)}")
    return [Photo(prefix + stem, files[stem]) for stem in sorted(files)]
