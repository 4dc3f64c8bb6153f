"""Pearson correlation of every output channel with the masks, over all pixels of a stream of batches.

CAS section 4.2 chooses the output channel by it. Legend: B batch, M channels, H W pixels.
Example: ``from seglab.metrics.correlation import ChannelCorrelation; c = ChannelCorrelation(); c.update(probs, masks)``
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from seglab.metrics.masks import object_and_valid
from seglab.metrics.merge import merge_sums


class ChannelCorrelation:
    """Streaming correlation; only five sums a channel are kept, in float64, so processes merge by addition."""

    def __init__(self) -> None:
        self.sums: Tensor | None = None
        self.images = 0

    def update(self, probs_BMHW: Tensor, masks_BHW: Tensor) -> None:
        """Add a batch.

        Args:
            probs_BMHW: float [B, M, H, W] in [0, 1].
            masks_BHW: int [B, H, W], 0 background, 1 object, 255 ignored; or bool. An image of which all is ignored
                says nothing and is not counted.

        Raises:
            ValueError: sizes differ or the masks hold other values.
        """
        object_BHW, valid_BHW = object_and_valid(masks_BHW, probs_BMHW)
        channels, labelled = probs_BMHW.shape[1], int(valid_BHW.flatten(1).any(1).sum())
        if not labelled:
            return  # data without masks: nothing to correlate with
        # Sums of distances to 1/M, near which an unsure softmax stays: squares of small numbers lose no digits.
        p_MP = probs_BMHW.detach().double().movedim(1, 0)[:, valid_BHW] - 1 / channels
        g_P = object_BHW[valid_BHW].double()
        ones = torch.ones_like(p_MP[:, :1]).squeeze(1)
        sums = torch.stack([ones * g_P.numel(), p_MP.sum(1), p_MP.square().sum(1), ones * g_P.sum(), p_MP @ g_P])
        if self.sums is not None and self.sums.shape != sums.shape:
            raise ValueError(f"{channels} channels after {self.sums.shape[1]}: expected one model's output")
        self.sums = sums if self.sums is None else self.sums + sums
        self.images += labelled

    def sync(self, all_reduce_fn: Callable[[Tensor], object], *, device: torch.device | str | None = None) -> None:
        """Add up the sums of all processes; each of them must call it.

        Args:
            all_reduce_fn: sums a tensor over the processes in place.
            device: where the sums live on a process that saw no batch.
        """
        self.sums, self.images = merge_sums(self.sums, self.images, all_reduce_fn, device=device)

    def value(self) -> Tensor:
        """Correlation of each channel.

        Returns:
            float64 [M] in [-1, 1], on the CPU; 0 for a channel, or masks, without any variation.

        Raises:
            ValueError: no pixel was seen.
        """
        if self.sums is None or float(self.sums[0, 0]) == 0:
            raise ValueError("correlation of no pixels: give update() at least one batch")
        n, p, pp, g, pg = self.sums.cpu()
        cov = pg - p * g / n
        spread = ((pp - p * p / n).clamp_min(0) * (g - g * g / n).clamp_min(0)).sqrt()
        return torch.where(spread > 0, cov / spread.clamp_min(1e-300), 0.0).clamp(-1, 1)
