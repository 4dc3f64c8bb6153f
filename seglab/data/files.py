"""One image file and one mask file to arrays, whatever their format, or one clear message.

One runnable line: ``python -c "from seglab.data.files import read_image; print(read_image('photo.jpg').shape)"``.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

VERSION = 1
"""Raised when reading changes, so that no cache mixes old and new pixels."""

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
"""File types read, in any case."""

FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "GIF")
"""Content read, whatever the suffix says. Of the others that Pillow knows, some start programs (EPS)."""


def _open(path: Path, what: str) -> Image.Image:
    try:
        image = Image.open(path, formats=FORMATS)
        image.load()
        if not image.width or not image.height:
            raise ValueError("it has no pixels")
        if image.format == "PNG":
            check_png(path.read_bytes())
        if what == "image":
            image = ImageOps.exif_transpose(image)
    except Exception as error:  # the decoders have a dozen types for damage, none of which names the file
        size = f"{path.stat().st_size} bytes" if path.is_file() else "no such file"
        raise ValueError(
            f"{what} '{path}' cannot be read ({size}; {error}): expected a whole JPEG, PNG, BMP, WebP or TIFF file; "
            "fetch it again, or take it out of the folder or list"
        ) from error
    return image


def check_png(content: bytes) -> None:
    """Compare the checksums of a PNG file: Pillow passes over those of the pixels, and a flipped bit with them.

    Args:
        content: the whole file.

    Raises:
        ValueError: a checksum does not fit, or the file has no end.
    """
    view, at, kind = memoryview(content), 8, b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", view, at)
        (expected,) = struct.unpack_from(">I", view, at + 8 + length)
        if zlib.crc32(view[at + 4 : at + 8 + length]) != expected:
            raise ValueError(f"its part {kind!r} is damaged, the checksum differs")
        at += 12 + length


def read_image(path: Path | str) -> np.ndarray:
    """An image as uint8 [H,W,3] RGB.

    The EXIF orientation is applied. Grey becomes three equal channels, CMYK and YCbCr are converted, transparency is
    dropped, and of 16 bits the upper 8 are kept.

    Raises:
        ValueError: the file is missing, empty, truncated, too large or no image.
    """
    image = _open(Path(path), "image")
    if image.mode.startswith("I"):
        grey = np.clip(np.asarray(image).astype(np.int64), 0, 65535) >> 8
        return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)
    if image.mode == "F":
        raise ValueError(f"image '{path}' holds floating-point values: expected 8 or 16 bits a channel")
    try:
        return np.array(image.convert("RGB"))
    except ValueError as error:
        raise ValueError(f"image '{path}' has mode {image.mode}: expected grey, RGB, CMYK or a palette") from error


def read_mask(
    path: Path | str, *, threshold: float | None = None, values: Mapping[int, int] | None = None
) -> np.ndarray:
    """A mask as uint8 [H,W].

    Without options only unambiguous two-valued masks are accepted: one bit, 0/1, or 0/255 (0/65535 in 16 bits).

    Args:
        path: an image file with one channel, or with equal channels; transparency is dropped.
        threshold: graded masks: grey value >= threshold * 255 is object, 0 < threshold <= 1.
        values: explicit labels, palette index or grey value -> 0..K-1 or 255 (ignore); needed for palette images.

    Raises:
        ValueError: the file cannot be read, or its values do not fit; the message has the remedy.
    """
    image = _open(Path(path), "mask")
    if values is not None:
        return _mapped(_raw(image, path, indices=True), path, values)
    if image.mode == "P" and threshold is None:
        raise ValueError(
            f"mask '{path}' is a palette image with the indices {np.unique(np.asarray(image))[:8].tolist()}: say what "
            "they mean, e.g. data.source.mask_values={0:0,1:1,255:255}, or cut its grey values: "
            "data.source.threshold=0.5"
        )
    grey = _raw(image, path, indices=False)
    if threshold is not None:
        top = 65535 if image.mode.startswith("I") else 1 if grey.dtype == bool else 255
        if top > 1 and grey.max() == 1:
            raise ValueError(
                f"mask '{path}' has no grey value above 1 of {top}: its values are labels, not grades; set "
                "data.source.threshold=null"
            )
        if top == 65535 and 0 < grey.max() <= 255:
            raise ValueError(
                f"mask '{path}' has no grey value above {grey.max()} of 65535: grades of 8 bits in a file of more; "
                "expected values up to 65535, or a file of 8 bits"
            )
        return (grey >= threshold * top).astype(np.uint8)
    found = np.unique(grey)
    if len(found) > 2 or (len(found) == 2 and found[0] != 0) or found[-1] not in (0, 1, 255, 65535):
        raise ValueError(
            f"mask '{path}' has {len(found)} values ({', '.join(map(str, found[:8].tolist()))}"
            f"{', ...' if len(found) > 8 else ''}): expected two, 0 and 1 or 0 and 255; cut graded masks with "
            "data.source.threshold=0.5, or name labels with data.source.mask_values={0:0,1:1,255:255}"
        )
    return (grey != 0).astype(np.uint8)


def read_labels(path: Path | str) -> np.ndarray:
    """A label map as it is: palette indices or grey values, uint8 [H,W].

    Raises:
        ValueError: the file cannot be read, is coloured, or holds values above 255.
    """
    raw = _raw(_open(Path(path), "mask"), path, indices=True)
    if raw.size and not 0 <= int(raw.min()) <= int(raw.max()) <= 255:
        raise ValueError(f"mask '{path}' has values from {raw.min()} to {raw.max()}: expected labels 0 to 255")
    return raw.astype(np.uint8)


def _raw(image: Image.Image, path: Path | str, *, indices: bool) -> np.ndarray:
    """Grey values or palette indices [H,W]."""
    if image.mode == "P" and not indices:
        image = image.convert("RGB")
    if image.mode in ("1", "L", "P") or image.mode.startswith("I"):
        return np.asarray(image)
    if image.mode == "LA":
        return np.asarray(image)[..., 0]
    if image.mode in ("RGB", "RGBA"):
        channels = np.asarray(image)[..., :3]
        if (channels == channels[..., :1]).all():
            return channels[..., 0]
        raise ValueError(f"mask '{path}' is coloured: expected one channel, or equal channels")
    raise ValueError(f"mask '{path}' has mode {image.mode}: expected one bit, grey, palette or RGB with equal channels")


def _mapped(raw: np.ndarray, path: Path | str, values: Mapping[int, int]) -> np.ndarray:
    table = np.zeros(65536, dtype=np.uint8)
    known = np.zeros(65536, dtype=bool)
    for value, label in values.items():
        table[int(value)], known[int(value)] = int(label), True
    raw = raw.astype(np.int64)
    inside = np.clip(raw, 0, len(known) - 1)  # of 32 bits, values may lie anywhere
    odd = np.unique(raw[(inside != raw) | ~known[inside]])
    if odd.size:
        raise ValueError(
            f"mask '{path}' has the values {odd[:8].tolist()}, which data.source.mask_values={dict(values)} does not "
            "name: expected a label for each (255 = ignore)"
        )
    return table[raw]
