"""Pictures of several classes composed of photographs, written as files in the layout of PASCAL VOC.

People and salient objects are cut out of photographs by their masks, objects of cloth are painted (as in
:mod:`seglab.data.fabrics`), and one to four of them are put on a piece of a photograph whose own salient object is
small; what is left of that one is void, as is a band of two pixels wherever two objects meet. Training pictures are
made of the training parts of all sources and test pictures of the test parts: no photograph is in both.

When it is first read the set is written to ``<runtime.outputs>/collages/<twenty digits>/``: ``JPEGImages/*.jpg``,
``SegmentationClass/*.png`` (palette), ``ImageSets/Segmentation/{train,val}.txt``, and ``collage.json``, which tells of
every picture what it was made of. Then it is read by :class:`seglab.data.voc_semantic.VocSemantic` like any other set
of that layout. The digits hash the photographs and all options. A process that is stopped leaves whole files, the next
goes on; of several processes one writes and the others wait.

This is no data set of a paper. It stands in for the PASCAL VOC where that is absent; numbers measured on it say
nothing of the VOC.

One runnable line: ``python -c "from seglab.config import compose; from seglab.targets import instantiate;
print(len(instantiate(compose('evaluate', ['run=none', 'data=collage']).data.source).items('train')))"``.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from seglab.atomic import os_message, replacing, write_atomic
from seglab.data.collage_plan import draw, plans_of
from seglab.data.content import hash_files
from seglab.data.filepair import FilePair
from seglab.data.files import SUFFIXES
from seglab.data.pairing import PARTS, index
from seglab.data.pairs import Pairs, data_missing
from seglab.data.palette import class_palette
from seglab.data.voc_semantic import ClassPhoto, VocSemantic, check_names
from seglab.lock import hold
from seglab.words import some

log = logging.getLogger(__name__)

VERSION = 2
"""Raised when the drawing changes, so that older pictures are not taken."""
LISTS = {"train": "train", "test": "val"}
"""Part -> name of its list, as in PASCAL VOC."""
PATIENCE_S = 900
"""Seconds that a process waits for the one that writes."""
JPEG = {"quality": 95, "subsampling": 0}


class Collage:
    """A set of several classes in the layout of PASCAL VOC, composed of photographs when it is first read.

    Args:
        classes: names of the classes: the background, those of ``cutouts``, those of ``fabrics``, in this order.
        cutouts: class -> folders its objects are cut out of, each ``{images, masks, train_list, test_list}`` or
            ``{images, masks, split}``, as for :class:`seglab.data.pairs.Pairs`; ``leave_out``: stems not taken.
        scenes: the same for the photographs of the backgrounds; masks tell their own salient objects.
        photos: folder of the photographs of cloth.
        fabrics: class -> ``{train: [stems], test: [stems]}``, photographs of its cloths; none in both.
        outputs: ``runtime.outputs``; the files are written to ``collages/`` below it.
        train: training pictures.
        test: test pictures.
        size: longer and shorter side of a picture in pixels; it lies or stands as the photograph of its background.
        seed: which pictures.
        name: name of the data set in messages.
        about: prose for messages: ``layout``, ``homepage``.

    Raises:
        ValueError: an option outside its range.
    """

    def __init__(
        self,
        classes: Sequence[str],
        *,
        cutouts: Mapping[str, Sequence[Mapping[str, Any]]],
        scenes: Mapping[str, Any],
        photos: str,
        fabrics: Mapping[str, Mapping[str, Sequence[str]]],
        outputs: str,
        train: int = 120,
        test: int = 60,
        size: Sequence[int] = (320, 240),
        seed: int = 0,
        name: str = "collage",
        about: Mapping[str, Any] | None = None,
    ) -> None:
        sides = list(size) if isinstance(size, Sequence) and len(size) == 2 else [None, None]
        for key, value, least in (
            ("train", train, 1),
            ("test", test, 1),
            ("seed", seed, 0),
            ("size[0]", sides[0], 32),
            ("size[1]", sides[1], 32),
        ):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                shown = size if key.startswith("size") else value
                raise ValueError(f"data.source.{key}={shown}: expected a whole number, {least} or more")
        if sides[1] > sides[0]:
            raise ValueError(f"data.source.size={sides}: expected the longer side first")
        self.classes = check_names(classes)
        if self.classes[1:] != [*cutouts, *fabrics]:
            raise ValueError(
                f"data.classes={self.classes}: expected the background, then the classes of data.source.cutouts and "
                f"of data.source.fabrics ({', '.join([*cutouts, *fabrics])})"
            )
        for class_name, cloths in fabrics.items():
            stems = [set(map(str, cloths.get(part) or ())) for part in PARTS]
            if not all(stems) or stems[0] & stems[1]:
                raise ValueError(
                    f"data.source.fabrics.{class_name}={dict(cloths)}: expected one stem or more for train and for "
                    "test, and none in both"
                )
        self.cutouts, self.scenes, self.photos, self.fabrics = cutouts, scenes, photos, fabrics
        self.outputs, self.counts, self.size, self.seed = outputs, {"train": train, "test": test}, sides, seed
        self.name, self.about = name, about or {}

    def items(self, part: str) -> list[ClassPhoto]:
        """The pictures of ``"train"`` or ``"test"``; written first where they are not there.

        Raises:
            ValueError: no such part, a folder, list or photograph is missing, or the files cannot be written.
        """
        if part not in PARTS:
            raise ValueError(f"part={part!r}: data={self.name} has the parts {' and '.join(PARTS)}")
        folder = self.write()
        lists = {f"{key}_list": str(folder / f"ImageSets/Segmentation/{LISTS[key]}.txt") for key in PARTS}
        images, masks = folder / "JPEGImages", folder / "SegmentationClass"
        source = VocSemantic(str(images), masks=str(masks), classes=self.classes, name=self.name, **lists)
        return source.items(part)

    def names(self, part: str) -> list[str]:
        """The names of the pictures of a part, in the order of :meth:`items`, written or not; nothing is written.

        Raises:
            ValueError: no such part, or a folder, list or photograph is missing.
        """
        if part not in PARTS:
            raise ValueError(f"part={part!r}: data={self.name} has the parts {' and '.join(PARTS)}")
        for one in PARTS:  # of both, as before they are written
            self._sources(one)
        return self._ids(part)

    def write(self) -> Path:
        """The folder of the set, with all its files.

        Raises:
            ValueError: as :meth:`items`.
        """
        sources = {part: self._sources(part) for part in PARTS}
        folder = Path(self.outputs) / "collages" / self._key(sources)
        ids = {part: self._ids(part) for part in PARTS}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            began = time.monotonic()
            while not _whole(folder, ids):
                with ExitStack() as stack:
                    try:
                        stack.enter_context(hold(folder / ".lock"))
                    except ValueError:  # another process writes; it may be killed, then the next look takes over
                        if time.monotonic() - began > PATIENCE_S:
                            raise
                        continue
                    if not _whole(folder, ids):
                        self._make(folder, sources, ids)
        except OSError as error:
            raise ValueError(
                f"data={self.name}: pictures in '{folder}': {os_message(error)}; what is there is whole: the same "
                "command goes on"
            ) from error
        return folder

    def _ids(self, part: str) -> list[str]:
        return [f"{part}_{number:04d}" for number in range(self.counts[part])]

    def _sources(self, part: str) -> dict[str, Any]:
        """What pictures of a part may be made of: ``scenes`` and, by the name of the class, photos or cloths."""
        found: dict[str, Any] = {"scenes": self._pairs(self.scenes, part)}
        for class_name, folders in self.cutouts.items():
            found[class_name] = [pair for node in folders for pair in self._pairs(node, part)]
        cloths, faults = index("image", [str(self.photos)], SUFFIXES, None)
        for fault in faults:
            if fault.kind == "folder":
                raise data_missing(self.name, self.about, "folder of cloths", fault.places[0])
            raise ValueError(f"data={self.name}: two files '{' '.join(fault.names)}': {' and '.join(fault.places)}")
        for class_name, parts in self.fabrics.items():
            stems = [str(stem) for stem in parts[part]]
            if gone := sorted(set(stems) - cloths.keys()):
                raise ValueError(f"data={self.name}: {some(gone)} of data.source.fabrics not in '{self.photos}'")
            found[class_name] = [cloths[stem] for stem in stems]
        return found

    def _pairs(self, node: Mapping[str, Any], part: str) -> list[FilePair]:
        about = {key: value for key, value in self.about.items() if key != "counts"}
        options = {key: value for key, value in node.items() if key != "leave_out"}
        left_out = {str(stem) for stem in node.get("leave_out") or ()}
        return [pair for pair in Pairs(name=self.name, about=about, **options).items(part) if pair.id not in left_out]

    def _key(self, sources: Mapping[str, Mapping[str, Any]]) -> str:
        """Twenty hexadecimal digits: options and contents of all files that pictures may be made of."""
        digest = hashlib.sha256(repr((VERSION, self.classes, self.counts, self.size, self.seed)).encode())
        for part in PARTS:
            for kind, files in sources[part].items():
                digest.update(f"{part} {kind} {len(files)}\n".encode())
                for file in files:
                    digest.update(file.fingerprint() if isinstance(file, FilePair) else hash_files((file,)))
        return digest.hexdigest()[:20]

    def _make(self, folder: Path, sources: Mapping[str, Mapping[str, Any]], ids: Mapping[str, Sequence[str]]) -> None:
        log.info("data=%s: %d pictures are composed in '%s'", self.name, sum(self.counts.values()), folder)
        told: dict[str, Any] = {}
        for part in PARTS:
            for plan in plans_of(
                part, sources[part], ids[part], classes=self.classes, size=self.size, seed=self.seed, name=self.name
            ):
                told[plan.id] = {
                    "scene": plan.scene.id,
                    "objects": [
                        [self.classes[label], photo.id if isinstance(photo, FilePair) else photo.stem]
                        for label, photo in zip(plan.classes, plan.photos, strict=True)
                    ],
                }
                places = _places(folder, plan.id)
                if not all(map(_is_there, places)):
                    _save(places, *draw(plan, self.size))
        for part in PARTS:
            write_atomic(folder / f"ImageSets/Segmentation/{LISTS[part]}.txt", "\n".join(ids[part]) + "\n")
        write_atomic(folder / "collage.json", json.dumps({"classes": self.classes, "pictures": told}, indent=1) + "\n")


def _places(folder: Path, name: str) -> tuple[Path, Path]:
    return folder / f"JPEGImages/{name}.jpg", folder / f"SegmentationClass/{name}.png"


def _is_there(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0  # empty: the power went before the content reached the disk


def _whole(folder: Path, ids: Mapping[str, Sequence[str]]) -> bool:
    """Whether every file is there; ``collage.json`` is written last."""
    pictures = [place for names in ids.values() for name in names for place in _places(folder, name)]
    lists = [folder / f"ImageSets/Segmentation/{name}.txt" for name in LISTS.values()]
    return all(map(_is_there, (folder / "collage.json", *lists, *pictures)))


def _save(places: tuple[Path, Path], image: np.ndarray, labels: np.ndarray) -> None:
    """Write photo and label map, each whole or not at all."""
    indexed = Image.fromarray(labels, mode="P")
    indexed.putpalette(class_palette().tobytes())
    for place, picture, options in ((places[0], Image.fromarray(image), JPEG), (places[1], indexed, {})):
        place.parent.mkdir(parents=True, exist_ok=True)
        with replacing(place) as temporary:
            picture.save(temporary, format="PNG" if place.suffix == ".png" else "JPEG", **options)
