"""Changed masks as one array: computed once, kept beside the cache of decoded images, mapped by every later run.

``<key>.npy`` holds the masks of the changed images, ``<key>.json`` which images they are and a checksum of both. The
key hashes the true masks, the images chosen, all settings of the noise and :data:`RULE`, so two processes that write it
at once write the same; both files are replaced whole, and what a killed writer left behind is not read.

One runnable line: ``python -m seglab.preview data=shapes noise=boundary noise.rate=0.5``.
"""

from __future__ import annotations

import hashlib
import json
import logging
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from seglab.atomic import replacing, write_atomic
from seglab.data.noise.base import Noise

if TYPE_CHECKING:
    from seglab.data.arrays import ArrayDataset

log = logging.getLogger(__name__)

RULE = "noise 1"
"""Raised when a noise changes masks in another way than before."""


class Changed(NamedTuple):
    """The masks that a noise changed.

    Attributes:
        positions: int64, images whose masks are changed, ascending.
        masks: uint8 [c,H,W], all masks of these images in order.
        content: a name for them, equal for equal masks only.
    """

    positions: np.ndarray
    masks: np.ndarray
    content: str


def changed_masks(
    dataset: ArrayDataset,
    chosen: np.ndarray,
    noise: Noise,
    *,
    classes: int = 2,
    background: int | None = None,
    folder: Path | str | None = None,
) -> Changed:
    """The masks of the chosen images as the noise leaves them; of those only that it changes.

    Where several people drew an image the masks of the second and the others are changed by draws of their own (those
    of the image names ``<id>#1``, ``<id>#2`` ...).

    Args:
        dataset: the images with their true masks.
        chosen: bool [n].
        noise: see :meth:`seglab.data.noise.base.Noise.change`.
        classes: as there.
        background: as there.
        folder: where the files lie; None keeps the masks in memory.

    Raises:
        OSError: the folder cannot be written.
    """
    settings = {"type": noise.type, "rate": noise.rate, "seed": noise.seed, **noise.options()}
    settings |= {"rule": RULE, "classes": classes, "background": background, "by": type(noise).__module__}
    said = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for part in (dataset.fingerprint(), *dataset.ids):
        said.update(f"{part}\n".encode())
    said.update(np.packbits(chosen).tobytes())
    name = f"noise-{noise.type}-{said.hexdigest()[:20]}"
    if folder is None:
        positions, masks = _compute(dataset, chosen, noise, classes, background)
        return Changed(positions, masks, name)
    place = Path(folder) / f"{name}.npy"
    found = _open(place)
    if found is None:
        positions, masks = _compute(dataset, chosen, noise, classes, background)
        _write(place, positions, masks)
        del masks  # in memory once only: the file is mapped
        found = _open(place)
        assert found is not None, f"changed masks just written do not read back: {place}"
    return Changed(*found, name)


def _compute(
    dataset: ArrayDataset, chosen: np.ndarray, noise: Noise, classes: int, background: int | None
) -> tuple[np.ndarray, np.ndarray]:
    ids, where, positions, used = dataset.ids, np.flatnonzero(chosen).tolist(), [], 0
    log.info("noise=%s: changing the masks of %d images", noise.type, len(where))
    # Room for all: the system gives memory to what is written alone.
    masks = np.empty((int(dataset.counts[where].sum()), *dataset.masks.shape[1:]), np.uint8)
    for i in where:
        clean = dataset.clean_masks(i)
        names = [ids[i] if k == 0 else f"{ids[i]}#{k}" for k in range(len(clean))]
        pairs = zip(clean, names, strict=True)
        new = np.stack([noise.change(m, id=name, classes=classes, background=background) for m, name in pairs])
        if (new != clean).any():
            positions.append(i)
            masks[used : used + len(new)] = new
            used += len(new)
    return np.array(positions, dtype=np.int64), masks[:used]


def _write(place: Path, positions: np.ndarray, masks: np.ndarray) -> None:
    """The array first: the other file says that it is whole."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with replacing(place) as temporary:
            with temporary.open("wb") as file:
                np.save(file, masks)
            note = {"positions": positions.tolist(), "crc32": _checksum(temporary, positions)}
        write_atomic(place.with_suffix(".json"), json.dumps(note))
    except OSError as error:
        raise OSError(error.errno, f"changed masks '{place}' could not be written: {error.strerror}") from error


def _open(place: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Map the masks; None where they are absent or damaged."""
    if not place.exists() or not place.with_suffix(".json").exists():
        return None
    try:
        note = json.loads(place.with_suffix(".json").read_text(encoding="utf-8"))
        positions = np.array(note["positions"], dtype=np.int64)
        total = _checksum(place, positions)
        if total != note["crc32"]:
            raise ValueError(f"checksum is {total}, expected {note['crc32']}")
        # Only a file that is whole is parsed. One without a mask is its header, which cannot be mapped.
        return positions, np.load(place, mmap_mode="r" if len(positions) else None, allow_pickle=False)
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        log.warning("changed masks '%s' are damaged (%s): making them again", place, error)
        return None


def _checksum(place: Path, positions: np.ndarray) -> int:
    """CRC-32 of the file's bytes, header included, and of the positions behind them."""
    total = 0
    with place.open("rb") as file:
        while block := file.read(2**22):
            total = zlib.crc32(block, total)
    return zlib.crc32(positions.astype("<i8").tobytes(), total)
