"""Findings about single files: what cannot be read, what does not fit, what is read otherwise than elsewhere.

One runnable line: ``python -c "from seglab.audit.checks import file_findings; help(file_findings)"``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from seglab.audit.finding import Example, Finding, finding
from seglab.audit.look import FileFacts, MaskFacts, Seen
from seglab.audit.pair_checks import differs
from seglab.audit.subject import Subject

HUGE = 50_000_000
"""Pixels of an image that is worth a word: 150 MB in RGB, and reading it makes several copies."""

PLAIN = ("1", "L", "LA", "P", "PA", "RGB", "RGBA")
DEEP = ("I", "F")
LOSSY = ("JPEG", "MPO", "WEBP")


def file_findings(subject: Subject, seen: Sequence[Seen]) -> list[Finding]:
    """What single files have wrong, errors of reading first.

    Args:
        subject: the data set.
        seen: what its files hold, in the order of its entries.
    """
    found = [*_unreadable(subject, seen), *_fits(subject, seen), *_images(subject, seen)]
    masks = [(one, one.mask) for one in seen if one.mask is not None and not one.mask.error]
    if masks and subject.mask == "mat":
        found += _annotators(masks)
    elif masks:
        found += _mask_files(subject, masks)
        found += _labels(subject, masks) if subject.mask == "labels" else _objects(subject, masks)
    return found


def _unreadable(subject: Subject, seen: Sequence[Seen]) -> list[Finding]:
    broken, odd, beside = [], [], []
    for one in seen:
        for path, facts in ((one.entry.image, one.image), (one.entry.mask, one.mask)):
            if facts is not None and facts.error:
                case = Example(subject.tell(path), facts.error, (one.entry,))
                (odd if facts.error.startswith(("floating-point", "has mode")) else broken).append(case)
            if facts is not None and facts.odd:
                beside.append(Example(subject.tell(path), "; ".join(facts.odd), (one.entry,)))
    return _some(("unreadable", broken), ("image-mode", odd), ("metadata", beside))


def _fits(subject: Subject, seen: Sequence[Seen]) -> list[Finding]:
    sizes, values, notes, absent = [], [], [], []
    bad = {item.id: item for item in subject.known_bad}
    for one in seen:
        if differs(one):
            detail = f"image {_size(one.image.size)}, mask {_size(one.mask.stored)}"
            if one.image.orientation != 1 and one.image.stored == one.mask.stored:
                detail += "; the mask fits the photo before it is turned (EXIF)"
            if one.entry.id in bad:
                detail += f"; known: {bad[one.entry.id].source}"
            sizes.append(Example(one.entry.id, detail, (one.entry,)))
        if one.mask is not None and one.mask.refused:
            values.append(Example(subject.tell(one.entry.mask), one.mask.refused, (one.entry,)))
        if one.mask is not None and one.mask.problems:
            notes.append(Example(subject.tell(one.entry.mask), "; ".join(one.mask.problems), (one.entry,)))
        if one.mask is not None and one.mask.absent:
            absent.append(Example(subject.tell(one.entry.mask), "; ".join(one.mask.absent), (one.entry,)))
    return _some(("size-mismatch", sizes), ("mask-values", values), ("annotation", notes), ("no-boundaries", absent))


def _images(subject: Subject, seen: Sequence[Seen]) -> list[Finding]:
    images = [(one, one.image) for one in seen if one.image is not None and not one.image.error]

    def cases(fits: Callable[[FileFacts], bool], tell: Callable[[FileFacts], str]) -> list[Example]:
        return [Example(subject.tell(one.entry.image), tell(f), (one.entry,)) for one, f in images if fits(f)]

    return _some(
        ("exif", cases(lambda f: f.orientation != 1, lambda f: f"orientation {f.orientation}, {f.mode}")),
        ("cmyk", cases(lambda f: f.mode not in PLAIN and not f.mode.startswith(DEEP), lambda f: f.mode)),
        ("sixteen-bit", cases(lambda f: f.mode.startswith(DEEP), lambda f: f.mode)),
        ("alpha", cases(lambda f: f.alpha is not None, _alpha)),
        ("several-frames", cases(lambda f: f.frames > 1, lambda f: f"{f.frames} frames")),
        ("huge", cases(lambda f: f.stored[0] * f.stored[1] > HUGE, lambda f: _size(f.stored))),
        ("wrong-suffix", cases(lambda f: not f.suffix, lambda f: f"is a {f.format}")),
        ("palette", cases(lambda f: f.mode in ("P", "PA"), lambda f: "")),
        ("grey", cases(lambda f: f.mode in ("1", "L", "LA"), lambda f: f.mode)),
    )


def _mask_files(subject: Subject, masks: Sequence[tuple[Seen, MaskFacts]]) -> list[Finding]:
    def cases(fits: Callable[[MaskFacts], bool], tell: Callable[[MaskFacts], str]) -> list[Example]:
        return [Example(subject.tell(one.entry.mask), tell(f), (one.entry,)) for one, f in masks if fits(f)]

    kinds = Counter(f.style for _, f in masks)
    mixed = []
    if subject.mask == "binary" and subject.values is None and kinds["0/1"] and kinds["0/255"]:
        rare = min(("0/1", "0/255"), key=lambda style: kinds[style])
        mixed = cases(lambda f: f.style == rare, lambda f: f"{f.style}, {kinds[f.style]} of {len(masks)}")
    styles = [Example(style, f"{kinds[style]} masks") for style in sorted(kinds)]
    rarest = min(kinds, key=lambda style: (kinds[style], style))
    if len(kinds) > 1 and kinds[rarest] <= 10:
        styles += cases(lambda f: f.style == rarest, lambda f: f.style)
    found = _some(
        ("mask-exif", cases(lambda f: f.orientation != 1, lambda f: f"orientation {f.orientation}")),
        ("mask-lossy", cases(lambda f: f.format in LOSSY, lambda f: f"{f.format}, {f.levels} grey levels")),
        ("mask-alpha", cases(lambda f: f.alpha is not None, _alpha)),
        ("mask-mixed", mixed),
        ("mask-graded", cases(_is_graded, lambda f: f"{f.levels} grey levels")),
    )
    return [*found, finding("mask-styles", styles, count=len(kinds))]


def _is_graded(facts: MaskFacts) -> bool:
    return facts.style == "grades" and facts.levels > 2 and not facts.refused


def _objects(subject: Subject, masks: Sequence[tuple[Seen, MaskFacts]]) -> list[Finding]:
    """Masks without an object, those that are nothing else, and the range in between."""
    known = [(one, f) for one, f in masks if f.share is not None]
    empty = [Example(one.entry.id, one.entry.part, (one.entry,)) for one, f in known if f.share == 0]
    full = [Example(one.entry.id, one.entry.part, (one.entry,)) for one, f in known if f.share == 1]
    void = [
        Example(one.entry.id, one.entry.part, (one.entry,)) for one, f in masks if f.share is None and not f.refused
    ]
    order = sorted(
        (pair for pair in known if 0 < pair[1].share < 1), key=lambda pair: (pair[1].share, pair[0].entry.id)
    )
    ends = [row for i in range(min(3, len(order))) for row in (i, len(order) - 1 - i)]  # smallest, largest, ...
    share = [
        Example(order[row][0].entry.id, f"{100 * order[row][1].share:.2f} % object", (order[row][0].entry,))
        for row in dict.fromkeys(ends)
    ]
    found = _some(("empty-mask", empty), ("full-mask", full), ("void-mask", void))
    return [*found, finding("object-share", share, count=len(order))] if share else found


def _labels(subject: Subject, masks: Sequence[tuple[Seen, MaskFacts]]) -> list[Finding]:
    """How many masks of every part hold a label, and labels that a part lacks."""
    names = subject.values or {}
    parts = list(dict.fromkeys(one.entry.part for one, _ in masks))
    held = {part: Counter(v for one, f in masks if one.entry.part == part for v in f.values) for part in parts}
    every = sorted(set(names) | {v for counts in held.values() for v in counts})
    told = {v: f"{v} {names.get(v, '')}".strip() for v in every}
    rows = [Example(told[v], ", ".join(f"{part} {held[part][v]}" for part in parts)) for v in every]
    lacking = [
        Example(told[v], f"not in {', '.join(p for p in parts if not held[p][v])}")
        for v in every
        if any(not held[p][v] for p in parts) and v != 255
    ]
    void = [Example(one.entry.id, one.entry.part, (one.entry,)) for one, f in masks if f.share == 0]
    return [*_some(("absent-class", lacking), ("void-mask", void)), finding("labels", rows)]


def _annotators(masks: Sequence[tuple[Seen, MaskFacts]]) -> list[Finding]:
    numbers = Counter(f.annotators for _, f in masks)
    return [finding("annotators", [Example(str(n), f"{numbers[n]} images") for n in sorted(numbers)])]


def _alpha(facts: FileFacts) -> str:
    return f"{facts.mode}, {'opaque everywhere' if facts.alpha == 255 else 'transparent in places'}"


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _some(*named: tuple[str, Iterable[Example]]) -> list[Finding]:
    return [finding(check, list(examples)) for check, examples in named if examples]
