"""One image file and one mask file, looked at once: everything the checks need, in a record of about a kilobyte.

Legend: H W pixels. Reading is that of :mod:`seglab.data.files`: what it refuses is refused here, in its words, and
nothing else is, since a training reads nothing else. Metadata that cannot be read are a note.

One runnable line: ``python -c "from pathlib import Path; from seglab.audit.look import look_at_image;
print(look_at_image(Path('photo.jpg')))"``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from seglab.audit.hashes import THUMB, perceptual_hashes
from seglab.audit.mat import look_at_mat
from seglab.audit.subject import Entry, Subject
from seglab.data.files import FORMATS, read_image, read_mask

ORIENTATION = 274
"""The EXIF tag that says how a photo has to be turned; 1 is upright."""

EVERY = {value: value for value in range(256)}
"""Mask values as they are, for maps and labels."""

TYPES = {
    "JPEG": (".jpg", ".jpeg"),
    "MPO": (".jpg", ".jpeg"),
    "PNG": (".png",),
    "BMP": (".bmp",),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
}
"""Format -> the suffixes that tell it."""


@dataclass
class FileFacts:
    """What a file says of itself.

    Attributes:
        bytes: its size.
        error: why it cannot be read; empty where it can.
        format: as found in the file, e.g. ``JPEG``.
        mode: Pillow's name of the kind of pixels, e.g. ``RGB``.
        stored: width and height as stored.
        orientation: the EXIF tag, 1 where there is none.
        frames: number of frames.
        alpha: smallest value of a transparency channel in 0..255; None without one.
        suffix: whether the suffix tells the format.
        odd: what cannot be read beside the pixels.
    """

    bytes: int = 0
    error: str = ""
    format: str = ""
    mode: str = ""
    stored: tuple[int, int] = (0, 0)
    orientation: int = 1
    frames: int = 1
    alpha: int | None = None
    suffix: bool = True
    odd: tuple[str, ...] = ()


@dataclass
class ImageFacts(FileFacts):
    """An image.

    Attributes:
        size: width and height, upright.
        digest: SHA-256 of size and pixels, upright, RGB.
        hash: 64-bit perceptual hash, and that of the mirrored image.
        mirror: see ``hash``.
        thumb: uint8 [32,32] grey.
    """

    size: tuple[int, int] = (0, 0)
    digest: bytes = b""
    hash: int = 0
    mirror: int = 0
    thumb: np.ndarray | None = None


@dataclass
class MaskFacts(FileFacts):
    """A mask.

    Attributes:
        refused: why its values do not fit; empty where they do.
        values: the values in it, ascending, the first 300.
        levels: number of values.
        style: ``1 bit``, ``0/1``, ``0/255``, ``constant``, ``grades``, ``coloured``, ``labels`` or ``mat``.
        share: share of the pixels that is object; of labels, share that is not ignored.
        annotators: number of annotations in a MATLAB file.
        problems: what does not fit in a MATLAB file.
        absent: what a MATLAB file lacks and may lack.
    """

    refused: str = ""
    values: tuple[int, ...] = ()
    levels: int = 0
    style: str = ""
    share: float | None = None
    annotators: int = 0
    problems: tuple[str, ...] = field(default=())
    absent: tuple[str, ...] = field(default=())


@dataclass
class Seen:
    """An entry with what its files hold."""

    entry: Entry
    image: ImageFacts | None
    mask: MaskFacts | None


def look(entry: Entry, subject: Subject) -> Seen:
    """Both files of an entry; whatever is wrong with them is in the record, nothing is raised."""
    image = None if entry.image is None else look_at_image(entry.image)
    mask = None
    if entry.mask is not None and subject.mask == "mat":
        mask = MaskFacts(bytes=_bytes(entry.mask), format="MAT", style="mat")
        mask.stored, mask.annotators, mask.problems, mask.absent, mask.error = look_at_mat(entry.mask)
    elif entry.mask is not None:
        mask = look_at_mask(entry.mask, kind=subject.mask, threshold=subject.threshold, values=subject.values)
    return Seen(entry, image, mask)


def look_at_image(path: Path) -> ImageFacts:
    """An image file; errors of any kind are facts."""
    facts = ImageFacts(bytes=_bytes(path))
    try:
        pixels = read_image(path)
    except Exception as error:  # hostile files raise whatever they like; every one is told
        facts.error = _words(error, path)
        return facts
    _describe(facts, path)
    facts.size = (pixels.shape[1], pixels.shape[0])
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(np.ascontiguousarray(pixels).reshape(-1))
    facts.digest = digest.digest()
    grey = Image.fromarray(pixels).convert("L").resize((THUMB, THUMB), Image.Resampling.BOX)
    facts.thumb = np.asarray(grey)
    facts.hash, facts.mirror = perceptual_hashes(facts.thumb)
    return facts


def look_at_mask(
    path: Path, *, kind: str, threshold: float | None = None, values: Mapping[int, Any] | None = None
) -> MaskFacts:
    """A mask file; errors of any kind are facts.

    Args:
        path: the file.
        kind: ``binary``, ``labels`` or ``grades``, see :data:`seglab.audit.subject.MASKS`.
        threshold: see :func:`seglab.data.files.read_mask`.
        values: see :class:`seglab.audit.subject.Subject`.
    """
    facts = MaskFacts(bytes=_bytes(path))
    plain = kind not in ("labels", "grades")
    mask = None
    try:
        mask = read_mask(path, threshold=threshold if plain else None, values=values if plain else EVERY)
    except Exception as error:  # as above
        if not isinstance(error, ValueError) or "cannot be read (" in str(error):
            facts.error = _words(error, path)
            return facts
        facts.refused = _reason(str(error), path) if plain else ""
    raw = _describe(facts, path, pixels=True)
    if raw is None:
        told = f"mode {facts.mode}, coloured: expected one channel, or equal channels"
        facts.style, facts.refused = "coloured", facts.refused or ("" if plain else told)
        return facts
    found, counts = np.unique(raw, return_counts=True)
    facts.values, facts.levels = tuple(int(v) for v in found[:300]), len(found)
    facts.style = _style(facts) if kind != "labels" else "labels"
    if kind == "labels":
        odd = [v for v in facts.values if values is not None and v not in values]
        facts.refused = f"labels {_few(odd)} are none of the {len(values or ())} known ones" if odd else ""
        facts.share = 1 - float(counts[found == 255].sum() / raw.size) if values and 255 in values else 1.0
    elif kind == "grades":
        facts.share = float(raw.mean() / max(1, int(found[-1])))
    elif mask is not None:
        known = mask != 255
        facts.share = float((mask[known] == 1).mean()) if known.any() else None
    return facts


def _describe(facts: FileFacts, path: Path, *, pixels: bool = False) -> np.ndarray | None:
    """Note what a file says of itself; for a mask also give its grey values [H,W], None for a coloured one.

    The pixels could be read before. What fails here, a training never meets: it is noted and stops nothing.
    """
    raw = None
    with Image.open(path, formats=FORMATS) as image:
        facts.format, facts.mode = str(image.format), image.mode
        facts.suffix = path.suffix.lower() in TYPES.get(facts.format, ())
        if pixels:
            image.load()  # some formats are turned by Pillow here, and are upright then
            raw = _grey(image)
        facts.stored = image.size
        for name, tell in (("orientation", _orientation), ("alpha", _alpha), ("frames", _frames)):
            try:
                setattr(facts, name, tell(image))  # frames last: counting moves through the file
            except Exception as error:  # damaged metadata raise whatever they like
                facts.odd += (f"{name}: {_reason(str(error), path) or type(error).__name__}",)
    return raw


def _orientation(image: Image.Image) -> int:
    found = image.getexif().get(ORIENTATION, 1) or 1
    if found not in range(1, 9):  # what is none of these turns nothing
        raise ValueError(f"{found!r} is none of 1 to 8")
    return int(found)


def _frames(image: Image.Image) -> int:
    return int(getattr(image, "n_frames", 1)) if image.format != "MPO" else 1


def _grey(image: Image.Image) -> np.ndarray | None:
    """Grey values or palette indices [H,W]; None for a coloured image."""
    if image.mode in ("1", "L", "P") or image.mode.startswith("I"):
        return np.asarray(image)
    if image.mode == "LA":
        return np.asarray(image)[..., 0]
    if image.mode in ("RGB", "RGBA"):
        channels = np.asarray(image)[..., :3]
        return channels[..., 0] if (channels == channels[..., :1]).all() else None
    return None


def _alpha(image: Image.Image) -> int | None:
    if image.mode in ("RGBA", "LA", "PA"):
        return int(image.getchannel("A").getextrema()[0])
    return 0 if "transparency" in image.info else None


def _style(facts: MaskFacts) -> str:
    if facts.mode == "1":
        return "1 bit"
    if facts.levels == 1 and facts.values[0] == 0:
        return "constant"
    if facts.values in ((0, 1), (1,)):
        return "0/1"
    if facts.values in ((0, 255), (255,), (0, 65535), (65535,)):
        return "0/255"
    return "grades"


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0  # opening it says what is wrong


def _few(values: list[int]) -> str:
    return ", ".join(map(str, values[:8])) + (", ..." if len(values) > 8 else "")


def _words(error: Exception, path: Path) -> str:
    size = _bytes(path)
    if path.is_file() and not size:
        return "0 bytes"
    reason = _reason(str(error), path) or type(error).__name__
    return reason if " bytes" in reason else f"{reason} ({size} bytes)"


def _reason(message: str, path: Path) -> str:
    """A message without the path and the general advice, which the report tells in its own way."""
    if "cannot identify image file" in message:
        return "no image, or of no known format"
    if found := re.search(r"cannot be read \((.*)\): expected", message):
        message = found.group(1)
    if "floating-point" in message:
        return "floating-point values: expected 8 or 16 bits a channel"
    for word in (f"mask '{path}' ", f"image '{path}' "):
        message = message.replace(word, "")
    return message.replace(repr(str(path)), "the file").replace(str(path), "the file")
