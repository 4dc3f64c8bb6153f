"""What a dataset yields and what losses, metrics and post-processing receive.

One runnable line: ``python -c "from seglab.data.sample import Batch; print(list(Batch.__annotations__))"``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NotRequired, Protocol, TypedDict, runtime_checkable

import numpy as np
from torch import Tensor

if TYPE_CHECKING:
    from seglab.data.arrays import ArrayDataset

IGNORE = 255
"""Mask value of pixels that neither train nor score."""


class Sample(TypedDict):
    """One image: H W are the network's size."""

    image: Tensor  # uint8 [3,H,W], RGB, not normalised; or float32 [C,H,W], see ArraySource
    mask: Tensor  # int64 [H,W], 0..K-1, 255 = ignore
    label: Tensor  # int64 [], image class; 0 = negative image
    id: str  # file stem: joins pseudo-labels, saliency maps, reports


class Batch(TypedDict):
    """B samples, stacked in front."""

    image: Tensor  # uint8 [B,3,H,W] or float32 [B,C,H,W]
    mask: Tensor  # int64 [B,H,W]
    label: Tensor  # int64 [B]
    id: list[str]
    index: Tensor  # int64 [B], position in the dataset that was indexed
    # What a network in training hands on beside its logits, by name, for a loss that reads it: float32 [B,Z,H,W].
    # seglab.forward puts it there; datasets do not.
    aux: NotRequired[dict[str, Tensor]]


class Item(Protocol):
    """One image and its mask where they lie, at their original size."""

    @property
    def id(self) -> str:
        """Name of the image, unique in its data set."""
        ...

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """Image uint8 [H,W,3] RGB and mask uint8 [H,W] (0..K-1, 255 = ignore), or [A,H,W] of A people.

        An item that has several masks, or labels that do not fit into a byte, may also have a method
        ``annotations()`` that gives :class:`seglab.data.annotations.Annotations`, at the original size.
        """
        ...

    def fingerprint(self) -> bytes:
        """Hash of everything that decides the pixels; the cache is keyed by it."""
        ...


class Source(Protocol):
    """One on-disk layout, or a generator."""

    def items(self, part: str) -> Sequence[Item]:
        """Items of ``"train"`` or ``"test"``, always in the same order.

        A source whose attribute ``has_negatives`` is true has a part ``"negative"``, too: images of the training part
        that do not show the object.

        Raises:
            ValueError: the source has no such part, or the files do not fit the layout.
        """
        ...


@runtime_checkable
class ArraySource(Protocol):
    """A source whose images are arrays already: not decoded, not resized, not cached."""

    def items(self, part: str) -> Sequence[Item]:
        """As :meth:`Source.items`; images may be float32 [H,W,C] with any number of channels."""
        ...

    def dataset(self, part: str) -> ArrayDataset:
        """The items of a part as arrays: images uint8 or float32 [n,C,H,W], masks uint8 [n,H,W].

        Raises:
            ValueError: the source has no such part.
        """
        ...
