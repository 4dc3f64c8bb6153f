"""A batch worked off in pieces (``accumulate``), for losses that are quotients of sums over the whole batch.

Such a loss has ``sums_over_pieces = True``, a method ``sums(logits, batch)`` whose results add up, and a block
``given(total, pieces=n)``. A first pass over the pieces, without gradients, collects the sums; in the second, the
training's own, each piece is given the total, so that value and gradient of the step are those of the undivided batch.

One runnable line: ``python -m seglab.train loss=uoi data=camvid_semantic accumulate=4``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from seglab.data.sample import Batch
from seglab.distributed import sum_
from seglab.forward import forward


@contextmanager
def whole_batch(
    loss: nn.Module, network: nn.Module, batches: Sequence[Batch], *, runtime: DictConfig, device: torch.device
) -> Iterator[None]:
    """Within this block the loss of every piece knows the sums over all; nothing happens for another loss or one piece.

    Dropout draws the same numbers afterwards as in the first pass, and the running statistics of batch normalisation
    are those of before. Batch normalisation itself sees one piece at a time, as for every loss.

    Args:
        loss: of the training.
        network: in training mode, possibly wrapped for several processes.
        batches: the pieces of this process, in the order in which they will be worked off.
        runtime: see :func:`seglab.forward.forward`.
        device: where to compute.
    """
    if len(batches) == 1 or not getattr(loss, "sums_over_pieces", False):
        yield
        return
    with torch.no_grad(), _left_as_it_was(network, device):
        total_R: Tensor | None = None
        for batch in batches:
            sums_R = loss.sums(*forward(network, batch, runtime=runtime, device=device))
            total_R = sums_R if total_R is None else total_R + sums_R
    with loss.given(sum_(total_R), pieces=len(batches)):
        yield


@contextmanager
def _left_as_it_was(network: nn.Module, device: torch.device) -> Iterator[None]:
    """Puts random numbers and the network's buffers back at the end of the block."""
    kept = [(buffer, buffer.clone()) for buffer in network.buffers()]
    wrapped = [module for module in network.modules() if isinstance(module, DistributedDataParallel)]
    spreads = [module.require_forward_param_sync for module in wrapped]
    for module in wrapped:
        # The processes' buffers become alike at the first piece of the second pass, as for every other loss.
        module.require_forward_param_sync = False
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        for buffer, before in kept:
            buffer.copy_(before)
        for module, spread in zip(wrapped, spreads, strict=True):
            module.require_forward_param_sync = spread
