"""Saliency map = calibrated probability of the object given the descriptor of a pixel (ours).

CAS scores its softmax as it is; that softmax was trained to be far from the other region's, not to be right as often as
it says. Here p(object | descriptor) = sigmoid(w . x + b), x the differences of the logits to the first one:

* with clean held-out masks: logistic regression (Platt scaling where there are two channels);
* without: two Gaussians of one covariance, fitted to the descriptors by EM; a rule of
  :mod:`seglab.post.channel_rules` says which of the two is the object.

Both look at a draw of pixels of every image, by its name, so that the number of processes does not matter.
Legend: B images, M channels, H W pixels, P drawn pixels, D = M - 1 features.
Example: ``python -m seglab.evaluate run=<run> eval/post=calibrated eval.protocol.name=calibrated``
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seglab import distributed
from seglab.data.rng import integers
from seglab.data.sample import IGNORE
from seglab.metrics.masks import object_and_valid
from seglab.post.channel import softmax
from seglab.post.channel_rules import RULES, ChannelRule, check_clicks
from seglab.post.mixture import logistic, two_gaussians

log = logging.getLogger(__name__)

FARTHEST = 50.0
"""Differences of logits are cut here; the softmax of float32 cannot tell more apart."""
FEWEST = 0.01
"""Share of the pixels below which a component of the mixture is none."""
UNSURE = 0.5
"""Errors a mixture expects of itself, as a share of those of a guess, above which its components are one cloud."""


class Calibrated:
    """Probability of the object by a logistic function of the descriptor.

    Args:
        masks: ``auto`` looks at clean held-out masks where there are some; ``none`` never does.
        channel: without masks: rule that says which component is the object, ``border``, ``size`` or ``clicks``.
        clicks: CSV of clicks on objects for ``clicks``, see :mod:`seglab.clicks`.
        pixels: pixels drawn of every image.

    Raises:
        ValueError: ``eval.post.<key>`` is none of these, or clicks are missing or have no use.
    """

    learns = True
    """Whether it is shown held-out images at all."""
    does_without = True
    """Whether images alone will do where nothing is held out."""
    wants_names = True
    """Whether it is told the images' names."""

    def __init__(
        self, *, masks: str = "auto", channel: str = "border", clicks: str | None = None, pixels: int = 256
    ) -> None:
        for key, value, offered in (("masks", masks, ("auto", "none")), ("channel", channel, RULES)):
            if value not in offered:
                raise ValueError(f"eval.post.{key}={value}: expected one of {', '.join(offered)}")
        if isinstance(pixels, bool) or not isinstance(pixels, int) or pixels < 1:
            raise ValueError(f"eval.post.pixels={pixels}: expected a whole number, 1 or more")
        check_clicks(channel, clicks)
        self.reads_masks, self.pixels, self.clicks = masks == "auto", pixels, clicks
        self.rule = ChannelRule(channel, clicks=clicks)
        self.drawn: dict[str, tuple[np.ndarray, np.ndarray]] = {}  # image: descriptors [P,D], labels [P]; 255 = none
        self.fitted: dict[str, Any] = {}
        self.choice: dict[str, Any] = {}

    @property
    def needs_fit(self) -> bool:
        """Whether images must be shown before the first map."""
        return not self.fitted

    def update(self, logits_BMHW: Tensor, masks_BHW: Tensor | None, names: Sequence[str] | None = None) -> None:
        """Show a batch of images.

        Args:
            logits_BMHW: output of the model, float [B, M, H, W], M 2 or more.
            masks_BHW: their clean masks, int [B, H, W], 0 background, 1 object, 255 ignored; None, or what is not
                looked at, where there are none.
            names: of the images, by which their pixels are drawn; None counts them.

        Raises:
            ValueError: sizes differ, the masks hold other values, or there is one channel only.
        """
        self.rule.update(softmax(logits_BMHW))
        x_BDHW = features(logits_BMHW)
        labels_BHW = torch.full_like(x_BDHW[:, 0], IGNORE, dtype=torch.uint8)
        if self.reads_masks and masks_BHW is not None:
            object_BHW, valid_BHW = object_and_valid(masks_BHW, logits_BMHW)
            labels_BHW = torch.where(valid_BHW, object_BHW.to(torch.uint8), labels_BHW)
        names = [f"image {len(self.drawn) + i}" for i in range(len(x_BDHW))] if names is None else names
        for name, x_DHW, labels_HW in zip(names, x_BDHW, labels_BHW, strict=True):
            places = integers(self.pixels, "descriptors", name) % np.uint64(labels_HW.numel())
            index_P = torch.from_numpy(places.astype(np.int64)).to(x_DHW.device)
            x_PD, labels_P = x_DHW.flatten(1)[:, index_P].T, labels_HW.flatten()[index_P]
            self.drawn[name] = x_PD.cpu().numpy(), labels_P.cpu().numpy()

    def click(self, logits_BMHW: Tensor, places_B: Sequence[Sequence[tuple[float, float]]]) -> None:
        """Show a batch of clicked images with their clicks, see :meth:`ChannelRule.click`."""
        self.rule.click(softmax(logits_BMHW), places_B)

    def sync(self, all_reduce_fn: Callable[[Tensor], object], *, device: torch.device | str | None = None) -> None:
        """Join what all processes saw; each of them calls it, between the last update and ``finish``."""
        self.rule.sync(all_reduce_fn, device=device)
        self.drawn = {name: pair for part in distributed.gather(self.drawn) for name, pair in part.items()}

    def finish(self) -> None:
        """Fit the weights.

        Raises:
            ValueError: no image was shown, or labelled pixels are all object or all background.
        """
        if not self.drawn:
            raise ValueError("eval/post=calibrated: no image was shown, expected one or more (val, data)")
        pairs = [self.drawn[name] for name in sorted(self.drawn)]  # whichever process saw which
        x_ND, labels_N = (torch.from_numpy(np.concatenate(part)) for part in zip(*pairs, strict=True))
        known_N, x_ND = labels_N != IGNORE, x_ND.double()
        told: dict[str, Any] = self._asked() | {"images": len(pairs)}
        if bool(known_N.any()):
            object_N = labels_N[known_N] == 1
            if bool(object_N.all()) or not bool(object_N.any()):
                raise ValueError("validation masks without object or without background: expected both (val, data)")
            w_D, b = logistic(x_ND[known_N], object_N)
            told |= {"way": "logistic", "pixels": len(object_N)}
        else:
            w_D, b, share = self._mixture(x_ND)
            told |= {"way": "mixture", "pixels": len(x_ND), "share": share, "choice": self.choice}
        self.fitted = {"weights": w_D.tolist(), "bias": b, **told}

    def _asked(self) -> dict[str, Any]:
        return {"masks": "auto" if self.reads_masks else "none", "drawn": self.pixels}

    def _mixture(self, x_ND: Tensor) -> tuple[Tensor, float, float]:
        w_D, b, share = two_gaussians(x_ND)
        second_N = (x_ND @ w_D + b).sigmoid()
        expected = float(torch.minimum(second_N, 1 - second_N).mean())
        if not FEWEST < share < 1 - FEWEST or expected > UNSURE * min(share, 1 - share):
            log.warning("eval/post=calibrated: the descriptors are of one kind, not of two; maps will say little")
        channels = self.rule.channels()
        self.choice = self.rule.told(channels, several=True) | {"channels": channels}
        held_N = torch.cat([torch.zeros_like(x_ND[:, :1]), x_ND], 1).softmax(1)[:, channels].sum(1)
        # The object's is the component that holds more of the object's channels.
        spread = (second_N * held_N).sum() / second_N.sum() - ((1 - second_N) * held_N).sum() / (1 - second_N).sum()
        return (w_D, b, share) if float(spread) >= 0 else (-w_D, -b, 1 - share)

    def __call__(self, logits_BMHW: Tensor, image_BCHW: Tensor | None = None) -> Tensor:
        """Turn logits into probabilities of the object.

        Args:
            logits_BMHW: float [B, M, H, W].
            image_BCHW: the images, not looked at.

        Returns:
            float32 [B, H, W] in [0, 1].

        Raises:
            ValueError: the weights are not known yet or are of another number of channels.
        """
        if not self.fitted:
            raise ValueError("eval/post=calibrated: expected images (update, finish) or load() before maps")
        weights = self.fitted["weights"]
        if len(weights) + 1 != logits_BMHW.shape[1]:
            raise ValueError(f"weights for {len(weights) + 1} channels: the output has {logits_BMHW.shape[1]}")
        x_BDHW = features(logits_BMHW)
        w_D = torch.tensor(weights, dtype=x_BDHW.dtype, device=x_BDHW.device)
        return ((x_BDHW * w_D[:, None, None]).sum(1) + self.fitted["bias"]).sigmoid()

    def state(self) -> dict[str, Any]:
        """What was fitted: ``weights``, ``bias``, ``way`` and from how many ``images`` and ``pixels``."""
        return dict(self.fitted)

    def load(self, state: dict[str, Any]) -> None:
        """Take over weights stored by :meth:`state`, unless they were fitted in a way that is not asked for.

        Raises:
            ValueError: the state holds no weights.
        """
        weights, bias, way = (state.get(key) for key in ("weights", "bias", "way"))
        numbers = isinstance(weights, list) and weights and all(isinstance(v, float | int) for v in [*weights, bias])
        if not numbers or way not in ("logistic", "mixture"):
            raise ValueError("post-processing state without weights and bias: expected Calibrated.state()")
        same = all(state.get(key) == value for key, value in self._asked().items())
        if same and (way == "logistic" or self.rule.took(state.get("choice", {}))):
            self.fitted = dict(state)


def features(logits_BMHW: Tensor) -> Tensor:
    """Differences of the logits to the first one, float32 [B, M - 1, H, W], cut at plus and minus 50.

    Raises:
        ValueError: the output has fewer than two channels.
    """
    if logits_BMHW.ndim != 4 or logits_BMHW.shape[1] < 2:
        raise ValueError(f"output {tuple(logits_BMHW.shape)}: expected [B,M,H,W] with 2 channels or more")
    z_BMHW = logits_BMHW.detach().float()
    return (z_BMHW[:, 1:] - z_BMHW[:, :1]).clamp(-FARTHEST, FARTHEST)
