"""Which output channels are the object, told without any mask: by the border, by size, or by a user's clicks (ours).

CAS section 4.2 takes the channel that correlates more with clean validation masks. Where there is not one clean mask,
something else has to break the tie between object and background. All three rules look at the softmax p alone:

* ``border``: a channel's mean inside the image minus its mean on the border strip, averaged over images. Objects touch
  the border less than the background does.
* ``size``: minus a channel's share of all pixels. The object is the smaller region. A channel under 2 % of the pixels
  is no region (the CAS papers absorb such regions), but for the two largest channels.
* ``clicks``: a channel's value at a clicked pixel minus its mean over that image, averaged over clicks.

The choice is one for a model. ``agreement`` is the share of images (clicks) that alone would choose the same.

Legend: B images, M channels, H W pixels. Example: ``python -m seglab.evaluate run=<run> eval.post.channel=border
eval.protocol.name=border``
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from seglab.clicks import digest, read_clicks
from seglab.metrics.merge import merge_sums

log = logging.getLogger(__name__)

RULES = ("border", "size", "clicks")
BORDER = 1 / 32
"""Width of the border strip as a share of the shorter side; one pixel at least."""
LEAST = 0.02
"""Share of the pixels below which a channel is no region (CAS supplement E absorbs regions under 2 %)."""
SURE = 0.7
"""Agreement below which a choice is warned about."""


class ChannelRule:
    """Scores of the channels under one rule, as sums over images, so that processes merge by addition.

    Args:
        name: one of :data:`RULES`.
        clicks: CSV of the clicks, see :mod:`seglab.clicks`; for ``clicks`` alone.

    Raises:
        ValueError: clicks are missing, or given to a rule that has no use for them.
    """

    def __init__(self, name: str, *, clicks: str | None = None) -> None:
        check_clicks(name, clicks)
        self.name, self.clicks = name, clicks
        self.sums: Tensor | None = None  # rows: count, score, first choices, memberships, mass; float64 [5, M]
        self.images = 0

    def update(self, probs_BMHW: Tensor) -> None:
        """Show images; ``clicks`` learns nothing from them.

        Args:
            probs_BMHW: softmax, float [B, M, H, W].
        """
        if self.name == "clicks":
            return
        mass_BM = probs_BMHW.double().mean((2, 3))
        score_BM = contrast_to_border(probs_BMHW) if self.name == "border" else minus_size(mass_BM)
        self._add(score_BM, mass_BM)
        self.images += len(probs_BMHW)

    def click(self, probs_BMHW: Tensor, places_B: Sequence[Sequence[tuple[float, float]]]) -> None:
        """Show clicked images.

        Args:
            probs_BMHW: softmax, float [B, M, H, W].
            places_B: clicks of each image, shares ``(u, v)`` of width and height, see :func:`seglab.clicks.places`.
        """
        height, width = probs_BMHW.shape[2:]
        for probs_MHW, places in zip(probs_BMHW.double(), places_B, strict=True):
            mass_M = probs_MHW.mean((1, 2))
            for u, v in places:
                column, row = min(int(u * width), width - 1), min(int(v * height), height - 1)
                self._add((probs_MHW[:, row, column] - mass_M)[None], mass_M[None])
        self.images += len(probs_BMHW)

    def _add(self, score_BM: Tensor, mass_BM: Tensor) -> None:
        first_BM = torch.nn.functional.one_hot(score_BM.argmax(1), score_BM.shape[1]).double()
        inside_BM = self._members(score_BM, mass_BM).double()
        rows = [torch.ones_like(score_BM), score_BM, first_BM, inside_BM, mass_BM]
        sums = torch.stack([row.sum(0) for row in rows])
        if self.sums is not None and self.sums.shape != sums.shape:
            raise ValueError(f"{sums.shape[1]} channels after {self.sums.shape[1]}: expected one model's output")
        self.sums = sums if self.sums is None else self.sums + sums

    def _members(self, score_BM: Tensor, mass_BM: Tensor) -> Tensor:
        return outside_largest(mass_BM) if self.name == "size" else object_channels(score_BM)

    def sync(self, all_reduce_fn: Callable[[Tensor], object], *, device: torch.device | str | None = None) -> None:
        """Add up what all processes saw, as :meth:`seglab.post.channel.Channel.sync`."""
        self.sums, self.images = merge_sums(self.sums, self.images, all_reduce_fn, device=device)

    def scores(self) -> Tensor:
        """Score of every channel, float64 [M] on the CPU; the largest is the object's.

        Raises:
            ValueError: nothing was shown.
        """
        means = self._means()
        return minus_size(means[4][None])[0] if self.name == "size" else means[1]

    def channels(self) -> list[int]:
        """All channels that are the object's, one or more but never all; of two channels the one with the larger score.

        Raises:
            ValueError: nothing was shown.
        """
        return torch.nonzero(self._members(self.scores()[None], self._means()[4][None])[0]).flatten().tolist()

    def told(self, channels: Sequence[int], *, several: bool = False) -> dict[str, Any]:
        """How sure a choice is, plain types; a warning where it is not.

        Args:
            channels: what was chosen.
            several: the choice was a set of channels; False: one channel.

        Returns:
            ``rule``, ``scores``, ``margin`` (of the worst channel inside over the best outside), ``agreement`` 0..1,
            ``images``; of clicks also their number, file and digest.
        """
        scores, (_, _, first, inside, mass) = self.scores(), self._means()
        chosen = torch.zeros(len(scores), dtype=torch.bool)
        chosen[list(channels)] = True
        agreement = float(first[chosen].sum())
        if several:  # every channel weighs as much as it holds; of two channels this is the same number
            agreement = float((torch.where(chosen, inside, 1 - inside) * mass).sum() / mass.sum())
        found = {
            "rule": self.name,
            "scores": scores.tolist(),
            "margin": float(scores[chosen].min() - scores[~chosen].max()),
            "agreement": agreement,
            "images": self.images,
        }
        if self.name == "clicks":
            found |= {"clicks": self.clicks, "digest": digest(read_clicks(self.clicks)), "count": round(self._count())}
        if agreement < SURE:
            log.warning(
                "eval.post.channel=%s: only %.0f %% of the %s agree with the choice of channel %s; look at the maps, "
                "or let clicks decide (eval.post.channel=clicks)",
                self.name, 100 * agreement, "clicks" if self.name == "clicks" else "images", list(channels),
            )  # fmt: skip
        return found

    def took(self, state: dict[str, Any]) -> bool:
        """Whether a stored choice is this rule's own, so that nothing has to be shown again."""
        if state.get("rule") != self.name:
            return False
        if self.name != "clicks":
            return True
        try:
            return digest(read_clicks(self.clicks)) == state.get("digest")
        except ValueError:
            if self.clicks != state.get("clicks"):
                raise
            return True  # the run's own file is no longer there; what it said is known

    def _count(self) -> float:
        return 0.0 if self.sums is None else float(self.sums[0, 0])

    def _means(self) -> Tensor:
        if self.sums is None or not self._count():
            shown = "a click" if self.name == "clicks" else "an image"
            raise ValueError(f"eval.post.channel={self.name}: nothing was shown, expected {shown} or more")
        return self.sums.cpu() / self._count()


def check_clicks(rule: str, clicks: str | None) -> None:
    """Refuse a rule and clicks that do not go together.

    Raises:
        ValueError: naming the key.
    """
    if rule == "clicks" and (not isinstance(clicks, str) or not clicks):
        raise ValueError(f"eval.post.channel=clicks with eval.post.clicks={clicks}: expected a CSV of image,x,y")
    if rule != "clicks" and clicks is not None:
        raise ValueError(
            f"eval.post.clicks={clicks} with eval.post.channel={rule}: expected eval.post.channel=clicks, or "
            "eval.post.clicks=null"
        )


def contrast_to_border(probs_BMHW: Tensor) -> Tensor:
    """Mean of every channel inside minus on the border strip, float64 [B, M] in [-1, 1]."""
    p_BMHW = probs_BMHW.double()
    height, width = p_BMHW.shape[2:]
    strip = max(1, round(BORDER * min(height, width)))
    border_HW = torch.ones(height, width, dtype=torch.bool, device=p_BMHW.device)
    border_HW[strip : height - strip, strip : width - strip] = False
    if bool(border_HW.all()):
        raise ValueError(f"maps of {height} x {width} pixels are all border: expected a larger data.size")
    return p_BMHW[:, :, ~border_HW].mean(2) - p_BMHW[:, :, border_HW].mean(2)


def minus_size(mass_BM: Tensor) -> Tensor:
    """Minus the share of every channel, [B, M]; -1 for one that is no region."""
    second_B1 = mass_BM.sort(1, descending=True).values[:, 1:2]
    return torch.where((mass_BM >= LEAST) | (mass_BM >= second_B1), -mass_BM, -1.0)


def object_channels(score_BM: Tensor) -> Tensor:
    """Channels with a score above 0, the best always, the worst never: bool [B, M]."""
    numbers_M = torch.arange(score_BM.shape[1], device=score_BM.device)
    best_BM = numbers_M == score_BM.argmax(1, keepdim=True)
    worst_BM = numbers_M == score_BM.argmin(1, keepdim=True)
    return (score_BM > 0) & ~worst_BM | best_BM


def outside_largest(mass_BM: Tensor) -> Tensor:
    """Channels that are left when the largest, which hold half of the pixels or more, are taken away: bool [B, M]."""
    # Of equal ones the later is taken away first, as the best score is that of the first.
    order_BM = mass_BM.shape[1] - 1 - mass_BM.flip(1).argsort(stable=True, dim=1, descending=True)
    sorted_BM = mass_BM.gather(1, order_BM)
    before_BM = sorted_BM.cumsum(1) - sorted_BM
    taken_BM = torch.zeros_like(mass_BM, dtype=torch.bool)
    taken_BM.scatter_(1, order_BM, before_BM < sorted_BM.sum(1, keepdim=True) / 2)
    numbers_M = torch.arange(mass_BM.shape[1], device=mass_BM.device)
    return ~taken_BM | (numbers_M == minus_size(mass_BM).argmax(1, keepdim=True))
