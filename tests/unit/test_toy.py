"""The class-imbalance toy in parts: points, network, agreement and counts."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

from seglab.data.points import Points, normals
from seglab.data.sample import ArraySource
from seglab.evaluator import resize
from seglab.losses.cas import CAS
from seglab.metrics.confusion import Confusion, Counts, counts_of
from seglab.models.mlp import mlp
from seglab.post.agreement import Agreement, assign

COUNTS = Counts(name="confusion")


def logits_of(channels: list[list[int]], *, of: int = 2) -> torch.Tensor:
    """Logits [1,M,1,P] whose largest channel is given for every point."""
    return nn.functional.one_hot(torch.tensor(channels), of).float().movedim(-1, 0)[None]


def test_normals_are_normal() -> None:
    z = normals(200_000, 3, "points")
    assert abs(z.mean()) < 0.01
    assert abs(z.var() - 1) < 0.01
    assert abs((z**4).mean() - 3) < 0.1
    assert abs((np.abs(z) > 1.96).mean() - 0.05) < 0.003
    assert np.isfinite(z).all()
    np.testing.assert_array_equal(normals(5, 3, "points"), normals(5, 3, "points"))


@pytest.mark.parametrize(("reading", "variance"), [("variance", 0.2), ("deviation", 0.04)])
def test_points_are_as_the_paper_says(reading: str, variance: float) -> None:
    data = Points(reading=reading).dataset("train")
    batch = data.__getitems__([0, 100])
    assert len(data) == 101
    assert batch["image"].shape == (2, 2, 1, 10010)
    assert batch["image"].dtype == torch.float32
    assert torch.equal(batch["image"][0], batch["image"][1])
    points, labels = batch["image"][0, :, 0].double(), batch["mask"][0, 0]
    assert labels.bincount().tolist() == [10000, 10]
    torch.testing.assert_close(points[:, labels == 0].mean(1), torch.tensor([1.0, 0.0]).double(), atol=0.02, rtol=0)
    torch.testing.assert_close(points[:, labels == 0].var(1), torch.full((2,), variance).double(), rtol=0.05, atol=0.0)
    assert (points[:, labels == 1].mean(1) - torch.tensor([0.0, 1.0])).abs().max() < 4 * (variance / 10) ** 0.5
    assert abs(float(torch.corrcoef(points[:, labels == 0])[0, 1])) < 0.05


def test_every_seed_and_part_has_its_own_draw() -> None:
    draws = {(s, p): Points(seed=s).dataset(p)[0]["image"] for s in (0, 1) for p in ("train", "test")}
    arrays = list(draws.values())
    assert not any(torch.equal(a, b) for i, a in enumerate(arrays) for b in arrays[:i])
    assert torch.equal(draws[0, "test"], Points(seed=0, repeat=3).dataset("test")[0]["image"])
    prints = {
        Points(**k).items("train")[0].fingerprint() for k in ({}, {"seed": 1}, {"noise": 0.1}, {"counts": [9, 9]})
    }
    assert len(prints) == 4


def test_points_are_an_array_source_and_their_items_agree() -> None:
    source = Points(counts=[3, 2], repeat=4)
    assert isinstance(source, ArraySource)
    data = source.dataset("train")
    image, mask = data.original(3)
    np.testing.assert_array_equal(image.transpose(2, 0, 1), data[3]["image"])
    np.testing.assert_array_equal(mask, data[3]["mask"])
    assert len(source.dataset("test")) == len(source.items("test")) == 1
    assert data.with_noise(np.array([True, False, False, False])).mask(0).tolist() == [[1, 1, 1, 0, 0]]


@pytest.mark.parametrize(
    "bad",
    [
        {"counts": [10]},
        {"counts": [10, 0]},
        {"counts": [10, 1.5]},
        {"centres": [[0, 0]]},
        {"centres": [[0, 0], [1]]},
        {"noise": -1},
        {"noise": float("nan")},
        {"reading": "std"},
        {"repeat": 0},
        {"seed": "one"},
    ],
)
def test_points_refuse(bad: dict) -> None:
    with pytest.raises(ValueError, match=rf"data\.source\.{next(iter(bad))}="):
        Points(**bad)


def test_points_have_two_parts() -> None:
    with pytest.raises(ValueError, match="'train' or 'test'"):
        Points().dataset("val")


def test_mlp_is_a_fully_connected_network() -> None:
    torch.manual_seed(0)
    network = mlp()
    points = torch.randn(1, 2, 1, 7)
    linear = [(m.weight.flatten(1), m.bias) for m in (network.hidden, network.head)]
    (w1, b1), (w2, b2) = linear
    wanted = (points[0, :, 0].T @ w1.T + b1).relu() @ w2.T + b2
    torch.testing.assert_close(network(points)[0, :, 0].T, wanted)
    assert sum(p.numel() for p in network.parameters()) == 2 * 10 + 10 + 10 * 2 + 2
    assert isinstance(mlp(activation="tanh").activation, nn.Tanh)


@pytest.mark.parametrize(
    ("key", "value"), [("channels", 0), ("inputs", 0), ("hidden", 1.5), ("activation", "gelu"), ("weights", "imagenet")]
)
def test_mlp_refuses(key: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"(model|init)\.{key}="):
        mlp(**{key: value})


def test_cas_does_not_see_the_number_of_points() -> None:
    torch.manual_seed(0)
    x, mask = torch.randn(1, 2, 1, 12), torch.tensor([[[0] * 10 + [1] * 2]])
    many = torch.cat([x[..., :10].repeat(1, 1, 1, 50), x[..., 10:]], -1)
    labels = torch.tensor([[[0] * 500 + [1] * 2]])
    terms = [CAS()(logits, {"mask": m}) for logits, m in ((x, mask), (many, labels))]
    for name in terms[0]:
        torch.testing.assert_close(terms[0][name], terms[1][name])


@pytest.mark.parametrize(
    ("counts", "balanced", "plain"),
    [
        ([[9430, 0], [570, 10]], [0, 1], [0, 1]),
        ([[570, 10], [9430, 0]], [1, 0], [1, 0]),
        ([[10000, 10], [0, 0]], [0, 1], [0, 1]),  # all in one channel: the balanced agreement ties
        ([[0, 0], [10000, 10]], [1, 0], [1, 0]),
        ([[4000, 0], [6000, 10]], [0, 1], [1, 0]),  # where the two differ
        ([[10, 10], [10, 10]], None, None),
        ([[0, 9], [5, 0], [95, 1]], [1, 0, 0], [1, 0, 0]),  # more channels than classes
    ],
)
def test_assignment(counts: list[list[int]], balanced: list[int] | None, plain: list[int] | None) -> None:
    for flag, wanted in ((True, balanced), (False, plain)):
        found = assign(torch.tensor(counts), balanced=flag)
        assert set(found) == {0, 1}
        assert wanted is None or found == wanted


def test_assignment_needs_a_channel_per_class() -> None:
    with pytest.raises(ValueError, match=r"model\.channels=2: .*3 classes"):
        assign(torch.ones(2, 3))


def test_agreement_maps_channels_to_classes() -> None:
    post, masks = Agreement(), torch.tensor([[[0, 0, 0, 1, 255]]])
    assert post.needs_fit
    with pytest.raises(ValueError, match="held-out"):
        post(logits_of([[0]]))
    post.update(logits_of([[1, 1, 0, 0, 0]]), masks)
    post.update(logits_of([[1, 1, 1, 0, 1]]), masks)
    post.finish()
    state = post.state()
    assert state == {"mapping": [1, 0], "balanced": True, "counts": [[1, 2], [5, 0]], "images": 2}
    assert post(logits_of([[0, 1]])).tolist() == [[[1, 0]]]
    other = Agreement()
    other.load(json.loads(json.dumps(state)))
    assert other.state() == state
    assert not other.needs_fit
    with pytest.raises(ValueError, match="each of 3 channels"):
        post(logits_of([[0]], of=3))
    with pytest.raises(ValueError, match="state"):
        Agreement().load({"mapping": [0, 2]})


def test_a_given_mapping_is_kept() -> None:
    post = Agreement(mapping=[0, 1])
    assert not post.needs_fit
    post.update(logits_of([[1, 1, 0]]), torch.tensor([[[0, 0, 1]]]))
    post.finish()
    post.load({"mapping": [1, 0]})
    assert post.state()["mapping"] == [0, 1]


def test_agreement_without_images() -> None:
    with pytest.raises(ValueError, match=r"\bval above 0"):
        Agreement().finish()


@pytest.mark.parametrize(
    "bad", [{"classes": 1}, {"mapping": "first"}, {"mapping": [0, 2]}, {"mapping": []}, {"balanced": 1}]
)
def test_agreement_refuses(bad: dict) -> None:
    with pytest.raises(ValueError, match=rf"eval\.post\.{next(iter(bad))}="):
        Agreement(**bad)


def test_confusion_by_hand() -> None:
    metric = Confusion(COUNTS)
    metric.update(torch.tensor([[[0, 0, 1, 1, 1, 0]]]), torch.tensor([[[0, 0, 0, 1, 255, 1]]]), [1])
    metric.update_one(torch.zeros(1, 2), torch.zeros(1, 2, dtype=torch.int64), 0)
    values = metric.compute()
    assert [values[f"confusion_out{i}_label{j}"] for i in (1, 2) for j in (1, 2)] == [4, 1, 1, 1]
    assert values["accuracy"] == pytest.approx(5 / 7)
    assert values["balanced_accuracy"] == pytest.approx((4 / 5 + 1 / 2) / 2)
    assert [row["index"] for row in metric.rows()] == [0, 1]
    assert metric.rows()[1]["confusion_out2_label1"] == 1
    assert metric.curves() == {}


def test_published_table_gives_its_accuracies() -> None:
    labels = torch.tensor([0] * 10000 + [1] * 10)[None, None]
    for wrong, balanced, plain in ((101, 0.99495, 0.9899), (0, 0.5, 0.9990)):
        outputs = torch.zeros_like(labels)
        outputs[..., :wrong] = 1
        outputs[..., 10000:] = int(wrong > 0)
        metric = Confusion(COUNTS)
        metric.update(outputs, labels, [0])
        assert metric.compute()["balanced_accuracy"] == pytest.approx(balanced, abs=5e-6)
        assert metric.compute()["accuracy"] == pytest.approx(plain, abs=5e-5)


def test_confusion_refuses() -> None:
    zeros = torch.zeros(1, 1, 2, dtype=torch.int64)
    metric = Confusion(COUNTS)
    with pytest.raises(ValueError, match="no image"):
        metric.compute()
    for outputs, masks in ((zeros + 2, zeros), (zeros + 0.5, zeros), (zeros, zeros + 2), (zeros, zeros - 1)):
        with pytest.raises(ValueError, match="expected whole numbers"):
            metric.update(outputs, masks, [0])
    with pytest.raises(ValueError, match=r"\[B,H,W\]"):
        metric.update(zeros, zeros[..., :1], [0])
    metric.update(zeros, zeros, [4])
    metric.update(zeros, zeros, [4])
    with pytest.raises(ValueError, match=r"image 4 .* twice"):
        metric.compute()
    with pytest.raises(ValueError, match=r"eval\.protocol\.classes=1"):
        Counts(name="x", classes=1)


def test_counts_of_many_classes_add_up() -> None:
    generator = torch.Generator().manual_seed(0)
    outputs, masks = (torch.randint(0, k, (3, 4, 50), generator=generator) for k in (5, 3))
    counts = counts_of(outputs, masks, outputs=5, classes=3)
    assert counts.shape == (3, 5, 3)
    for b, m, k in ((0, 0, 0), (1, 4, 2), (2, 3, 1)):
        assert counts[b, m, k] == ((outputs[b] == m) & (masks[b] == k)).sum()
    assert counts.sum() == masks.numel()


def test_classes_are_enlarged_without_new_ones() -> None:
    classes = torch.tensor([[[0, 2], [2, 0]]])
    large = resize(classes, (4, 4))
    assert large.dtype == torch.int64
    assert large[0].tolist() == [[0, 0, 2, 2], [0, 0, 2, 2], [2, 2, 0, 0], [2, 2, 0, 0]]
    assert resize(classes.float(), (4, 4)).unique().numel() > 2
