"""Augmentation: drawn by each image's key alone, image and mask registered, padding ignored, ranges kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from seglab.config import compose
from seglab.data.augment import FILL, DeepLabAugment, Flip
from seglab.data.rng import integers
from seglab.data.sample import IGNORE, Batch
from seglab.targets import instantiate


def keys(count: int, epoch: int = 0) -> np.ndarray:
    return integers(count, "augment", epoch)


def batch(mask: torch.Tensor) -> Batch:
    """Pictures whose pixels equal their masks, in all three channels."""
    count = len(mask)
    return Batch(
        image=mask[:, None].repeat(1, 3, 1, 1).to(torch.uint8),
        mask=mask.long(),
        label=torch.arange(count),
        id=[f"i{n}" for n in range(count)],
        index=torch.arange(count),
    )


def noise(count: int = 8, height: int = 24, width: int | None = None) -> Batch:
    generator = torch.Generator().manual_seed(0)
    return batch(torch.randint(0, 255, (count, height, width or height), generator=generator))


def discs(count: int = 24, size: int = 64) -> Batch:
    """One bright disc of known place in each picture."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    centres = [(20 + n % 5, 40 - n % 7) for n in range(count)]
    return batch(torch.stack([((y - a) ** 2 + (x - b) ** 2 < 144) * 200 for a, b in centres]))


ALL = [
    Flip(p=0.5),
    DeepLabAugment(),
    DeepLabAugment(flip=1, blur=1, sigma=[2, 3], scale=[0.5, 0.6]),
    DeepLabAugment(scale=[1.5, 3]),
]


@pytest.mark.parametrize("augment", ALL, ids=repr)
def test_shapes_types_and_the_given_batch_stay(augment) -> None:
    given, kept = noise(height=23, width=17), noise(height=23, width=17)
    new = augment(given, keys(8))
    assert set(new) == set(given)
    for name in ("image", "mask"):
        assert new[name].shape == given[name].shape
        assert new[name].dtype == given[name].dtype
        assert torch.equal(given[name], kept[name])
    assert not torch.equal(new["image"], given["image"])
    assert new["id"] == given["id"]
    assert torch.equal(new["label"], given["label"])
    assert torch.equal(new["index"], given["index"])


@pytest.mark.parametrize("augment", ALL, ids=repr)
def test_an_image_depends_on_its_key_only(augment) -> None:
    whole, drawn = noise(), keys(8)
    new = augment(whole, drawn)
    for chosen in ([5], [3, 1, 7], [7, 6, 5, 4, 3, 2, 1, 0]):
        part = {name: whole[name][chosen] for name in ("image", "mask", "label", "index")}
        part = augment(Batch(**part, id=[whole["id"][n] for n in chosen]), drawn[chosen])
        assert torch.equal(part["image"], new["image"][chosen])
        assert torch.equal(part["mask"], new["mask"][chosen])
    assert not torch.equal(augment(whole, keys(8, epoch=1))["mask"], new["mask"])


def test_flip_mirrors_image_and_mask_together() -> None:
    given, drawn = noise(count=400, height=4), keys(400)
    new = Flip(p=0.5)(given, drawn)
    flipped = (new["mask"] != given["mask"]).flatten(1).any(1)
    assert 160 < flipped.sum() < 240
    assert torch.equal(new["mask"][flipped], given["mask"][flipped].flip(-1))
    assert torch.equal(new["image"][:, 0].long(), new["mask"])
    rare = (Flip(p=0.1)(given, drawn)["mask"] != given["mask"]).flatten(1).any(1)
    assert 20 < rare.sum() < 60
    assert torch.equal(Flip(p=0)(given, drawn)["image"], given["image"])
    assert torch.equal(Flip(p=1)(given, drawn)["image"], given["image"].flip(-1))
    only = DeepLabAugment(flip=0.5, blur=0, scale=[1, 1])
    assert torch.equal(only(given, drawn)["image"], new["image"]), "the same key mirrors the same images"


def test_flip_takes_float_images() -> None:
    given = noise()
    given["image"] = torch.rand(8, 2, 24, 24)
    assert torch.equal(Flip(p=1)(given, keys(8))["image"], given["image"].flip(-1))
    with pytest.raises(ValueError, match=r"augment=deeplab: .*float32 of 2 channels.*augment=flip"):
        DeepLabAugment()(given, keys(8))


@pytest.mark.parametrize("scale", [[0.5, 2], [0.7, 0.95], [2, 2], [3, 3]], ids=repr)
def test_image_and_mask_stay_registered(scale: list[float]) -> None:
    new = DeepLabAugment(blur=0, scale=scale)(discs(), keys(24))
    image, mask = new["image"][:, 0].float(), new["mask"]
    seen = mask != IGNORE
    assert set(mask.unique().tolist()) <= {0, 200, IGNORE}
    assert ((image > 100) == (mask == 200))[seen].float().mean() > 0.99


def test_image_and_mask_have_one_centre() -> None:
    """An ordinary nearest resize, which looks from the pixels' corners, would be half a pixel off."""
    new = DeepLabAugment(flip=0, blur=0, scale=[0.6, 0.9])(discs(200), keys(200))
    seen = new["mask"] != IGNORE
    image, mask = new["image"][:, 0] * seen.double(), new["mask"] * seen.double()
    x = torch.arange(64.0, dtype=torch.float64)
    off = (image * x).sum((1, 2)) / image.sum((1, 2)) - (mask * x).sum((1, 2)) / mask.sum((1, 2))
    assert off.mean().abs() < 0.1
    assert off.abs().max() < 0.4


def test_scale_one_changes_nothing() -> None:
    given = noise()
    new = DeepLabAugment(flip=0, blur=0, scale=[1, 1])(given, keys(8))
    assert torch.equal(new["image"], given["image"])
    assert torch.equal(new["mask"], given["mask"])


def test_doubling_repeats_every_pixel_of_the_mask() -> None:
    given = noise(count=1, height=8)
    big = DeepLabAugment(flip=0, blur=0, scale=[2, 2])(given, keys(1))["mask"][0]
    doubled = given["mask"][0].repeat_interleave(2, 0).repeat_interleave(2, 1)
    windows = doubled.unfold(0, 8, 1).unfold(1, 8, 1)
    assert (windows == big).flatten(2).all(2).any()


def test_a_shrunken_image_is_surrounded_by_ignored_pixels() -> None:
    given = batch(torch.full((40, 32, 32), 7))
    new = DeepLabAugment(flip=0, blur=0, scale=[0.5, 0.5])(given, keys(40))
    inside = new["mask"] == 7
    assert ((new["mask"] == IGNORE) | inside).all()
    assert (inside.flatten(1).sum(1) == 16 * 16).all()
    assert torch.equal(new["image"][:, 0] == 7, inside)
    assert torch.equal(new["image"][0][:, ~inside[0]].unique(dim=1)[:, 0], torch.tensor(FILL, dtype=torch.uint8))
    corners = {tuple(m.nonzero()[0].tolist()) for m in inside}
    assert len(corners) > 20, "the place is drawn"
    assert max(max(c) for c in corners) <= 16


def test_scales_and_blurs_fill_their_ranges() -> None:
    given = batch(torch.full((200, 40, 40), 7))
    new = DeepLabAugment(blur=0, scale=[0.5, 2])(given, keys(200))
    sides = (new["mask"] == 7).flatten(1).sum(1).sqrt().round().long()
    assert sides.min() == 20
    assert 100 < (sides == 40).sum() < 160, "two thirds of the factors are above one"
    edges = noise(count=200, height=16)
    blurred = DeepLabAugment(flip=0, blur=0.5, sigma=[0.5, 2], scale=[1, 1])(edges, keys(200))
    assert torch.equal(blurred["mask"], edges["mask"])
    spread = blurred["image"].float().std((1, 2, 3)) / edges["image"].float().std((1, 2, 3))
    untouched = (blurred["image"] == edges["image"]).flatten(1).all(1)
    assert 70 < untouched.sum() < 130
    assert (spread[~untouched] < 0.9).all()
    assert spread[~untouched].max() - spread[~untouched].min() > 0.3


def test_tiny_images_pass() -> None:
    for height, width in ((1, 1), (1, 9), (2, 2)):
        new = DeepLabAugment(blur=1, sigma=[2, 2])(noise(4, height, width), keys(4))
        assert new["mask"].shape == (4, height, width)


@pytest.mark.parametrize("p", [-0.1, 1.1, True, "half", float("nan"), None])
def test_probabilities_are_checked(p) -> None:
    with pytest.raises(ValueError, match=rf"augment\.p={p}: expected a probability"):
        Flip(p=p)
    with pytest.raises(ValueError, match=r"augment\.blur="):
        DeepLabAugment(blur=p)


@pytest.mark.parametrize(
    "value", [[2, 1], [0, 1], [1], 1, "12", [True, 2], [1, float("nan")], [1, 99], None, [None, 1]]
)
def test_ranges_are_checked(value) -> None:
    with pytest.raises(ValueError, match=r"augment\.scale=.*0\.1 <= smallest <= largest <= 10"):
        DeepLabAugment(scale=value)


@pytest.mark.parametrize("option", ["flip", "deeplab"])
def test_options_build_and_are_part_of_the_identity(option: str) -> None:
    from seglab.identity import identity

    cfg = compose("train", [f"augment={option}"])
    new = instantiate(cfg.augment)(noise(), keys(8))
    assert new["image"].shape == (8, 3, 24, 24)
    assert identity(cfg) != identity(compose("train"))


def test_none_is_empty() -> None:
    assert not compose("train", ["augment=none"]).augment
