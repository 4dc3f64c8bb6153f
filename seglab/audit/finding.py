"""One thing the audit found, and the words for every kind of it.

A check has a level: ``error``, training would fail or be wrong; ``warning``, numbers may not mean what they seem to
mean; ``note``, a fact worth knowing.

One runnable line: ``python -c "from seglab.audit.finding import CHECKS; print(list(CHECKS))"``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from seglab.audit.subject import Entry

LEVELS = ("error", "warning", "note")

CHECKS = {
    # What does not match
    "folder-missing": ("error", "folder is not there", "put the files where the YAML of the data set expects them"),
    "list-missing": ("error", "list is not there", "put the list where the YAML expects it, or set it to null"),
    "list-broken": ("error", "list cannot be used as it is", "one name a line, each once, UTF-8"),
    "part-absent": ("note", "part is not there; the set is used without it", "fetch it if you need it"),
    "part-empty": ("error", "part has no image with a mask", "look at the folders and the types of the files"),
    "double-stem": ("error", "two files with one stem", "keep one, or name the types: data.source.image_types=[jpg]"),
    "no-mask": ("error", "image without a mask", "add the mask or remove the image"),
    "no-image": ("error", "mask without an image", "add the image or remove the mask"),
    "absent": ("error", "listed, but no such image with a mask", "add the files, or take the names off the list"),
    "in-both-parts": ("error", "name is in both lists", "take it off one of them"),
    "skipped": ("note", "image without a mask, left out as the settings say", "none, if that is meant"),
    "unlisted": ("note", "file of the folders that no list names", "none, if that is meant"),
    "counts": ("warning", "number of images is not the published one", "compare with the list at the homepage"),
    "known-bad": ("note", "known as bad in some downloads, sound in this one", "none"),
    "known-bad-here": ("warning", "known as a bad file", "read the source, then fetch the corrected file"),
    # Files
    "unreadable": ("error", "file cannot be read", "fetch it again, or remove it with its partner"),
    "image-mode": ("error", "image of a kind that is not read", "convert it to 8 bits a channel"),
    "size-mismatch": ("error", "image and mask differ in size", "fetch the corrected file; do not resize one"),
    "mask-values": ("error", "mask values that do not fit", "see the message: data.source.threshold or mask_values"),
    "annotation": ("error", "annotation that does not fit", "fetch the file again"),
    "no-boundaries": ("warning", "annotator without Boundaries", "none; contours are scored by the edges of segments"),
    "exif": ("warning", "photo is stored turned (EXIF)", "seglab turns it; many tools do not: store it upright"),
    "mask-exif": ("warning", "mask carries an EXIF rotation, which is not applied", "store the mask upright"),
    "cmyk": ("warning", "image in CMYK or another colour space", "convert it to RGB; colours may differ between tools"),
    "sixteen-bit": ("warning", "image of 16 or 32 bits", "seglab keeps the upper 8 of 16 bits; store it in 8 bits"),
    "alpha": ("warning", "image with transparency, which is dropped", "store it without an alpha channel"),
    "several-frames": ("warning", "file with several frames; the first is read", "store the one that is meant"),
    "metadata": ("note", "details beside the pixels that cannot be read; training does not use them", "none"),
    "huge": ("warning", "very large image", "scale it down once, with its mask (nearest pixel)"),
    "wrong-suffix": ("warning", "suffix does not tell what the file is", "rename it"),
    "palette": ("note", "image with a colour palette, read as RGB", "none"),
    "grey": ("note", "grey image, read as three equal channels", "none"),
    # Masks
    "mask-lossy": ("warning", "mask in a lossy format: its values are smeared", "get the masks as PNG"),
    "mask-mixed": ("warning", "0/1 and 0/255 masks in one set", "write all of them with 0 and 255"),
    "mask-alpha": ("warning", "mask with transparency, which is dropped", "store it as one grey channel"),
    "mask-styles": ("note", "how the masks are stored", "none"),
    "mask-graded": ("note", "mask with more than two grey values, cut at the threshold", "none, if that is meant"),
    "empty-mask": ("warning", "mask without an object", "look at it: forgotten, or meant?"),
    "full-mask": ("warning", "mask that is object everywhere", "look at it: inverted, or meant?"),
    "void-mask": ("warning", "mask that is ignored everywhere", "look at it: the image teaches nothing"),
    "object-share": ("note", "share of the image that is object", "none"),
    "labels": ("note", "labels found", "none"),
    "absent-class": ("warning", "class that a part lacks", "its score says nothing; look at the split"),
    "annotators": ("note", "annotators an image", "none"),
    # Images that are there twice
    "leak": ("warning", "same image in two parts", "remove it from one: a test on it measures memory"),
    "near-leak": ("warning", "nearly the same image in two parts", "look at the pairs; remove them from one part"),
    "copies": ("warning", "same image twice in a part", "remove one; it counts twice"),
    "near-copies": ("warning", "nearly the same image twice in a part", "look at the pairs"),
    "not-compared": ("warning", "too many images look alike: not all pairs were compared", "thin out frames of a film"),
}
"""Check -> level, what it is, what to do."""

KEPT = 50
"""Examples a finding keeps; its count is always the full one."""


@dataclass(frozen=True)
class Example:
    """One case of a finding.

    Attributes:
        id: id of the image, a file or a name.
        detail: what is to be seen in it.
        entries: the images to be drawn; two where they are alike.
    """

    id: str
    detail: str = ""
    entries: tuple[Entry, ...] = ()


@dataclass(frozen=True)
class Finding:
    """All cases of one check in one part.

    Attributes:
        check: a key of :data:`CHECKS`.
        level: one of :data:`LEVELS`.
        part: the part it is about, ``train+test`` for pairs across parts, empty where it is about the whole.
        count: number of cases.
        what: what it is.
        remedy: what to do.
        examples: the first cases, at most :data:`KEPT`.
    """

    check: str
    level: str
    part: str
    count: int
    what: str
    remedy: str
    examples: tuple[Example, ...]


def finding(
    check: str, examples: Sequence[Example], *, part: str = "", count: int | None = None, also: str = ""
) -> Finding:
    """A finding with the words of its check.

    Args:
        check: a key of :data:`CHECKS`.
        examples: all cases, in the order to be shown.
        part: see :class:`Finding`.
        count: number of cases where it is not that of the examples.
        also: what may be done instead, in this data set.
    """
    level, what, remedy = CHECKS[check]
    remedy = f"{remedy} (or {also})" if also else remedy
    return Finding(check, level, part, len(examples) if count is None else count, what, remedy, tuple(examples[:KEPT]))
