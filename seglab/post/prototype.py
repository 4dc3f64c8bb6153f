"""Saliency map from embeddings: distance to the mean object and the mean background embedding.

The discriminative, magnet and triplet losses give embeddings without a channel for the object, and no
paper says how they are read out on a new image. Our reading: two prototypes from the validation images.
Legend: B batch, D embedding dimensions, H W pixels. Example: ``python -m seglab.train loss=discriminative``
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from seglab.metrics.masks import object_and_valid
from seglab.metrics.merge import merge_sums


class Prototype:
    """Softmax over minus the squared distances to two prototypes.

    Args:
        unit_norm: scale every pixel's embedding to length 1 first, for losses that do so (triplet).

    Raises:
        ValueError: ``eval.post.unit_norm`` is neither true nor false.
    """

    learns = True
    """Whether it is shown held-out images at all."""

    def __init__(self, *, unit_norm: bool = False) -> None:
        if not isinstance(unit_norm, bool):
            raise ValueError(f"eval.post.unit_norm={unit_norm}: expected true or false")
        self.unit_norm = unit_norm
        self.images = 0
        self.sums: Tensor | None = None  # background and object, each the sum of embeddings and the pixels, [2, D + 1]
        self.prototypes_2D: Tensor | None = None

    @property
    def needs_fit(self) -> bool:
        """Whether validation images must be shown before the first map."""
        return self.prototypes_2D is None

    def update(self, logits_BDHW: Tensor, masks_BHW: Tensor) -> None:
        """Show a batch of validation images.

        Args:
            logits_BDHW: embeddings, float [B, D, H, W].
            masks_BHW: their clean masks, int [B, H, W], 0 background, 1 object, 255 ignored.

        Raises:
            ValueError: sizes differ or the masks hold other values.
        """
        object_BHW, valid_BHW = object_and_valid(masks_BHW, logits_BDHW)
        e_BDP = self._embedding(logits_BDHW).double().flatten(2)
        weights_B2P = torch.stack([valid_BHW & ~object_BHW, object_BHW], 1).double().flatten(2)
        sums_2D = torch.einsum("bdp,bcp->cd", e_BDP, weights_B2P)
        sums = torch.cat([sums_2D, weights_B2P.sum((0, 2))[:, None]], 1)
        self.sums = sums if self.sums is None else self.sums + sums
        self.images += masks_BHW.shape[0]

    def sync(self, all_reduce_fn: Callable[[Tensor], object], *, device: torch.device | str | None = None) -> None:
        """Add up what all processes saw; each of them calls it, between the last update and ``finish``.

        Args:
            all_reduce_fn: sums a tensor over the processes in place.
            device: where the sums live on a process that saw no batch.
        """
        self.sums, self.images = merge_sums(self.sums, self.images, all_reduce_fn, device=device)

    def finish(self) -> None:
        """Take the two means.

        Raises:
            ValueError: no validation image was shown, or they hold no object or no background.
        """
        if self.sums is None:
            raise ValueError("eval.post=prototype without validation images: expected val above 0")
        pixels_2 = self.sums[:, -1]
        if bool((pixels_2 == 0).any()):
            raise ValueError("validation masks without object or without background: expected both (val, data)")
        self.prototypes_2D = (self.sums[:, :-1] / pixels_2[:, None]).cpu()

    def __call__(self, logits_BDHW: Tensor, image_BCHW: Tensor | None = None) -> Tensor:
        """Turn embeddings into saliency maps.

        Args:
            logits_BDHW: float [B, D, H, W].
            image_BCHW: the images, not looked at.

        Returns:
            float32 [B, H, W] in [0, 1].

        Raises:
            ValueError: the prototypes are not known yet or have another dimension.
        """
        if self.prototypes_2D is None:
            raise ValueError("eval.post=prototype: expected validation images (update, finish) or load() before maps")
        if self.prototypes_2D.shape[1] != logits_BDHW.shape[1]:
            raise ValueError(f"prototypes of {self.prototypes_2D.shape[1]} dimensions: expected {logits_BDHW.shape[1]}")
        e_BDHW = self._embedding(logits_BDHW)
        back, front = self.prototypes_2D.to(e_BDHW)[:, None, :, None, None]
        # Softmax of two is the sigmoid of the difference; the squares of the embedding cancel in it.
        return ((e_BDHW - back).square().sum(1) - (e_BDHW - front).square().sum(1)).sigmoid()

    def state(self) -> dict[str, Any]:
        """What was fitted: ``prototypes`` (background, object) and ``images`` seen."""
        known = self.prototypes_2D is not None
        return {"prototypes": self.prototypes_2D.tolist() if known else None, "images": self.images}

    def load(self, state: dict[str, Any]) -> None:
        """Take over prototypes stored by :meth:`state`.

        Raises:
            ValueError: the state holds no two prototypes.
        """
        rows = state.get("prototypes")
        if not isinstance(rows, list) or len(rows) != 2 or len(rows[0]) != len(rows[1]):
            raise ValueError(
                "post-processing state without two prototypes of one dimension: expected Prototype.state()"
            )
        self.prototypes_2D = torch.tensor(rows, dtype=torch.float64)
        self.images = int(state.get("images", 0))

    def _embedding(self, logits_BDHW: Tensor) -> Tensor:
        e_BDHW = logits_BDHW.detach().float()
        return torch.nn.functional.normalize(e_BDHW, dim=1) if self.unit_norm else e_BDHW
