"""Photos of one class, out of a data set of several: the training data of a network for that class.

The regularized loss needs photos that hold an object of one class and nothing else that is asked for. PascalSingle are
the photos of the augmented VOC training set with exactly one of the twenty classes; the object is that class. Masks are
there for measuring; a loss that reads none never sees them.

Source: Veksler, "Regularized loss for weakly supervised single class semantic segmentation", section on semantic
segmentation (about 5000 photos; EQUATIONS 3.7).

One runnable line: ``python -c "from seglab.config import compose; from seglab.targets import instantiate;
print(len(instantiate(compose('evaluate', ['run=none', 'data=pascal_single']).data.source).items('train')))"``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seglab.data.class_index import classes_of
from seglab.data.pairing import PARTS
from seglab.data.region_labels import IGNORE
from seglab.data.voc_semantic import ClassPhoto, VocSemantic
from seglab.words import nearest


@dataclass(frozen=True)
class OneClassPhoto:
    """A photo whose object is one of its classes.

    Attributes:
        photo: the photo with all its classes.
        label: number of the class that is the object.
    """

    photo: ClassPhoto
    label: int

    @property
    def id(self) -> str:
        """Name of the photo."""
        return self.photo.id

    @property
    def image(self) -> Path:
        """Image file."""
        return self.photo.image

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """Image uint8 [H,W,3] RGB and mask uint8 [H,W]: 1 the class, 0 all others, 255 ignored.

        Raises:
            ValueError: see :meth:`seglab.data.voc_semantic.ClassPhoto.read`.
        """
        image, labels = self.photo.read()
        return image, np.where(labels == IGNORE, IGNORE, labels == self.label).astype(np.uint8)

    def fingerprint(self) -> bytes:
        """Hash of both files and of the class."""
        return self.photo.fingerprint() + bytes([self.label])


class SingleClass:
    """Photos of one class.

    Args:
        of: the data set with all classes; its class 0 is the background.
        category: the class that is the object.
        index: folder where it is kept which classes a photo holds, see :func:`seglab.data.class_index.classes_of`;
            null = nowhere.
        name: name of the data set in messages.

    Raises:
        ValueError: no such class.
    """

    has_negatives = True

    def __init__(self, of: VocSemantic, *, category: str, index: str | None = None, name: str = "") -> None:
        offered, category = of.classes[1:], str(category)
        if category not in offered:
            raise ValueError(f"data.category={category}: no such class{nearest(category, offered)}")
        self.of, self.category, self.label = of, category, of.classes.index(category)
        self.folder, self.name = Path(index) if index else None, name or of.name

    def items(self, part: str) -> list[OneClassPhoto]:
        """The photos of a part.

        ``"train"``: the training photos with this class and no other; ``"test"``: the test photos with this class,
        others are background there; ``"negative"``: the training photos with exactly one other class.

        Raises:
            ValueError: no such part, no photo in it, or files missing.
        """
        if part not in (*PARTS, "negative"):
            raise ValueError(f"part={part!r}: data={self.name} has the parts train, test and negative")
        photos = self.of.items("test" if part == "test" else "train")
        found = classes_of(photos, folder=self.folder, name=self.name)
        chosen = [photo for photo in photos if self._fits(part, [c for c in found[photo.id] if c])]
        if not chosen:
            raise ValueError(
                f"data={self.name}: none of {len(photos)} photos of {self.of.name} belongs to the {part} part of the "
                f"category {self.category}: expected one or more"
            )
        return [OneClassPhoto(photo, self.label) for photo in chosen]

    def _fits(self, part: str, classes: Sequence[int]) -> bool:
        if part == "test":
            return self.label in classes
        return len(classes) == 1 and (classes[0] == self.label) == (part == "train")
