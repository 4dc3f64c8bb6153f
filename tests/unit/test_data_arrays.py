"""Datasets of arrays, batches of positions, splits and grids."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
import torch
from PIL import Image

from seglab.data.arrays import ArrayDataset
from seglab.data.cache import load
from seglab.data.grid import save_grid
from seglab.data.loader import EpochBatches, make_loader, shard
from seglab.data.shapes import Shapes
from seglab.data.split import hold_out


@pytest.fixture(scope="module")
def data() -> ArrayDataset:
    return load(Shapes(train=12, size=32).items("train"), size=32)


def test_batch_is_its_samples_stacked(data):
    flipped = np.arange(12) % 3 == 0
    noisy = data.subset(range(11, -1, -1)).with_noise(flipped)
    batch = noisy.__getitems__([5, 0, 3])
    assert batch["image"].dtype == torch.uint8
    assert batch["mask"].dtype == batch["label"].dtype == batch["index"].dtype == torch.int64
    assert batch["index"].tolist() == [5, 0, 3]
    for row, i in enumerate([5, 0, 3]):
        sample = noisy[i]
        for key in ("image", "mask", "label"):
            assert torch.equal(batch[key][row], sample[key])
            assert batch[key].dtype == sample[key].dtype
        assert batch["id"][row] == sample["id"] == noisy.ids[i] == data.ids[11 - i]


def test_original_is_read_through_the_item(data):
    image, mask = data.subset([7]).original(0)
    np.testing.assert_array_equal(image.transpose(2, 0, 1), data[7]["image"])
    np.testing.assert_array_equal(mask, data[7]["mask"])


def test_positions_outside_are_refused(data):
    assert torch.equal(data[-1]["image"], data[11]["image"])
    with pytest.raises(IndexError):
        data[12]


@pytest.mark.parametrize("workers", [0, 2])
def test_loader_keeps_batches_whole(data, workers):
    plan = EpochBatches(12, batch_size=4, seed=0)
    batches = list(make_loader(data, plan.batches(3), workers=workers))
    assert [b["index"].tolist() for b in batches] == list(plan.batches(3))
    assert torch.equal(batches[0]["image"], data.__getitems__(next(plan.batches(3)))["image"])


@pytest.mark.parametrize(("world", "accumulate"), [(1, 1), (2, 1), (1, 3), (2, 3), (4, 3)])
def test_processes_together_see_the_batch_of_one(world, accumulate):
    whole = list(EpochBatches(50, batch_size=12, seed=5).batches(2))
    ranks = [
        list(EpochBatches(50, batch_size=12, seed=5, rank=r, world=world, accumulate=accumulate).batches(2))
        for r in range(world)
    ]
    assert len(whole) == 4
    for step, images in enumerate(whole):
        parts = [p for rank in ranks for p in rank[step * accumulate : (step + 1) * accumulate]]
        assert list(chain.from_iterable(parts)) == images
        assert {len(p) for p in parts} == {12 // (world * accumulate)}


def test_order_is_a_function_of_seed_and_epoch():
    plan = EpochBatches(40, batch_size=8, seed=1)
    assert list(plan.batches(0)) == list(EpochBatches(40, batch_size=8, seed=1).batches(0))
    assert list(plan.batches(0)) != list(plan.batches(1))
    assert list(plan.batches(0)) != list(EpochBatches(40, batch_size=8, seed=2).batches(0))
    assert list(plan.batches(4, start_step=3)) == list(plan.batches(4))[3:]
    assert sorted(chain.from_iterable(plan.batches(4))) == list(range(40))


def test_last_batch():
    plan = EpochBatches(10, batch_size=4, seed=0, drop_last=False)
    assert plan.steps == 3
    assert [len(b) for b in plan.batches(0)] == [4, 4, 2]
    assert EpochBatches(10, batch_size=4, seed=0).steps == 2
    with pytest.raises(ValueError, match="make a batch of 2, fewer than its 4 slices"):
        EpochBatches(10, batch_size=4, seed=0, world=4, drop_last=False)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"batch_size": 11}, r"batch_size=11 exceeds the 10 training images of data"),
        ({"batch_size": 5, "accumulate": 2}, r"batch_size=5: expected a multiple of .* = 1 \* 2 = 2"),
        ({"batch_size": 6, "world": 2, "accumulate": 2}, "= 4"),
        ({"batch_size": 0}, "batch_size=0"),
    ],
)
def test_bad_batches(options, match):
    with pytest.raises(ValueError, match=match):
        EpochBatches(10, seed=0, **options)


def test_evaluation_shards_cover_once():
    shards = [shard(11, batch_size=3, rank=r, world=4) for r in range(4)]
    assert sorted(i for s in shards for b in s for i in b) == list(range(11))
    assert shards[1] == [[1, 5, 9]]
    assert shard(2, batch_size=3, rank=3, world=4) == []


def test_hold_out():
    train, val = hold_out(100, val=0.1, seed=0)
    assert (len(train), len(val)) == (90, 10)
    assert sorted([*train, *val]) == list(range(100))
    assert (np.diff(train) > 0).all()
    assert list(hold_out(100, val=0.1, seed=0)[1]) == list(val)
    assert list(hold_out(100, val=0.1, seed=1)[1]) != list(val)
    assert len(hold_out(100, val=0, seed=0)[1]) == 0
    assert len(hold_out(5, val=0.01, seed=0)[1]) == 1


@pytest.mark.parametrize("val", [-0.1, 1, 1.5, True, "half"])
def test_hold_out_range(val):
    with pytest.raises(ValueError, match=f"val={val}"):
        hold_out(10, val=val, seed=0)


def test_hold_out_leaves_something():
    with pytest.raises(ValueError, match=r"val=0\.5 holds out 1 of 1"):
        hold_out(1, val=0.5, seed=0)


def test_grid_shows_each_kind_of_array(tmp_path):
    image = np.zeros((8, 16, 3), np.uint8)
    image[..., 1] = 200
    mask = np.array([[0, 1], [255, 1]])
    columns = {"image": [image, image], "mask": [mask, mask], "map": [np.full((4, 4), 0.5), np.zeros((4, 4))]}
    path = save_grid(columns, tmp_path / "sub" / "g.png", titles=["a", "b"], marked=[False, True], cell=64)
    page = np.asarray(Image.open(path)).astype(int)
    assert (page == [0, 200, 0]).all(-1).sum() >= 2 * 64 * 32
    assert (page == [128, 128, 128]).all(-1).sum() >= 64 * 64
    assert (page == [150, 110, 190]).all(-1).sum() == 2 * 32 * 32
    red = (page == [214, 39, 40]).all(-1)
    assert not red[: len(page) // 2].any()
    assert red[len(page) // 2 :].any()


@pytest.mark.parametrize("columns", [{}, {"a": []}, {"a": [np.eye(2)], "b": []}])
def test_grid_of_unequal_columns(tmp_path, columns):
    with pytest.raises(ValueError, match="columns of one length"):
        save_grid(columns, tmp_path / "g.png")
