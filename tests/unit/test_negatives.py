"""Negative images: which batches they are in, and what of them is hidden."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import DictConfig
from PIL import Image

from seglab.config import compose
from seglab.data.arrays import ArrayDataset
from seglab.data.build import negative_images
from seglab.data.loader import EpochBatches
from seglab.data.negatives import WithNegatives
from seglab.losses.regularized import Regularized


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


@pytest.mark.parametrize(
    ("batch_size", "share", "accumulate", "worlds"),
    [(8, 0.25, 2, (1, 2)), (12, 0.5, 3, (1, 2, 4)), (24, 0.25, 2, (1, 2, 3, 4)), (16, 0.5, 4, (1, 2))],
)
def test_every_piece_has_as_many_of_either_kind(batch_size, share, accumulate, worlds) -> None:
    def dealt(world: int, accumulate: int) -> list[list[list[int]]]:
        """Step -> piece -> its images over all processes."""
        options = {"batch_size": batch_size, "seed": 2, "world": world, "accumulate": accumulate}
        ranks = [list(EpochBatches(100, **options, rank=r, negatives=9, share=share).batches(1)) for r in range(world)]
        assert {len(part) for rank in ranks for part in rank} == {batch_size // world // accumulate}
        pieces = [[i for part in parts for i in part] for parts in zip(*ranks, strict=True)]
        return [pieces[i : i + accumulate] for i in range(0, len(pieces), accumulate)]

    whole = [sorted(i for piece in step for i in piece) for step in dealt(1, 1)]
    for world in worlds:
        steps = dealt(world, accumulate)
        assert [sorted(i for piece in step for i in piece) for step in steps] == whole
        for step in steps:
            assert [sum(i >= 100 for i in piece) for piece in step] == [share * batch_size / accumulate] * accumulate


def test_pieces_have_the_weights_of_the_whole_batch() -> None:
    """Terms that average over a kind of images: their mean over the pieces is that of the whole batch."""
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (60, 3, 12, 12), dtype=np.uint8))
    logits = torch.randn(60, 2, 12, 12, generator=torch.Generator().manual_seed(0))
    loss = Regularized(weights={"sparse_crf": 100, "position": 1, "negative": 2})

    def terms(accumulate: int) -> dict[str, float]:
        plan = EpochBatches(40, batch_size=16, seed=0, negatives=20, share=0.25, accumulate=accumulate)
        found = [
            loss(logits[part], {"image": images[part], "label": (torch.tensor(part) < 40).long()})
            for part in islice(plan.batches(0), accumulate)
        ]
        return {name: float(sum(piece[name] for piece in found)) / accumulate for name in found[0]}

    for accumulate in (2, 4):
        assert terms(accumulate) == pytest.approx(terms(1), rel=1e-5)


def test_a_batch_in_one_piece_is_dealt_as_ever() -> None:
    first = next(EpochBatches(20, batch_size=8, seed=1, negatives=5, share=0.25).batches(3))
    assert first == [19, 4, 23, 12, 1, 10, 22, 0]


@pytest.mark.parametrize("share", [0.01, 0.99])
def test_a_share_that_leaves_one_kind_out_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match=rf"negatives.share={share}: .* of the 8 images .*both kinds in every batch"):
        EpochBatches(20, batch_size=8, seed=0, negatives=5, share=share)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"batch_size": 12, "share": 0.25, "accumulate": 2},
            "batch_size=12, negatives.share=0.25, accumulate=2: 9 positive and 3 negative images of a batch cannot",
        ),
        (
            {"batch_size": 64, "share": 0.25},
            "batch_size=64 with negatives.share=0.25: its 48 positive images exceed the 20 training images of data: "
            "expected batch_size <= 26",
        ),
        ({"batch_size": 8, "share": 0.5, "negatives": 0}, "negatives.share=0.5: there are no negative images"),
    ],
)
def test_messages_have_the_numbers_that_were_typed(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        EpochBatches(20, seed=0, **{"negatives": 5, **options})


def set_of(folder: Path, kind: str) -> list[str]:
    """Four photos of ``kind`` in a folder, and the overrides that name it."""
    inside = folder / "photos" / "sky" if kind == "class_folders" else folder / "photos"
    for place in (inside, folder / "masks"):
        place.mkdir(parents=True)
        for number in range(4):
            pixels = np.zeros((24, 24, 3), np.uint8) + np.uint8(60 * number)
            if place.name == "masks":
                pixels = np.eye(24, dtype=np.uint8) * np.uint8(255)
            Image.fromarray(pixels).save(place / f"{number}.png")
    changes = {"pairs": [f"data.masks={folder / 'masks'}", "data.source.split=train"]}
    changes["class_folders"] = ["data.category=sky"]
    return [f"data.images={folder / 'photos'}", *changes.get(kind, [])]


def with_negatives(tmp_path: Path, kind: str, *more: str) -> DictConfig:
    base = ["loss=regularized_negative", "schedule=negative", "data=shapes_single", "data.size=16", "negatives=other"]
    return compose("train", [*base, f"negatives.data={kind}", f"runtime.outputs={tmp_path}", *more])


@pytest.mark.parametrize("kind", ["photos", "pairs", "class_folders"])
def test_negatives_from_a_folder(tmp_path: Path, kind: str) -> None:
    changes = ",".join(set_of(tmp_path / "other", kind))
    found = negative_images(with_negatives(tmp_path, kind, f"negatives.overrides=[{changes}]"))
    assert len(found) == 4
    assert found.images.shape == (4, 3, 16, 16)
    assert sorted(found.images[:, 0, 5, 9].tolist()) == [0, 60, 120, 180]


def test_photos_of_one_folder_are_negatives_for_those_of_another(tmp_path: Path) -> None:
    own, other = (set_of(tmp_path / name, "photos")[0] for name in ("own", "other"))
    mine = ["data=photos", own]
    assert len(negative_images(with_negatives(tmp_path, "photos", *mine, f"negatives.overrides=[{other}]"))) == 4
    for same in ("[]", f"[{own}]"):
        with pytest.raises(ValueError, match=r"negatives\.data=photos: that is the training data itself"):
            negative_images(with_negatives(tmp_path, "photos", *mine, f"negatives.overrides={same}"))


def test_what_is_wrong_about_the_set_of_negatives_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"negatives\.data=photos: .*images is not set.*negatives\.overrides=\[data"):
        negative_images(with_negatives(tmp_path, "photos"))
    with pytest.raises(ValueError, match=r"negatives\.overrides: seed=3: expected changes of data"):
        negative_images(with_negatives(tmp_path, "photos", "negatives.overrides=[seed=3]"))
