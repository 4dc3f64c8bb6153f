"""Labels of regions: numbered from 0 without gaps, small enough for a mask.

Legend: H W pixels, N regions. One runnable line: ``python -c "import numpy as np;
from seglab.data.region_labels import renumbered; print(renumbered(np.array([[3, 9]])))"``.
"""

from __future__ import annotations

import numpy as np

IGNORE = 255
"""That of :mod:`seglab.data.sample`, whose import takes torch."""

MOST = 255
"""Regions that a mask of 8 bits can tell apart: 0..254, since 255 is an ignored pixel."""

_TABLE = 1 << 20


def renumbered(labels_HW: np.ndarray, *, ignored_HW: np.ndarray | None = None) -> np.ndarray:
    """Number the labels of a map 0..N-1, in the order of their values.

    Args:
        labels_HW: whole numbers of any kind, gaps allowed.
        ignored_HW: bool, pixels that belong to no region; null = none.

    Returns:
        int32 [H,W]; -1 where ignored.
    """
    labels = labels_HW.astype(np.int64)
    kept = labels if ignored_HW is None else labels[~ignored_HW]
    if kept.size and kept.min() >= 0 and kept.max() < _TABLE:
        there = np.zeros(int(kept.max()) + 1, dtype=bool)
        there[kept.ravel()] = True
        numbers = np.cumsum(there, dtype=np.int32) - 1
        numbers = numbers[kept]
    else:
        numbers = np.unique(kept, return_inverse=True)[1].astype(np.int32).reshape(kept.shape)
    if ignored_HW is None:
        return numbers.astype(np.int32)
    found = np.full(labels.shape, -1, dtype=np.int32)
    found[~ignored_HW] = numbers
    return found


def as_mask(segments: np.ndarray, *, what: str, remedy: str) -> np.ndarray:
    """Region indices as a mask: uint8 of the same shape, 255 = ignored.

    Args:
        segments: int32, 0..N-1 and -1 = ignored.
        what: the file, in the message.
        remedy: what to do, in the message.

    Raises:
        ValueError: more than 255 regions.
    """
    count = int(segments.max(initial=-1)) + 1
    if count > MOST:
        raise ValueError(f"{what} has {count} regions: expected at most {MOST}, as a mask has 8 bits; {remedy}")
    return np.where(segments < 0, IGNORE, segments).astype(np.uint8)
