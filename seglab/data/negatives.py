"""Negative images beside the training images: photos without the object, told apart by ``label`` 0.

Nothing but that is known of them (regularized loss section 3.4). Their masks are 255 everywhere, so no loss can take a
negative photo's mask for one of the object.

One runnable line: ``python -m seglab.preview loss=regularized_negative data=oxford_pet data.category=cat``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.utils.data import Dataset

from seglab.data.arrays import ArrayDataset
from seglab.data.rng import key_of
from seglab.data.sample import IGNORE, Batch


class WithNegatives(Dataset):
    """Positive images at the positions 0..n-1, negative ones behind them.

    Args:
        positives: the training images.
        negatives: images without the object.
    """

    def __init__(self, positives: ArrayDataset, negatives: ArrayDataset) -> None:
        self.positives, self.negatives = positives, negatives

    def __len__(self) -> int:
        """Number of images of both kinds."""
        return len(self.positives) + len(self.negatives)

    def for_epoch(self, epoch: int, *, seed: int) -> WithNegatives:
        """The view of an epoch, see :meth:`seglab.data.arrays.ArrayDataset.for_epoch`."""
        return WithNegatives(
            self.positives.for_epoch(epoch, seed=seed),
            self.negatives.for_epoch(epoch, seed=key_of(seed, "negatives")),
        )

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """A batch in the order asked for."""
        index = np.asarray(indices, dtype=np.int64)
        n, negative = len(self.positives), index >= len(self.positives)
        if not negative.any():
            return self.positives.__getitems__(index)
        without = self.negatives.__getitems__(index[negative] - n)
        without["mask"].fill_(IGNORE)
        without["label"].zero_()
        without["index"] += n
        if negative.all():
            return without
        return _in_order([self.positives.__getitems__(index[~negative]), without], negative)


def _in_order(parts: Sequence[Batch], negative: np.ndarray) -> Batch:
    """Positive and negative images of a batch, put back in the order they were asked for."""
    order = np.argsort(np.concatenate([np.flatnonzero(~negative), np.flatnonzero(negative)]))
    rows = torch.from_numpy(order)
    joined = {key: torch.cat([part[key] for part in parts])[rows] for key in ("image", "mask", "label", "index")}
    ids = [name for part in parts for name in part["id"]]
    return Batch(**joined, id=[ids[i] for i in order])
