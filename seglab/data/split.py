"""Hold out part of the training images, clean, for choices that need masks (CAS section 4.1: the output channel).

MSRA-B has no validation part, so images are held out of its training part; their masks are never exchanged.

One runnable line: ``python -c "from seglab.data.split import hold_out; print(hold_out(10, val=0.2, seed=0))"``.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from seglab.data.rng import permutation


def hold_out(n: int, *, val: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Divide the training images into those that train and those that are held out.

    Args:
        n: number of training images.
        val: share to hold out, 0 <= val < 1. At least one image is held out if ``val > 0``.
        seed: decides which; independent of the label noise, whose draw has its own key.

    Returns:
        Sorted int64 positions ``(train, held_out)``; together 0..n-1.

    Raises:
        ValueError: ``val`` outside its range, or nothing would be left to train on.
    """
    if isinstance(val, bool) or not isinstance(val, int | float) or not 0 <= val < 1:
        raise ValueError(f"val={val}: expected a share of the training images, 0 <= val < 1")
    held = max(1, round(Fraction(str(val)) * n)) if val else 0
    if held >= n:
        raise ValueError(f"val={val} holds out {held} of {n} training images: none is left to train on; lower val")
    order = permutation(n, seed, "hold-out")
    return np.sort(order[held:]), np.sort(order[:held])
