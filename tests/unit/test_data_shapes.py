"""The procedural data set: fixed pixels, sane masks, no shortcut by colour."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from seglab.data.rng import Dice, integers, permutation
from seglab.data.shapes import Shapes

GOLDEN = {
    64: "f1a47ab9f99c20a5296f7ca8dd887e27d01c80acf401a385ef272f44333d0995",
    97: "c4c969428f3c6bffa6f7e99f2ff779612290b19b729653f136c996b9c84e51f4",
}


@pytest.mark.parametrize("size", GOLDEN)
def test_pixels_are_fixed(size):
    digest = hashlib.sha256()
    for part in ("train", "test"):
        for item in Shapes(train=24, test=8, size=size).items(part):
            image, mask = item.read()
            digest.update(image.tobytes() + mask.tobytes())
    assert digest.hexdigest() == GOLDEN[size]


def test_random_numbers_are_those_of_splitmix64():
    # the published generator, started with 0; here the key of no words
    assert int(integers(2)[0]) == 0xE220A8397B1DCDAF
    assert int(integers(2)[1]) == 0x6E789E6AA1B965F4
    assert sorted(permutation(50, 3, "x")) == list(range(50))
    np.testing.assert_array_equal(integers(5, 1, "a"), integers(9, 1, "a")[:5])
    assert (integers(5, 1, "a") != integers(5, 1, "b")).all()
    values = [Dice(i).between(2, 5) for i in range(99)]
    assert set(values) == {2, 3, 4, 5}


def test_masks_are_binary_and_of_sane_size():
    shares = []
    for item in Shapes(train=60, size=64).items("train"):
        image, mask = item.read()
        assert image.shape == (64, 64, 3)
        assert image.dtype == mask.dtype == np.uint8
        assert image.flags.c_contiguous
        assert set(np.unique(mask)) == {0, 1}
        shares.append(mask.mean())
    assert min(shares) > 0.03
    assert max(shares) < 0.6
    assert 0.12 < np.mean(shares) < 0.3


def test_another_size_shows_the_same_scene():
    small = Shapes(train=5, size=64).items("train")
    large = Shapes(train=5, size=128).items("train")
    for a, b in zip(small, large, strict=True):
        assert (a.read()[1] != b.read()[1][::2, ::2]).mean() < 0.05


def test_scenes_differ_by_part_index_and_seed():
    items = [*Shapes(size=32, train=3, test=3).items("train"), *Shapes(size=32, train=3, test=3).items("test")]
    items += Shapes(size=32, train=3, seed=1).items("train")
    pictures = {item.read()[0].tobytes() for item in items}
    assert len(pictures) == len({item.fingerprint() for item in items}) == 9


def test_colour_does_not_tell_object_from_clutter():
    """Even the best threshold of the best channel, chosen with the mask in hand, stays poor."""
    scores = []
    for item in Shapes(train=30, size=64).items("train"):
        image, mask = item.read()
        best = 0.0
        for channel in np.moveaxis(image, -1, 0):
            for t in range(8, 256, 8):
                for found in (channel >= t, channel < t):
                    hit = float((found & (mask == 1)).sum())
                    precision, recall = hit / max(1, found.sum()), hit / mask.sum()
                    best = max(best, 1.3 * precision * recall / max(1e-9, 0.3 * precision + recall))
        scores.append(best)
    assert np.mean(scores) < 0.6


@pytest.mark.parametrize("options", [{"train": -1}, {"size": 8}, {"test": 2.5}])
def test_bad_options(options):
    key = next(iter(options))
    with pytest.raises(ValueError, match=rf"data\.source\.{key}="):
        Shapes(**options)


def test_a_part_of_no_pictures():
    with pytest.raises(ValueError, match="has no train part"):
        Shapes(train=0).items("train")
