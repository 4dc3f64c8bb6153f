"""Findings about what belongs together: pairing, lists, published counts, files known as bad.

One runnable line: ``python -c "from seglab.audit.pair_checks import KINDS; print(KINDS)"``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from seglab.audit.finding import Example, Finding, finding
from seglab.audit.look import Seen
from seglab.audit.subject import Entry, Subject
from seglab.data.pairing import OTHER_FORM, Fault

KINDS = {
    "folder": "folder-missing",
    "list missing": "list-missing",
    "list": "list-broken",
    "optional": "part-absent",
    "empty": "part-empty",
    "split": "part-empty",
    "double": "double-stem",
    "bare": "no-mask",
    "orphan": "no-image",
    "absent": "absent",
    "both": "in-both-parts",
    "unlisted": "unlisted",
}
"""Kind of fault -> check."""


def pairing(subject: Subject) -> list[Finding]:
    """One finding a check, for everything that does not match."""
    cases: dict[str, list[Example]] = {}
    alone = {name for fault in subject.faults if fault.kind in ("bare", "orphan") for name in fault.names}
    for fault in subject.faults:
        check = "skipped" if fault.kind == "bare" and subject.unmasked == "skip" else KINDS[fault.kind]
        # A listed image without a mask is told once, as that.
        left_out = alone if fault.kind == "absent" and subject.unmasked != "skip" else set()
        cases.setdefault(check, []).extend(e for e in _examples(subject, fault) if e.id not in left_out)
    also = {"no-mask": "data.source.unmasked=skip"} if subject.may_skip else {}
    return [finding(check, examples, also=also.get(check, "")) for check, examples in cases.items() if examples]


def _examples(subject: Subject, fault: Fault) -> list[Example]:
    told = [subject.tell(place) for place in fault.places]
    if fault.kind in ("folder", "list missing", "optional", "empty"):
        return [Example(place, fault.what) for place in told] or [Example(fault.what)]
    if fault.kind == "list":
        message = fault.what.replace(fault.places[0], told[0])
        return [Example(told[0], message)]
    if fault.kind == "split":
        return [Example("data.source.split", f"a ratio that leaves a part of {fault.what} images empty")]
    if fault.kind == "double":
        return [Example(fault.names[0], " and ".join(told))]
    if fault.kind == "both":
        return [Example(name, " and ".join(fault.places if len(fault.places) < 2 else told)) for name in fault.names]
    if fault.kind == "absent":
        return [Example(n, "; ".join(filter(None, (f"in {told[0]}", _form(fault, n))))) for n in fault.names]
    lone = {match.id: match for match in fault.files}
    return [
        Example(
            subject.tell(match.image or match.mask) if match else name,
            _form(fault, name),
            (Entry("", match.id, match.image, match.mask),) if match else (),
        )
        for name, match in zip(fault.names, [*lone.values()] or [None] * len(fault.names), strict=True)
    ]


def _form(fault: Fault, name: str) -> str:
    return f"{OTHER_FORM} is there" if name in fault.alike else ""


def counts(subject: Subject) -> list[Finding]:
    """Number of images with what they need, against the published one."""
    found = {part: sum(e.part == part for e in subject.entries) for part in subject.parts() if part}
    found["total"] = sum(found.values())
    odd = [
        Example(part, f"{found.get(part, 0)} found, {wanted} published")
        for part, wanted in subject.counts.items()
        if found.get(part, 0) != wanted
    ]
    return [finding("counts", odd)] if odd else []


def known_bad(subject: Subject, seen: Sequence[Seen], found: Sequence[Finding]) -> list[Finding]:
    """Files that others found to be bad and that are here.

    Args:
        subject: the data set.
        seen: what its files hold.
        found: the findings so far; a fault that was found already makes a known bad file one that is bad here.
    """
    entries: Mapping[str, Entry] = {one.entry.id: one.entry for one in seen}
    mismatched = {e.id for f in found if f.check == "size-mismatch" for e in f.examples}
    mismatched |= {one.entry.id for one in seen if differs(one)}
    here: dict[str, list[Example]] = {}
    for bad in subject.known_bad:
        if bad.id in entries:
            sound = bad.fault == "size" and bad.id not in mismatched
            check = "known-bad" if sound else "known-bad-here"
            here.setdefault(check, []).append(Example(bad.id, f"{bad.why} ({bad.source})", (entries[bad.id],)))
    return [finding(check, examples) for check, examples in here.items()]


def differs(one: Seen) -> bool:
    """Whether image and mask can be read and differ in size."""
    if one.image is None or one.mask is None or one.image.error or one.mask.error:
        return False
    return one.image.size != one.mask.stored
