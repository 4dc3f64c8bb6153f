"""Targets of early-learning regularisation: whose they are, how they move, what they cost; and states in files."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from seglab.losses.elr import ELR, early_learning_loss
from seglab.losses.forward_estimated import ForwardEstimated


def batches(index):
    generator = torch.Generator().manual_seed(int(index[0]))
    mask = torch.randint(0, 2, (len(index), 5, 6), generator=generator)
    return torch.randn(len(index), 2, 5, 6, generator=generator), {"mask": mask, "index": torch.tensor(index)}


def test_targets_are_running_means_of_their_own_images() -> None:
    loss, seen = ELR(beta=0.7), {}
    for index in ([3, 0], [1, 2], [0, 3], [5, 1]):
        logits, batch = batches(index)
        terms = loss(logits, batch)
        for i, p in zip(index, logits.softmax(1), strict=True):
            seen[i] = 0.7 * seen.get(i, torch.zeros(2, 5, 6)) + 0.3 * p
        wanted = early_learning_loss(logits, batch["mask"], torch.stack([seen[i] for i in index]))
        assert terms["elr"].item() == pytest.approx(wanted.elr.item(), rel=1e-3), "each image has its own target"
    assert len(loss.targets_NKhw) == 6
    for i, target in seen.items():
        torch.testing.assert_close(loss.targets_NKhw[i], target, atol=1e-4, rtol=0)
    assert not loss.targets_NKhw[4].any()


def test_targets_of_cells_are_means_of_their_pixels() -> None:
    loss = ELR(beta=0.0, grid=2)
    logits, batch = batches([0])
    found = loss(logits, batch)["elr"].item()
    assert loss.targets_NKhw.shape == (1, 2, 3, 3)
    p = logits.softmax(1)[0]
    torch.testing.assert_close(loss.targets_NKhw[0, :, 1, 1], p[:, 2:4, 2:4].mean((1, 2)), atol=1e-3, rtol=0)
    torch.testing.assert_close(loss.targets_NKhw[0, :, 2, 2], p[:, 4:, 4:].mean((1, 2)), atol=1e-3, rtol=0)
    at = [[loss.targets_NKhw[0, :, r // 2, c // 2] for c in range(6)] for r in range(5)]
    of_pixels = torch.stack([torch.stack(row, 1) for row in at], 1)[None]
    assert found == pytest.approx(early_learning_loss(logits, batch["mask"], of_pixels).elr.item(), rel=1e-5)


def test_a_sure_network_is_rewarded_up_to_the_least_probability_of_a_target() -> None:
    logits, batch = 300 * torch.tensor([1.0, -1.0]).view(1, 2, 1, 1), {"mask": torch.zeros(1, 1, 1).long()}
    terms = ELR(beta=0.0)(logits, {**batch, "index": torch.tensor([0])})
    assert terms["elr"].item() == pytest.approx(3 * np.log(1e-4), rel=1e-3)


def test_room_for_all_images_is_there_from_the_start() -> None:
    loss, (logits, batch) = ELR(), batches([2, 0])
    loss.tell_noise({"images": 9})
    first = loss(logits, batch)
    assert len(loss.targets_NKhw) == 9
    del batch["index"]  # images that never come again: as those that are seen for the first time
    assert loss(logits, batch) == first


def test_images_of_another_size_are_refused() -> None:
    loss = ELR()
    loss(*batches([0]))
    with pytest.raises(ValueError, match="images of one size"):
        loss(torch.zeros(1, 2, 4, 4), {"mask": torch.zeros(1, 4, 4, dtype=torch.int64), "index": torch.tensor([0])})


def test_state_goes_through_a_file_that_holds_tensors_only(tmp_path) -> None:
    one, estimated = ELR(), ForwardEstimated()
    one(*batches([0, 1]))
    estimated.tell_epochs(2)
    estimated(*batches([0, 1]))
    for loss, fresh in ((one, ELR()), (estimated, ForwardEstimated())):
        torch.save(loss.state_dict(), tmp_path / "state.pt")
        fresh.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
        kept, wanted = fresh.get_extra_state(), loss.get_extra_state()
        assert kept.keys() == wanted.keys()
        assert kept
        assert all(torch.equal(kept[name], wanted[name]) for name in kept)
