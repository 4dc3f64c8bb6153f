"""An image file with its mask file.

One runnable line: ``python -c "from pathlib import Path; from seglab.data.filepair import FilePair;
print(FilePair('a', Path('a.jpg'), Path('a.png')).read()[0].shape)"``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seglab.data.files import VERSION, read_image, read_mask


@dataclass(frozen=True)
class FilePair:
    """One image and its mask on disk.

    Attributes:
        id: name, unique in the data set.
        image: image file.
        mask: mask file.
        threshold: see :func:`seglab.data.files.read_mask`.
        values: see :func:`seglab.data.files.read_mask`.
    """

    id: str
    image: Path
    mask: Path
    threshold: float | None = None
    values: Mapping[int, int] | None = None

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """Image uint8 [H,W,3] RGB and mask uint8 [H,W], at their original size.

        Raises:
            ValueError: a file cannot be read, or the two sizes differ.
        """
        image = read_image(self.image)
        mask = read_mask(self.mask, threshold=self.threshold, values=self.values)
        if image.shape[:2] != mask.shape:
            raise ValueError(
                f"image '{self.image}' is {_size(image)} (width x height, upright after its EXIF tag), mask "
                f"'{self.mask}' is {_size(mask)}: expected the same size; known cases have corrected files at the "
                "data set's homepage"
            )
        return image, mask

    def fingerprint(self) -> bytes:
        """Hash of both files and of how they are read.

        Raises:
            ValueError: a file is missing.
        """
        digest = hashlib.sha256(repr((VERSION, self.threshold, sorted((self.values or {}).items()))).encode())
        for path in (self.image, self.mask):
            try:
                content = path.read_bytes()
            except OSError as error:
                raise ValueError(f"file '{path}' cannot be read ({error.strerror}): expected an image") from error
            digest.update(len(content).to_bytes(8, "little") + content)
        return digest.digest()


def _size(array: np.ndarray) -> str:
    return f"{array.shape[1]}x{array.shape[0]}"
