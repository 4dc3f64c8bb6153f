"""Several masks of an image: held, cached, and one drawn per epoch."""

from __future__ import annotations

import pickle
from collections import Counter

import numpy as np
import pytest

from seglab.data import cache
from seglab.data.annotations import Annotations
from seglab.data.arrays import ArrayDataset
from seglab.data.noise import Flip
from seglab.data.palette import VOID, in_colours


class Drawn:
    """An image whose annotator k has painted everything with the number 10 * image + k."""

    def __init__(self, number: int, people: int, size: tuple[int, int] = (6, 9)) -> None:
        self.id, self.number, self.people, self.size = f"i{number}", number, people, size

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        masks = [np.full(self.size, 10 * self.number + k, np.uint8) for k in range(self.people)]
        return np.full((*self.size, 3), self.number, np.uint8), np.stack(masks)

    def annotations(self) -> Annotations:
        segments = self.read()[1].astype(np.int32) * 100
        segments[:, 0, 0] = -1
        return Annotations(segments, np.ones(segments.shape, bool))

    def fingerprint(self) -> bytes:
        return bytes([self.number, self.people])


PEOPLE = (3, 1, 4, 2)


@pytest.fixture
def dataset(tmp_path) -> ArrayDataset:
    return cache.load([Drawn(i, n) for i, n in enumerate(PEOPLE)], size=4, folder=tmp_path)


def labels(dataset: ArrayDataset) -> list[int]:
    whole = dataset.__getitems__(range(len(dataset)))["mask"][:, 0, 0].tolist()
    assert [int(dataset[i]["mask"][0, 0]) for i in range(len(dataset))] == whole
    assert [int(dataset.mask(i)[0, 0]) for i in range(len(dataset))] == whole
    return whole


def test_the_first_mask_is_fetched_unless_one_is_drawn(dataset: ArrayDataset) -> None:
    assert labels(dataset) == [0, 10, 20, 30]
    assert labels(dataset.subset([2, 0])) == [20, 0]


def test_the_draw_follows_from_seed_epoch_and_image(dataset: ArrayDataset) -> None:
    drawn = [labels(dataset.for_epoch(epoch, seed=0)) for epoch in range(400)]
    assert labels(dataset.for_epoch(7, seed=0)) == drawn[7]
    assert any(labels(dataset.for_epoch(epoch, seed=1)) != drawn[epoch] for epoch in range(5))
    for image, people in enumerate(PEOPLE):
        seen = Counter(row[image] for row in drawn)
        assert set(seen) == {10 * image + k for k in range(people)}
        assert min(seen.values()) > 0.7 * 400 / people
    # The same image is drawn alike wherever it stands in a subset.
    view = dataset.subset([3, 2]).for_epoch(5, seed=0)
    assert labels(view) == [drawn[5][3], drawn[5][2]]
    assert labels(pickle.loads(pickle.dumps(view))) == labels(view)


def test_one_mask_an_image_needs_no_draw() -> None:
    plain = cache.load([Drawn(i, 1) for i in range(3)], size=4)
    assert plain.for_epoch(3, seed=0) is plain


def test_the_cache_reads_back_what_was_decoded(dataset: ArrayDataset, tmp_path) -> None:
    again = cache.load([Drawn(i, n) for i, n in enumerate(PEOPLE)], size=4, folder=tmp_path)
    in_memory = cache.load([Drawn(i, n) for i, n in enumerate(PEOPLE)], size=4)
    assert again.masks.shape == (sum(PEOPLE), 4, 4)
    for one in (again, in_memory):
        np.testing.assert_array_equal(one.masks, dataset.masks)
        assert labels(one.for_epoch(2, seed=5)) == labels(dataset.for_epoch(2, seed=5))
    assert len(list(tmp_path.iterdir())) == 1


def test_annotations_at_both_sizes(dataset: ArrayDataset) -> None:
    whole, small = (dataset.subset([2]).annotations(0, original=original) for original in (True, False))
    assert whole.segments_AHW.shape == (4, 6, 9)
    assert whole.boundaries_AHW.all()
    assert small.segments_AHW.shape == (4, 4, 4)
    assert small.boundaries_AHW is None
    assert small.segments_AHW[3, 2, 2] == 2300  # more than a byte holds
    assert whole.segments_AHW[0, 0, 0] == -1


class Plain:
    """An image with an ordinary mask: region 1, and an ignored column."""

    id = "plain"

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        mask = np.ones((6, 9), np.uint8)
        mask[:, -1] = 255
        return np.zeros((6, 9, 3), np.uint8), mask


def test_a_plain_mask_is_one_annotation() -> None:
    drawn = cache.load([Plain()], size=4).annotations(0, original=True)
    assert drawn.segments_AHW.shape == (1, 6, 9)
    assert np.unique(drawn.segments_AHW).tolist() == [-1, 1]
    assert (drawn.segments_AHW[0, :, -1] == -1).all()
    assert drawn.boundaries_AHW is None


def test_an_exchange_is_refused_whichever_annotator_has_many_regions() -> None:
    dataset = cache.load([Drawn(0, 3)], size=4)  # labels 0, 1 and 2
    with pytest.raises(ValueError, match=r"mask 'i0' has the labels \[2\]"):
        dataset.with_noise(Flip(rate=1.0, seed=0).choose(1))


def test_regions_keep_their_colours() -> None:
    labels_HW = np.array([[0, 1, 2], [19, 300, -1]])
    shown = in_colours(labels_HW)
    assert len(np.unique(shown.reshape(-1, 3), axis=0)) == 6
    assert tuple(shown[1, 2]) == VOID
    np.testing.assert_array_equal(in_colours(labels_HW[:, ::-1])[:, ::-1], shown)
