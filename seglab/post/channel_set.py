"""Saliency map = the sum of all softmax channels that are the object's, for networks of more channels than regions.

With M above 2 a class-agnostic loss may spread the object over several channels. Every channel is given to the object
or to the background, once per model: by its correlation with clean held-out masks (above 0 is object; CAS section 4.2
for one channel), or by a rule without masks. Our reading; with two channels it is :class:`seglab.post.channel.Channel`
exactly. Legend: B batch, M channels, H W pixels.
Example: ``python -m seglab.train loss=cas model.channels=8 eval/post=channel_set``
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from seglab.metrics.correlation import ChannelCorrelation
from seglab.post.channel import softmax
from seglab.post.channel_rules import RULES, ChannelRule, check_clicks, object_channels

log = logging.getLogger(__name__)


class ChannelSet:
    """Softmax, then the sum of the object's channels.

    Args:
        channel: the rule, ``auto`` (correlation with clean validation masks), ``border``, ``size`` or ``clicks``; or a
            list of the object's channels.
        clicks: CSV of clicks on objects for ``clicks``, see :mod:`seglab.clicks`.

    Raises:
        ValueError: ``eval.post.channel`` is none of these, or clicks are missing or have no use.
    """

    learns = True
    """Whether it is shown held-out images at all."""

    def __init__(self, *, channel: str | Sequence[int] = "auto", clicks: str | None = None) -> None:
        given = None if isinstance(channel, str | int) else list(channel)
        if channel not in ("auto", *RULES) and not (given and _are_numbers(given)):
            raise ValueError(
                f"eval.post.channel={channel}: expected auto, {', '.join(RULES)} or a list of channels, 0 or more each"
            )
        rule = "list" if given else str(channel)
        check_clicks(rule, clicks)
        self.clicks, self.channel = clicks, rule
        self.rule = ChannelRule(rule, clicks=clicks) if rule in RULES else None
        self.correlation = ChannelCorrelation()
        self.told: dict[str, Any] = {"rule": rule}
        self.chosen: list[int] | None = sorted(given) if given else None

    @property
    def needs_fit(self) -> bool:
        """Whether images must be shown before the first map."""
        return self.chosen is None

    @property
    def reads_masks(self) -> bool:
        """Whether masks are looked at; a rule without masks is given none."""
        return self.channel == "auto"

    @property
    def needs_images(self) -> bool:
        """Whether held-out images say anything; of clicks the clicked images alone do, of a list none."""
        return self.channel not in ("clicks", "list")

    def update(self, logits_BMHW: Tensor, masks_BHW: Tensor | None) -> None:
        """Show a batch of images, see :meth:`seglab.post.channel.Channel.update`."""
        probs_BMHW = softmax(logits_BMHW)
        if self.rule is not None:
            self.rule.update(probs_BMHW)
        elif self.reads_masks:
            assert masks_BHW is not None
            self.correlation.update(probs_BMHW, masks_BHW)

    def click(self, logits_BMHW: Tensor, places_B: Sequence[Sequence[tuple[float, float]]]) -> None:
        """Show a batch of clicked images with their clicks, see :meth:`ChannelRule.click`."""
        assert self.rule is not None
        self.rule.click(softmax(logits_BMHW), places_B)

    def sync(self, all_reduce_fn: Callable[[Tensor], object], *, device: torch.device | str | None = None) -> None:
        """Add up what all processes saw, see :meth:`seglab.post.channel.Channel.sync`."""
        (self.rule or self.correlation).sync(all_reduce_fn, device=device)

    def finish(self) -> None:
        """Choose the channels.

        Raises:
            ValueError: nothing was shown.
        """
        if self.rule is not None:
            self.chosen = self.rule.channels()
            self.told = self.rule.told(self.chosen, several=True)
        elif self.reads_masks:
            if not self.correlation.images:
                raise ValueError(
                    "eval.post.channel=auto without validation images: expected val above 0, or a rule that needs no "
                    "masks (border, size, clicks)"
                )
            scores_M = self.correlation.value()
            self.chosen = torch.nonzero(object_channels(scores_M[None])[0]).flatten().tolist()
            if float(scores_M.max()) == 0:
                log.warning("no channel varies with the validation masks: channels %s are taken", self.chosen)
            self.told = {"rule": "auto", "scores": scores_M.tolist(), "images": self.correlation.images}

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
            raise ValueError(f"eval.post.channel={self.channel}: expected images (update, finish) or load() first")
        if self.chosen[-1] >= logits_BMHW.shape[1]:
            raise ValueError(f"eval.post.channel={self.chosen}: expected numbers below {logits_BMHW.shape[1]}")
        # A sum of float32 probabilities may be 1 + 1e-7.
        return softmax(logits_BMHW)[:, self.chosen].sum(1).clamp(max=1)

    def state(self) -> dict[str, Any]:
        """What was chosen and from what: ``channels``, ``rule``, and for a rule its scores and how sure it is."""
        return {"channels": self.chosen, **self.told}

    def load(self, state: dict[str, Any]) -> None:
        """Take over a choice stored by :meth:`state`, unless it is a list's or another rule's.

        Raises:
            ValueError: the state holds no channels.
        """
        channels = state.get("channels")
        if not isinstance(channels, list) or not channels or not _are_numbers(channels):
            raise ValueError(f"post-processing state with channels={channels}: expected a list of numbers, 0 or more")
        same = self.rule.took(state) if self.rule is not None else state.get("rule") == self.channel == "auto"
        if same:
            self.chosen, self.told = sorted(channels), {k: v for k, v in state.items() if k != "channels"}


def _are_numbers(values: list[Any]) -> bool:
    whole = all(isinstance(v, int) and not isinstance(v, bool) and v >= 0 for v in values)
    return whole and len(set(values)) == len(values)
