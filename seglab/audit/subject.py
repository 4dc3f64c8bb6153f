"""What is audited: the images and masks of a data set, how its masks are read, and what is known of it beforehand.

One runnable line: ``python -c "from seglab.audit.subject import from_pairs; from seglab.data.pairs import Pairs;
print(len(from_pairs(Pairs('photos', masks='masks', split='8:2')).entries))"``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seglab.data.pairing import PARTS, Fault, account
from seglab.data.pairs import Pairs

MASKS = ("binary", "labels", "mat", "grades", "none")
"""Kinds of masks: two values as a saliency source reads them; class labels; BSDS annotations; grey maps; none."""


@dataclass(frozen=True)
class Entry:
    """One image with its mask.

    Attributes:
        part: ``train``, ``test``, or another name of a listing.
        id: name, unique in the part.
        image: image file; None where the mask is alone.
        mask: mask file; None where the image is alone, or has none by design.
    """

    part: str
    id: str
    image: Path | None
    mask: Path | None


@dataclass(frozen=True)
class KnownBad:
    """A file that others found to be bad.

    Attributes:
        id: id of the image.
        why: what is wrong with it.
        source: who says so.
        fault: ``size`` where the fault shows as a size mismatch, so that a corrected file is recognised; else empty.
    """

    id: str
    why: str
    source: str
    fault: str = ""


@dataclass
class Subject:
    """A data set to be audited.

    Attributes:
        name: its name, also that of the folder of the result.
        entries: images and masks of the parts that are looked at.
        mask: one of :data:`MASKS`.
        title: its full name.
        threshold: see :func:`seglab.data.files.read_mask`.
        values: binary: see ``values`` of :func:`seglab.data.files.read_mask`; labels: value -> name of the class, with
            255 for pixels that are ignored.
        counts: published number of images of a part, or ``total``.
        known_bad: files that others found to be bad.
        faults: what does not match.
        unmasked: ``skip`` where images without a mask are no fault.
        may_skip: whether the data set has the setting for that.
        root: folder that paths are told from.
        alike: whether images are compared with each other; False for maps.
    """

    name: str
    entries: list[Entry]
    mask: str = "binary"
    title: str = ""
    threshold: float | None = None
    values: dict[int, Any] | None = None
    counts: dict[str, int] = field(default_factory=dict)
    known_bad: list[KnownBad] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    unmasked: str = "error"
    may_skip: bool = False
    root: Path = Path()
    alike: bool = True

    def parts(self) -> list[str]:
        """Names of the parts, in the order of the entries."""
        return list(dict.fromkeys(entry.part for entry in self.entries))

    def tell(self, path: Path | str) -> str:
        """A path as the report tells it: below the root, the same on every machine."""
        path = Path(os.path.abspath(path))
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else path.as_posix()


def from_pairs(source: Pairs, *, parts: Sequence[str] = PARTS, root: Path | str | None = None) -> Subject:
    """A source of image and mask folders, with every fault instead of the first.

    Args:
        source: the source; nothing is raised for what its folders hold.
        parts: the parts to look at; a part that the source does not have is passed over.
        root: folder that paths are told from, where it holds all files; null = the deepest one that does.

    Raises:
        ValueError: ``about.known_bad`` of the data set is not a list of ids with a reason and a source.
    """
    entries: list[Entry] = []
    faults: list[Fault] = []
    apart = isinstance(source.images, Mapping)
    looked = [part for part in parts if not apart or (part in source.images and part in source.masks)]
    there = set(source.images) if apart else set()
    for part in looked if apart else looked[:1]:
        found = account(source.layout(), part)
        faults += found.faults
        there |= {name for name, matches in found.parts.items() if matches}
        for name, matches in found.parts.items():
            if name in looked:
                entries += [Entry(name, m.id, m.image, m.mask) for m in matches]
    told = ("orphan",) if source.unmasked == "skip" else ("bare", "orphan")
    alone = [m for fault in faults if fault.kind in told for m in fault.files]
    entries += [Entry("", m.id, m.image, m.mask) for m in alone]
    counts = {str(k): int(v) for k, v in (source.about.get("counts") or {}).items()}
    return Subject(
        name=source.name,
        entries=entries,
        title=str(source.about.get("title", "")),
        threshold=source.threshold,
        values=source.mask_values,
        counts={k: v for k, v in counts.items() if k in looked or (k == "total" and there <= set(looked))},
        known_bad=known_bad(source.about.get("known_bad"), source.name),
        faults=faults,
        unmasked=source.unmasked,
        may_skip=True,
        root=common_root(source, entries, root),
    )


def from_source(source: Any, *, parts: Sequence[str] = PARTS, root: Path | str | None = None) -> Subject | None:
    """A source whose parts are pairs of files or photos alone; None for any other.

    Args:
        source: :class:`seglab.data.pairs.Pairs`, or one that tells by ``looked_at(part)`` what a part is made of.
        parts: the parts to look at; files that two of them share are looked at once.
        root: folder that paths are told from.

    Raises:
        ValueError: no such folder, or one without photos.
    """
    if isinstance(source, Pairs):
        return from_pairs(source, parts=parts, root=root)
    if not hasattr(source, "looked_at"):
        return None
    about = source.about
    subject = Subject(source.name, [], mask="none", title=str(about.get("title", "")))
    subject.root = Path(os.path.abspath(root or "."))
    subject.known_bad = known_bad(about.get("known_bad"), source.name)
    counts = about.get("counts") or {}
    subject.counts = {part: int(counts[part]) for part in parts if part in counts}
    faults: dict[Fault, None] = {}
    entries: dict[tuple[Path | None, Path | None], Entry] = {}
    for part in parts:
        looked = source.looked_at(part)
        if isinstance(looked, Pairs):
            found = from_pairs(looked, parts=(part,), root=root)
            faults |= dict.fromkeys(found.faults)
            subject.mask, subject.threshold, subject.values = found.mask, found.threshold, found.values
            subject.unmasked = found.unmasked
            new = found.entries
        else:
            new = [Entry(part, photo.id, photo.image, None) for photo in looked]
        for entry in new:
            entries.setdefault((entry.image, entry.mask), entry)
    subject.entries, subject.faults = list(entries.values()), list(faults)
    return subject


def known_bad(given: Any, name: str) -> list[KnownBad]:
    """``about.known_bad`` of a data set, checked.

    Raises:
        ValueError: not a list of ``{id, why, source[, fault: size]}``.
    """
    bad, needed = [], {"id", "why", "source"}
    for item in given or []:
        if not isinstance(item, Mapping) or not needed <= set(item) <= needed | {"fault"}:
            raise ValueError(f"data={name}: about.known_bad: {item}: expected id, why, source, and perhaps fault: size")
        bad.append(KnownBad(str(item["id"]), str(item["why"]), str(item["source"]), str(item.get("fault", ""))))
    return bad


def common_root(source: Pairs, entries: Sequence[Entry], root: Path | str | None) -> Path:
    """The wanted folder if it holds all files and lists, else the deepest one that does."""
    files = [str(p.parent) for entry in entries for p in (entry.image, entry.mask) if p is not None]
    lists = [str(Path(path).parent) for path in source.lists.values() if path]
    folders = {os.path.abspath(path) for path in {*files, *lists}}
    wanted = None if root is None else Path(os.path.abspath(root))
    if not folders:
        return wanted or Path().absolute()
    deepest = Path(os.path.commonpath(folders))
    return wanted if wanted is not None and deepest.is_relative_to(wanted) else deepest
