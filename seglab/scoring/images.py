"""Files of maps, masks and labels to arrays; what does not fit is a fault with a kind, never a guess.

Example: ``python -c "from pathlib import Path; from seglab.scoring.images import read_map; read_map(Path('a.png'))"``
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from seglab.data.files import FORMATS, check_png
from seglab.scoring.faults import Fault

FEW = 60
"""Values of a mask that are all below this, but for 0 and 255, are class indices."""
SCALED = {"L;2": 85, "L;4": 17}
"""Pillow stretches grey of 2 and 4 bits to 0..255 by these factors."""


def read_map(path: Path, *, strict: bool = True) -> np.ndarray:
    """A saliency map.

    Args:
        path: 1, 8 or 16 bits, grey or with equal channels; transparency is dropped.
        strict: refuse what looks like labels, or like 8 bits in a file of 16.

    Returns:
        uint8 [H, W] grey values 0..255; or float64 [H, W] in 0..1 for 16 bits.

    Raises:
        Fault: unreadable, in colour, or refused.
    """
    image = open_image(path)
    refuse_palette(image, path)
    grey_HW = grey_values(image, path)
    if grey_HW.dtype == np.bool_:
        return grey_HW.astype(np.uint8) * 255
    top = grey_HW.max()
    if grey_HW.dtype != np.uint8:
        if strict and 0 < top <= 255:
            raise Fault("depth", f"{path}: map with no value above {top}, of 65535")
        return grey_HW / 65535.0
    if strict and top == 1:
        raise Fault("labels", f"{path}: values 0 and 1 only, of 255")
    return grey_HW


def read_mask(path: Path, *, strict: bool = True) -> np.ndarray:
    """An object mask as grey values uint8 [H, W], 0..255; of 16 bits the upper 8, and 0/1 becomes 0/255.

    Args:
        path: as for a map; 16 bits that hold 0/1 or 0/255 are read as they are meant, too.
        strict: refuse what looks like labels, or like 8 bits in a file of 16.

    Raises:
        Fault: unreadable, in colour, or refused.
    """
    image = open_image(path)
    refuse_palette(image, path)
    grey_HW = grey_values(image, path)
    if grey_HW.dtype == np.bool_:
        return grey_HW.astype(np.uint8) * 255
    top = grey_HW.max()
    if top == 1 or (top == 255 and grey_HW.dtype != np.uint8 and np.isin(grey_HW, (0, 255)).all()):
        return (grey_HW > 0) * np.uint8(255)  # background and object, which cannot mean anything else
    if grey_HW.dtype != np.uint8:
        if strict and 0 < top <= 255:
            raise Fault("depth", f"{path}: mask with the values {values_in(grey_HW)}, of 65535")
        grey_HW = (grey_HW >> 8).astype(np.uint8)
    there = np.flatnonzero(np.bincount(grey_HW.ravel(), minlength=256))
    middle = there[(there > 0) & (there < 255)]
    lossy = path.suffix.lower() in (".jpg", ".jpeg", ".webp")
    if strict and middle.size and middle[-1] <= FEW and not (lossy and there[-1] == 255):
        raise Fault("labels", f"{path}: mask with the values {values_in(there)}")
    return grey_HW


def read_labels(path: Path) -> np.ndarray:
    """A label map as whole numbers [H, W]: palette indices, or grey values as they are stored.

    Raises:
        Fault: unreadable, or in colour without a palette.
    """
    image = open_image(path)
    if image.mode == "P":
        return np.asarray(image)
    labels_HW = grey_values(image, path)
    return labels_HW.astype(np.uint8) if labels_HW.dtype == np.bool_ else labels_HW // image.info.get("scaled", 1)


def open_image(path: Path) -> Image.Image:
    """A decoded image, its checksums compared.

    Raises:
        Fault: it cannot be read.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            raw = image.tile[0][3] if image.tile else None
            image.load()
        if not image.width or not image.height:
            raise ValueError("it has no pixels")
        if image.format == "PNG":
            check_png(path.read_bytes())
    except Exception as error:  # the decoders have a dozen types for damage, none of which names the file
        size = f"{path.stat().st_size} bytes" if path.is_file() else "no such file"
        raise Fault("unreadable", f"{path}: {size}; {error}") from error
    image.info["scaled"] = SCALED.get(raw, 1) if isinstance(raw, str) else 1
    return image


def refuse_palette(image: Image.Image, path: Path, *, kind: str = "palette") -> None:
    """A palette of colours stands for classes; a palette of greys is a grey image.

    Args:
        image: from :func:`open_image`.
        path: its file, for the message.
        kind: of the fault, which says what else to do.

    Raises:
        Fault: it has a palette of colours.
    """
    if image.mode == "P":
        used = np.unique(np.asarray(image))
        colours = np.array(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
        colours = colours[used[used < len(colours)]]
        if (colours != colours[:, :1]).any():
            raise Fault(kind, f"{path}: palette image with the indices {values_in(used)}")


def grey_values(image: Image.Image, path: Path) -> np.ndarray:
    """Grey values [H, W]: bool, uint8, or whole numbers 0..65535.

    Raises:
        Fault: in colour, or out of range.
    """
    if image.mode == "P":
        image = image.convert("RGB")
    if image.mode in ("1", "L"):
        return np.asarray(image)
    if image.mode.startswith("I"):
        whole_HW = np.asarray(image).astype(np.int64)
        if whole_HW.min() < 0 or whole_HW.max() > 65535:
            raise Fault("range", f"{path}: values from {whole_HW.min()} to {whole_HW.max()}")
        return whole_HW
    if image.mode == "LA":
        return np.asarray(image)[..., 0]
    if image.mode in ("RGB", "RGBA"):
        channels = np.asarray(image)[..., :3]
        if (channels == channels[..., :1]).all():
            return np.ascontiguousarray(channels[..., 0])
        raise Fault("colour", f"{path}: three channels that differ")
    raise Fault("colour", f"{path}: an image of mode {image.mode}")


def values_in(array: np.ndarray) -> str:
    """The first eight values that occur."""
    there = np.unique(array)
    return ", ".join(map(str, there[:8].tolist())) + (", ..." if there.size > 8 else "")
