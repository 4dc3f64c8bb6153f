"""Decoded images as one array: an epoch is indexing, nothing is decoded twice.

One runnable line: ``python -c "from seglab.data.shapes import Shapes; from seglab.data.cache import load;
print(load(Shapes(train=4).items('train'), size=64).__getitems__([0, 1])['image'].shape)"``.
"""

from __future__ import annotations

import copy
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from seglab.data.annotations import IGNORED, Annotations
from seglab.data.rng import integers
from seglab.data.sample import IGNORE, Batch, Item, Sample

if TYPE_CHECKING:
    from seglab.data.noise import Noise

Augment = Callable[[Batch, np.ndarray], Batch]
"""What changes a batch by one 64-bit key an image, see :mod:`seglab.data.augment`."""


class ArrayDataset(Dataset):
    """Images and masks of one size. ``subset`` and ``with_noise`` give views that share the pixels.

    Args:
        images: uint8 [n,3,S,S], planar RGB, in memory or mapped from a file; or float32 [n,C,H,W] of a source that
            holds arrays.
        masks: uint8 [m,S,S] (or [m,H,W]), 0..K-1 and 255 = ignore, those of one image side by side.
        ids: n names.
        items: the n items the arrays were read from, for :meth:`original` and :meth:`annotations`.
        content: a name for what the arrays hold, where one is known already (that of the cache).
        counts: masks of every image, n numbers that add up to m, where several people drew some; None = one each.
    """

    def __init__(
        self,
        images: np.ndarray,
        masks: np.ndarray,
        ids: Sequence[str],
        items: Sequence[Item],
        *,
        content: str | None = None,
        counts: Sequence[int] | None = None,
    ) -> None:
        self._counts = np.ones(len(images), dtype=np.int64) if counts is None else np.asarray(counts, dtype=np.int64)
        assert len(images) == len(self._counts) == len(ids) == len(items)
        assert len(masks) == self._counts.sum()
        self._first = self._counts.cumsum() - self._counts
        self._drawn = np.zeros_like(self._counts)  # which of an image's masks is fetched
        self._content, self._noise = content, ""
        self.images, self.masks = images, masks
        self._ids, self._items = list(ids), items
        self._rows = np.arange(len(images))
        self._flipped: np.ndarray | None = None
        self._place: np.ndarray | None = None  # int64 [m], where in ``changed`` a mask is; -1 = it is not changed
        self.changed: np.ndarray | None = None  # uint8 [c,S,S]
        self._augment: Augment | None = None
        self._keys: np.ndarray | None = None  # what the augmentation of each image is drawn by

    def __len__(self) -> int:
        """Number of images."""
        return len(self._rows)

    @property
    def ids(self) -> list[str]:
        """Names of the images, in order."""
        return [self._ids[row] for row in self._rows]

    @property
    def size(self) -> int:
        """Side of the square images, pixels."""
        return self.images.shape[-1]

    @property
    def counts(self) -> np.ndarray:
        """How many masks every image has: int64 [n]."""
        return self._counts[self._rows]

    @property
    def flipped(self) -> np.ndarray:
        """Which masks are exchanged: bool [n]."""
        return np.zeros(len(self), dtype=bool) if self._flipped is None else self._flipped.copy()

    @property
    def marked(self) -> np.ndarray:
        """Which images have a mask that noise changed: bool [n]."""
        return self.flipped if self._place is None else self.flipped | (self._place[self._first[self._rows]] >= 0)

    def fingerprint(self) -> str:
        """A short name for the pixels, the choice of images and the changed masks: equal for equal data only."""
        if self._content is None:
            sums = (zlib.crc32(np.ascontiguousarray(array).data) for array in (self.images, self.masks))
            self._content = "-".join(f"{total:08x}" for total in sums)
        chosen = zlib.crc32(self._rows.astype("<i8").tobytes() + self.flipped.tobytes())
        return f"{self._content}-{chosen:08x}" + ("" if self._place is None else f"-{self._noise}")

    def for_epoch(self, epoch: int, *, seed: int) -> ArrayDataset:
        """The same images, each with the mask of one of the people who drew it, and augmented, by seed and epoch.

        Without it the first mask is fetched, and nothing is augmented.
        """
        if not self.several and self._augment is None:
            return self
        view = self._view(np.arange(len(self)))
        if self.several:
            draws = integers(len(self._counts), seed, "annotator", epoch)
            view._drawn = (draws % self._counts.astype(np.uint64)).astype(np.int64)
        view._keys = integers(len(self), seed, "augment", epoch)
        return view

    def augmented(self, augment: Augment | None) -> ArrayDataset:
        """A view whose batches go through an augmentation, other draws in every epoch (:meth:`for_epoch`)."""
        view = self._view(np.arange(len(self)))
        view._augment = augment
        return view

    @property
    def several(self) -> bool:
        """Whether several people drew some of the images."""
        return bool((self._counts > 1).any())

    def mask(self, index: int) -> np.ndarray:
        """Mask of one image as it is fetched, noise included: uint8 [S,S]."""
        return self.noisy_masks(index)[self._drawn[self._rows[index]]]

    def clean_mask(self, index: int) -> np.ndarray:
        """Mask of one image as its file has it, of the person whose mask is fetched: uint8 [S,S]."""
        return self.clean_masks(index)[self._drawn[self._rows[index]]]

    def clean_masks(self, index: int) -> np.ndarray:
        """All masks of one image as its file has them: uint8 [A,S,S]."""
        row = self._rows[index]
        return np.array(self.masks[self._first[row] :][: self._counts[row]])

    def noisy_masks(self, index: int) -> np.ndarray:
        """All masks of one image, noise included: uint8 [A,S,S]."""
        row = self._rows[index]
        if self._place is not None and (place := self._place[self._first[row]]) >= 0:
            masks = np.array(self.changed[place:][: self._counts[row]])
        else:
            masks = self.clean_masks(index)
        if self._flipped is not None and self._flipped[index]:
            masks = np.where(masks == IGNORE, masks, 1 - masks)
        return masks

    def __getitem__(self, index: int) -> Sample:
        """One sample; negative positions count from the end."""
        index = range(len(self))[index]
        return Sample(
            image=torch.from_numpy(np.array(self.images[self._rows[index]])),
            mask=torch.from_numpy(self.mask(index)).long(),
            label=torch.tensor(1),
            id=self._ids[self._rows[index]],
        )

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """A whole batch, gathered at once; a DataLoader calls it with the positions of its batch sampler."""
        index = np.asarray(indices, dtype=np.int64)
        rows = self._rows[index]
        wanted = self._first[rows] + self._drawn[rows]
        masks = np.take(self.masks, wanted, axis=0)
        if self._place is not None and (there := self._place[wanted] >= 0).any():
            masks[there] = self.changed[self._place[wanted[there]]]
        mask = torch.from_numpy(masks)
        if self._flipped is not None and self._flipped[index].any():
            change = torch.from_numpy(self._flipped[index])[:, None, None] & (mask != IGNORE)
            mask = torch.where(change, 1 - mask, mask)
        batch = Batch(
            image=torch.from_numpy(np.take(self.images, rows, axis=0)),
            mask=mask.long(),
            label=torch.ones(len(rows), dtype=torch.int64),
            id=[self._ids[row] for row in rows],
            index=torch.from_numpy(index),
        )
        return batch if self._augment is None or self._keys is None else self._augment(batch, self._keys[index])

    def subset(self, indices: Sequence[int] | np.ndarray) -> ArrayDataset:
        """The images at these positions, in this order."""
        return self._view(np.asarray(indices, dtype=np.int64))

    def with_noise(
        self,
        chosen: np.ndarray | Sequence[bool],
        noise: Noise | None = None,
        *,
        classes: int = 2,
        background: int | None = None,
        folder: Path | str | None = None,
    ) -> ArrayDataset:
        """A view in which noise has changed the masks of the chosen images; 255 stays.

        Without a noise, or with ``flip``, labels 0 and 1 are exchanged whenever a mask is fetched, and exchanging twice
        gives the true masks. All other noise is computed here, once, and fetching stays a gather.

        Args:
            chosen: bool [n], see :meth:`seglab.data.noise.base.Noise.choose`.
            noise: what to do; None = exchange.
            classes: of the masks, see :meth:`seglab.data.noise.base.Noise.change`.
            background: class that is no object, see there.
            folder: where changed masks are kept and found again; None = in memory.

        Raises:
            ValueError: a mask to be exchanged has labels other than 0, 1 and 255.
            OSError: the folder cannot be written.
        """
        chosen = np.asarray(chosen, dtype=bool)
        assert chosen.shape == (len(self),), f"{chosen.shape} flags for {len(self)} images"
        view = self._view(np.arange(len(self)))
        if noise is None or noise.type == "flip":
            self._check_two(chosen)
            view._flipped = self.flipped ^ chosen
        elif chosen.any():
            from seglab.data.noise.store import changed_masks

            assert not self.marked.any(), "these masks are changed already"
            found = changed_masks(self, chosen, noise, classes=classes, background=background, folder=folder)
            rows = self._rows[found.positions]
            view._place = np.full(len(self.masks), -1, dtype=np.int64)
            before = 0
            for first, count in zip(self._first[rows], self._counts[rows], strict=True):
                view._place[first : first + count] = np.arange(before, before + count)
                before += count
            view.changed, view._noise = found.masks, found.content
        return view

    def _check_two(self, chosen: np.ndarray) -> None:
        """Refuse to exchange the labels of masks that have others than 0 and 1."""
        for i in np.flatnonzero(chosen):
            odd = np.setdiff1d(self.clean_masks(i), [0, 1, IGNORE])
            if odd.size:
                raise ValueError(
                    f"noise: mask '{self._ids[self._rows[i]]}' has the labels {odd[:5].tolist()}; an exchange is "
                    "defined for two regions (0, 1, and 255 = ignore) only: use noise.rate=0, binary masks, or "
                    "noise=region noise.kind=permute"
                )

    def original(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Image [H,W,C] and clean mask uint8 [H,W] (the first of several) at their original size, read from disk."""
        image, mask = self._items[self._rows[index]].read()
        return image, mask if mask.ndim == 2 else mask[0]

    def annotations(self, index: int, *, original: bool) -> Annotations:
        """What all people drew of one image; for a plain mask one, whose regions are its labels, 255 ignored.

        Args:
            index: position of the image.
            original: at the size of the files, with boundaries as drawn where there are any; False: at the network's
                size, each segmentation resized to the nearest pixel.
        """
        item = self._items[self._rows[index]]
        if hasattr(item, "annotations"):
            drawn = item.annotations()
        else:
            mask = self.original(index)[1].astype(np.int32)
            drawn = Annotations(np.where(mask == IGNORE, IGNORED, mask)[None], None)
        size = self.images.shape[2:]
        if original or drawn.segments_AHW.shape[1:] == size:
            return drawn
        planes = (Image.fromarray(plane).resize(size[::-1], Image.Resampling.NEAREST) for plane in drawn.segments_AHW)
        return Annotations(np.stack([np.asarray(plane) for plane in planes]), None)

    def _view(self, positions: np.ndarray) -> ArrayDataset:
        view = copy.copy(self)
        view._rows = self._rows[positions]
        view._flipped = None if self._flipped is None else self._flipped[positions]
        view._keys = None if self._keys is None else self._keys[positions]
        return view

    def __getstate__(self) -> dict[str, Any]:
        """A worker process gets the names of mapped files, not a copy of their content."""
        state = dict(self.__dict__)
        for name in ("images", "masks", "changed"):
            if isinstance(state[name], np.memmap):
                state[name] = str(state[name].filename)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Map the files again."""
        for name in ("images", "masks", "changed"):
            if isinstance(state[name], str):
                state[name] = np.load(state[name], mmap_mode="r")
        self.__dict__.update(state)
