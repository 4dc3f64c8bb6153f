"""Files of maps, masks and labels to arrays; what does not fit is a fault with a kind, never a guess.

Example: ``python -c "from pathlib import Path; from seglab.scoring.images import read_map; read_map(Path('a.png'))"``
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from seglab.scoring.faults import Fault

BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)
FEW = 60
"""Values of a mask that are all below this, but for 0 and 255, are class indices."""
SCALED = {"L;2": 85, "L;4": 17}
"""Pillow stretches grey of 2 and 4 bits to 0..255 by these factors."""


def read_map(path: Path) -> np.ndarray:
    """A saliency map.

    Args:
        path: 1, 8 or 16 bits, grey or with equal channels; transparency is dropped.

    Returns:
        uint8 [H, W] grey values 0..255; or float64 [H, W] in 0..1 for 16 bits.

    Raises:
        Fault: unreadable, in colour, or a label map.
    """
    image = _open(path)
    _refuse_palette(image, path)
    grey_HW = _grey(image, path)
    if grey_HW.dtype == np.bool_:
        return grey_HW.astype(np.uint8) * 255
    if grey_HW.dtype != np.uint8:
        return grey_HW / 65535.0
    if grey_HW.size and grey_HW.max() == 1:
        raise Fault("labels", f"{path}: values 0 and 1 only, of 255")
    return grey_HW


def read_mask(path: Path) -> np.ndarray:
    """An object mask as grey values uint8 [H, W], 0..255; of 16 bits the upper 8, and 0/1 becomes 0/255.

    Raises:
        Fault: unreadable, in colour, or a label map.
    """
    image = _open(path)
    _refuse_palette(image, path)
    grey_HW = _grey(image, path)
    if grey_HW.dtype == np.bool_:
        return grey_HW.astype(np.uint8) * 255
    if grey_HW.dtype != np.uint8:
        return (grey_HW >> 8).astype(np.uint8)
    if grey_HW.size and grey_HW.max() == 1:
        return grey_HW * np.uint8(255)  # background 0 and object 1, which cannot mean anything else
    there = np.flatnonzero(np.bincount(grey_HW.ravel(), minlength=256))
    middle = there[(there > 0) & (there < 255)]
    lossy = path.suffix.lower() in (".jpg", ".jpeg", ".webp")
    if middle.size and middle[-1] <= FEW and not (lossy and there[-1] == 255):
        shown = ", ".join(map(str, there[:8].tolist()))
        raise Fault("labels", f"{path}: mask with the values {shown}{', ...' if there.size > 8 else ''}")
    return grey_HW


def read_labels(path: Path) -> np.ndarray:
    """A label map as whole numbers [H, W]: palette indices, or grey values as they are stored.

    Raises:
        Fault: unreadable, or in colour without a palette.
    """
    image = _open(path)
    if image.mode == "P":
        return np.asarray(image)
    labels_HW = _grey(image, path)
    return labels_HW.astype(np.uint8) if labels_HW.dtype == np.bool_ else labels_HW // image.info.get("scaled", 1)


def _open(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            raw = image.tile[0][3] if image.tile else None
            image.load()
    except BROKEN as error:
        size = f"{path.stat().st_size} bytes" if path.is_file() else "no such file"
        raise Fault("unreadable", f"{path}: {size}; {error}") from error
    image.info["scaled"] = SCALED.get(raw, 1) if isinstance(raw, str) else 1
    return image


def _refuse_palette(image: Image.Image, path: Path) -> None:
    """A palette of colours stands for classes; a palette of greys is a grey image."""
    if image.mode == "P":
        used = np.unique(np.asarray(image))
        colours = np.array(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
        colours = colours[used[used < len(colours)]]
        if (colours != colours[:, :1]).any():
            shown = ", ".join(map(str, used[:8].tolist()))
            raise Fault("labels", f"{path}: palette image with the indices {shown}")


def _grey(image: Image.Image, path: Path) -> np.ndarray:
    """Grey values [H, W]: bool, uint8, or whole numbers 0..65535."""
    if image.mode == "P":
        image = image.convert("RGB")
    if image.mode in ("1", "L"):
        return np.asarray(image)
    if image.mode.startswith("I"):
        return np.asarray(image).astype(np.int64).clip(0, 65535)
    if image.mode == "LA":
        return np.asarray(image)[..., 0]
    if image.mode in ("RGB", "RGBA"):
        channels = np.asarray(image)[..., :3]
        if (channels == channels[..., :1]).all():
            return np.ascontiguousarray(channels[..., 0])
        raise Fault("colour", f"{path}: three channels that differ")
    raise Fault("colour", f"{path}: an image of mode {image.mode}")
