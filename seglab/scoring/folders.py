"""Folders of maps and masks to pairs of files with one stem, and short names for the folders.

Example: ``python -c "from seglab.scoring.folders import scan; print(len(scan('masks', key='gt')[0]))"``
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seglab.data.files import SUFFIXES
from seglab.scoring.faults import Fault, Faults
from seglab.words import some

GENERIC = ("mask", "masks", "gt", "gts", "groundtruth", "ground_truth", "labels", "annotations", "segmentationclass")
"""Folder names that do not say which data set they belong to."""

NO_MASK, NO_MAP = "map without a mask", "mask without a map"
LEFT_OUT = "left_out.csv"
"""List of the files without a partner, beside the table."""


@dataclass(frozen=True)
class Work:
    """What is to be scored.

    Attributes:
        gt: folder of the masks.
        methods: name -> folder of its maps.
        masks: key -> file name in ``gt``, sorted by stem; a key is a stem in Unicode's composed form.
        maps: method -> key -> file name in its folder.
        unmatched: files without a partner: method, stem, :data:`NO_MASK` or :data:`NO_MAP`.
        left_out: a line on each kind of them where they are skipped, for the log and the table.
    """

    gt: Path
    methods: dict[str, Path]
    masks: dict[str, str]
    maps: dict[str, dict[str, str]]
    unmatched: tuple[tuple[str, str, str], ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def stems(self) -> list[str]:
        """Keys of the masks that have a map of at least one method, sorted."""
        return [stem for stem in self.masks if any(stem in files for files in self.maps.values())]


def gather(pred: Sequence[str], gt: str, *, missing: str, names: Sequence[str] | None, faults: Faults) -> Work:
    """Find what is to be scored.

    Args:
        pred: folders of maps, one a method.
        gt: folder of masks.
        missing: ``error`` or ``skip``: what becomes of a file without a partner.
        names: names of the methods; None = after their folders.
        faults: takes up duplicates and files without a partner.

    Returns:
        The pairs.

    Raises:
        ValueError: a folder is absent, has no images, is given twice, or has no name in common with the masks.
    """
    folders = [Path(folder) for folder in pred]
    if not folders:
        raise ValueError("pred is empty: expected a folder of maps, or several: pred=[a,b]")
    methods = dict(zip(method_names(folders, names), folders, strict=True))
    taken = ["table.csv", LEFT_OUT, *(f"{file_name(n)}{end}.csv" for n in methods for end in ("", "-curves"))]
    if len(set(taken)) < len(taken):
        raise ValueError(f"methods {', '.join(methods)}: two files would have one name; give them others: names=[...]")
    masks, twice = scan(gt, key="gt")
    faults.extend(twice)
    maps, unmatched, lines = {}, [], []
    for name, folder in methods.items():
        if folder.resolve() == Path(gt).resolve():
            raise ValueError(f"pred={folder} and gt={gt} are one folder: expected maps and masks apart")
        maps[name], twice = scan(folder, key="pred")
        faults.extend(twice)
        stray, bare = [s for s in maps[name] if s not in masks], [s for s in masks if s not in maps[name]]
        if len(stray) == len(maps[name]):
            raise ValueError(
                f"no file of pred={folder} has the name of one in gt={gt}: maps are called {_few(maps[name])}, masks "
                f"{_few(masks)}; expected one stem for map and mask"
            )
        if missing == "error":
            faults.extend(Fault("no mask", f"{folder / maps[name][s]}") for s in stray)
            faults.extend(Fault("no map", f"{Path(gt) / masks[s]} has none in {folder}") for s in bare)
        for files, keys, what in ((maps[name], stray, NO_MASK), (masks, bare, NO_MAP)):
            stems = [Path(files[key]).stem for key in keys]
            unmatched += [(name, stem, what) for stem in stems]
            if stems and missing == "skip":
                lines.append(f"{name}: {some(stems)} {what.partition(' ')[2]} left out")
        maps[name] = {s: file for s, file in maps[name].items() if s in masks}
    return Work(Path(gt), methods, masks, maps, tuple(unmatched), tuple(lines))


def scan(folder: str | Path, *, key: str) -> tuple[dict[str, str], list[Fault]]:
    """The image files of a folder, not of those below it.

    Args:
        folder: where to look.
        key: config key that names it, for the message.

    Returns:
        Stem -> file name, sorted by stem; and a fault for every stem that several files have. The keys are in
        Unicode's composed form (NFC): one name typed on two systems can differ in its bytes.

    Raises:
        ValueError: no such folder, or no image in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        above = next((p for p in folder.absolute().parents if p.is_dir()), folder)
        beside = sorted(p.name for p in above.iterdir() if p.is_dir() and not p.name.startswith("."))
        hint = f"; {above} holds {', '.join(beside[:8])}" if beside and not folder.exists() else ""
        raise ValueError(f"{key}={folder} {what}: expected a folder of images{hint}")
    files: dict[str, str] = {}
    other, below, faults = [], [], []
    with os.scandir(folder) as entries:
        for name, is_dir in sorted((entry.name, entry.is_dir()) for entry in entries):
            if name.startswith("."):
                continue
            if is_dir:
                below.append(name)
            elif not name.lower().endswith(SUFFIXES):
                other.append(name)
            elif (stem := unicodedata.normalize("NFC", Path(name).stem)) in files:
                same = Path(files[stem]).stem == Path(name).stem
                shown = [file if same else ascii(file)[1:-1] for file in (files[stem], name)]  # else they look alike
                faults.append(Fault("duplicate", f"{folder}: {' and '.join(shown)}"))
            else:
                files[stem] = name
    if not files:
        found = [f"the folders {', '.join(below[:5])}"] if below else []
        found += [f"{some(other)}"] if other else []
        raise ValueError(
            f"{key}={folder} has no image ({' '.join(SUFFIXES)}); it holds {' and '.join(found) or 'nothing'}"
        )
    return dict(sorted(files.items(), key=lambda item: Path(item[1]).stem)), faults


def method_names(folders: Sequence[Path], names: Sequence[str] | None = None) -> list[str]:
    """Names of the methods: those given, or the folders' own, with as many above as it takes to tell them apart.

    Raises:
        ValueError: names given twice, too few or too many, or one folder twice.
    """
    whole = [folder.resolve() for folder in folders]
    if len(set(whole)) < len(whole):
        raise ValueError(f"pred names a folder twice: {', '.join(map(str, folders))}")
    if names is not None:
        if len(names) != len(folders) or len(set(names)) < len(names) or not all(file_name(n) for n in names):
            raise ValueError(
                f"names={list(names)}: expected {len(folders)} different names, one for each folder of pred"
            )
        return [str(name) for name in names]
    for depth in range(1, max(len(path.parts) for path in whole) + 1):
        short = ["-".join(part for part in path.parts[-depth:] if part != path.anchor) for path in whole]
        if len({file_name(name) for name in short}) == len(short):
            return short
    return [f"{i + 1}-{name}" for i, name in enumerate(short)]


def set_name(gt: Path) -> str:
    """Name of a data set after the folder of its masks, or the one above it where that name says nothing."""
    whole = gt.resolve()
    return whole.parent.name if whole.name.lower() in GENERIC and whole.parent.name else whole.name


def file_name(name: str) -> str:
    """A name as a file can have it."""
    kept = "".join(sign if sign.isalnum() or sign in "-_.+ " else "-" for sign in str(name))
    return kept.strip(" .")


def _few(files: dict[str, str]) -> str:
    return ", ".join(list(files.values())[:2])
