"""Label noise: object and background exchanged in a share of the training masks (CAS section 4.3, tables 1 and 3).

A mask G becomes 1 - G; shapes stay intact, test masks and held-out masks are never touched. The images are chosen
once, by a seed, and for one seed the choice at a low rate is contained in that at a higher rate.

One runnable line: ``python -c "from seglab.data.noise import Flip; print(Flip(rate=0.3, seed=0).choose(10))"``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from seglab.data.noise.base import Noise
from seglab.data.sample import IGNORE

if TYPE_CHECKING:
    from seglab.data.arrays import ArrayDataset


class Flip(Noise):
    """Exchange object and background in exactly ``round(rate * n)`` training masks.

    Args:
        rate: share of the training images, 0..1. The product is rounded on the decimal digits of ``rate`` and halves
            go to the even number, as Python's ``round`` does: 0.5 of 5 images are 2, of 7 images 4.
        seed: which images.

    Raises:
        ValueError: ``rate`` outside 0..1.
    """

    type = "flip"

    def change(self, mask_HW: np.ndarray, *, id: str, classes: int = 2, background: int | None = None) -> np.ndarray:
        """Labels 0 and 1 exchanged; 255 stays. See :meth:`seglab.data.noise.base.Noise.change`.

        Raises:
            ValueError: other labels.
        """
        odd = np.setdiff1d(mask_HW, [0, 1, IGNORE])
        if odd.size:
            raise ValueError(
                f"noise: mask '{id}' has the labels {odd[:5].tolist()}; an exchange is defined for two regions (0, 1, "
                "and 255 = ignore) only: use noise.rate=0 or binary masks"
            )
        return np.where(mask_HW == IGNORE, mask_HW, 1 - mask_HW)

    def report(
        self, ids: Sequence[str], chosen: np.ndarray, dataset: ArrayDataset, *, classes: int = 2
    ) -> dict[str, Any]:
        """What was done to the masks, for the run folder.

        Args:
            ids: names of the training images, n of them.
            chosen: bool [n], from :meth:`choose`.
            dataset: the training images; their masks are read for the share of pixels, with or without noise.
            classes: as for :meth:`change`.

        Returns:
            What :meth:`seglab.data.noise.base.Noise.report` gives, and ``flipped`` and ``flipped_ids`` (the changed
            ones), ``flipped_pixels`` (share of pixels whose label changed, averaged over all training images).
        """
        common = super().report(ids, chosen, dataset, classes=classes)
        pixels = [float((dataset.mask(int(i)) != IGNORE).mean()) for i in np.flatnonzero(chosen)]
        return common | {
            "flipped": common["changed"],
            "flipped_ids": common["changed_ids"],
            "flipped_pixels": sum(pixels) / len(ids) if len(ids) else 0.0,
        }

    def _marked(self, chosen: np.ndarray, dataset: ArrayDataset) -> np.ndarray:
        return chosen

    def _pairs(self, chosen: np.ndarray, dataset: ArrayDataset) -> Iterator[tuple[np.ndarray, np.ndarray, bool]]:
        for i, flipped in enumerate(chosen.tolist()):
            clean = dataset.clean_masks(i)
            yield clean, np.where(clean == IGNORE, clean, 1 - clean) if flipped else clean, flipped
