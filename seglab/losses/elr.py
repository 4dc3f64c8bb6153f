"""Early-learning regularisation (Liu et al. 2020, Eqs. 6 and 9): a network holds on to what it believed of its images.

    python -m seglab.train loss=elr data=sod noise.rate=0.3

Every training pixel has a target, the running mean of the network's predictions there. Being far from it costs, so that
wrong labels, which are learnt late, find the pixel taken.

Targets take 4 K H W / grid^2 bytes for every training image, in memory (of the device) and in the checkpoints: 200
images of 128 px with two classes 26 MB, DUTS's 10553 of 256 px 5.5 GB, with grid=4 0.35 GB.

Legend: B batch, K classes, H W pixels, h w cells of the targets, N training images.
"""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn

from seglab.losses.ce import cross_entropy
from seglab.losses.checks import check_choice, check_share, check_whole, is_number
from seglab.losses.pixels import AVERAGES, image_mean, one_minus, pixels_of

LEAST = 1e-4
"""Smallest probability that enters a target, so that the logarithm stays finite; ours."""


class EarlyLearningTerms(NamedTuple):
    """Both terms, weights applied."""

    ce: Tensor
    elr: Tensor


def early_learning_loss(
    logits_BKHW: Tensor,
    labels_BHW: Tensor,
    target_BKHW: Tensor,
    *,
    weight: float = 3.0,
    average: Literal["image", "batch"] = "image",
) -> EarlyLearningTerms:
    """CE + weight * mean log(1 - <p, t>), both averaged as in `seglab.losses.ce`; Liu et al. 2020, Eq. 6.

    Args:
        logits_BKHW: scores before the softmax, any floating type; computed in float32 (float64 for float64).
        labels_BHW: integer classes 0..K-1; 255 is ignored.
        target_BKHW: t, without a graph; not negative, adding up to at most 1 over the classes.
        weight: lambda, >= 0; 0 is cross-entropy.
        average: see `seglab.losses.pixels.image_mean`.

    Returns:
        Cross-entropy, a scalar >= 0, and the regularisation, <= 0, to be added.

    Raises:
        ValueError: an option out of range, wrong shapes, or (on the CPU) a label that is neither a class nor 255.
    """
    _check_options(weight, average)
    pixels = pixels_of(logits_BKHW, labels_BHW, name="elr")
    ce = cross_entropy(logits_BKHW, labels_BHW, average=average)
    target_BKHW = target_BKHW.to(pixels.log_BKHW)
    # 1 - <p, t> as a sum of what is not negative, exact also where p and t are almost 1.
    rest_BHW = (1 - target_BKHW.sum(1)).clamp(min=0)
    apart_BHW = rest_BHW + (target_BKHW * one_minus(pixels.log_BKHW)).sum(1)
    cost_BHW = apart_BHW.clamp(min=torch.finfo(apart_BHW.dtype).tiny).log()
    return EarlyLearningTerms(ce, weight * image_mean(cost_BHW, pixels.valid_BHW, average))


def _check_options(weight: float, average: str) -> None:
    if not is_number(weight) or weight < 0:
        raise ValueError(f"loss.weight={weight}: expected a number, 0 or more (lambda)")
    check_choice("average", average, AVERAGES)


class ELR(nn.Module):
    """Early-learning regularisation as a training loss; returns the terms "ce" and "elr".

    Args:
        weight: lambda, see `early_learning_loss`.
        beta: of the running mean t <- beta t + (1 - beta) p, 0..1, t = 0 at first; Eq. 9.
        grid: side of a cell of the targets in pixels; a cell holds the mean of its pixels and is the target of each.
        average: see `seglab.losses.pixels.image_mean`.

    Raises:
        ValueError: an option out of range.
    """

    follows_pixels = True

    def __init__(
        self,
        *,
        weight: float = 3.0,
        beta: float = 0.7,
        grid: int = 1,
        average: Literal["image", "batch"] = "image",
    ) -> None:
        super().__init__()
        _check_options(weight, average)
        self.weight, self.beta = float(weight), check_share("beta", beta)
        self.grid, self.average = check_whole("grid", grid), average
        self.batch_coupled = average == "batch"
        self.images = 0
        self.targets_NKhw: Tensor | None = None

    def tell_noise(self, report: Mapping[str, Any]) -> None:
        """Note how many training images there are, so that the targets are laid out once."""
        self.images = int(report.get("images", 0))

    def forward(self, logits_BKHW: Tensor, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Loss of a batch: logits [B, K, H, W], batch["mask"] [B, H, W], batch["index"] [B] where it is known.

        The targets of these images move first, then count. A batch without "index" has no images that come again, and
        its targets start from 0.
        """
        with torch.no_grad():
            p_BKhw = self.cells(logits_BKHW)
            target_BKhw = (1 - self.beta) * p_BKhw
            if (index_B := batch.get("index")) is not None:
                target_BKhw = self.moved(index_B.to(logits_BKHW.device), p_BKhw)
            target_BKHW = target_BKhw.repeat_interleave(self.grid, 2).repeat_interleave(self.grid, 3)
            target_BKHW = target_BKHW[..., : logits_BKHW.shape[2], : logits_BKHW.shape[3]]
        terms = early_learning_loss(logits_BKHW, batch["mask"], target_BKHW, weight=self.weight, average=self.average)
        return terms._asdict()

    def cells(self, logits_BKHW: Tensor) -> Tensor:
        """Predictions as they enter the targets, means over the cells, float32 [B, K, h, w]."""
        p_BKHW = logits_BKHW.detach().float().softmax(1)
        p_BKhw = nn.functional.avg_pool2d(p_BKHW, self.grid, ceil_mode=True) if self.grid > 1 else p_BKHW
        p_BKhw = p_BKhw.clamp(LEAST, 1 - LEAST)
        return p_BKhw / p_BKhw.sum(1, keepdim=True)

    def moved(self, index_B: Tensor, p_BKhw: Tensor) -> Tensor:
        """Move the targets of these images, of all processes, and return those of this one, [B, K, h, w]."""
        index_A, p_AKhw = _of_all(index_B), _of_all(p_BKhw)
        self._lay_out(p_AKhw, images=int(index_A.max()) + 1)
        self.targets_NKhw[index_A] = self.beta * self.targets_NKhw[index_A] + (1 - self.beta) * p_AKhw
        return self.targets_NKhw[index_B]

    def _lay_out(self, p_AKhw: Tensor, *, images: int) -> None:
        """Room for the targets of so many images, on the device of the predictions."""
        shape, held = p_AKhw.shape[1:], self.targets_NKhw
        if held is None:
            self.targets_NKhw = p_AKhw.new_zeros(max(images, self.images), *shape)
            return
        if held.shape[1:] != shape:
            raise ValueError(
                f"loss (elr): targets of {list(held.shape[1:])} (channels, cells), a prediction of {list(shape)}: "
                "expected images of one size; after a change of settings runtime.rerun=true starts over"
            )
        more = p_AKhw.new_zeros(max(0, images - len(held)), *shape)
        self.targets_NKhw = torch.cat([held.to(p_AKhw.device), more]) if len(more) else held.to(p_AKhw.device)

    def get_extra_state(self) -> dict[str, Tensor]:
        """The targets, where there are any."""
        return {} if self.targets_NKhw is None else {"targets": self.targets_NKhw}

    def set_extra_state(self, state: dict[str, Tensor]) -> None:
        """Take what `get_extra_state` gave."""
        self.targets_NKhw = state.get("targets")


def _of_all(tensor: Tensor) -> Tensor:
    """The tensors of all processes, of one shape, behind each other."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return tensor
    parts = [torch.empty_like(tensor, memory_format=torch.contiguous_format) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, tensor.contiguous())
    return torch.cat(parts)
