"""Which photos a person means by a file, a folder, a pattern or a list of them, and the name each result gets.

One runnable line: ``python -c "from seglab.predicting.inputs import find_photos; print(len(find_photos('photos')))"``.
"""

from __future__ import annotations

import glob
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from seglab.data.files import SUFFIXES
from seglab.words import some

log = logging.getLogger(__name__)

_WILD = set("*?[")


@dataclass(frozen=True)
class Photo:
    """One photo to predict.

    Attributes:
        path: the file.
        name: name of its results without suffix, ``/`` between folders: the path below the folder that was asked for.
    """

    path: Path
    name: str


def find_photos(wanted: str | Sequence[str], *, recursive: bool = False) -> list[Photo]:
    """The photos of an input, in order of their names within each entry, every file once.

    Args:
        wanted: a file, a folder, a pattern (``*``, ``?``, ``[]``; ``**`` for sub-folders), or a list of these. A file
            named by itself may have any suffix; of a folder those of :data:`seglab.data.files.SUFFIXES` are taken.
            Names that begin with a dot are passed over.
        recursive: folders with their sub-folders.

    Raises:
        ValueError: nothing is there, or results of two photos would have one name.
    """
    entries = [wanted] if isinstance(wanted, str) else list(wanted)
    if not entries:
        raise ValueError("input=[]: expected an image, a folder or a pattern such as photos/*.jpg")
    found: dict[str, Photo] = {}
    for entry in entries:
        for path, root in _entry(str(entry), recursive):
            relative = Path(os.path.relpath(path, root))
            photo = Photo(path, (relative.parent / relative.stem).as_posix())
            found.setdefault(os.path.abspath(path), photo)
    photos = list(found.values())
    _check_names(photos)
    return photos


def _entry(entry: str, recursive: bool) -> Iterator[tuple[Path, Path]]:
    """Files of one entry, each with the folder its name counts from."""
    path = Path(entry).expanduser()
    if path.is_dir():
        yield from ((file, path) for file in _folder(path, recursive))
    elif path.is_file():
        yield path, path.parent
    elif _WILD & set(entry):
        yield from _pattern(entry, path, recursive)
    else:
        raise ValueError(f"input={entry}: no such file or folder; expected an image, a folder or a pattern")


def _pattern(entry: str, path: Path, recursive: bool) -> Iterator[tuple[Path, Path]]:
    """Files that a pattern fits; their names count from its part without wildcards."""
    parts = path.parts
    fixed = next(i for i, part in enumerate(parts) if _WILD & set(part))
    root = Path(*parts[:fixed])
    matches = sorted(glob.glob(str(path), recursive=True))
    files = [Path(m) for m in matches if m.lower().endswith(SUFFIXES) and os.path.isfile(m)]
    if not files:
        hint = f"{len(matches)} other names fit" if matches else "nothing fits"
        folders = [m for m in matches if os.path.isdir(m)]
        if folders:
            hint += f", {some(folders)} of them folders: name a folder without a pattern"
        raise ValueError(f"input={entry}: no image fits this pattern ({hint}); expected {', '.join(SUFFIXES)}")
    yield from ((file, root) for file in files)


def _folder(folder: Path, recursive: bool) -> list[Path]:
    """Image files of a folder, sorted."""
    files, others, deeper = [], 0, 0
    for at, folders, names in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for name in sorted(names):
            if name.startswith("."):
                continue
            if name.lower().endswith(SUFFIXES):
                files.append(Path(at) / name)
            else:
                others += 1
        if not recursive:
            deeper = len(folders)
            break
    if not files:
        seen = f"{others} other files" + (f", {deeper} sub-folders: recursive=true looks into them" if deeper else "")
        raise ValueError(f"input={folder}: no image in this folder ({seen}); expected {', '.join(SUFFIXES)}")
    if others:
        log.info("%s: %d files are no images by their names and are passed over", folder, others)
    return files


def _check_names(photos: Sequence[Photo]) -> None:
    first: dict[str, Photo] = {}
    clashes = []
    for photo in photos:
        # Some file systems do not tell A.png from a.png.
        other = first.setdefault(photo.name.casefold(), photo)
        if other is not photo:
            clashes.append(f"'{other.path}' and '{photo.path}'")
    if clashes:
        more = f"; {len(clashes) - 1} more such pairs" if len(clashes) > 1 else ""
        raise ValueError(
            f"input: {clashes[0]} would be written under one name{more}; rename one, or predict them in two commands "
            "with an output of their own"
        )
