"""The layout of PASCAL VOC: photos, palette images of classes and of objects, lists of stems.

Class-agnostic training needs regions, not classes. A mask gives them in three ways: every class of an image one region
(``class``), every object one (``instance``, needs SegmentationObject), every connected piece of a class one
(``components``). CAS tables 4 and 5 do not say which; reading: objects and background (EQUATIONS 2.11.17).

Source: Everingham, Van Gool, Williams, Winn, Zisserman, "The PASCAL visual object classes challenge", IJCV 2010.
Legend: H W pixels. One runnable line: ``python -c "from seglab.data.voc import Voc; v = 'VOCdevkit/VOC2012/';
print(len(Voc(images=v + 'JPEGImages', masks=v + 'SegmentationClass',
test_list=v + 'ImageSets/Segmentation/val.txt').items('test')))"``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seglab.data.content import check_sizes, hash_files
from seglab.data.files import read_image, read_labels
from seglab.data.pairing import PARTS, Fault, Layout, Match, by_lists, read_lists, scan
from seglab.data.pairs import compare_counts, data_missing
from seglab.data.region_labels import as_mask, renumbered
from seglab.words import some

REGIONS = ("class", "instance", "components")
BACKGROUND = ("region", "ignore")

VOID = 255
"""Palette index of pixels that are ignored, the white border round objects."""


@dataclass(frozen=True)
class VocPhoto:
    """One photo and its palette image on disk.

    Attributes:
        id: name, unique in the data set.
        image: image file.
        mask: palette image: of classes, or of objects for ``regions="instance"``.
        regions: one of :data:`REGIONS`.
        background: what index 0 is, one of :data:`BACKGROUND`.
        smallest_component: pieces with fewer pixels are ignored; read for ``components`` only.
    """

    id: str
    image: Path
    mask: Path
    regions: str
    background: str
    smallest_component: int

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """Image uint8 [H,W,3] RGB and regions uint8 [H,W], 0..N-1 and 255 = ignored, at their original size.

        Raises:
            ValueError: a file cannot be read, sizes differ, no region or more than 255.
        """
        image, labels = read_image(self.image), read_labels(self.mask)
        check_sizes(image.shape, labels.shape, files=(self.image, self.mask))
        ignored = labels == VOID
        if self.background == "ignore":
            ignored |= labels == 0
        if self.regions == "components":
            labels, ignored = components(labels, ignored, smallest=self.smallest_component)
        if ignored.all():
            raise ValueError(
                f"mask '{self.mask}' has no region left (data.source.regions={self.regions}, background="
                f"{self.background}, smallest_component={self.smallest_component}): expected one or more; try "
                "data.source.background=region, or take the image out of the list"
            )
        remedy = "raise data.source.smallest_component, or data.source.regions=class"
        return image, as_mask(renumbered(labels, ignored_HW=ignored), what=f"mask '{self.mask}'", remedy=remedy)

    def fingerprint(self) -> bytes:
        """Hash of both files and of what a region is.

        Raises:
            ValueError: a file is missing.
        """
        return hash_files((self.image, self.mask), how=(self.regions, self.background, self.smallest_component))


class Voc:
    """Photos and palette images in folders, parts by lists.

    Args:
        images: folder of the photos (JPEGImages); those that no list names are passed over.
        masks: folder of the class masks (SegmentationClass).
        instances: folder of the object masks (SegmentationObject); null where there are none.
        train_list: text file, stems of the training part; null = there is none.
        test_list: the same for the test part.
        regions: what a region is: ``class``, ``instance`` or ``components``.
        background: index 0 is a ``region`` as the others are, or pixels to ``ignore``.
        smallest_component: pixels at original size; smaller connected pieces are ignored. For ``components`` only.
        name: name of the data set in messages.
        about: prose for messages: ``layout``, ``homepage``; ``counts`` (``train``, ``test``) is compared with what is
            found.

    Raises:
        ValueError: an option outside its range.
    """

    def __init__(
        self,
        images: str,
        *,
        masks: str,
        instances: str | None = None,
        train_list: str | None = None,
        test_list: str | None = None,
        regions: str = "class",
        background: str = "region",
        smallest_component: int = 1,
        name: str = "voc2012",
        about: Mapping[str, Any] | None = None,
    ) -> None:
        self.images, self.masks, self.instances = images, masks, instances
        self.lists = {"train": train_list, "test": test_list}
        self.regions, self.background, self.smallest_component = regions, background, smallest_component
        self.name, self.about = name, about or {}
        for key, value, offered in (("regions", regions, REGIONS), ("background", background, BACKGROUND)):
            if value not in offered:
                raise ValueError(f"data.source.{key}={value}: expected one of {', '.join(offered)}")
        if isinstance(smallest_component, bool) or not isinstance(smallest_component, int) or smallest_component < 0:
            raise ValueError(f"data.source.smallest_component={smallest_component}: expected pixels, 0 or more")
        if regions == "instance" and not instances:
            raise ValueError(
                f"data={name}: data.source.regions=instance needs object masks, and data.source.instances is not set: "
                "expected their folder (SegmentationObject), or regions=class or components"
            )

    def items(self, part: str) -> list[VocPhoto]:
        """The photos of ``"train"`` or ``"test"`` in the order of their list.

        Raises:
            ValueError: no such part; folders, lists or listed files missing.
        """
        if part not in PARTS:
            raise ValueError(f"part={part!r}: expected 'train' or 'test'")
        if not self.lists[part]:
            raise ValueError(f"data={self.name}: has no {part} part (data.source.{part}_list=null)")
        names, faults = read_lists(self.lists)
        masks = self.instances if self.regions == "instance" else self.masks
        wanted = {stem for stems in names.values() for stem in stems}
        matches: list[Match] = []
        if not faults:
            matches, faults = scan(Layout(self.images, masks), self.images, masks, wanted)
        parts, absent = by_lists(matches, names, self.lists)
        if faults or absent:
            raise self._error([*faults, *absent][0])
        compare_counts(self.name, self.about, {part: len(parts[part])}, parts[part][0].image)
        how = (self.regions, self.background, self.smallest_component)
        return [VocPhoto(m.id, m.image, m.mask, *how) for m in parts[part]]

    def _error(self, fault: Fault) -> ValueError:
        names, place = some(fault.names), fault.places[0]
        objects = self.regions == "instance"
        remedy = "; where there are no object masks, set data.source.regions=components or class" if objects else ""
        if fault.kind in ("folder", "list missing"):
            what = {"image": "image folder", "mask": "object mask folder" if objects else "mask folder"}
            missing = data_missing(self.name, self.about, what.get(fault.what, "list"), place)
            return type(missing)(f"{missing}{remedy if fault.what == 'mask' else ''}")
        messages = {
            "list": fault.what,
            "both": f"{names} in both {' and '.join(fault.places)}",
            "double": f"two {fault.what} files with the stem '{' '.join(fault.names)}': {' and '.join(fault.places)}",
            "bare": f"{names}: image without a mask of the same stem in '{place}'{remedy}",
            "orphan": f"{names}: mask without an image of the same stem in '{place}'",
            "absent": f"{names} listed in '{place}', but not in '{self.images}'",
        }
        return ValueError(f"data={self.name}: {messages[fault.kind]}{fault.hint}")


def components(labels_HW: np.ndarray, ignored_HW: np.ndarray, *, smallest: int) -> tuple[np.ndarray, np.ndarray]:
    """Connected pieces of equal labels; pixels are connected by their four sides.

    Args:
        labels_HW: uint8.
        ignored_HW: bool, pixels that belong to no piece.
        smallest: pieces with fewer pixels are ignored.

    Returns:
        Numbers of the pieces int64 [H,W], and which pixels are ignored now.
    """
    from skimage.measure import label

    pieces = label(np.where(ignored_HW, 0, labels_HW.astype(np.int64) + 1), background=0, connectivity=1)
    small = np.bincount(pieces.ravel()) < smallest
    small[0] = True
    return pieces, small[pieces]
