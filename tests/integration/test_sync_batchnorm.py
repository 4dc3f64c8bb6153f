"""Two gloo processes on parts of a batch compute what one process computes on the whole batch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

from seglab.models.sync_batchnorm import GlobalBatchNorm, sync_batchnorm
from seglab.models.unet_small import unet_small

SPLITS = {"halves": 2, "uneven": 1}


class Net(nn.Module):
    """Two batch-norm layers with other settings, one of them without weights and with a cumulative mean."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 4, 3),
            nn.BatchNorm2d(4, momentum=0.3),
            nn.Tanh(),
            nn.Conv2d(4, 5, 1),
            nn.BatchNorm2d(5, affine=False, momentum=None, eps=1e-3),
            nn.Tanh(),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


def make() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    model, x = Net(), torch.randn(4, 3, 9, 9) * 3 + 40
    return model, x, torch.randn(4, 5, 7, 7)


def step(model: nn.Module, x: torch.Tensor, target: torch.Tensor) -> dict[str, torch.Tensor]:
    """Two forward passes (for the running statistics), one backward pass of a sum over images."""
    model(x * 0.5)
    out = model(x)
    ((out - target) ** 2).sum().backward()
    return {"out": out.detach(), **{f"grad.{key}": p.grad for key, p in model.named_parameters()}}


def worker(rank: int, folder: str, cut: int) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    model, x, target = make()
    model = sync_batchnorm(model)
    part = slice(0, cut) if rank == 0 else slice(cut, None)
    result = step(model, x[part], target[part])
    for key, value in result.items():
        if key != "out":
            dist.all_reduce(value)
    small = sync_batchnorm(unet_small(freeze_encoder=True))
    small(torch.zeros(1, 3, 16, 16, dtype=torch.uint8) + rank).sum().backward()
    torch.save({"result": result, "state": model.state_dict()}, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.parametrize("split", list(SPLITS))
def test_two_processes_equal_one(tmp_path: Path, split: str) -> None:
    mp.spawn(worker, args=(str(tmp_path), SPLITS[split]), nprocs=2)
    model, x, target = make()
    wanted = step(model, x, target)
    parts = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    outputs = torch.cat([part["result"]["out"] for part in parts])
    torch.testing.assert_close(outputs, wanted.pop("out"), rtol=1e-5, atol=1e-5)
    # A bias in front of batch-norm has gradient zero but for rounding, hence the scale of all gradients together.
    scale = max(float(value.abs().max()) for value in wanted.values())
    for part in parts:
        for key, value in wanted.items():
            torch.testing.assert_close(part["result"][key], value, rtol=1e-5, atol=1e-5 * scale)
        assert list(part["state"]) == list(model.state_dict())
        torch.testing.assert_close(part["state"], dict(model.state_dict()), rtol=1e-5, atol=1e-5, check_device=False)


def test_conversion_keeps_keys_parameters_and_frozen_layers() -> None:
    model = unet_small(freeze_encoder=True).eval()
    keys, parameters = list(model.state_dict()), list(model.parameters())
    sync_batchnorm(model)
    assert list(model.state_dict()) == keys
    assert all(a is b for a, b in zip(model.parameters(), parameters, strict=True))
    assert not model.training
    assert not any(isinstance(layer, GlobalBatchNorm) for layer in model.encoder.modules())
    assert any(isinstance(layer, GlobalBatchNorm) for layer in model.body.decoder.modules())


def test_without_processes_it_is_plain_batchnorm() -> None:
    model, x, target = make()
    wanted = step(model, x, target)
    again, _, _ = make()
    again = sync_batchnorm(again)
    for key, value in step(again, x, target).items():
        torch.testing.assert_close(value, wanted[key])
    torch.testing.assert_close(again.eval()(x), model.eval()(x))
