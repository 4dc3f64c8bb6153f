"""Folders of files by stem: files of a folder, or of the folders in it, one a scale.

Example: ``python -c "from seglab.scoring.scales import natural; print(sorted(['k20', 'k5'], key=natural))"``
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from seglab.data.files import SUFFIXES
from seglab.scoring.faults import Fault
from seglab.words import some

Files = str | tuple[str, ...]
"""A file name, or one a scale: ``k05/2092.png``."""


@dataclass
class Scanned:
    """What a folder holds.

    Attributes:
        files: stem -> file or files, sorted by stem. Stems are in Unicode's composed form (NFC): one name typed on two
            systems can differ in its bytes.
        partial: stem -> scales that lack it, for stems that only some scales have.
        scales: folders of the scales, in order; empty where the files lie in the folder itself.
        faults: one for every stem that several files of a folder have.
    """

    files: dict[str, Files] = field(default_factory=dict)
    partial: dict[str, list[str]] = field(default_factory=dict)
    scales: tuple[str, ...] = ()
    faults: list[Fault] = field(default_factory=list)


def scan(folder: str | Path, *, key: str, suffixes: Sequence[str] = SUFFIXES, scales: bool = False) -> Scanned:
    """The files of a folder; where it has none and ``scales`` is true, those of the folders in it.

    Args:
        folder: where to look.
        key: config key that names it, for the message.
        suffixes: of the files, in lower case.
        scales: take the folders in it as scales.

    Raises:
        ValueError: no such folder, or no such file in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        above = next((p for p in folder.absolute().parents if p.is_dir()), folder)
        beside = sorted(p.name for p in above.iterdir() if p.is_dir() and not p.name.startswith("."))
        hint = f"; {above} holds {', '.join(beside[:8])}" if beside and not folder.exists() else ""
        raise ValueError(f"{key}={folder} {what}: expected a folder of images{hint}")
    found, other, below = _files(folder, suffixes)
    if not found.files and scales and below:
        found = _of_scales(folder, sorted(below, key=natural), suffixes)
    if not found.files and not found.partial:
        held = [f"the folders {', '.join(below[:5])}"] if below else []
        held += [f"{some(other)}"] if other else []
        what = "image" if ".mat" not in suffixes else "image and no MATLAB file"
        matlab = ".mat" not in suffixes and any(name.lower().endswith(".mat") for name in other)
        hint = "; for MATLAB files of BSDS: protocol=bsds_regions or bsds_boundaries" if matlab else ""
        raise ValueError(
            f"{key}={folder} has no {what} ({' '.join(suffixes)}); it holds {' and '.join(held) or 'nothing'}{hint}"
        )
    found.files = dict(sorted(found.files.items(), key=lambda item: Path(first(item[1])).stem))
    return found


def first(files: Files) -> str:
    """A file, or that of the first scale."""
    return files if isinstance(files, str) else files[0]


def natural(name: str) -> list[tuple[int, float, str]]:
    """Order in which k5 is before k20, and 0.05 before 0.1."""
    parts = re.split(r"(\d+(?:\.\d+)?)", name)
    return [(0, float(part), "") if i % 2 else (1, 0.0, part) for i, part in enumerate(parts) if part]


def _of_scales(folder: Path, names: Sequence[str], suffixes: Sequence[str]) -> Scanned:
    scanned = {name: _files(folder / name, suffixes)[0] for name in names}
    scanned = {name: one for name, one in scanned.items() if one.files}
    result = Scanned(scales=tuple(scanned), faults=[fault for one in scanned.values() for fault in one.faults])
    for stem in dict.fromkeys(stem for one in scanned.values() for stem in one.files):
        lacking = [name for name, one in scanned.items() if stem not in one.files]
        if lacking:
            result.partial[stem] = lacking
        else:
            result.files[stem] = tuple(f"{name}/{one.files[stem]}" for name, one in scanned.items())
    return result


def _files(folder: Path, suffixes: Sequence[str]) -> tuple[Scanned, list[str], list[str]]:
    """Files of a folder, names of its other files, and names of its folders."""
    found, other, below = Scanned(), [], []
    with os.scandir(folder) as entries:
        for name, is_dir in sorted((entry.name, entry.is_dir()) for entry in entries):
            if name.startswith("."):
                continue
            if is_dir:
                below.append(name)
            elif not name.lower().endswith(tuple(suffixes)):
                other.append(name)
            elif (stem := unicodedata.normalize("NFC", Path(name).stem)) in found.files:
                earlier = first(found.files[stem])
                same = Path(earlier).stem == Path(name).stem
                shown = [file if same else ascii(file)[1:-1] for file in (earlier, name)]  # else they look alike
                found.faults.append(Fault("duplicate", f"{folder}: {' and '.join(shown)}"))
            else:
                found.files[stem] = name
    return found, other, below
