"""Data sets that no training reads yet, described by a YAML file in ``conf/listing``: which files, which lists.

Keys: ``name``, ``title``, ``mask`` (one of :data:`seglab.audit.subject.MASKS`), ``values`` (labels: value -> class),
``counts``, ``known_bad``, ``spare`` (``error`` or ``note``: masks that belong to no image), ``alike`` (false: images
are not compared with each other) and ``parts``: name -> ``images`` and ``masks`` (patterns such as ``photos/*.jpg``),
``list`` (text file, the stem is the first word of a line; ``#`` starts a comment) and ``optional`` (true: its absence
is no fault).

One runnable line: ``python -c "from seglab.audit.listing import from_listing;
print(from_listing({'name': 'x', 'parts': {'all': {'images': 'photos/*.jpg'}}}).entries)"``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seglab.audit.subject import MASKS, Entry, Subject, known_bad
from seglab.data.files import SUFFIXES
from seglab.data.pairing import Fault, Match

KEYS = {"name", "title", "mask", "values", "counts", "known_bad", "spare", "alike", "parts", "homepage", "layout"}
PART_KEYS = {"images", "masks", "list", "optional"}


def from_listing(node: Mapping[str, Any], *, root: Path | str = "") -> Subject:
    """The files of a listing, with all that does not match.

    Args:
        node: the listing as plain types.
        root: folder that paths are told from.

    Raises:
        ValueError: a key or value of the listing that is not known.
    """
    _check(node)
    name = str(node["name"])
    subject = Subject(
        name=name,
        entries=[],
        mask=str(node.get("mask", "none")),
        title=str(node.get("title", "")),
        values={int(k): v for k, v in node["values"].items()} if node.get("values") else None,
        counts={str(k): int(v) for k, v in (node.get("counts") or {}).items()},
        known_bad=known_bad(node.get("known_bad"), name),
        root=Path(root).absolute(),
        alike=bool(node.get("alike", True)),
    )
    there: dict[Path, None] = {}
    listed = True
    for part, given in node["parts"].items():
        images, masks = (_files(given.get(key)) for key in ("images", "masks"))
        if not images and given.get("optional"):
            subject.faults.append(Fault("optional", part, places=(str(given["images"]),)))
            subject.counts.pop(part, None)
            continue
        there |= dict.fromkeys([*images.values(), *masks.values()])
        _part(subject, str(part), given, images, masks)
        listed = listed and bool(given.get("list"))
    used = {path for entry in subject.entries for path in (entry.image, entry.mask) if path is not None}
    left = [path for path in there if path not in used]
    if left and (listed or node.get("spare") == "note"):
        subject.faults.append(Fault("unlisted", names=tuple(subject.tell(path) for path in left)))
    elif left:
        lone = tuple(Match(path.stem, None, path) for path in left)
        subject.faults.append(Fault("orphan", names=tuple(m.id for m in lone), files=lone))
    _both(subject)
    return subject


def _check(node: Mapping[str, Any]) -> None:
    where = f"listing={node.get('name')}"
    if odd := sorted(set(node) - KEYS):
        raise ValueError(f"{where}: unknown key '{odd[0]}': expected {', '.join(sorted(KEYS))}")
    if node.get("mask", "none") not in MASKS:
        raise ValueError(f"{where}: mask={node['mask']}: expected one of {', '.join(MASKS)}")
    if node.get("spare", "error") not in ("error", "note"):
        raise ValueError(f"{where}: spare={node['spare']}: expected error or note")
    if not node.get("parts"):
        raise ValueError(f"{where}: parts is not set: expected name -> images, masks, list")
    for part, given in node["parts"].items():
        if not isinstance(given, Mapping) or not given.get("images") or set(given) - PART_KEYS:
            raise ValueError(f"{where}: parts.{part}={given}: expected images, and perhaps masks, list, optional")


def _files(pattern: str | None) -> dict[str, Path]:
    """Stem -> file of a pattern; hidden files are passed over."""
    if not pattern:
        return {}
    path = Path(pattern).absolute()
    found = sorted(path.parent.glob(path.name)) if path.parent.is_dir() else []
    return {p.stem: p for p in found if not p.name.startswith(".")}


def _part(
    subject: Subject, part: str, given: Mapping[str, Any], images: Mapping[str, Path], masks: Mapping[str, Path]
) -> None:
    """Add the entries and faults of one part."""
    faults = subject.faults
    for key, found in (("images", images), ("masks", masks)):
        if given.get(key) and not found:
            faults.append(Fault("folder", key[:-1], places=(str(given[key]),)))
    stems = list(images)
    if given.get("list"):
        if not Path(given["list"]).is_file():
            faults.append(Fault("list missing", part, places=(str(given["list"]),)))
            return
        stems, twice = _first_words(Path(given["list"]))
        if twice:
            faults.append(Fault("list", f"{len(twice)} names twice: {', '.join(twice[:5])}", places=(given["list"],)))
        if gone := tuple(s for s in stems if s not in images):
            faults.append(Fault("absent", part, gone, (str(given["list"]),)))
    wants = subject.mask != "none" and given.get("masks")
    bare = tuple(Match(s, images[s], None) for s in stems if s in images and wants and masks and s not in masks)
    if bare:
        faults.append(Fault("bare", names=tuple(m.id for m in bare), places=(str(given["masks"]),), files=bare))
    subject.entries += [Entry(part, s, images[s], masks.get(s) if wants else None) for s in stems if s in images]


def _first_words(path: Path) -> tuple[list[str], list[str]]:
    """The stems of a list whose lines may have more columns, each once, and those that are there twice."""
    lines = [line.split() for line in path.read_text(encoding="utf-8-sig", errors="replace").splitlines()]
    words = [line[0] for line in lines if line and not line[0].startswith("#")]
    stems = [Path(word).stem if word.lower().endswith(SUFFIXES) else word for word in words]
    once = dict.fromkeys(stems)
    twice = [stem for stem in once if stems.count(stem) > 1] if len(once) < len(stems) else []
    return list(once), twice


def _both(subject: Subject) -> None:
    """Names that are in two parts of the same files."""
    seen: dict[Path, str] = {}
    both: dict[tuple[str, str], list[str]] = {}
    for entry in subject.entries:
        first = seen.setdefault(entry.image, entry.part)
        if first != entry.part:
            both.setdefault((first, entry.part), []).append(entry.id)
    for parts, names in both.items():
        subject.faults.append(Fault("both", names=tuple(names), places=parts))
