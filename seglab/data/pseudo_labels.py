"""Pseudo-labels: label maps that somebody's networks made, to train a network of several classes on.

Two ways. ``runs``: for every category a finished run, a network that tells the object of that category from the rest;
it looks at the photos of its own category, and where its map is above one half the pixel gets the number of the class,
elsewhere the background. Masks of these photos are not read, not even to tell whether the photos are others.
``folder``: label maps anybody made, beside photos of the same stems. There is no test part: ``data.test_sets`` names
what is scored on.

Source: Veksler, "Regularized loss for weakly supervised single class semantic segmentation", ECCV 2020, the section on
semantic segmentation (EQUATIONS 3.7). Legend: H W pixels, K classes.

One runnable line: ``python -c "from seglab.data.pseudo_labels import PseudoLabels;
print(len(PseudoLabels(['none', 'a'], images='photos', folder='labels').items('train')))"``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seglab.data.content import check_sizes, hash_files
from seglab.data.files import read_labels
from seglab.data.pairing import Layout, scan
from seglab.data.pairs import data_missing
from seglab.data.photos import Photo, content_of, image_of
from seglab.data.sample import Item
from seglab.data.voc_semantic import check_classes, check_names
from seglab.words import nearest, some


@dataclass(frozen=True)
class PseudoLabelled:
    """A photo with a label map that was made of it.

    Attributes:
        id: name, unique in the data set.
        photo: the photo; its mask, where it has one, is not looked at.
        labels: palette or grey image of class numbers.
        classes: number of classes.
        made: whether the labels are made by seglab, and made again where they are gone.
    """

    id: str
    photo: Item
    labels: Path
    classes: int
    made: bool = False

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """Image uint8 [H,W,3] RGB and labels uint8 [H,W], 0..K-1 and 255 = ignored.

        Raises:
            ValueError: a file cannot be read, sizes differ, or a label is no class.
        """
        image = image_of(self.photo)
        try:
            labels = read_labels(self.labels)
        except ValueError as error:
            if not self.made:
                raise
            raise ValueError(
                f"label map '{self.labels}' is damaged: delete it, the same command makes it anew ({error})"
            ) from error
        check_sizes(image.shape, labels.shape, files=(getattr(self.photo, "image", Path(self.photo.id)), self.labels))
        check_classes(labels, self.classes, self.labels)
        return image, labels

    def fingerprint(self) -> bytes:
        """Hash of photo, labels and number of classes."""
        return content_of(self.photo) + hash_files((self.labels,), how=("pseudo-labels", self.classes))


class PseudoLabels:
    """Photos with label maps that were made, not drawn.

    Args:
        classes: names of the classes, the background first.
        photos: a data set with categories; the training photos of each are labelled by the run of the category.
        categories: category of each class but the first, in their order; null = the names of the classes.
        overrides: changes of that data set, e.g. ``["data.source.train=20"]``.
        runs: category -> name or id of a finished run below ``<runtime.outputs>/runs``; no path. On a command line one
            by one, ``data.source.runs.cow=<id>``, or ``data.source.runs={cow: <id>, horse: <id>}``.
        images: instead of ``photos`` and ``runs``: a folder of photos.
        folder: the folder of their label maps, of the same stems.
        batch_size: photos that go through a network at a time.
        runtime: ``data_root``, ``outputs``, ``device`` ... of this command; where label maps are written and how.
        name: name of the data set in messages.
        about: prose for messages: ``layout``, ``homepage``.

    Raises:
        ValueError: neither or both of the two ways, a category without a run, a run without a category, or a path.
    """

    def __init__(
        self,
        classes: Sequence[str],
        *,
        photos: str | None = None,
        categories: Sequence[str] | None = None,
        overrides: Sequence[str] = (),
        runs: Mapping[str, str] | None = None,
        images: str | None = None,
        folder: str | None = None,
        batch_size: int = 16,
        runtime: Mapping[str, Any] | None = None,
        name: str = "pseudo_labels",
        about: Mapping[str, Any] | None = None,
    ) -> None:
        self.classes, self.name, self.about = check_names(classes), name, about or {}
        self.photos, self.overrides, self.runtime = photos, list(overrides), dict(runtime or {})
        self.images, self.folder, self.batch_size = images, folder, batch_size
        self.categories = [str(c) for c in categories] if categories else self.classes[1:]
        if bool(images) != bool(folder) or bool(runs) == bool(folder) or (runs and not photos):
            raise ValueError(
                f"data={name}: expected either data.source.runs.<category>=<run> ... with data.source.photos=<a "
                "data set with categories>, or data.source.images=<folder of photos> with data.source.folder=<folder "
                "of their label maps>"
            )
        if len(self.categories) != len(self.classes) - 1:
            raise ValueError(
                f"data.source.categories={self.categories}: expected {len(self.classes) - 1}, one for each class but "
                f"the first of data.classes ({', '.join(self.classes)})"
            )
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"data.source.batch_size={batch_size}: expected a whole number, 1 or more")
        self.runs = self._check_runs(runs or {}) if not folder else {}

    def _check_runs(self, runs: Mapping[str, str]) -> dict[str, str]:
        for category, run in runs.items():
            if category not in self.categories:
                raise ValueError(f"data.source.runs.{category}: no such category{nearest(category, self.categories)}")
            # A path would make the same experiment another one on another machine.
            if not isinstance(run, str) or not run or "/" in run or run.startswith("."):
                raise ValueError(
                    f"data.source.runs.{category}={run}: expected the name or the id of a finished run below "
                    "<runtime.outputs>/runs, no path; an id of digits in quotes"
                )
        if without := [category for category in self.categories if category not in runs]:
            raise ValueError(f"data.source.runs: {some(without)} without a run: expected one for every category")
        return {category: runs[category] for category in self.categories}

    def items(self, part: str) -> list[PseudoLabelled]:
        """The photos with their label maps, category by category; maps that are missing are made.

        Every process of a training calls it; one writes, the others wait.

        Raises:
            ValueError: another part than ``"train"``; a run that is not there, not finished or of another task; a
                category without photos; a photo without a label map; two photos of one name.
        """
        if part != "train":
            raise ValueError(
                f"part={part!r}: data={self.name} has a training part only; score on other sets, by data.test_sets"
            )
        if self.folder:
            return self._from_folder()
        from seglab.predicting.label_maps import ClassRun, label_photos

        labellers = [
            ClassRun.find(run, category=category, label=label, runtime=self.runtime)
            for label, (category, run) in enumerate(self.runs.items(), 1)
        ]
        photos = [self._photos_of(category) for category in self.categories]  # all of them before the first is labelled
        items = []
        for labeller, found in zip(labellers, photos, strict=True):
            set_name = f"{self.photos}/{labeller.category}"
            places = label_photos(found, labeller, set_name=set_name, batch_size=self.batch_size)
            items += [
                PseudoLabelled(f"{labeller.category}_{photo.id}", photo, place, len(self.classes), made=True)
                for photo, place in zip(found, places, strict=True)
            ]
        if twice := sorted(name for name, count in Counter(item.id for item in items).items() if count > 1):
            raise ValueError(
                f"data={self.name}: {some(twice)} twice, after category and photo: expected other names of categories "
                "or photos"
            )
        return items

    def _photos_of(self, category: str) -> Sequence[Item]:
        from omegaconf import open_dict

        from seglab.config import compose
        from seglab.data.names import data_overrides
        from seglab.targets import instantiate

        cfg = compose("evaluate", ["run=none", *data_overrides(f"{self.photos}/{category}"), *self.overrides])
        with open_dict(cfg):
            cfg.runtime.update(self.runtime)
        found = instantiate(cfg.data.source).items("train")
        if not found:
            raise ValueError(f"data={cfg.data.name}: no training photo: expected one or more to be labelled")
        return found

    def _from_folder(self) -> list[PseudoLabelled]:
        pairs, faults = scan(Layout(self.images, self.folder), self.images, self.folder, None)
        for fault in faults:
            if fault.kind == "folder":
                what = "folder of photos" if fault.what == "image" else "folder of label maps"
                raise data_missing(self.name, self.about, what, fault.places[0])
            names, place = some(fault.names), fault.places[0]
            messages = {
                "bare": f"{names}: photo without a label map of the same stem in '{place}'",
                "orphan": f"{names}: label map without a photo of the same stem in '{place}'",
                "double": f"two {fault.what} files with the stem '{fault.names[0]}': {' and '.join(fault.places)}",
            }
            raise ValueError(f"data={self.name}: {messages[fault.kind]}{fault.hint}")
        if not pairs:
            raise ValueError(f"data={self.name}: no photo in '{self.images}'")
        return [PseudoLabelled(m.id, Photo(m.id, m.image), m.mask, len(self.classes)) for m in pairs]
