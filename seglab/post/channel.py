"""Saliency map = one softmax channel, chosen once per model on validation images (CAS section 4.2).

A class-agnostic loss does not say which channel is the object. Legend: B batch, M channels, H W pixels.
Example: ``python -m seglab.train loss=cas eval.post.channel=auto``
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from seglab.metrics.correlation import ChannelCorrelation

log = logging.getLogger(__name__)


class Channel:
    """Softmax, then one channel.

    Args:
        channel: ``auto`` takes the channel with the larger Pearson correlation with the clean validation masks;
            a number, 0 or more, takes that one.

    Raises:
        ValueError: ``eval.post.channel`` is neither.
    """

    learns = True
    """Whether it is shown held-out images at all."""

    def __init__(self, *, channel: str | int = "auto") -> None:
        whole = isinstance(channel, int) and not isinstance(channel, bool) and channel >= 0
        if channel != "auto" and not whole:
            raise ValueError(f"eval.post.channel={channel}: expected auto or a channel's number, 0 or more")
        self.channel = channel
        self.chosen: int | None = None if channel == "auto" else int(channel)
        self.correlations: list[float] = []
        self.correlation = ChannelCorrelation()

    @property
    def needs_fit(self) -> bool:
        """Whether validation images must be shown before the first map."""
        return self.chosen is None

    def update(self, logits_BMHW: Tensor, masks_BHW: Tensor) -> None:
        """Show a batch of validation images.

        Args:
            logits_BMHW: output of the model, float [B, M, H, W], M 2 or more.
            masks_BHW: their clean masks, int [B, H, W], 0 background, 1 object, 255 ignored.

        Raises:
            ValueError: sizes differ, the masks hold other values, or there is one channel only.
        """
        self.correlation.update(_softmax(logits_BMHW), masks_BHW)

    def sync(self, all_reduce_fn: Callable[[Tensor], object], *, device: torch.device | str | None = None) -> None:
        """Add up what all processes saw; each of them calls it, between the last update and ``finish``.

        Args:
            all_reduce_fn: sums a tensor over the processes in place.
            device: where the sums live on a process that saw no batch.
        """
        self.correlation.sync(all_reduce_fn, device=device)

    def finish(self) -> None:
        """Choose the channel.

        Raises:
            ValueError: the choice is ``auto`` and no validation image was shown.
        """
        if self.correlation.images:
            self.correlations = self.correlation.value().tolist()
        if self.channel != "auto":
            return
        if not self.correlations:
            raise ValueError(
                "eval.post.channel=auto without validation images: expected val above 0, or eval.post.channel=<number>"
            )
        self.chosen = max(range(len(self.correlations)), key=self.correlations.__getitem__)
        if self.correlations[self.chosen] == 0:
            log.warning("no channel varies with the validation masks: channel %d is taken", self.chosen)

    def __call__(self, logits_BMHW: Tensor, image_BCHW: Tensor | None = None) -> Tensor:
        """Turn logits into saliency maps.

        Args:
            logits_BMHW: float [B, M, H, W].
            image_BCHW: the images, not looked at.

        Returns:
            float32 [B, H, W] in [0, 1].

        Raises:
            ValueError: no channel is chosen yet, or the output has too few.
        """
        if self.chosen is None:
            raise ValueError(
                "eval.post.channel=auto: expected validation images (update, finish) or load() before maps"
            )
        if self.chosen >= logits_BMHW.shape[1]:
            raise ValueError(f"eval.post.channel={self.chosen}: expected a number below {logits_BMHW.shape[1]}")
        return _softmax(logits_BMHW)[:, self.chosen]

    def state(self) -> dict[str, Any]:
        """What was chosen and from what: ``channel``, ``correlations`` per channel and ``images`` seen."""
        return {"channel": self.chosen, "correlations": list(self.correlations), "images": self.correlation.images}

    def load(self, state: dict[str, Any]) -> None:
        """Take over a choice stored by :meth:`state`; a channel fixed by number is kept.

        Raises:
            ValueError: the state holds no channel.
        """
        channel = state.get("channel")
        if not isinstance(channel, int) or isinstance(channel, bool) or channel < 0:
            raise ValueError(f"post-processing state with channel={channel}: expected a channel's number, 0 or more")
        if self.channel == "auto":
            self.chosen = channel
        self.correlations = [float(c) for c in state.get("correlations", [])]
        self.correlation.images = int(state.get("images", 0))


def _softmax(logits_BMHW: Tensor) -> Tensor:
    if logits_BMHW.ndim != 4 or logits_BMHW.shape[1] < 2:
        raise ValueError(
            f"output {tuple(logits_BMHW.shape)}: expected [B,M,H,W] with 2 channels or more (model.channels)"
        )
    return logits_BMHW.detach().float().softmax(1)
