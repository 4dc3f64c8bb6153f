"""Label noise: object and background exchanged in a share of the training masks (CAS section 4.3, tables 1 and 3).

A mask G becomes 1 - G; shapes stay intact, test masks and held-out masks are never touched. The images are chosen
once, by a seed, and for one seed the choice at a low rate is contained in that at a higher rate.

One runnable line: ``python -c "from seglab.data.noise import Flip; print(Flip(rate=0.3, seed=0).choose(10))"``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from seglab.data.rng import permutation

if TYPE_CHECKING:
    from seglab.data.arrays import ArrayDataset


class Flip:
    """Exchange object and background in exactly ``round(rate * n)`` training masks.

    Args:
        rate: share of the training images, 0..1. The product is rounded on the decimal digits of ``rate`` and halves
            go to the even number, as Python's ``round`` does: 0.5 of 5 images are 2, of 7 images 4.
        seed: which images.

    Raises:
        ValueError: ``rate`` outside 0..1.
    """

    type = "flip"

    def __init__(self, *, rate: float = 0.0, seed: int = 0) -> None:
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate <= 1:
            raise ValueError(f"noise.rate={rate}: expected a share of the training masks, 0 <= rate <= 1")
        self.rate = float(rate)
        self.seed = int(seed)

    def choose(self, n: int) -> np.ndarray:
        """Which of ``n`` training images are exchanged: bool [n]."""
        flipped = np.zeros(n, dtype=bool)
        flipped[permutation(n, self.seed, "flip")[: round(Fraction(str(self.rate)) * n)]] = True
        return flipped

    def report(self, ids: Sequence[str], flipped: np.ndarray, dataset: ArrayDataset) -> dict[str, Any]:
        """What was done to the masks, for the run folder.

        Args:
            ids: names of the training images, n of them.
            flipped: bool [n], from :meth:`choose`.
            dataset: the training images; their masks are read for the share of pixels, with or without noise.

        Returns:
            Plain types: ``type``, ``rate`` asked, ``achieved``, ``seed``, ``images``, ``flipped``, ``flipped_ids``,
            ``flipped_pixels`` (share of pixels whose label changed, averaged over all training images), ``ids_sha256``
            (of the flipped ids, each followed by a newline).
        """
        names = [ids[i] for i in np.flatnonzero(flipped)]
        shares = [float((dataset.mask(int(i)) != 255).mean()) for i in np.flatnonzero(flipped)]
        digest = hashlib.sha256("".join(f"{name}\n" for name in names).encode()).hexdigest()
        return {
            "type": self.type,
            "rate": self.rate,
            "achieved": len(names) / len(ids) if len(ids) else 0.0,
            "seed": self.seed,
            "images": len(ids),
            "flipped": len(names),
            "flipped_ids": names,
            "flipped_pixels": sum(shares) / len(ids) if len(ids) else 0.0,
            "ids_sha256": digest,
        }
