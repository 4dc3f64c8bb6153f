"""Exchanged masks: exact count, fixed choice, nested over rates, void pixels untouched."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import numpy as np
import pytest
import torch

from seglab.data.arrays import ArrayDataset
from seglab.data.noise import Flip
from seglab.data.split import hold_out


def dataset(masks):
    masks = np.asarray(masks, np.uint8)
    n, size, _ = masks.shape
    return ArrayDataset(np.zeros((n, 3, size, size), np.uint8), masks, [f"i{k}" for k in range(n)], [None] * n)


@pytest.mark.parametrize(
    ("rate", "n", "count"),
    [
        (0, 9, 0),
        (1, 9, 9),
        (0.02, 100, 2),
        (0.3, 10, 3),
        (0.5, 5, 2),
        (0.5, 7, 4),
        (0.145, 100, 14),
        (0.155, 100, 16),
        (0.575, 100, 58),
    ],
)
def test_exactly_the_rounded_share(rate, n, count):
    flipped = Flip(rate=rate, seed=3).choose(n)
    assert flipped.dtype == bool
    assert flipped.sum() == count


def test_fixed_by_seed_and_nested_over_rates():
    np.testing.assert_array_equal(Flip(rate=0.3, seed=0).choose(50), Flip(rate=0.3, seed=0).choose(50))
    assert (Flip(rate=0.3, seed=0).choose(50) != Flip(rate=0.3, seed=1).choose(50)).any()
    sets = [Flip(rate=rate, seed=0).choose(97) for rate in (0.02, 0.05, 0.1, 0.3, 0.5, 1)]
    for low, high in pairwise(sets):
        assert not (low & ~high).any()


def test_independent_of_the_hold_out():
    _, val = hold_out(200, val=0.5, seed=0)
    flipped = np.flatnonzero(Flip(rate=0.5, seed=0).choose(200))
    assert 30 < len(set(val) & set(flipped)) < 70


@pytest.mark.parametrize("rate", [-0.1, 1.01, True, "half"])
def test_rate_range(rate):
    with pytest.raises(ValueError, match=rf"noise\.rate={rate}"):
        Flip(rate=rate)


def test_exchange_keeps_void_and_the_rest_and_the_source():
    masks = np.array([[[0, 1], [255, 1]], [[1, 1], [0, 255]]])
    clean = dataset(masks)
    noisy = clean.with_noise([True, False])
    want = torch.tensor([[[1, 0], [255, 0]], [[1, 1], [0, 255]]])
    assert torch.equal(noisy.__getitems__([0, 1])["mask"], want)
    assert torch.equal(noisy[0]["mask"], want[0])
    assert noisy.subset([1, 0]).flipped.tolist() == [False, True]
    np.testing.assert_array_equal(clean[0]["mask"], masks[0])
    np.testing.assert_array_equal(noisy.with_noise([True, False])[0]["mask"], masks[0])


def test_more_than_two_regions_are_refused():
    data = dataset([[[0, 1], [1, 1]], [[0, 3], [2, 255]]])
    data.with_noise([True, False])
    with pytest.raises(ValueError, match=r"mask 'i1' has the labels \[2, 3\].*noise\.rate=0"):
        data.with_noise([False, True])


def test_report():
    masks = np.zeros((4, 2, 2), np.uint8)
    masks[:, 0, 0] = 255
    data = dataset(masks)
    noise = Flip(rate=0.5, seed=0)
    flipped = noise.choose(4)
    report = noise.report(data.ids, flipped, data)
    names = [f"i{k}" for k in np.flatnonzero(flipped)]
    expected = {
        "type": "flip",
        "rate": 0.5,
        "achieved": 0.5,
        "seed": 0,
        "images": 4,
        "flipped": 2,
        "flipped_ids": names,
        "flipped_pixels": 2 * 0.75 / 4,
        "ids_sha256": hashlib.sha256(("\n".join(names) + "\n").encode()).hexdigest(),
    }
    assert report | expected == report  # these keys never change; all noise has more of them
    assert report["transition"] == [[0.5, 0.5], [0, 1]]
    assert (report["pixels"], report["pixels_of_changed"], report["changed_ids"]) == (0.5, 1, names)
