"""Saliency map = one softmax channel, chosen once per model on validation images (CAS section 4.2).

A class-agnostic loss does not say which channel is the object. Without a single clean mask one of the rules of
:mod:`seglab.post.channel_rules` says it. Legend: B batch, M channels, H W pixels.
Example: ``python -m seglab.train loss=cas eval.post.channel=auto``
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from seglab.metrics.correlation import ChannelCorrelation
from seglab.post.channel_rules import RULES, ChannelRule, check_clicks

log = logging.getLogger(__name__)


class Channel:
    """Softmax, then one channel.

    Args:
        channel: ``auto`` takes the channel with the larger Pearson correlation with the clean validation masks;
            ``border``, ``size`` and ``clicks`` choose without masks, see :mod:`seglab.post.channel_rules`; a number, 0
            or more, takes that channel.
        clicks: CSV of clicks on objects for ``clicks``, see :mod:`seglab.clicks`.

    Raises:
        ValueError: ``eval.post.channel`` is none of these, or clicks are missing or have no use.
    """

    learns = True
    """Whether it is shown held-out images at all."""

    def __init__(self, *, channel: str | int = "auto", clicks: str | None = None) -> None:
        whole = isinstance(channel, int) and not isinstance(channel, bool) and channel >= 0
        if channel not in ("auto", *RULES) and not whole:
            raise ValueError(
                f"eval.post.channel={channel}: expected auto, {', '.join(RULES)} or a channel's number, 0 or more"
            )
        check_clicks(str(channel), clicks)
        self.channel, self.clicks = channel, clicks
        self.rule = ChannelRule(str(channel), clicks=clicks) if channel in RULES else None
        self.told: dict[str, Any] = {}
        self.chosen: int | None = int(channel) if whole else None
        self.correlations: list[float] = []
        self.correlation = ChannelCorrelation()

    @property
    def needs_fit(self) -> bool:
        """Whether validation images must be shown before the first map."""
        return self.chosen is None

    @property
    def reads_masks(self) -> bool:
        """Whether masks are looked at; a rule without masks is given none."""
        return self.rule is None

    @property
    def needs_images(self) -> bool:
        """Whether held-out images say anything; of clicks the clicked images alone do."""
        return self.channel != "clicks"

    def update(self, logits_BMHW: Tensor, masks_BHW: Tensor | None) -> None:
        """Show a batch of validation images.

        Args:
            logits_BMHW: output of the model, float [B, M, H, W], M 2 or more.
            masks_BHW: their clean masks, int [B, H, W], 0 background, 1 object, 255 ignored; not looked at by a rule
                without masks.

        Raises:
            ValueError: sizes differ, the masks hold other values, or there is one channel only.
        """
        if self.rule is not None:
            self.rule.update(softmax(logits_BMHW))
            return
        assert masks_BHW is not None
        self.correlation.update(softmax(logits_BMHW), masks_BHW)

    def click(self, logits_BMHW: Tensor, places_B: Sequence[Sequence[tuple[float, float]]]) -> None:
        """Show a batch of clicked images with their clicks, see :meth:`ChannelRule.click`."""
        assert self.rule is not None
        self.rule.click(softmax(logits_BMHW), places_B)

    def sync(self, all_reduce_fn: Callable[[Tensor], object], *, device: torch.device | str | None = None) -> None:
        """Add up what all processes saw; each of them calls it, between the last update and ``finish``.

        Args:
            all_reduce_fn: sums a tensor over the processes in place.
            device: where the sums live on a process that saw no batch.
        """
        (self.rule or self.correlation).sync(all_reduce_fn, device=device)

    def finish(self) -> None:
        """Choose the channel.

        Raises:
            ValueError: the choice is not a number and nothing was shown.
        """
        if self.rule is not None:
            self.chosen = int(self.rule.scores().argmax())
            self.told = self.rule.told([self.chosen])
            return
        if self.correlation.images:
            self.correlations = self.correlation.value().tolist()
        if self.channel != "auto":
            return
        if not self.correlations:
            raise ValueError(
                "eval.post.channel=auto without validation images: expected val above 0, eval.post.channel=<number>, "
                "or a rule that needs no masks (border, size, clicks)"
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
                f"eval.post.channel={self.channel}: expected validation images (update, finish) or load() before maps"
            )
        if self.chosen >= logits_BMHW.shape[1]:
            raise ValueError(f"eval.post.channel={self.chosen}: expected a number below {logits_BMHW.shape[1]}")
        return softmax(logits_BMHW)[:, self.chosen]

    def state(self) -> dict[str, Any]:
        """What was chosen and from what: ``channel``, ``correlations`` per channel and ``images`` seen.

        A rule without masks tells ``rule``, ``scores``, ``margin`` and ``agreement`` in place of correlations.
        """
        if self.rule is not None:
            return {"channel": self.chosen, **self.told}
        return {"channel": self.chosen, "correlations": list(self.correlations), "images": self.correlation.images}

    def load(self, state: dict[str, Any]) -> None:
        """Take over a choice stored by :meth:`state`; a channel fixed by number is kept.

        A choice made in another way than this read-out's is not taken over: it has to be fitted.

        Raises:
            ValueError: the state holds no channel.
        """
        channel = state.get("channel")
        if not isinstance(channel, int) or isinstance(channel, bool) or channel < 0:
            raise ValueError(f"post-processing state with channel={channel}: expected a channel's number, 0 or more")
        if self.rule is not None:
            if self.rule.took(state):
                self.chosen, self.told = channel, {k: v for k, v in state.items() if k != "channel"}
            return
        self.correlations = [float(c) for c in state.get("correlations", [])]
        if self.channel == "auto" and self.correlations[channel : channel + 1] == [max(self.correlations, default=0.0)]:
            self.chosen = channel  # not so of a number that was typed
        self.correlation.images = int(state.get("images", 0))


def softmax(logits_BMHW: Tensor) -> Tensor:
    """Softmax over the channels, float32 [B, M, H, W].

    Raises:
        ValueError: the output has fewer than two channels.
    """
    if logits_BMHW.ndim != 4 or logits_BMHW.shape[1] < 2:
        raise ValueError(
            f"output {tuple(logits_BMHW.shape)}: expected [B,M,H,W] with 2 channels or more (model.channels)"
        )
    return logits_BMHW.detach().float().softmax(1)
