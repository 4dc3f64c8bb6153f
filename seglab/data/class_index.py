"""Which classes each photo of a data set holds, told from its label maps once and kept.

Ten thousand label maps take a minute to decode; what was found is kept in a small file, whose name follows from the
names, sizes and times of all label files, so that changed ones are looked at again.

One runnable line: see :mod:`seglab.data.single_class`.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tqdm import tqdm

from seglab.atomic import write_atomic
from seglab.data.region_labels import IGNORE
from seglab.data.sbd import read_class_map
from seglab.data.voc_semantic import ClassPhoto, check_classes

log = logging.getLogger(__name__)

VERSION = 1
"""Raised when what is kept changes its meaning."""

THREADS = 8


def classes_of(photos: Sequence[ClassPhoto], *, folder: Path | None, name: str = "") -> dict[str, list[int]]:
    """The classes of every photo.

    Args:
        photos: the photos.
        folder: where what was found is kept; None: nowhere.
        name: name of the data set in messages.

    Returns:
        Id of a photo -> numbers of its classes in rising order, the background (0) included, 255 not.

    Raises:
        ValueError: a label map cannot be read, or holds what is no class.
    """
    place = folder / f"classes-{_key(photos)}.json" if folder else None
    if place and (kept := _kept(place, photos)) is not None:
        return kept
    if len(photos) > 100:
        log.info("data=%s: looking which classes %d photos hold, once", name, len(photos))
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(tqdm(pool.map(_look, photos), total=len(photos), desc="classes", unit="img", disable=None))
    result = {photo.id: classes for photo, classes in zip(photos, found, strict=True)}
    if place:
        write_atomic(place, json.dumps(result) + "\n")
    return result


def _look(photo: ClassPhoto) -> list[int]:
    labels = read_class_map(photo.mask)
    check_classes(labels, photo.classes, photo.mask)
    return [int(label) for label in np.flatnonzero(np.bincount(labels.ravel(), minlength=256)) if label != IGNORE]


def _key(photos: Sequence[ClassPhoto]) -> str:
    digest = hashlib.sha256(f"classes {VERSION}\n".encode())
    for photo in photos:
        try:
            state = photo.mask.stat()
        except OSError as error:
            raise ValueError(f"file '{photo.mask}' cannot be read ({error.strerror}): expected a whole file") from error
        digest.update(f"{photo.id}\n{photo.mask}\n{photo.classes} {state.st_size} {state.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:20]


def _kept(place: Path, photos: Sequence[ClassPhoto]) -> dict[str, list[int]] | None:
    """What an earlier call found; None where there is nothing, or nothing whole."""
    try:
        found = json.loads(place.read_text(encoding="utf-8"))
        return {photo.id: [int(label) for label in found[photo.id]] for photo in photos}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("'%s' cannot be used (%s: %s): made anew", place, type(error).__name__, error)
        return None
