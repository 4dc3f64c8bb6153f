"""Options, transitions, anchors and targets of the losses against label noise."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

from seglab.data.arrays import ArrayDataset
from seglab.data.noise import Boundary
from seglab.losses.anchors import Anchors
from seglab.losses.bootstrap import Bootstrap, bootstrap_loss
from seglab.losses.dice import Dice, dice_loss
from seglab.losses.elr import ELR, early_learning_loss
from seglab.losses.focal import Focal, focal_loss
from seglab.losses.forward_correction import ForwardCorrection, forward_loss
from seglab.losses.forward_estimated import ForwardEstimated
from seglab.losses.gce import GCE, generalised_cross_entropy
from seglab.losses.sce import SCE, symmetric_cross_entropy
from seglab.losses.transition import checked_transition, transition_of


@pytest.mark.parametrize(
    ("loss", "options", "key"),
    [
        (GCE, {"q": 1.2}, "loss.q"),
        (GCE, {"truncate": 1.0}, "loss.truncate"),
        (GCE, {"truncate_from": -1}, "loss.truncate_from"),
        (GCE, {"average": "pixel"}, "loss.average"),
        (SCE, {"alpha": -1}, "loss.alpha"),
        (SCE, {"alpha": 0, "beta": 0}, "loss.beta"),
        (SCE, {"log_zero": 0}, "loss.log_zero"),
        (Bootstrap, {"kind": "both"}, "loss.kind"),
        (Bootstrap, {"beta": 2}, "loss.beta"),
        (Focal, {"gamma": -1}, "loss.gamma"),
        (Focal, {"weight": 3}, "loss.weight"),
        (Dice, {"smoothing": 0}, "loss.smoothing"),
        (Dice, {"classes": "object"}, "loss.classes"),
        (Dice, {"denominator": "cube"}, "loss.denominator"),
        (Dice, {"ce": -1}, "loss.ce"),
        (ForwardCorrection, {"matrix": [[0.7, 0.2], [0.3, 0.7]]}, "loss.matrix"),
        (ForwardCorrection, {"matrix": [[1.0]]}, "loss.matrix"),
        (ForwardCorrection, {"matrix": 3}, "loss.matrix"),
        (ForwardCorrection, {"matrix": [1, 2]}, "loss.matrix"),
        (ForwardCorrection, {"matrix": "no"}, "loss.matrix"),
        (ForwardCorrection, {"matrix": [[1.5, -0.5], [0, 1]]}, "loss.matrix"),
        (ForwardEstimated, {"warmup": 10}, "loss.warmup"),
        (ForwardEstimated, {"percentile": 97}, "loss.percentile"),
        (ELR, {"weight": -1}, "loss.weight"),
        (ELR, {"beta": 1.5}, "loss.beta"),
        (ELR, {"grid": 0}, "loss.grid"),
    ],
)
def test_a_wrong_option_is_named(loss, options, key) -> None:
    with pytest.raises(ValueError, match=key.replace(".", r"\.")):
        loss(**options)


@pytest.mark.parametrize("loss", [GCE, SCE, Bootstrap, Focal, ForwardCorrection, ForwardEstimated, ELR, Dice])
def test_a_label_outside_the_classes_is_named(loss) -> None:
    with pytest.raises(ValueError, match=r"label 2, expected 0\.\.1"):
        loss()(torch.zeros(1, 2, 2, 2), {"mask": torch.full((1, 2, 2), 2)})
    with pytest.raises(ValueError, match=r"model\.channels: 1"):
        loss()(torch.zeros(1, 1, 2, 2), {"mask": torch.zeros(1, 2, 2, dtype=torch.int64)})


@pytest.mark.parametrize("loss", [GCE, SCE, Bootstrap, Focal, ForwardCorrection, ForwardEstimated, ELR])
def test_a_mean_over_the_batch_couples_its_images(loss) -> None:
    assert loss(average="batch").batch_coupled
    assert not loss().batch_coupled


def batches(index):
    generator = torch.Generator().manual_seed(int(index[0]))
    mask = torch.randint(0, 2, (len(index), 5, 6), generator=generator)
    return torch.randn(len(index), 2, 5, 6, generator=generator), {"mask": mask, "index": torch.tensor(index)}


SKEWED = [[0.9, 0.1], [0.4, 0.6]]
"""A transition that is another one when rows and columns are exchanged."""


@pytest.mark.parametrize(
    ("loss", "function", "options"),
    [
        (GCE, generalised_cross_entropy, {"q": 0.3, "truncate": 0.4, "average": "batch"}),
        (SCE, symmetric_cross_entropy, {"alpha": 0.3, "beta": 2.0, "log_zero": -6.0, "average": "batch"}),
        (Bootstrap, bootstrap_loss, {"kind": "soft", "beta": 0.6, "average": "batch"}),
        (Focal, focal_loss, {"gamma": 0.7, "weight": [0.5, 3.0], "average": "batch"}),
        (Dice, dice_loss, {"smoothing": 3.0, "classes": "all", "denominator": "plain"}),
        (ForwardCorrection, forward_loss, {"matrix": SKEWED, "average": "batch"}),
        (ELR, early_learning_loss, {"weight": 1.5, "beta": 0.6, "average": "batch"}),
    ],
)
def test_the_module_hands_its_options_on(loss, function, options) -> None:
    logits, batch = batches([0, 1])
    batch["mask"][1, :2] = 255
    found = sum(loss(**options)(logits, batch).values())
    if "matrix" in options:
        options = {"matrix_KK": torch.tensor(SKEWED), "average": "batch"}
    if loss is ELR:
        options = {"target_BKHW": 0.4 * logits.softmax(1), "weight": 1.5, "average": "batch"}
    wanted = function(logits, batch["mask"], **options)
    torch.testing.assert_close(found, sum(wanted) if isinstance(wanted, tuple) else wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("loss", [GCE, SCE, Bootstrap, Focal, ForwardCorrection, ForwardEstimated, ELR, Dice])
def test_half_precision_is_computed_in_single(loss) -> None:
    logits, batch = batches([0, 1])
    half = logits.bfloat16()
    found, wanted = (sum(loss()(z, batch).values()) for z in (half, half.float()))
    assert found.dtype == torch.float32
    assert found == wanted


def test_rows_of_the_told_transition_are_true_labels() -> None:
    """A network that is sure of the clean masks costs -log of the shares that were counted."""
    clean = np.zeros((6, 24, 24), np.uint8)
    clean[:, 4:20, 6:18] = 1
    names = [f"i{k}" for k in range(6)]
    data = ArrayDataset(np.zeros((6, 3, 24, 24), np.uint8), clean, names, [None] * 6)
    noise = Boundary(rate=0.5, kind="erode", size=0.3)
    noisy = data.with_noise(noise.choose(6), noise)
    loss = ForwardCorrection(average="batch")
    loss.tell_noise(noise.report(names, noise.choose(6), noisy))
    labels, truth = noisy.__getitems__(range(6))["mask"], torch.from_numpy(clean).long()
    lost = ((truth == 1) & (labels == 0)).sum() / (truth == 1).sum()
    assert 0.02 < lost < 0.5
    logits = 60.0 * torch.nn.functional.one_hot(truth, 2).movedim(-1, 1)
    share = (truth == 1).float().mean()
    wanted = -share * (lost * lost.log() + (1 - lost) * (1 - lost).log())
    assert loss(logits, {"mask": labels})["forward"].item() == pytest.approx(wanted.item(), rel=1e-4)


def test_the_estimated_transition_corrects_what_follows() -> None:
    """As the one that is given, and only from the epoch after the warm-up on; ignored pixels are no anchors."""
    loss, (logits, batch) = ForwardEstimated(warmup=0.5, average="batch"), batches([0])
    loss.tell_epochs(4)
    batch["mask"][0, 0, 0] = 255
    logits[0, :, 0, 0] = torch.tensor([-50.0, 50.0])
    sure, plain = logits + torch.tensor([3.0, -3.0]).view(1, 2, 1, 1), generalised_cross_entropy
    for epoch, z in enumerate((sure, logits)):
        loss.start_epoch(epoch)
        found = loss(z, batch)["forward"]
        torch.testing.assert_close(found, plain(z, batch["mask"], q=0.0, average="batch"))
    loss.start_epoch(2)
    found, p_KN = loss.matrix_KK, logits.softmax(1)[:, :, batch["mask"][0] != 255][0].double()
    for k in (0, 1):
        torch.testing.assert_close(found[k], p_KN[:, p_KN[k].argmax()], atol=1e-6, rtol=0)
    wanted = forward_loss(logits, batch["mask"], found, average="batch")
    torch.testing.assert_close(loss(logits, batch)["forward"], wanted)
    assert wanted != forward_loss(logits, batch["mask"], found.T, average="batch")
    loss.start_epoch(3)
    assert loss.matrix_KK is found


def test_truncation_begins_with_its_epoch() -> None:
    loss, batch = GCE(truncate=0.5, truncate_from=2), {"mask": torch.zeros(1, 1, 1, dtype=torch.int64)}
    logits = torch.tensor([-2.0, 2.0]).view(1, 2, 1, 1)
    values = [loss(logits, batch)["gce"].item()]  # outside a training the truncation is on
    assert values.pop() == pytest.approx((1 - 0.5**0.7) / 0.7)
    for epoch in (1, 2):
        loss.start_epoch(epoch)
        values.append(loss(logits, batch)["gce"].item())
    assert values[1] == pytest.approx((1 - 0.5**0.7) / 0.7)
    assert values[0] > values[1]


def test_transition_of_a_report() -> None:
    told = [[0.9, 0.1], [0.0, 0.0]]
    assert transition_of({"type": "region", "rate": 0.2, "transition": told}).tolist() == [[0.9, 0.1], [0.0, 1.0]]
    flip = transition_of({"type": "flip", "rate": 0.3, "achieved": 0.25})
    assert flip.tolist() == [[0.75, 0.25], [0.25, 0.75]]
    assert transition_of({"type": "flip", "rate": 0.0, "achieved": 0.0}) is None
    with pytest.raises(ValueError, match=r"noise=drop.*loss\.matrix=\[\["):
        transition_of({"type": "drop", "rate": 0.3, "transition": None})
    assert checked_transition([[0.6663, 0.3332], [0.0, 1.0]]).sum(1).tolist() == pytest.approx([1.0, 1.0], abs=1e-12)


def test_a_given_transition_wins_over_the_told_one() -> None:
    loss = ForwardCorrection(matrix=[[0.6, 0.4], [0.1, 0.9]])
    loss.tell_noise({"type": "flip", "rate": 0.3, "achieved": 0.3})
    assert loss.matrix_KK.tolist() == [[0.6, 0.4], [0.1, 0.9]]


def test_noise_without_information_is_warned_of(caplog) -> None:
    loss = ForwardCorrection()
    loss.tell_noise({"type": "flip", "rate": 0.3, "achieved": 0.3})
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]
    loss.tell_noise({"type": "flip", "rate": 0.5, "achieved": 0.48})
    assert "next to nothing" in caplog.text


def test_a_transition_of_another_number_of_classes_is_refused() -> None:
    loss = ForwardCorrection(matrix=[[0.6, 0.4], [0.1, 0.9]])
    with pytest.raises(ValueError, match="each of 3 channels"):
        loss(torch.zeros(1, 3, 2, 2), {"mask": torch.zeros(1, 2, 2, dtype=torch.int64)})


def test_anchors_are_the_surest_pixels() -> None:
    """1000 pixels: 40 sure of class 0 at 0.8, 40 of class 1 at 0.7, the others undecided; one odd pixel at 0.99."""
    p = torch.full((2, 1000), 0.5)
    p[0, :40], p[0, 40:80], p[0, 80] = 0.8, 0.3, 0.99
    p[1] = 1 - p[0]
    anchors = Anchors()
    for part in p.split(300, dim=1):
        anchors.add(part)
    found = anchors.transition(0.97)
    assert found[0, 0].item() == pytest.approx((40 * 0.8 + 0.99) / 41, abs=1e-6)
    assert found[1].tolist() == pytest.approx([0.3, 0.7], abs=1e-6)
    assert Anchors().transition(0.97) is None


def test_the_highest_percentile_is_the_surest_pixel_alone() -> None:
    anchors = Anchors()
    anchors.add(torch.tensor([[0.9, 0.6, 0.2], [0.1, 0.4, 0.8]]))
    torch.testing.assert_close(
        anchors.transition(1.0), torch.tensor([[0.9, 0.1], [0.2, 0.8]], dtype=torch.float64), atol=1e-7, rtol=0
    )


def test_estimation_recovers_the_transition_of_drawn_labels() -> None:
    """A linear network on separable pixels, labels drawn by T: after the warm-up T is known to some hundredths."""
    torch.manual_seed(0)
    wanted = torch.tensor([[0.8, 0.2], [0.35, 0.65]])
    clean = torch.rand(4, 32, 32) < 0.4
    x = torch.where(clean, 2.0, -2.0)[:, None] + 0.3 * torch.randn(4, 1, 32, 32)
    labels = torch.multinomial(wanted[clean.long().flatten()], 1).view(4, 32, 32)
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 8, 1), torch.nn.Tanh(), torch.nn.Conv2d(8, 2, 1))
    optimiser, loss = torch.optim.Adam(network.parameters(), lr=0.05), ForwardEstimated(warmup=0.5)
    loss.tell_epochs(200)
    for epoch in range(101):
        loss.start_epoch(epoch)
        optimiser.zero_grad()
        loss(network(x), {"mask": labels})["forward"].backward()
        optimiser.step()
    torch.testing.assert_close(loss.matrix_KK.float(), wanted, atol=0.06, rtol=0)
    assert not loss.anchors.sums_KRC, "the histograms are done with"


@pytest.mark.parametrize(
    ("warmup", "epochs", "first"), [(0.3, 2, 1), (0.3, 10, 3), (0.3, 100, 30), (1, 4, 3), (0, 4, 1), (0.3, 1, 1)]
)
def test_the_warm_up_is_a_share_of_the_epochs(warmup: float, epochs: int, first: int) -> None:
    loss = ForwardEstimated(warmup=warmup)
    loss.tell_epochs(epochs)
    batch = {"mask": torch.zeros(1, 4, 4, dtype=torch.int64)}
    for epoch in range(epochs):
        loss.start_epoch(epoch)
        assert (loss.matrix_KK is not None) is (epoch >= first)
        loss(torch.randn(1, 2, 4, 4, generator=torch.Generator().manual_seed(0)), batch)
