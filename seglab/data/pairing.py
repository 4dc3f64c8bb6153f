"""Which image belongs to which mask, and to which part: a full account of what matches and of what does not.

Nothing is raised at the first fault: :class:`seglab.data.pairs.Pairs` refuses the first one it is given, the audit
tells them all. Nothing is left out in silence either: every file of a known type is in a pair, or in a fault.

One runnable line: ``python -c "from seglab.data.pairing import Layout, account;
print(account(Layout('photos', 'masks', split='8:2')).faults)"``.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from seglab.data.files import SUFFIXES
from seglab.data.lists import read_list
from seglab.data.rng import permutation
from seglab.words import some

PARTS = ("train", "test")

OTHER_FORM = "the same name in another Unicode form (NFC, NFD)"


@dataclass(frozen=True)
class Layout:
    """Where images and masks lie and how they are divided; see :class:`seglab.data.pairs.Pairs` for the options."""

    images: Any
    masks: Any
    lists: Mapping[str, str | None] = field(default_factory=dict)
    split: str | None = None
    split_seed: int = 0
    folders: Sequence[str] | None = None
    image_types: tuple[str, ...] = SUFFIXES
    mask_types: tuple[str, ...] = SUFFIXES


@dataclass(frozen=True)
class Match:
    """An image with its mask; one of the two is None where the other is alone.

    Attributes:
        id: name, unique in the data set: the stem, after the class folder where there are such.
        image: image file.
        mask: mask file.
    """

    id: str
    image: Path | None
    mask: Path | None


@dataclass(frozen=True)
class Fault:
    """Something that does not match.

    Attributes:
        kind: ``list missing``, ``list`` (broken), ``both`` (in two lists), ``folder`` (missing), ``double`` (two
            files of one stem), ``bare`` (image without a mask), ``orphan`` (mask without an image), ``empty`` (no
            pair at all), ``absent`` (listed, but not there), ``split`` (a ratio that leaves a part empty).
        what: ``image`` or ``mask`` of a folder or double stem, the part of a list, the message of a broken list,
            the number of pairs that were to be split.
        names: stems or ids it is about.
        places: the folders, lists or files it is about.
        files: the lone files of ``bare`` and ``orphan``, as matches with one side empty.
        alike: those of the names that are there in another Unicode form.
    """

    kind: str
    what: str = ""
    names: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    files: tuple[Match, ...] = ()
    alike: tuple[str, ...] = ()

    @property
    def hint(self) -> str:
        """What to add to a message: names that look the same and do not match; mostly empty."""
        return f"; {some(self.alike)}: {OTHER_FORM} is there, rename one of the two" if self.alike else ""


@dataclass
class Account:
    """What was found.

    Attributes:
        parts: the pairs of every part; a part whose division failed holds what could be found.
        faults: all that does not match, in the order in which it was found.
    """

    parts: dict[str, list[Match]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)


def account(layout: Layout, part: str | None = None) -> Account:
    """Look at folders and lists, and match them.

    Args:
        layout: where to look.
        part: the part to look at, where ``layout.images`` has a folder for each; otherwise all are looked at.
    """
    if isinstance(layout.images, Mapping):
        pairs, faults = scan(layout, layout.images[part], layout.masks[part], None)
        if not pairs:
            faults.append(Fault("empty", part or "", places=tuple(_in(layout.images[part], None))))
        return Account({str(part): pairs}, faults)
    names, faults = read_lists(layout.lists)
    wanted = {n for stems in names.values() for n in stems} if _all_listed(layout) else None
    pairs, found = scan(layout, layout.images, layout.masks, wanted)
    faults += found
    if not pairs:
        listed = [name for stems in names.values() for name in stems]
        alike = in_another_form(listed, _images(layout))
        faults.append(Fault("empty", places=tuple(_in(layout.images, None)), alike=alike))
        return Account({part: [] for part in PARTS}, faults)
    if any(layout.lists.values()):
        parts, found = by_lists(pairs, names, layout.lists)
        found = [replace(fault, alike=in_another_form(fault.names, _images(layout))) for fault in found]
    else:
        parts, found = by_split(pairs, str(layout.split), layout.split_seed)
    return Account(parts, faults + found)


def _images(layout: Layout) -> list[str]:
    return [place for folder in layout.folders or (None,) for place in _in(layout.images, folder)]


def _all_listed(layout: Layout) -> bool:
    # Both parts are lists of stems: a folder may hold other files, those of a larger data set.
    return len([path for path in layout.lists.values() if path]) == 2 and not layout.folders


def read_lists(lists: Mapping[str, str | None]) -> tuple[dict[str, list[str]], list[Fault]]:
    """The stems of every list, and what is wrong with them; of a list with a name twice each name is taken once."""
    names: dict[str, list[str]] = {}
    faults: list[Fault] = []
    for part, path in lists.items():
        if not path:
            continue
        if not Path(path).is_file():
            faults.append(Fault("list missing", part, places=(str(path),)))
            continue
        try:
            names[part] = read_list(path)
        except ValueError as error:
            faults.append(Fault("list", str(error), places=(str(path),)))
            names[part] = _readable(path)
    if len(names) == 2:
        first, second = names
        there = set(names[second])
        if both := tuple(n for n in names[first] if n in there):
            faults.append(Fault("both", names=both, places=(str(lists[first]), str(lists[second]))))
    return names, faults


def _readable(path: str) -> list[str]:
    """What can be read of a list that :func:`seglab.data.lists.read_list` refuses."""
    words = [line.strip() for line in Path(path).read_text(encoding="utf-8-sig", errors="replace").splitlines()]
    stems = [Path(word).stem if word.lower().endswith(SUFFIXES) else word for word in words if word]
    return list(dict.fromkeys(stems))


def scan(layout: Layout, images: Any, masks: Any, wanted: set[str] | None) -> tuple[list[Match], list[Fault]]:
    """Match stems of image and mask folders; with ``wanted``, only those stems."""
    pairs: list[Match] = []
    faults: list[Fault] = []
    for folder in layout.folders or (None,):
        photos, odd_photos = index("image", _in(images, folder), layout.image_types, wanted)
        labels, odd_labels = index("mask", _in(masks, folder), layout.mask_types, wanted)
        faults += odd_photos + odd_labels
        prefix = f"{folder}_" if folder else ""
        both = [Match(prefix + stem, photos.get(stem), labels.get(stem)) for stem in sorted({*photos, *labels})]
        pairs += [match for match in both if match.image and match.mask]
        if any(fault.kind == "folder" for fault in odd_photos + odd_labels):
            continue  # without the folder nothing in the other one can have a partner
        for kind, lone, places in (
            ("bare", [m for m in both if not m.mask], _in(masks, folder)),
            ("orphan", [m for m in both if not m.image], _in(images, folder)),
        ):
            if lone:
                stems = tuple(m.id.removeprefix(prefix) for m in lone)
                alike = in_another_form(stems, places)
                faults.append(Fault(kind, names=stems, places=tuple(places), files=tuple(lone), alike=alike))
    return pairs, faults


def in_another_form(names: Iterable[str], places: Iterable[str]) -> tuple[str, ...]:
    """Those names that folders hold letter for letter, but not sign for sign; they do not match.

    Unicode writes a letter with an accent as one sign (NFC) or as two (NFD), and systems differ in which they store.
    """
    names = [name for name in names if not name.isascii()]
    if not names:
        return ()
    stems = {path.stem for place in places if Path(place).is_dir() for path in Path(place).iterdir()}
    forms = {unicodedata.normalize("NFC", stem) for stem in stems}
    return tuple(name for name in names if name not in stems and unicodedata.normalize("NFC", name) in forms)


def index(
    kind: str, places: Sequence[str], types: tuple[str, ...], wanted: set[str] | None
) -> tuple[dict[str, Path], list[Fault]]:
    """Stem -> file of the known types in one or several folders; of two files of one stem the first."""
    files: dict[str, Path] = {}
    faults: list[Fault] = []
    for place in places:
        if not Path(place).is_dir():
            faults.append(Fault("folder", kind, places=(place,)))
            continue
        for path in sorted(Path(place).iterdir()):
            if path.suffix.lower() not in types or path.name.startswith("."):
                continue
            if wanted is not None and path.stem not in wanted:
                continue
            if path.stem in files:
                faults.append(Fault("double", kind, (path.stem,), (str(files[path.stem]), str(path))))
                continue
            files[path.stem] = path
    return files, faults


def by_lists(
    pairs: Sequence[Match], names: Mapping[str, Sequence[str]], lists: Mapping[str, str | None]
) -> tuple[dict[str, list[Match]], list[Fault]]:
    """Divide by lists, in their order; a part without a list is the rest."""
    known = {pair.id: pair for pair in pairs}
    parts: dict[str, list[Match]] = {}
    faults = []
    for part, stems in names.items():
        if gone := tuple(n for n in stems if n not in known):
            faults.append(Fault("absent", part, gone, (str(lists[part]),)))
        parts[part] = [known[n] for n in stems if n in known]
    taken = {n for stems in names.values() for n in stems}
    for part in PARTS:
        if part not in parts:
            # A list that is named but missing has no part: its images are nobody's, least of all the rest.
            parts[part] = [] if lists.get(part) else [pair for pair in pairs if pair.id not in taken]
    return parts, faults


def by_split(pairs: Sequence[Match], split: str, seed: int) -> tuple[dict[str, list[Match]], list[Fault]]:
    """Everything is one part, or a ratio such as ``6:4``, drawn by a seed."""
    if split in PARTS:
        return {part: list(pairs) if part == split else [] for part in PARTS}, []
    first, second = map(int, split.split(":"))
    order = permutation(len(pairs), seed, "split")
    count = round(Fraction(first, first + second) * len(pairs))
    rows = {"train": sorted(order[:count]), "test": sorted(order[count:])}
    faults = [] if all(rows.values()) else [Fault("split", str(len(pairs)))]
    return {part: [pairs[i] for i in numbers] for part, numbers in rows.items()}, faults


def _in(paths: Any, folder: str | None) -> list[str]:
    many = [paths] if isinstance(paths, str | Path) else list(paths)
    return [str(p).replace("{folder}", folder) if folder else str(p) for p in many]
