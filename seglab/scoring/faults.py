"""Faults of files, gathered over a whole data set and told at once: the first of each kind and how many there are.

Example: ``faults = Faults(); faults.add(Fault("size", "a.png is 3x2")); faults.text()``
"""

from __future__ import annotations

from collections.abc import Iterable

SHOWN = 3
"""Examples of a kind that are told."""

KINDS = {
    "duplicate": ("name used by several files of a folder", "keep one of them"),
    "no mask": ("map without a mask", "add the mask, or missing=skip"),
    "no map": ("mask without a map", "add the map, or missing=skip"),
    "unreadable": ("file that cannot be read", "write it again: a whole PNG, JPEG, BMP, WebP or TIFF file"),
    "colour": ("image in colour", "save one channel, or three equal ones"),
    "labels": (
        "label map where a saliency protocol expects grades or an object mask",
        "label maps: protocol=regularized_paper protocol.classes=<number of classes>; dark grey values that are right: "
        "reading=grey",
    ),
    "palette": (
        "palette of colours, a label map where a saliency protocol expects grades or an object mask",
        "label maps: protocol=regularized_paper protocol.classes=<number of classes>",
    ),
    "depth": (
        "image of 16 or 32 bits whose values do not fit them",
        "save 0 to 255 in 8 bits, or 0 to 65535 in 16; dark grey values that are right as they are: reading=grey",
    ),
    "range": ("image of 32 bits with values outside 0 to 65535", "save 0 to 255 in 8 bits, or 0 to 65535 in 16"),
    "not labels": ("label outside the classes", "set protocol.classes, or save class indices and 255 for ignored"),
    "palette map": (
        "palette of colours, a label map where boundaries are expected",
        "maps: protocol.maps=labels; truth: protocol.truth=labels",
    ),
    "shape": (
        "map whose width over height is not that of its mask",
        "look whether it was turned or cut, or belongs to another image; reading=grey stretches it all the same",
    ),
    "void": (
        "truth whose largest label, 255, stands apart from the others, as void does",
        "pixels of 255 do not score: protocol.ignore=255; a region like any other: reading=grey",
    ),
    "drawing": (
        "line drawing where label maps are expected",
        "drawn boundaries: protocol=bsds_boundaries, with a drawing of 0 and 255 an image, or a BSDS file, as truth; "
        "regions as thin as lines that are right: reading=grey",
    ),
    "size": ("map of another size than its mask", "resize=to_mask brings maps to the size of their masks"),
    "mat": (
        "MATLAB file without what is expected",
        "truth: a BSDS file with the cell array groundTruth; maps: label maps in the cell array segs, or a contour map "
        "of double size, ucm2",
    ),
    "lossy": ("label map in a file that loses values", "save it as PNG"),
    "soft": (
        "soft map where label maps are expected",
        "soft boundary maps: protocol=bsds_boundaries; labels of tiny regions that are right: reading=grey",
    ),
    "not lines": (
        "image of boundaries with other values than 0 and one more",
        "maps: protocol.maps=soft or labels; truth: a BSDS file, an image with 0 and 255, or protocol.truth=labels",
    ),
    "areas": (
        "image of areas where lines are expected",
        "the lines between the areas: protocol.maps=labels for maps, protocol.truth=labels for truth; drawn lines as "
        "wide as that: reading=grey, which scores what is left of them when thinned",
    ),
    "labels or grades": (
        "map that may hold labels or grades",
        "label maps: protocol.maps=labels; boundary maps of grades that are right: protocol.maps=soft, with "
        "reading=grey if they are nearly black",
    ),
    "empty map": (
        "boundary map without a boundary",
        "look at it; protocol.maps=binary or reading=grey takes it as it is",
    ),
    "kinds": (
        "method whose maps are of several kinds",
        "maps of one kind and number of scales in a folder; protocol.maps says what they are",
    ),
    "nothing": ("mask without a pixel to score", "take it out, or look at what it holds"),
    "other": ("file that cannot be scored", "see the message"),
}
"""Kind -> what it is, and the remedy."""


class Fault(ValueError):
    """What is wrong with one file.

    Args:
        kind: a key of :data:`KINDS`.
        detail: the file and what was found in it.
    """

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind, self.detail = kind, detail

    def __reduce__(self) -> tuple:
        """A fault crosses processes."""
        return Fault, (self.kind, self.detail)


class Faults:
    """Faults so far; only the first few of each kind are kept, so memory does not grow.

    Attributes:
        note: a last line of the message.
    """

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.details: dict[str, list[str]] = {}
        self.note = ""

    def add(self, fault: Fault) -> None:
        """Count a fault."""
        self.counts[fault.kind] = self.counts.get(fault.kind, 0) + 1
        shown = self.details.setdefault(fault.kind, [])
        if len(shown) < SHOWN:
            shown.append(fault.detail)

    def extend(self, faults: Iterable[Fault]) -> None:
        """Count several."""
        for fault in faults:
            self.add(fault)

    def check(self) -> None:
        """Stop if there are any.

        Raises:
            ValueError: with all kinds, their numbers, the first of each, and the remedies.
        """
        if self.counts:
            raise ValueError(self.text())

    def text(self) -> str:
        """The message."""
        total = sum(self.counts.values())
        lines = [f"{total} fault{'s' if total > 1 else ''} in the files; nothing was written:"]
        for kind in (k for k in KINDS if k in self.counts):
            what, remedy = KINDS[kind]
            more = self.counts[kind] - len(self.details[kind])
            lines.append(f"  {self.counts[kind]} x {what} ({remedy}):")
            lines += [f"    {detail}" for detail in self.details[kind]]
            lines += [f"    ... and {more} more"] if more else []
        lines += [self.note] if self.note else []
        return "\n".join(lines)
