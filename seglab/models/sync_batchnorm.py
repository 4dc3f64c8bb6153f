"""Batch-norm over the global batch: W processes compute what one process would on all their images.

torch.nn.SyncBatchNorm does this on CUDA and refuses the CPU; the layer here does it on the CPU, with the same rule for
running statistics, so a run on several processes can be compared with a run on one anywhere.

    model = DistributedDataParallel(sync_batchnorm(model))
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class _AllReduceSum(torch.autograd.Function):
    """Sum over processes; the gradient of a sum that all use is the sum of what all send back."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, group: Any) -> Tensor:
        ctx.group = group
        value = value.clone()
        dist.all_reduce(value, group=group)
        return value

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _AllReduceSum.apply(gradient.contiguous(), ctx.group), None


class GlobalBatchNorm(_BatchNorm):
    """Batch-norm on the CPU whose training statistics are those of all processes' images.

    Parameters, buffers and state dict are those of torch.nn.BatchNorm2d. Processes may hold different numbers of
    images. In evaluation, or with one process, it is plain batch-norm. It is no torch.nn.SyncBatchNorm, because
    DistributedDataParallel refuses those on the CPU.

    Args:
        num_features: channels.
        eps: added to the variance.
        momentum: share of a batch in the running statistics; None for their plain mean.
        affine: learn a factor and an offset per channel.
        track_running_stats: keep running statistics.
        process_group: processes that share statistics; None for all.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        process_group: Any = None,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats)
        self.process_group = process_group

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"batch-norm input {tuple(input.shape)}: expected [B, C, ...]")

    def forward(self, input: Tensor) -> Tensor:
        """Normalises [B, C, ...]; every process of the group must call it together while training."""
        running = dist.is_available() and dist.is_initialized()
        if not self.training or not running or dist.get_world_size(self.process_group) == 1:
            return _BatchNorm.forward(self, input)
        others = [0, *range(2, input.dim())]
        shape = [1, -1] + [1] * (input.dim() - 2)
        x = input.float()
        count = x.new_tensor(float(x.numel() // x.shape[1]))
        dist.all_reduce(count, group=self.process_group)
        if count <= 1:
            raise ValueError(f"Expected more than 1 value per channel when training, got input size {input.shape}")
        # Two passes: the difference of squares in float32 would lose the digits that this layer exists to preserve.
        mean = _AllReduceSum.apply(x.sum(others), self.process_group) / count
        centred = x - mean.view(shape)
        variance = _AllReduceSum.apply(centred.square().sum(others), self.process_group) / count
        self._update(mean.detach(), variance.detach() * count / (count - 1))
        out = centred * torch.rsqrt(variance + self.eps).view(shape)
        if self.affine:
            out = out * self.weight.view(shape) + self.bias.view(shape)
        return out.to(input.dtype)

    def _update(self, mean: Tensor, unbiased_variance: Tensor) -> None:
        if not self.track_running_stats:
            return
        self.num_batches_tracked.add_(1)
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        self.running_var.lerp_(unbiased_variance.to(self.running_var.dtype), share)


def sync_batchnorm(model: nn.Module, *, process_group: Any = None) -> nn.Module:
    """Replaces every batch-norm layer that trains by one over all processes, with the same tensors.

    The new layers are torch.nn.SyncBatchNorm on CUDA and `GlobalBatchNorm` on the CPU.

    Layers that stay in evaluation while the model trains (a frozen encoder's) are left as they are. State-dict keys do
    not change, and neither do the parameter objects, so an optimiser built before keeps working.

    Args:
        model: changed in place.
        process_group: processes that share statistics; None for all.

    Returns:
        The model, or the new layer if the model itself is one batch-norm layer.
    """
    was_training = model.training
    model.train()  # settles which layers are frozen: those that refuse to train
    model = _convert(model, process_group)
    return model.train(was_training)


def _convert(module: nn.Module, process_group: Any) -> nn.Module:
    converted = isinstance(module, GlobalBatchNorm | nn.SyncBatchNorm)
    if isinstance(module, _BatchNorm) and not converted and module.training:
        place = next((t.device.type for t in (*module.parameters(), *module.buffers())), "cpu")
        kind = nn.SyncBatchNorm if place == "cuda" else GlobalBatchNorm
        layer = kind(
            module.num_features, module.eps, module.momentum, module.affine, module.track_running_stats, process_group
        )
        for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
            setattr(layer, name, getattr(module, name))
        return layer
    for name, child in module.named_children():
        replaced = _convert(child, process_group)
        if replaced is not child:
            setattr(module, name, replaced)
    return module
