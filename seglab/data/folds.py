"""Folds of the training images, so that nothing is judged by a network that saw it (Cogswell et al. 2014, section 5).

The fold of an image follows from the names of the images alone: neither their order nor the run's seed matters, so
networks, unary terms and rankers of any run agree. It is its place among *all* names, so another list of images has
other folds: a run keeps which list it was trained on (:func:`list_note`).

One runnable line: ``python -c "from seglab.data.folds import fold_of; print(fold_of(list('abcdef'), of=3))"``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from seglab.data.rng import key_of


def fold_of(ids: Sequence[str], *, of: int) -> np.ndarray:
    """The fold of every image, in folds that differ by at most one image.

    Args:
        ids: names of the images, all different.
        of: number of folds, 2 or more.

    Returns:
        int64 [n], 0..of-1.

    Raises:
        ValueError: fewer images than folds, or fewer than two folds.
    """
    if of < 2 or len(ids) < of:
        raise ValueError(f"folds={of} of {len(ids)} training images: expected 2 folds or more, and an image in each")
    place = np.argsort(np.array([key_of("fold", name) for name in ids], dtype=np.uint64), kind="stable")
    folds = np.empty(len(ids), dtype=np.int64)
    folds[place] = np.arange(len(ids)) % of
    return folds


def without_fold(ids: Sequence[str], *, of: int, number: int) -> np.ndarray:
    """Positions of the images outside one fold, in order; all of them where ``of`` is 0.

    Args:
        ids: names of the images.
        of: number of folds, or 0.
        number: the fold that is left out, 0..of-1.

    Raises:
        ValueError: no such fold, or as :func:`fold_of`.
    """
    if of == 0:
        return np.arange(len(ids))
    if not 0 <= number < of:
        raise ValueError(f"fold.number={number}: expected a whole number from 0 to {of - 1} (fold.of={of})")
    return np.flatnonzero(fold_of(ids, of=of) != number)


def list_note(ids: Sequence[str], *, of: int, number: int) -> dict[str, Any]:
    """Which list of images a run is trained on and what it leaves out, plain types; equal for equal images only.

    Args:
        ids: names of all training images, in any order.
        of: number of folds, or 0.
        number: the fold that is left out, 0..of-1.

    Returns:
        ``of``, ``number``, ``images`` (how many there are), ``sha256`` of their names, ``left_out``: names, sorted.

    Raises:
        ValueError: as :func:`without_fold`.
    """
    kept = set(without_fold(ids, of=of, number=number).tolist())
    names = "\0".join(sorted(ids)).encode("utf-8", "surrogateescape")
    return {
        "of": of,
        "number": number if of else 0,
        "images": len(ids),
        "sha256": hashlib.sha256(names).hexdigest(),
        "left_out": sorted(name for row, name in enumerate(ids) if row not in kept),
    }
