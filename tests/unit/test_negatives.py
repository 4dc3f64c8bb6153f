"""Negative images: which batches they are in, and what of them is hidden."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from seglab.data.arrays import ArrayDataset
from seglab.data.loader import EpochBatches
from seglab.data.negatives import WithNegatives


def arrays(n: int, value: int) -> ArrayDataset:
    images = np.full((n, 3, 4, 4), value, dtype=np.uint8) + np.arange(n, dtype=np.uint8)[:, None, None, None]
    return ArrayDataset(images, np.ones((n, 4, 4), np.uint8), [f"{value}-{i}" for i in range(n)], [None] * n)


def test_a_mixed_batch_keeps_its_order_and_hides_the_masks_of_negatives() -> None:
    both = WithNegatives(arrays(3, 10), arrays(2, 100))
    batch = both.__getitems__([4, 0, 3, 2])
    assert batch["id"] == ["100-1", "10-0", "100-0", "10-2"]
    assert batch["image"][:, 0, 0, 0].tolist() == [101, 10, 100, 12]
    assert batch["label"].tolist() == [0, 1, 0, 1]
    assert batch["index"].tolist() == [4, 0, 3, 2]
    assert [torch.unique(m).tolist() for m in batch["mask"]] == [[255], [1], [255], [1]]
    assert both.__getitems__([4, 3])["label"].tolist() == [0, 0]


def test_every_batch_and_every_slice_has_its_share() -> None:
    sliced = [
        EpochBatches(20, batch_size=8, seed=1, rank=r, world=2, negatives=5, share=0.5).batches(3) for r in range(2)
    ]
    steps = [a + b for a, b in zip(*sliced, strict=True)]
    whole = list(EpochBatches(20, batch_size=8, seed=1, negatives=5, share=0.5).batches(3))
    assert steps == whole
    assert len(whole) == 5
    for step in whole:
        for half in (step[:4], step[4:]):
            assert sum(i >= 20 for i in half) == 2
    positives = [i for step in whole for i in step if i < 20]
    assert sorted(positives) == list(range(20))  # an epoch is one pass over the positives
    negatives = [i for step in whole for i in step if i >= 20]
    for start in range(0, 20, 5):  # and goes round and round through the negatives
        assert sorted(negatives[start : start + 5]) == list(range(20, 25))


def test_resuming_inside_an_epoch_gives_the_same_mixed_batches() -> None:
    batches = EpochBatches(30, batch_size=4, seed=0, negatives=7, share=0.25)
    assert list(batches.batches(2, start_step=4)) == list(batches.batches(2))[4:]


def test_without_a_share_the_batches_are_those_without_negatives() -> None:
    plain = list(EpochBatches(20, batch_size=4, seed=0).batches(1))
    assert list(EpochBatches(20, batch_size=4, seed=0, negatives=9).batches(1)) == plain


@pytest.mark.parametrize("share", [0.01, 0.99])
def test_a_share_that_leaves_one_kind_out_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match=r"negatives.share=.*both kinds in every batch"):
        EpochBatches(20, batch_size=8, seed=0, negatives=5, share=share)
