"""One map to the files a person asked for, each whole or not there at all.

One runnable line: ``python -c "import numpy as np; from pathlib import Path; from seglab.predicting.write import
save_image; save_image(np.eye(9, dtype=np.uint8) * 255, Path('eye.png'))"``.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from seglab.data.files import read_image
from seglab.data.palette import class_palette
from seglab.predicting.inputs import Photo
from seglab.predicting.overlay import coloured, outlines, overlay

if TYPE_CHECKING:
    from torch import Tensor

    from seglab.post.classes import Classes

QUALITY = 90
"""Of overlays, which are JPEG: they are for looking at."""


def write_results(
    photo: Photo,
    map_SS: Tensor,
    size: tuple[int, int],
    files: Mapping[str, Path],
    threshold: float | str,
    *,
    read_out: Classes | None = None,
) -> None:
    """Enlarge a map or the regions to their photo and write what is wanted.

    Args:
        photo: where it came from.
        map_SS: float32 [S,S] in 0..1, on the CPU; or the regions' numbers, int64 [S,S]; or the classes' scores, float32
            [K,S,S].
        size: height and width of the photo, upright.
        files: ``maps``, ``masks``, ``labels``, ``overlays`` -> file to write; those absent are not written.
        threshold: see :func:`cut`.
        read_out: how scores become classes at the photo's size; None: they are resized, then the largest is taken.

    Raises:
        ValueError: the map holds numbers that are not finite, or the photo cannot be read again or is too small.
        OSError: a file cannot be written.
    """
    import torch

    from seglab.evaluator import resize

    if map_SS.ndim == 3:
        if not bool(torch.isfinite(map_SS).all()):
            raise ValueError(f"image '{photo.path}': its scores are not finite; are the weights whole?")
        _write_classes(photo, _classes(photo, map_SS, size, read_out), files)
        return
    if not map_SS.is_floating_point():
        _write_regions(photo, resize(map_SS[None], size)[0].numpy(), files)
        return
    if not bool(torch.isfinite(map_SS).all()):
        raise ValueError(f"image '{photo.path}': its map holds values that are not finite; are the weights whole?")
    # Enlarged as floats, as the evaluator does at eval.resolution=original, and rounded once, at the end.
    whole = resize(map_SS[None], size)[0].clamp(0, 1).numpy()
    mask = cut(whole, threshold)
    if "maps" in files:
        np.rint(np.multiply(whole, 255, out=whole), out=whole)
        save_image(whole.astype(np.uint8), files["maps"])
    del whole
    if "masks" in files:
        save_image(mask.astype(np.uint8) * 255, files["masks"])
    if "overlays" in files:
        # Read again: keeping every photo of a batch would take memory that grows with their size.
        save_image(overlay(read_image(photo.path), mask), files["overlays"])


def _classes(photo: Photo, scores_KSS: Tensor, size: tuple[int, int], read_out: Classes | None) -> np.ndarray:
    from seglab.post.classes import Classes

    read_out = read_out or Classes()
    image = read_image(photo.path) if read_out.reads_images else None
    try:
        return read_out.enlarge(scores_KSS, size, image).numpy().astype(np.uint8)
    except ValueError as error:
        raise ValueError(f"image '{photo.path}': {error}") from error


def _write_regions(photo: Photo, labels: np.ndarray, files: Mapping[str, Path]) -> None:
    if "labels" in files:
        save_image(labels.astype(np.uint8 if labels.max() < 256 else np.uint16), files["labels"])
    if "overlays" in files:
        save_image(outlines(read_image(photo.path), labels), files["overlays"])


def _write_classes(photo: Photo, classes: np.ndarray, files: Mapping[str, Path]) -> None:
    if "labels" in files:
        save_image(classes, files["labels"], palette=class_palette())
    if "overlays" in files:
        save_image(coloured(read_image(photo.path), classes), files["overlays"])


def cut(whole: np.ndarray, threshold: float | str) -> np.ndarray:
    """The object of a map, bool [H,W].

    Args:
        whole: float [H,W] in 0..1.
        threshold: map > this number, as the fixed metrics cut; ``adaptive``: map > twice its mean (CAS section 4.2).
    """
    if threshold == "adaptive":
        return whole > 2 * whole.mean(dtype=np.float64)
    return whole > threshold


def save_image(array: np.ndarray, path: Path, *, palette: np.ndarray | None = None) -> None:
    """Write a uint8 or uint16 array as PNG, or as JPEG where the name says so, by way of a temporary file.

    Args:
        array: [H,W] or [H,W,3].
        path: file to write.
        palette: colours uint8 [256,3] of a uint8 array [H,W], which then is stored as indices, as PASCAL VOC has it.

    Raises:
        OSError: it cannot be written; what was at ``path`` is still there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    kind = {"format": "JPEG", "quality": QUALITY} if path.suffix == ".jpg" else {"format": "PNG", "compress_level": 3}
    image = Image.fromarray(array)
    if palette is not None:
        image.putpalette(palette.tobytes())  # what was grey values are now indices
    try:
        with open(temporary, "wb") as file:
            image.save(file, **kind)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
