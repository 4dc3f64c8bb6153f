"""Folders of maps and masks to pairs of files with one stem, and short names for the folders.

Example: ``python -c "from seglab.scoring.folders import file_name; print(file_name('ours (v2)'))"``
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from seglab.scoring.faults import Fault, Faults
from seglab.scoring.measured import MapFile, Reads
from seglab.scoring.scales import Files, Scanned, first, scan
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
        maps: method -> key -> file in its folder, or one file a scale.
        unmatched: files without a partner: method, stem, :data:`NO_MASK` or :data:`NO_MAP`.
        left_out: a line on each kind of them where they are skipped, for the log and the table.
        scales: method -> folders of its scales, in order, for methods that have some.
    """

    gt: Path
    methods: dict[str, Path]
    masks: dict[str, str]
    maps: dict[str, dict[str, Files]]
    unmatched: tuple[tuple[str, str, str], ...] = ()
    left_out: tuple[str, ...] = ()
    scales: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def paths(self, method: str, key: str) -> MapFile:
        """The file of a map, or one a scale."""
        files, folder = self.maps[method][key], self.methods[method]
        return folder / files if isinstance(files, str) else tuple(folder / file for file in files)

    @property
    def stems(self) -> list[str]:
        """Keys of the masks that have a map of at least one method, sorted."""
        return [stem for stem in self.masks if any(stem in files for files in self.maps.values())]


def gather(
    pred: Sequence[str],
    gt: str,
    *,
    missing: str,
    names: Sequence[str] | None,
    faults: Faults,
    reads: Reads,
) -> Work:
    """Find what is to be scored.

    Args:
        pred: folders of maps, one a method.
        gt: folder of masks.
        missing: ``error`` or ``skip``: what becomes of a file without a partner.
        names: names of the methods; None = after their folders.
        faults: takes up duplicates and files without a partner.
        reads: which files are maps and masks.

    Returns:
        The pairs.

    Raises:
        ValueError: a folder is absent, has no images, is given twice, or has no name in common with the masks.
    """
    methods = _methods(pred, names)
    truth = scan(gt, key="gt", suffixes=reads.truth)
    faults.extend(truth.faults)
    masks = {key: first(files) for key, files in truth.files.items()}
    maps, unmatched, lines, scales = {}, [], [], {}
    for name, folder in methods.items():
        if folder.resolve() == Path(gt).resolve():
            raise ValueError(f"pred={folder} and gt={gt} are one folder: expected maps and masks apart")
        found = scan(folder, key="pred", suffixes=reads.maps, scales=reads.scales)
        faults.extend(found.faults)
        files = found.files
        stray, bare = [s for s in files if s not in masks], [s for s in masks if s not in files]
        if len(stray) == len(files) and not any(s in masks for s in found.partial):
            raise ValueError(
                f"no file of pred={folder} has the name of one in gt={gt}: maps are called {_few(files)}, masks "
                f"{_few(masks)}; expected one stem for map and mask"
            )
        if missing == "error":
            faults.extend(Fault("no mask", f"{folder / first(files[s])}") for s in stray)
            faults.extend(
                Fault("no map", f"{Path(gt) / masks[s]} has none in {_places(folder, found, s)}") for s in bare
            )
        for held, keys, what in ((files, stray, NO_MASK), (masks, bare, NO_MAP)):
            stems = [Path(first(held[key])).stem for key in keys]
            unmatched += [(name, stem, what) for stem in stems]
            if stems and missing == "skip":
                lines.append(f"{name}: {some(stems)} {what.partition(' ')[2]} left out")
        maps[name] = {s: file for s, file in files.items() if s in masks}
        if not maps[name] and missing == "skip":
            raise ValueError(
                f"pred={folder}: no mask has a map in all of {', '.join(found.scales)}; expected files of one stem in "
                "every folder, one a scale"
            )
        scales |= {name: found.scales} if found.scales else {}
    return Work(Path(gt), methods, masks, maps, tuple(unmatched), tuple(lines), scales)


def _methods(pred: Sequence[str], names: Sequence[str] | None) -> dict[str, Path]:
    """Name -> folder of every method; their files will have different names."""
    folders = [Path(folder) for folder in pred]
    if not folders:
        raise ValueError("pred is empty: expected a folder of maps, or several: pred=[a,b]")
    methods = dict(zip(method_names(folders, names), folders, strict=True))
    taken = ["table.csv", LEFT_OUT, *(f"{file_name(n)}{end}.csv" for n in methods for end in ("", "-curves"))]
    if len(set(taken)) < len(taken):
        raise ValueError(f"methods {', '.join(methods)}: two files would have one name; give them others: names=[...]")
    return methods


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


def _few(files: Mapping[str, Files]) -> str:
    return ", ".join(first(file) for file in list(files.values())[:2])


def _places(folder: Path, found: Scanned, key: str) -> str:
    """Where the map of a mask is missing."""
    return ", ".join(str(folder / scale) for scale in found.partial.get(key, ())) or str(folder)
