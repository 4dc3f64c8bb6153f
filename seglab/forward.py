"""One batch through a network: device, memory layout and autocast, the same for training and scoring."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from seglab.data.sample import Batch

DTYPES = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
"""What ``runtime.precision`` offers; the dtype of autocast."""


@contextmanager
def drawing_alike(key: int, device: torch.device) -> Iterator[None]:
    """Random numbers that are the same in every process and piece of a step, for losses that draw pixels.

    An image's share of the loss must not depend on who computes it. Before and after the block the generators, which
    dropout draws from, are untouched.
    """
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(key)
        yield


def forward(network: nn.Module, batch: Batch, *, runtime: DictConfig, device: torch.device) -> tuple[Tensor, Batch]:
    """Logits of a batch.

    Args:
        network: on ``device``.
        batch: images uint8 [B,3,H,W] and what goes with them, anywhere.
        runtime: ``channels_last`` and ``precision`` are read.
        device: where to compute.

    Returns:
        Logits [B,M,H,W], always float32, because the means and epsilons of the losses vanish in half precision; and
        the batch on the device. What a network in training hands on beside its logits, for a loss that reads it, is
        ``batch["aux"]``: float32 tensors by name.
    """
    moved: Batch = {k: v.to(device, non_blocking=True) if isinstance(v, Tensor) else v for k, v in batch.items()}
    image = moved["image"]
    if runtime.channels_last:
        image = image.contiguous(memory_format=torch.channels_last)
    dtype = DTYPES[runtime.precision]
    with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
        found = network(image)
    if isinstance(found, Mapping):
        moved["aux"] = {name: side.float() for name, side in found["aux"].items()}
        found = found["out"]
    return found.float(), moved


def enlarged(logits_BMhw: Tensor, image_B3HW: Tensor) -> Tensor:
    """Logits of a coarse network at the size of its images, bilinearly; those of any other network as they are.

    Args:
        logits_BMhw: float [B,M,h,w].
        image_B3HW: the images they are of.
    """
    size = image_B3HW.shape[2:]
    if logits_BMhw.shape[2:] == size:
        return logits_BMhw
    return nn.functional.interpolate(logits_BMhw, size, mode="bilinear", align_corners=False)
