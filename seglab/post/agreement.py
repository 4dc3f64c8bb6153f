"""Classes from channels: the one-to-one assignment of channels to classes that agrees best on the training draw.

A class-agnostic loss does not say which channel is which class. CAS chooses its saliency channel by correlation with
the masks (section 4.2); that rule's sign does not depend on how many pixels a class has. Its counterpart for classes is
agreement balanced over them: each class counts as the share of its pixels that its channel takes. Under 1000 : 1 the
plain number of agreeing pixels would give a network that splits the large class 4 : 6, the small one wholly on the side
of the 6, the assignment that misses the small class. Where all pixels are in one channel the balanced agreement of all
assignments is the same; the plain one decides then, so the channel is the largest class.

Legend: B batch, M channels, K classes, H W pixels. Example: ``python -m seglab.train experiment=cas_supp_t1_cas``
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from seglab.data.sample import IGNORE
from seglab.metrics.confusion import counts_of
from seglab.metrics.merge import merge_sums

_TIE = 1e-9
"""Weight of the agreement that decides between equals; below every difference of the first (1 / (pixels of class))."""


class Agreement:
    """Largest channel, then the class it stands for.

    Args:
        classes: number of classes, K.
        mapping: ``auto`` finds the class of every channel; a list gives it, e.g. ``[0, 1]`` where the loss was told
            the classes and channel k is class k.
        balanced: every class weighs the same in the agreement; False counts pixels.

    Raises:
        ValueError: ``eval.post.<key>`` is outside its range.
    """

    learns = True
    """Whether it is shown held-out images at all."""

    def __init__(self, *, classes: int = 2, mapping: str | Sequence[int] = "auto", balanced: bool = True) -> None:
        if isinstance(classes, bool) or not isinstance(classes, int) or not 2 <= classes <= IGNORE:
            raise ValueError(f"eval.post.classes={classes}: expected a whole number from 2 to {IGNORE}")
        given = None if isinstance(mapping, str) else list(mapping)
        if mapping != "auto" and not (given and _are_classes(given, classes)):
            raise ValueError(f"eval.post.mapping={mapping}: expected auto or one class, 0..{classes - 1}, per channel")
        if not isinstance(balanced, bool):
            raise ValueError(f"eval.post.balanced={balanced}: expected true or false")
        self.classes, self.balanced, self.auto = classes, balanced, given is None
        self.mapping: list[int] | None = given
        self.counts: Tensor | None = None  # pixels by channel and class, float64 [M, K]
        self.images = 0

    @property
    def needs_fit(self) -> bool:
        """Whether images with masks must be shown before the first prediction."""
        return self.mapping is None

    def update(self, logits_BMHW: Tensor, masks_BHW: Tensor) -> None:
        """Show a batch of images.

        Args:
            logits_BMHW: output of the model, float [B, M, H, W].
            masks_BHW: their masks, int [B, H, W], 0..K-1, 255 ignored.

        Raises:
            ValueError: sizes differ, or the masks hold other values.
        """
        channels_BHW, rows = logits_BMHW.argmax(1), logits_BMHW.shape[1]
        counts = counts_of(channels_BHW, masks_BHW, outputs=rows, classes=self.classes).sum(0).double()
        self.counts = counts if self.counts is None else self.counts + counts
        self.images += len(masks_BHW)

    def sync(self, all_reduce_fn: Callable[[Tensor], object], *, device: torch.device | str | None = None) -> None:
        """Add up what all processes saw; each of them calls it, between the last update and ``finish``.

        Args:
            all_reduce_fn: sums a tensor over the processes in place.
            device: where the sums live on a process that saw no batch.
        """
        self.counts, self.images = merge_sums(self.counts, self.images, all_reduce_fn, device=device)

    def finish(self) -> None:
        """Choose the class of every channel.

        Raises:
            ValueError: the choice is ``auto`` and no image was shown, or there are fewer channels than classes.
        """
        if not self.auto:
            return
        if self.counts is None:
            raise ValueError(
                "eval.post.mapping=auto without held-out images: expected val above 0, or eval.post.mapping=[...]"
            )
        self.mapping = assign(self.counts, balanced=self.balanced)

    def __call__(self, logits_BMHW: Tensor, image_BCHW: Tensor | None = None) -> Tensor:
        """Turn logits into classes.

        Args:
            logits_BMHW: float [B, M, H, W].
            image_BCHW: the images, not looked at.

        Returns:
            int64 [B, H, W], 0..K-1.

        Raises:
            ValueError: no mapping yet, or one of another number of channels.
        """
        if self.mapping is None:
            raise ValueError("eval.post.mapping=auto: expected held-out images (update, finish) or load() first")
        if len(self.mapping) != logits_BMHW.shape[1]:
            raise ValueError(
                f"eval.post.mapping={self.mapping}: expected a class for each of {logits_BMHW.shape[1]} channels"
            )
        return torch.tensor(self.mapping, device=logits_BMHW.device)[logits_BMHW.argmax(1)]

    def state(self) -> dict[str, Any]:
        """What was chosen and from what: ``mapping`` (class of every channel), ``counts`` and ``images`` seen."""
        counts = [] if self.counts is None else [[round(n) for n in row] for row in self.counts.tolist()]
        return {"mapping": self.mapping, "balanced": self.balanced, "counts": counts, "images": self.images}

    def load(self, state: dict[str, Any]) -> None:
        """Take over a choice stored by :meth:`state`; a mapping given in the config is kept.

        Raises:
            ValueError: the state holds no mapping.
        """
        mapping = state.get("mapping")
        if not isinstance(mapping, list) or not mapping or not _are_classes(mapping, self.classes):
            raise ValueError(f"post-processing state with mapping={mapping}: expected a list of classes")
        if self.auto:
            self.mapping = list(mapping)
        counts = state.get("counts") or None
        self.counts = None if counts is None else torch.tensor(counts, dtype=torch.float64)
        self.images = int(state.get("images", 0))


def assign(counts_MK: Tensor, *, balanced: bool = True) -> list[int]:
    """The class of every channel.

    Args:
        counts_MK: pixels by channel and class.
        balanced: each class counts as the share of its pixels; False: pixels count. The other decides between equals.

    Returns:
        One class per channel; every class has a channel. Channels beyond K take the class they hold the largest share
        (or, not balanced, number) of.

    Raises:
        ValueError: fewer channels than classes.
    """
    from scipy.optimize import linear_sum_assignment

    counts = counts_MK.detach().cpu().double()
    channels, classes = counts.shape
    if channels < classes:
        raise ValueError(f"model.channels={channels}: expected one channel or more for each of {classes} classes")
    shares, pixels = counts / counts.sum(0).clamp(min=1), counts / counts.sum().clamp(min=1)
    first, second = (shares, pixels) if balanced else (pixels, shares)
    agreement = first + _TIE * second
    mapping = agreement.argmax(1).tolist()
    for channel, k in zip(*linear_sum_assignment(agreement.numpy(), maximize=True), strict=True):
        mapping[int(channel)] = int(k)
    return mapping


def _are_classes(values: list[Any], classes: int) -> bool:
    return all(isinstance(v, int) and not isinstance(v, bool) and 0 <= v < classes for v in values)
