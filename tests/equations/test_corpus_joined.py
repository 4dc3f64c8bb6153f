"""Losses over a corpus see the whole batch of a step: over its pieces, over processes, and over both together."""

from __future__ import annotations

import inspect
import logging
import os
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from omegaconf import DictConfig, OmegaConf
from torch import nn

from seglab.config import compose
from seglab.data.arrays import ArrayDataset
from seglab.data.sample import Batch
from seglab.losses.ce import CE
from seglab.losses.ce_soft import CESoft
from seglab.losses.corpus import CorpusLoss
from seglab.losses.iou import IoU
from seglab.losses.uoi import UoI
from seglab.losses.uoi_ce import WEIGHTS, UoICE
from seglab.pieces import whole_batch
from seglab.stages import check_stages
from seglab.targets import instantiate
from seglab.trackers import Tracker
from seglab.trainer import Trainer

LOSSES = {
    "ce_soft": lambda: CESoft(),
    "iou": lambda: IoU(),
    "uoi": lambda: UoI(epsilon=0.1),
    "uoi_ce": lambda: UoICE(),
    "sums": lambda: UoICE(reduction="sum", ce_reduction="sum", cells="labelled", classes="all", epsilon=1),
}
K, SIZE, IMAGES = 4, 24, 8
RUNTIME = OmegaConf.create({"channels_last": False, "precision": "fp32"})
CPU = torch.device("cpu")


class Coarse(nn.Module):
    """A network of a few weights with a grid of 6 x 6 cells; dropout and batch normalisation where asked."""

    def __init__(self, *, noisy: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        layers = [nn.Conv2d(3, 5, 4, stride=4)]
        layers += [nn.BatchNorm2d(5), nn.ReLU(), nn.Dropout(0.4)] if noisy else [nn.Tanh()]
        self.body = nn.Sequential(*layers, nn.Conv2d(5, K, 1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.body(image.float() / 255)


def arrays() -> tuple[np.ndarray, np.ndarray]:
    """Images and masks: class 3 only in the first, class 2 not in the last ones, one piece all ignored."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (IMAGES, 3, SIZE, SIZE), dtype=np.uint8)
    masks = rng.integers(0, 2, (IMAGES, SIZE, SIZE)).astype(np.uint8)
    masks[0, :9] = 3
    masks[1:4, 5:15, 5:] = 2
    masks[2, :, 15:] = 255
    masks[4:6] = 255
    return images, masks


def pieces(accumulate: int, *, rank: int = 0, world: int = 1) -> list[Batch]:
    """What each process works off, in equal shares."""
    images, masks = (torch.from_numpy(x) for x in arrays())
    size = IMAGES // world // accumulate
    starts = [rank * size * accumulate + size * piece for piece in range(accumulate)]
    return [
        {"image": images[a : a + size], "mask": masks[a : a + size].long(), "id": [str(a + n) for n in range(size)]}
        for a in starts
    ]


@cache
def config(*options: str) -> DictConfig:
    return compose("train", ["optim=sgd", "runtime.channels_last=false", "runtime.device=cpu", *options])


def trainer(loss: nn.Module, folder: Path, *, accumulate: int, noisy: bool = False, options: tuple = ()) -> Trainer:
    images, masks = arrays()
    ids = [str(n) for n in range(IMAGES)]
    return Trainer(
        config(f"batch_size={IMAGES}", f"accumulate={accumulate}", *options),
        run=SimpleNamespace(path=folder),
        model=Coarse(noisy=noisy),
        loss=loss,
        dataset=ArrayDataset(images, masks, ids, ids, content="corpus"),
        device=CPU,
        tracker=Tracker(),
        validate=lambda epoch: {},
    )


def step(one: Trainer, batches: list[Batch]) -> dict[str, object]:
    """Terms and gradients of a step of the trainer."""
    one.network.train()
    values = one.train_step(batches)
    return {"values": values, "gradient": torch.cat([p.grad.flatten() for p in one.parameters]).clone()}


def assert_alike(found: dict, wanted: dict) -> None:
    assert found["values"] == pytest.approx(wanted["values"], rel=1e-5)
    scale = wanted["gradient"].abs().max().item()
    torch.testing.assert_close(found["gradient"], wanted["gradient"], rtol=1e-4, atol=1e-5 * scale)


@pytest.mark.parametrize("accumulate", [2, 4])
@pytest.mark.parametrize("name", LOSSES)
def test_a_step_in_pieces_is_that_of_the_whole_batch(name, accumulate, tmp_path):
    wanted = step(trainer(LOSSES[name](), tmp_path, accumulate=1), pieces(1))
    found = step(trainer(LOSSES[name](), tmp_path, accumulate=accumulate), pieces(accumulate))
    assert_alike(found, wanted)
    assert wanted["gradient"].abs().max() > 0


def test_pieces_on_their_own_would_be_something_else(tmp_path):
    """The test above is able to fail: without the first pass the quotients are those of each piece."""
    blind = UoI(epsilon=0.1)
    blind.sums_over_pieces = False
    wanted = step(trainer(UoI(epsilon=0.1), tmp_path, accumulate=1), pieces(1))
    found = step(trainer(blind, tmp_path, accumulate=2), pieces(2))
    assert found["values"]["uoi"] != pytest.approx(wanted["values"]["uoi"], rel=0.01)


@pytest.mark.parametrize("name", LOSSES)
def test_the_loss_alone_over_pieces(name):
    """Value and gradient with respect to the logits, in float64."""
    _, masks = arrays()
    mask = torch.from_numpy(masks).long()
    logits = torch.randn(IMAGES, K, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    loss = LOSSES[name]()
    leaf = logits.clone().requires_grad_()
    wanted = sum(loss(leaf, {"mask": mask}).values())
    wanted.backward()
    parts = logits.clone().requires_grad_()
    total = sum(loss.sums(z, {"mask": m}).detach() for z, m in zip(parts.chunk(4), mask.chunk(4), strict=True))
    with loss.given(total, pieces=4):
        for z, m in zip(parts.chunk(4), mask.chunk(4), strict=True):
            value = sum(loss(z, {"mask": m}).values())
            torch.testing.assert_close(value, wanted)
            (value / 4).backward()
    torch.testing.assert_close(parts.grad, leaf.grad, rtol=1e-6, atol=1e-9)
    again = sum(loss(logits, {"mask": mask}).values())  # outside the block it is the plain loss
    torch.testing.assert_close(again, wanted.detach())


class Recorded(UoI):
    """Keeps the sums it makes."""

    def sums(self, logits_BKhw, batch):
        made = super().sums(logits_BKhw, batch)
        self.made.append(made.detach())
        return made


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_both_passes_see_the_same_network(precision, tmp_path):
    """Dropout draws alike, and batch normalisation keeps its running statistics, to the last bit."""
    loss = Recorded()
    loss.made = []
    one = trainer(loss, tmp_path, accumulate=4, noisy=True, options=(f"runtime.precision={precision}",))
    step(one, pieces(4))
    first, second = loss.made[:4], loss.made[4:]
    assert len(second) == 4
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(first[0], first[1])
    blind = Recorded()
    blind.made, blind.sums_over_pieces = [], False
    other = trainer(blind, tmp_path, accumulate=4, noisy=True, options=(f"runtime.precision={precision}",))
    step(other, pieces(4))
    assert all(torch.equal(a, b) for a, b in zip(one.model.buffers(), other.model.buffers(), strict=True))
    assert one.model.body[1].num_batches_tracked == 4
    assert all(torch.equal(a, b) for a, b in zip(blind.made, second, strict=True))


class _Never(nn.Module):
    def forward(self, *_: object) -> None:
        raise AssertionError("there is no first pass")


def test_nothing_happens_for_other_losses_or_one_piece():
    state = torch.get_rng_state()
    for loss, batches in ((CE(), pieces(4)), (UoI(), pieces(1))):
        with whole_batch(loss, _Never(), batches, runtime=RUNTIME, device=CPU):
            assert getattr(loss, "_given", None) is None
    assert torch.equal(torch.get_rng_state(), state)


def test_an_error_leaves_the_network_and_the_loss_as_they_were():
    network, loss, batches = Coarse(noisy=True), UoI(), pieces(2)
    batches[1]["mask"][0, 0, 0] = 9
    before, state = [b.clone() for b in network.buffers()], torch.get_rng_state()
    with (
        pytest.raises(ValueError, match=r"mask label 9"),
        whole_batch(loss, network, batches, runtime=RUNTIME, device=CPU),
    ):
        raise AssertionError("not reached")
    assert all(torch.equal(a, b) for a, b in zip(network.buffers(), before, strict=True))
    assert torch.equal(torch.get_rng_state(), state)
    with pytest.raises(KeyError, match="stop"), loss.given(torch.zeros(3 * K + 2), pieces=2):
        raise KeyError("stop")
    assert loss._given is None


def test_only_losses_without_the_sums_warn(tmp_path, caplog):
    for loss, told in ((UoI(), False), (CE(average="batch"), True)):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            trainer(loss, tmp_path, accumulate=2)
        assert ("it sees batch_size / 2" in caplog.text) == told


def worker(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), WORLD_SIZE="2")
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    results = {}
    for name, build in LOSSES.items():
        for accumulate in (1, 2):
            one = trainer(build(), Path(folder), accumulate=accumulate)
            results[f"{name}/{accumulate}"] = step(one, pieces(accumulate, rank=rank, world=2))
    blind, plain = UoI(), ("optim.lr=1e-30",)
    blind.sums_over_pieces = False
    pair = [trainer(loss, Path(folder), accumulate=2, noisy=True, options=plain) for loss in (UoI(), blind)]
    for one in (*pair, *pair):  # two steps each, because buffers are spread at the start of a step
        step(one, pieces(2, rank=rank, world=2))
    buffers = [list(one.model.buffers()) for one in pair]
    results["same buffers"] = all(torch.equal(x, y) for x, y in zip(*buffers, strict=True))
    torch.save(results, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_equal_one(tmp_path: Path) -> None:
    """With and without pieces: values are those of the whole batch in both, gradients are the mean of both."""
    mp.spawn(worker, args=(str(tmp_path),), nprocs=2)
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert found["same buffers"]
        for name, build in LOSSES.items():
            wanted = step(trainer(build(), tmp_path, accumulate=1), pieces(1))
            for accumulate in (1, 2):
                assert_alike(found[f"{name}/{accumulate}"], wanted)


def test_stages_let_them_be_worked_off_in_pieces():
    for loss in LOSSES:
        options = {"sums": ["uoi_ce", "loss.reduction=sum", "loss.ce_reduction=sum"]}.get(loss, [loss])
        cfg = compose("train", [f"loss={options[0]}", *options[1:], "accumulate=2"])
        built = instantiate(cfg.loss)
        assert isinstance(built, CorpusLoss)
        check_stages(cfg, schedule=instantiate(cfg.schedule), loss=built)


@pytest.mark.parametrize("name", [name for name in LOSSES if name != "sums"])
def test_files_say_what_the_losses_take_by_default(name):
    section = OmegaConf.to_container(compose("train", [f"loss={name}"]).loss)
    kind = type(LOSSES[name]())
    assert section.pop("_target_") == f"{kind.__module__}.{kind.__qualname__}"
    defaults = {key: one.default for key, one in inspect.signature(kind).parameters.items()}
    assert section == defaults | ({"weights": WEIGHTS} if "weights" in defaults else {})
