"""Classes from embeddings: the nearest of the classes' mean embeddings on held-out images.

The discriminative, magnet and triplet losses give embeddings without a channel for a class, and no paper says how they
are read out as classes. Our reading: one prototype a class, as :mod:`seglab.post.prototype` has it for an object.

Legend: B batch, D embedding dimensions, K classes, H W pixels.
Example: ``python -m seglab.train loss=triplet data=fabrics``
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from seglab.data.sample import IGNORE
from seglab.metrics.merge import merge_sums
from seglab.post.classes import Classes


class ClassPrototypes(Classes):
    """Class of the nearest prototype; a class that no held-out image shows is never found.

    Args:
        classes: number of classes, K.
        unit_norm: scale every pixel's embedding to length 1 first, for losses that do so (triplet).

    Raises:
        ValueError: ``eval.post.<key>`` is outside its range.
    """

    learns = True
    """Whether it is shown held-out images at all."""

    def __init__(self, *, classes: int, unit_norm: bool = False) -> None:
        if isinstance(classes, bool) or not isinstance(classes, int) or not 2 <= classes <= IGNORE:
            raise ValueError(f"eval.post.classes={classes}: expected a whole number from 2 to {IGNORE}")
        if not isinstance(unit_norm, bool):
            raise ValueError(f"eval.post.unit_norm={unit_norm}: expected true or false")
        self.classes, self.unit_norm = classes, unit_norm
        self.images = 0
        self.sums: Tensor | None = None  # of every class the sum of embeddings and the pixels, [K, D + 1]
        self.prototypes_KD: Tensor | None = None  # NaN where a class was not seen

    @property
    def needs_fit(self) -> bool:
        """Whether images with masks must be shown before the first label map."""
        return self.prototypes_KD is None

    def update(self, logits_BDHW: Tensor, masks_BHW: Tensor) -> None:
        """Show a batch of held-out images: embeddings [B, D, H, W], their clean masks int [B, H, W], 255 ignored.

        Raises:
            ValueError: sizes differ or a mask holds another class.
        """
        if logits_BDHW.ndim != 4 or masks_BHW.shape != (logits_BDHW.shape[0], *logits_BDHW.shape[2:]):
            raise ValueError(
                f"output {tuple(logits_BDHW.shape)} and masks {tuple(masks_BHW.shape)}: expected [B,D,H,W] and [B,H,W]"
            )
        masks_P = masks_BHW.to(logits_BDHW.device).flatten()
        valid_P = masks_P != IGNORE
        labels_V = masks_P[valid_P].long()
        if bool(((labels_V < 0) | (labels_V >= self.classes)).any()):
            found = torch.unique(labels_V).tolist()[-8:]
            raise ValueError(f"masks with values {found}: expected 0 to {self.classes - 1}, 255 ignored")
        e_VD = self._embedding(logits_BDHW).movedim(1, -1).flatten(0, 2)[valid_P].double()
        rows_VD = torch.cat([e_VD, torch.ones_like(e_VD[:, :1])], 1)
        sums = rows_VD.new_zeros(self.classes, rows_VD.shape[1]).index_add_(0, labels_V, rows_VD)
        self.sums = sums if self.sums is None else self.sums + sums
        self.images += len(masks_BHW)

    def sync(self, all_reduce_fn: Callable[[Tensor], object], *, device: torch.device | str | None = None) -> None:
        """Add up what all processes saw; each of them calls it, between the last update and ``finish``.

        Args:
            all_reduce_fn: sums a tensor over the processes in place.
            device: where the sums live on a process that saw no batch.
        """
        self.sums, self.images = merge_sums(self.sums, self.images, all_reduce_fn, device=device)

    def finish(self) -> None:
        """Take the means.

        Raises:
            ValueError: no held-out image was shown, or they hold fewer than two classes.
        """
        if self.sums is None:
            raise ValueError("eval.post=class_prototypes without validation images: expected val above 0")
        pixels_K1 = self.sums[:, -1:]
        if int((pixels_K1 > 0).sum()) < 2:
            raise ValueError("validation masks of fewer than two classes: expected more of them (val, data)")
        self.prototypes_KD = (self.sums[:, :-1] / pixels_K1).cpu()

    def scores(self, logits_BDHW: Tensor) -> Tensor:
        """``2 e p - |p|^2`` of embedding e and every prototype p, the larger the nearer: float32 [B, K, H, W].

        Raises:
            ValueError: the prototypes are not known yet or have another dimension.
        """
        if self.prototypes_KD is None:
            raise ValueError("eval.post=class_prototypes: expected validation images (update, finish) or load() first")
        if self.prototypes_KD.shape[1] != logits_BDHW.shape[1]:
            raise ValueError(f"prototypes of {self.prototypes_KD.shape[1]} dimensions: expected {logits_BDHW.shape[1]}")
        e_BDHW = self._embedding(super().scores(logits_BDHW))
        p_KD = self.prototypes_KD.to(e_BDHW)
        scores_BKHW = 2 * torch.einsum("bdhw,kd->bkhw", e_BDHW, p_KD) - p_KD.square().sum(1)[:, None, None]
        # A number far below all others, not minus infinity, from which bilinear resizing would make NaN.
        return scores_BKHW.nan_to_num(nan=torch.finfo(torch.float32).min / 4)

    def state(self) -> dict[str, Any]:
        """What was fitted: ``prototypes``, null for a class that was not seen, and ``images`` seen."""
        rows = None
        if self.prototypes_KD is not None:
            seen_K = self.prototypes_KD.isfinite().all(1).tolist()
            rows = [row if seen else None for row, seen in zip(self.prototypes_KD.tolist(), seen_K, strict=True)]
        return {"prototypes": rows, "images": self.images}

    def load(self, state: dict[str, Any]) -> None:
        """Take over prototypes stored by :meth:`state`.

        Raises:
            ValueError: the state does not hold one for each class.
        """
        rows = state.get("prototypes")
        sizes = {len(row) for row in rows if row is not None} if isinstance(rows, list) else set()
        if len(sizes) != 1 or len(rows) != self.classes:
            raise ValueError(f"post-processing state without {self.classes} prototypes of one dimension")
        nothing = [float("nan")] * sizes.pop()
        self.prototypes_KD = torch.tensor([nothing if row is None else row for row in rows], dtype=torch.float64)
        self.images = int(state.get("images", 0))

    def _embedding(self, logits_BDHW: Tensor) -> Tensor:
        e_BDHW = logits_BDHW.detach().float()
        return torch.nn.functional.normalize(e_BDHW, dim=1) if self.unit_norm else e_BDHW
