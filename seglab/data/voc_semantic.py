"""Classes of photos in the layout of PASCAL VOC, and the training set enlarged by that of SBD.

A mask keeps the number of the class: 0 to K - 1, 255 is ignored. With ``extra`` the training part is that of VOC and
all photos of SBD's lists that VOC does not segment ("augmented VOC", 1464 + 9118 = 10582 photos, VOC's validation part
is the test part); where both segment a photo, VOC's labels are taken, and no photo of the test part is trained on.

Sources: Everingham, Van Gool, Williams, Winn, Zisserman, "The PASCAL visual object classes challenge", IJCV 2010;
Hariharan, Arbelaez, Bourdev, Maji, Malik, "Semantic contours from inverse detectors", ICCV 2011.

Legend: H W pixels, K classes. One runnable line: ``python -c "from seglab.data.voc_semantic import VocSemantic;
v = 'CamVid-mini/'; print(len(VocSemantic(v + 'JPEGImages', masks=v + 'SegmentationClass', classes=list('abcdefghijk'),
train_list=v + 'ImageSets/Segmentation/train.txt').items('train')))"``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seglab.data.content import check_sizes, hash_files
from seglab.data.files import read_image
from seglab.data.lists import read_list
from seglab.data.pairing import PARTS, Fault, Layout, Match, by_lists, read_lists, scan
from seglab.data.pairs import compare_counts, data_missing
from seglab.data.region_labels import IGNORE
from seglab.data.sbd import read_class_map
from seglab.words import some

log = logging.getLogger(__name__)

EXTRA = ("images", "masks", "lists")
"""Keys of ``extra``."""


@dataclass(frozen=True)
class ClassPhoto:
    """One photo and its classes on disk.

    Attributes:
        id: name, unique in the data set.
        image: image file.
        mask: palette or grey image of class numbers, or a file of SBD (``.mat``).
        classes: number of classes.
    """

    id: str
    image: Path
    mask: Path
    classes: int

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """Image uint8 [H,W,3] RGB and classes uint8 [H,W], 0..K-1 and 255 = ignored, at their original size.

        Raises:
            ValueError: a file cannot be read, sizes differ, or a label is no class.
        """
        image, labels = read_image(self.image), read_class_map(self.mask)
        check_sizes(image.shape, labels.shape, files=(self.image, self.mask))
        check_classes(labels, self.classes, self.mask)
        return image, labels

    def fingerprint(self) -> bytes:
        """Hash of both files and of the number of classes.

        Raises:
            ValueError: a file is missing.
        """
        return hash_files((self.image, self.mask), how=("classes", self.classes))


class VocSemantic:
    """Photos and label images in folders, parts by lists.

    Args:
        images: folder of the photos (JPEGImages); those that no list names are passed over.
        masks: folder of the class masks (SegmentationClass).
        classes: names of the classes, in the order of their numbers.
        train_list: text file, stems of the training part; null = there is none.
        test_list: the same for the test part.
        extra: more training photos, ``{images: folder, masks: folder of .mat or image files, lists: [text files]}``;
            null = none. With it a ``test_list`` has to be there, whose photos are left out of it.
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
        classes: Sequence[str],
        train_list: str | None = None,
        test_list: str | None = None,
        extra: Mapping[str, Any] | None = None,
        name: str = "voc_aug",
        about: Mapping[str, Any] | None = None,
    ) -> None:
        self.images, self.masks, self.classes = images, masks, check_names(classes)
        self.lists = {"train": train_list, "test": test_list}
        self.extra, self.name, self.about = extra, name, about or {}
        if extra is not None and set(extra) != set(EXTRA):
            raise ValueError(f"data.source.extra={dict(extra)}: expected the keys {', '.join(EXTRA)}, or null")
        if extra is not None and not test_list:
            raise ValueError(
                f"data={name}: data.source.extra without data.source.test_list: expected both, so that no photo of the "
                "test part is trained on; or data.source.extra=null"
            )

    def items(self, part: str) -> list[ClassPhoto]:
        """The photos of ``"train"`` or ``"test"``: in the order of their list, then those of ``extra``.

        Raises:
            ValueError: no such part; folders, lists or listed files missing.
        """
        if part not in PARTS:
            raise ValueError(f"part={part!r}: data={self.name} has the parts {' and '.join(PARTS)}")
        if not self.lists[part]:
            raise ValueError(f"data={self.name}: has no {part} part (data.source.{part}_list=null)")
        names, faults = read_lists(self.lists)
        wanted = {stem for stems in names.values() for stem in stems}
        pairs, found = scan(Layout(self.images, self.masks), self.images, self.masks, wanted)
        for fault in [*faults, *found]:
            raise self._error(fault, self.images)
        parts, faults = by_lists(pairs, names, self.lists)
        for fault in faults:
            raise self._error(fault, self.images)
        matches = parts[part]
        if part == "train" and self.extra:
            matches = matches + self._more(set(names["train"]), set(names.get("test", ())))
        compare_counts(self.name, self.about, {part: len(matches)}, matches[0].image)
        return [ClassPhoto(m.id, m.image, m.mask, len(self.classes)) for m in matches]

    def _more(self, trained: set[str], tested: set[str]) -> list[Match]:
        """The photos of ``extra`` that neither part holds, in the order of their lists."""
        extra, stems = self.extra or {}, {}
        for path in extra["lists"]:
            if not Path(path).is_file():
                raise self._error(Fault("list missing", places=(str(path),)), extra["images"])
            stems |= dict.fromkeys(read_list(path))
        wanted = [stem for stem in stems if stem not in trained and stem not in tested]
        layout = Layout(extra["images"], extra["masks"], mask_types=(".mat", ".png"))
        pairs, faults = scan(layout, extra["images"], extra["masks"], set(wanted))
        known = {pair.id: pair for pair in pairs}
        absent = tuple(stem for stem in wanted if stem not in known)
        if absent and not faults:
            faults = [Fault("absent", names=absent, places=(" and ".join(map(str, extra["lists"])),))]
        for fault in faults:
            raise self._error(fault, extra["images"])
        held = len(stems.keys() & tested)
        log.info(
            "data=%s: %d photos of '%s' are added; %d of the test part and %d of the training part are left out there",
            self.name, len(wanted), extra["images"], held, len(stems.keys() & trained),
        )  # fmt: skip
        return [known[stem] for stem in wanted]

    def _error(self, fault: Fault, images: str) -> ValueError:
        names, place = some(fault.names) if fault.names else "", fault.places[0] if fault.places else ""
        if fault.kind in ("folder", "list missing"):
            what = {"image": "image folder", "mask": "mask folder"}.get(fault.what, "list")
            return data_missing(self.name, self.about, what, place)
        messages = {
            "list": fault.what,
            "both": f"{names} in both {' and '.join(fault.places)}",
            "double": f"two {fault.what} files with the stem '{' '.join(fault.names)}': {' and '.join(fault.places)}",
            "bare": f"{names}: image without a mask of the same stem in '{place}'",
            "orphan": f"{names}: mask without an image of the same stem in '{place}'",
            "absent": f"{names} listed in '{place}', but not in '{images}'",
        }
        return ValueError(f"data={self.name}: {messages[fault.kind]}{fault.hint}")


def check_names(classes: Sequence[str]) -> list[str]:
    """Names of classes as text, in the order of their numbers.

    Raises:
        ValueError: fewer than two, more than 255, or one twice.
    """
    names = [str(name) for name in classes]
    if not 2 <= len(names) <= IGNORE or len(set(names)) < len(names):
        raise ValueError(f"data.classes={names}: expected 2 to {IGNORE} names, each once")
    return names


def check_classes(labels_HW: np.ndarray, classes: int, path: Path) -> None:
    """Refuse labels that are no class.

    Raises:
        ValueError: naming the file and the values.
    """
    if odd := [int(v) for v in np.unique(labels_HW) if v >= classes and v != IGNORE]:
        raise ValueError(
            f"mask '{path}' has the labels {odd[:8]}: expected 0 to {classes - 1} (data.classes has {classes} names), "
            f"and {IGNORE} for what is ignored"
        )
