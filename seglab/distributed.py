"""One run over several processes: ``torchrun --nproc-per-node=2 -m seglab.train ...``.

Everything here is a plain pass-through in a single process. torch is imported inside the functions, so that
commands which only read files start at once.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


def rank() -> int:
    """Number of this process, 0 in a single process (set by torchrun)."""
    return int(os.environ.get("RANK", "0"))


def world() -> int:
    """Number of processes, 1 without torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main() -> bool:
    """True for the one process that writes files and speaks."""
    return rank() == 0


def pick_device(wanted: str) -> torch.device:
    """The device of this process.

    Args:
        wanted: ``auto``, ``cpu``, ``cuda`` or ``cuda:<n>`` (``runtime.device``).

    Raises:
        ValueError: the device is not there.
    """
    import torch

    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(wanted)
    except RuntimeError as error:
        raise ValueError(f"runtime.device={wanted}: expected auto, cpu, cuda or cuda:<n>") from error
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise ValueError(f"runtime.device={wanted}: this machine has no usable CUDA device; use runtime.device=cpu")
        index = device.index if device.index is not None else int(os.environ.get("LOCAL_RANK", "0"))
        if index >= torch.cuda.device_count():
            raise ValueError(f"runtime.device={wanted}: there are {torch.cuda.device_count()} CUDA devices")
        device = torch.device("cuda", index)
        torch.cuda.set_device(device)
    return device


@contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """Join the processes that torchrun started; a no-op in a single process or inside another such block."""
    import torch.distributed as dist

    if world() == 1 or dist.is_initialized():
        yield
        return
    # Imported before there is a group: it makes the group of that moment the default of its functions, for good.
    import torch.distributed.nn  # noqa: F401

    # The others wait while the first one audits or decodes a data set; torchrun is what notices a lost process.
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=timedelta(hours=3))
    try:
        yield
    finally:
        dist.destroy_process_group()
        # A model in a reference cycle still holds the group, and with it gloo's threads. One that lets go of a tensor
        # while the interpreter ends aborts the process, after all its work is done.
        gc.collect()


def barrier() -> None:
    """Wait for all processes."""
    import torch.distributed as dist

    if dist.is_initialized():
        dist.barrier()


@contextmanager
def main_first() -> Iterator[None]:
    """Let the main process go through the block before the others (it fills a cache that they read)."""
    if not is_main():
        barrier()
    yield
    if is_main():
        barrier()


def report_failure(error: BaseException) -> None:
    """Tell torchrun why this process fails, so that its closing report shows the traceback of the first one."""
    if "TORCHELASTIC_ERROR_FILE" in os.environ:
        from torch.distributed.elastic.multiprocessing.errors import get_error_handler

        handler = get_error_handler()
        handler.initialize()
        handler.record_exception(error)


def sum_(tensor: Tensor) -> Tensor:
    """Sum a tensor over all processes, in place."""
    import torch.distributed as dist

    if dist.is_initialized():
        dist.all_reduce(tensor)
    return tensor


def broadcast(value: Any) -> Any:
    """The main process's value, in every process."""
    import torch.distributed as dist

    if not dist.is_initialized():
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def gather(value: Any) -> list[Any]:
    """Every process's value, in order of rank, in every process."""
    import torch.distributed as dist

    if not dist.is_initialized():
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def wrap(model: nn.Module, device: torch.device, *, sync_batchnorm: bool) -> nn.Module:
    """Distribute a model over the processes; unchanged in a single process."""
    import torch.distributed as dist
    from torch.nn.parallel import DistributedDataParallel

    if not dist.is_initialized():
        return model
    if sync_batchnorm:
        from seglab.models.sync_batchnorm import sync_batchnorm as convert

        model = convert(model)
    return DistributedDataParallel(model, device_ids=[device.index] if device.type == "cuda" else None)
