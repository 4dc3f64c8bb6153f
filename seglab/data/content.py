"""Files of an item: one hash of them all, one check that image and labels have one size.

One runnable line: ``python -c "from pathlib import Path; from seglab.data.content import hash_files;
print(hash_files([Path('a.jpg')], how=('class',)).hex())"``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seglab.data.files import VERSION


def hash_files(paths: Sequence[Path], *, how: Sequence[Any] = ()) -> bytes:
    """SHA-256 of files and of how they are read.

    Args:
        paths: the files, in an order that matters.
        how: options, plain types.

    Raises:
        ValueError: a file is missing or cannot be opened.
    """
    digest = hashlib.sha256(repr((VERSION, *how)).encode())
    for path in paths:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ValueError(f"file '{path}' cannot be read ({error.strerror}): expected a whole file") from error
        digest.update(len(content).to_bytes(8, "little") + content)
    return digest.digest()


def check_sizes(image: tuple[int, ...], labels: tuple[int, ...], *, files: tuple[Path, Path]) -> None:
    """Refuse labels of another size than their image.

    Args:
        image: height and width, more axes are passed over.
        labels: height and width.
        files: image file and label file, for the message.

    Raises:
        ValueError: they differ.
    """
    if image[:2] != labels[:2]:
        raise ValueError(
            f"image '{files[0]}' is {image[1]}x{image[0]} (width x height, upright after its EXIF tag), labels "
            f"'{files[1]}' are {labels[1]}x{labels[0]}: expected the same size"
        )
