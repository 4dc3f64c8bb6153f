"""Counts of output and label, as in the tables of the CAS supplement (table 1), with accuracy and balanced accuracy.

Classes are numbered from 1 in the names, as printed there: ``confusion_out2_label1`` counts the points of class 1 that
were put into class 2; label 0 of a mask is class 1. Legend: B batch, K classes, H W pixels.
Example: ``m = Confusion(Counts(name="confusion")); m.update(classes_BHW, masks_BHW, index_B); m.compute()``
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seglab.data.sample import IGNORE
from seglab.metrics.image_rows import ImageRows


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What is counted; it is stored beside every number.

    Args:
        name: how tables and files call this protocol.
        classes: number of classes, K.
        note: free text.

    Raises:
        ValueError: ``eval.protocol.classes`` is outside its range.
    """

    name: str
    classes: int = 2
    note: str = ""

    def __post_init__(self) -> None:
        """Check the number of classes."""
        if isinstance(self.classes, bool) or not isinstance(self.classes, int) or not 2 <= self.classes <= IGNORE:
            raise ValueError(f"eval.protocol.classes={self.classes}: expected a whole number from 2 to {IGNORE}")

    def to_dict(self) -> dict[str, Any]:
        """Plain types for a report."""
        return asdict(self)


class Confusion(ImageRows):
    """One table of output and label over a set; processes may hold different numbers of images, or none.

    Args:
        protocol: the number of classes.
    """

    def __init__(self, protocol: Counts) -> None:
        numbers = range(1, protocol.classes + 1)
        names = [f"confusion_out{i}_label{j}" for i in numbers for j in numbers]
        super().__init__(names=names, dtype=torch.int64)
        self.protocol = protocol

    def update(self, classes_BHW: Tensor, masks_BHW: Tensor, index_B: Tensor | Sequence[int]) -> None:
        """Count a batch.

        Args:
            classes_BHW: predicted classes [B, H, W], whole numbers 0..K-1 of any type.
            masks_BHW: int [B, H, W], 0..K-1, 255 ignored.
            index_B: positions of the images in the data set, each given once.

        Raises:
            ValueError: sizes differ or values are outside their range.
        """
        classes = self.protocol.classes
        counts_BKK = counts_of(classes_BHW, masks_BHW, outputs=classes, classes=classes)
        position_B1 = torch.as_tensor(index_B).to(counts_BKK)[:, None]
        self.image_rows.append(torch.cat([position_B1, counts_BKK.flatten(1)], 1).cpu())

    def update_one(self, classes_HW: Tensor, mask_HW: Tensor, index: int) -> None:
        """Count one image, of any size; arguments as in :meth:`update`, without the batch."""
        self.update(classes_HW[None], mask_HW[None], [index])

    def compute(self) -> dict[str, float]:
        """Metrics of the set, over all processes (each of them must call it).

        Returns:
            ``confusion_out<i>_label<j>`` (numbers of pixels over all images), ``accuracy`` (share of pixels with the
            right class) and ``balanced_accuracy`` (mean over the classes that occur of the share of their pixels that
            are found), both in 0..1.

        Raises:
            ValueError: no image was counted, or one twice.
        """
        with self.all_processes():
            counts_KK = self.sorted_rows()[:, 1:].sum(0).reshape(self.protocol.classes, -1)
        right_K, pixels_K = np.diag(counts_KK), counts_KK.sum(0)
        there_K = pixels_K > 0
        nothing = float("nan")
        return {
            **dict(zip(self.names, counts_KK.ravel().astype(float).tolist(), strict=True)),
            "accuracy": float(right_K.sum() / pixels_K.sum()) if there_K.any() else nothing,
            "balanced_accuracy": float((right_K[there_K] / pixels_K[there_K]).mean()) if there_K.any() else nothing,
        }

    def curves(self) -> dict[str, np.ndarray]:
        """Nothing here depends on a threshold."""
        return {}


def counts_of(outputs_BHW: Tensor, masks_BHW: Tensor, *, outputs: int, classes: int) -> Tensor:
    """Count the pixels of every image by output and label.

    Args:
        outputs_BHW: whole numbers 0..outputs-1 of any type.
        masks_BHW: int [B, H, W], 0..classes-1, 255 ignored.
        outputs: number of outputs, M.
        classes: number of classes, K.

    Returns:
        int64 [B, M, K].

    Raises:
        ValueError: sizes differ or values are outside their range.
    """
    if outputs_BHW.ndim != 3 or outputs_BHW.shape != masks_BHW.shape:
        raise ValueError(
            f"outputs {tuple(outputs_BHW.shape)} and masks {tuple(masks_BHW.shape)}: expected [B,H,W] both"
        )
    masks_BP = masks_BHW.to(outputs_BHW.device).long().flatten(1)
    outputs_BP = outputs_BHW.flatten(1)
    valid_BP = masks_BP != IGNORE
    for name, values, end in (("outputs", outputs_BP, outputs), ("masks", masks_BP, classes)):
        wrong = valid_BP & ((values < 0) | (values >= end) | (values != values.long()))
        if bool(wrong.any()):
            found = torch.unique(values[wrong]).tolist()[:8]
            raise ValueError(f"{name} with values {found}: expected whole numbers from 0 to {end - 1}, 255 ignored")
    place_BP = torch.where(valid_BP, outputs_BP.long() * classes + masks_BP, outputs * classes)
    counts = torch.zeros(len(masks_BP), outputs * classes + 1, dtype=torch.int64, device=masks_BP.device)
    counts.scatter_add_(1, place_BP, torch.ones_like(place_BP))
    return counts[:, :-1].unflatten(1, (outputs, classes))
