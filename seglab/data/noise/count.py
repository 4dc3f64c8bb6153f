"""How many labels a noise changed: counts of (true label, training label), shares of pixels, a transition matrix.

One runnable line: ``python -c "import numpy as np; from seglab.data.noise.count import confusion;
print(confusion([(np.zeros((1, 2, 2), np.uint8), np.eye(2, dtype=np.uint8)[None], True)])[0][:2, :2])"``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from seglab.data.sample import IGNORE

MOST = 21
"""Labels of the largest transition matrix that is written: those of PASCAL VOC."""


def confusion(pairs: Iterable[tuple[np.ndarray, np.ndarray, bool]]) -> tuple[np.ndarray, int]:
    """Count pixels by true label and training label.

    Args:
        pairs: true masks and training masks, uint8 of one shape, and whether they differ, for every image.

    Returns:
        int64 [256,256], rows true labels (255 = ignored); and the labelled pixels of the changed images.
    """
    counts, of_changed = np.zeros(256 * 256, dtype=np.int64), 0
    for clean, noisy, changed in pairs:
        if changed:
            joint = clean.ravel().astype(np.int64) * 256 + noisy.ravel()
            counts += np.bincount(joint, minlength=len(counts))
            of_changed += int((clean != IGNORE).sum())
        else:
            counts[:: 256 + 1] += np.bincount(clean.ravel(), minlength=256)
    return counts.reshape(256, 256), of_changed


def shares(counts: np.ndarray, of_changed: int, *, classes: int) -> dict[str, Any]:
    """Shares of pixels and the transition matrix.

    Args:
        counts: int64 [256,256], from :func:`confusion`.
        of_changed: labelled pixels of the changed images.
        classes: classes there are; 0 = as many as the largest label says.

    Returns:
        ``pixels``: share of all labelled pixels whose label changed; ``pixels_of_changed``: the same over the changed
        images alone; ``labels``: K; ``transition``: K rows of K probabilities P(training label | true label) over all
        labelled pixels, a label that no mask has keeps itself; null where K is above :data:`MOST`.
    """
    known = counts[:IGNORE, :IGNORE]
    wrong = int(known.sum() - np.trace(known))
    seen = np.flatnonzero(known.sum(0) + known.sum(1))
    labels = max(classes, int(seen.max(initial=-1)) + 1)
    transition = None
    if 0 < labels <= MOST:
        part = known[:labels, :labels].astype(np.float64)
        part[part.sum(1) == 0] = np.eye(labels)[part.sum(1) == 0]
        transition = (part / part.sum(1, keepdims=True)).tolist()
    return {
        "pixels": wrong / max(1, int(known.sum())),
        "pixels_of_changed": wrong / max(1, of_changed),
        "labels": labels,
        "transition": transition,
    }
