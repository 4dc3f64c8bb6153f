"""One confusion matrix over a set of objects, against scikit-learn on all pixels at once."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn import metrics as sk

from seglab.metrics.object import ObjectMetrics
from seglab.metrics.pooled import Pooled
from seglab.metrics.protocol import Protocol
from seglab.post.channel import Channel

PAPER = Pooled(name="regularized_paper")


def drawn(images: int = 6, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    masks = (torch.rand(images, 9, 7, generator=generator) < 0.3).long()
    masks[torch.rand(images, 9, 7, generator=generator) < 0.2] = 255
    maps = (torch.rand(images, 9, 7, generator=generator) + 0.3 * (masks == 1)).clamp(0, 1)
    return maps, masks


def filled(maps: torch.Tensor, masks: torch.Tensor) -> ObjectMetrics:
    metric = ObjectMetrics(PAPER)
    for i in reversed(range(len(maps))):  # in another order than that of the set
        metric.update(maps[i : i + 1], masks[i : i + 1], torch.tensor([i]))
    return metric


def by_sklearn(maps: torch.Tensor, masks: torch.Tensor) -> dict[str, float]:
    valid = masks != 255
    truth, found = masks[valid].numpy(), (maps[valid] > 0.5).numpy().astype(int)
    return {
        "fbeta": 100 * sk.fbeta_score(truth, found, beta=math.sqrt(0.3), zero_division=0),
        "jaccard": 100 * sk.jaccard_score(truth, found, zero_division=0),
        "precision": 100 * sk.precision_score(truth, found, zero_division=0),
        "recall": 100 * sk.recall_score(truth, found, zero_division=0),
        "miou": 100 * np.mean(sk.jaccard_score(truth, found, average=None, labels=[0, 1])),
        "accuracy": 100 * sk.accuracy_score(truth, found),
    }


def test_one_matrix_over_all_pixels_in_percent() -> None:
    maps, masks = drawn()
    assert filled(maps, masks).compute() == pytest.approx(by_sklearn(maps, masks), abs=1e-9)


def test_rows_are_those_of_each_image_alone() -> None:
    maps, masks = drawn()
    rows = filled(maps, masks).rows()
    assert [row["index"] for row in rows] == list(range(len(maps)))
    for row, map_HW, mask_HW in zip(rows, maps, masks, strict=True):
        alone = by_sklearn(map_HW, mask_HW)
        assert {k: row[k] for k in ("fbeta", "jaccard")} == pytest.approx({k: alone[k] for k in ("fbeta", "jaccard")})
    values = filled(maps, masks).compute()
    assert values["fbeta"] != pytest.approx(np.mean([row["fbeta"] for row in rows]), abs=1e-3)


def test_the_argmax_of_two_channels_is_a_map_above_one_half() -> None:
    metric = ObjectMetrics(PAPER)
    metric.update_one(torch.tensor([[0.5, 0.5000001]]), torch.tensor([[0, 1]]), 0)
    assert metric.compute()["accuracy"] == 100


def test_images_without_a_labelled_pixel_count_nothing() -> None:
    maps, masks = drawn()
    masks[2] = 255
    metric = filled(maps, masks)
    assert metric.compute() == pytest.approx(by_sklearn(maps, masks), abs=1e-9)
    assert math.isnan(metric.rows()[2]["fbeta"])
    nothing = filled(maps, torch.full_like(masks, 255)).compute()
    assert set(nothing) == set(by_sklearn(maps, masks))
    assert all(math.isnan(value) for value in nothing.values())


def test_held_out_images_without_masks_say_nothing_of_the_channel() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, ignored = torch.randn(3, 2, 6, 6, generator=generator), torch.full((3, 6, 6), 255)
    fixed, auto = Channel(channel=1), Channel()
    for post in (fixed, auto):
        post.update(logits, ignored)
    fixed.finish()
    assert torch.equal(fixed(logits), logits.softmax(1)[:, 1])
    with pytest.raises(ValueError, match="without validation images"):
        auto.finish()
    masks = ignored.clone()
    masks[0] = (logits[0, 0] > 0).long()
    auto.update(logits, masks)
    auto.finish()
    assert auto.state()["channel"] == 0
    assert auto.state()["images"] == 1


def test_no_object_found_is_zero() -> None:
    metric = ObjectMetrics(PAPER)
    metric.update(torch.zeros(1, 4, 4), torch.eye(4).long()[None], [0])
    values = metric.compute()
    assert (values["fbeta"], values["jaccard"], values["precision"], values["recall"]) == (0, 0, 0, 0)
    assert values["accuracy"] == 75


@pytest.mark.parametrize("protocol", [Protocol(name="cas"), Pooled(name="voc_miou", classes=3)])
def test_protocols_of_other_tasks_are_refused(protocol: object) -> None:
    with pytest.raises(ValueError, match=r"eval=object: expected regularized_paper"):
        ObjectMetrics(protocol)


def test_what_cannot_be_scored_is_told() -> None:
    metric = ObjectMetrics(PAPER)
    with pytest.raises(ValueError, match="masks with values"):
        metric.update(torch.zeros(1, 2, 2), torch.full((1, 2, 2), 7), [0])
    with pytest.raises(ValueError, match="NaN"):
        metric.update(torch.full((1, 2, 2), float("nan")), torch.zeros(1, 2, 2).long(), [0])
    with pytest.raises(ValueError, match="no image was scored"):
        metric.compute()
    maps, masks = drawn(2)
    metric.update(maps, masks, [1, 1])
    with pytest.raises(ValueError, match="scored twice"):
        metric.compute()
