"""Label maps of classes, as PASCAL VOC counts: one confusion matrix over all pixels of a set, mean IoU over classes.

Formulas: :mod:`seglab.metrics.pooled` and docs/metrics.md. Legend: B batch, K classes, H W pixels; matrices label by
prediction. Example: ``m = SemanticMetrics(Pooled(name="voc_miou", classes=2), classes=["background", "cow"])``
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from seglab.metrics.confusion import counts_of
from seglab.metrics.image_rows import ImageRows
from seglab.metrics.pooled import Pooled, intersection_over_union, pooled_metrics


class SemanticMetrics(ImageRows):
    """Mean IoU, accuracy and the IoU of every class in percent; processes may hold any share of the images.

    Args:
        protocol: ``classes`` says how many there are.
        classes: their names, in the order of their numbers.

    Raises:
        ValueError: the protocol is one of another task, or there are not as many names, or two are one.
    """

    def __init__(self, protocol: Pooled, *, classes: Sequence[str]) -> None:
        if not isinstance(protocol, Pooled) or protocol.classes is None:
            name = getattr(protocol, "name", protocol)
            raise ValueError(f"eval/protocol={name}: not one of eval=semantic: expected voc_miou")
        names = [str(name) for name in classes]
        if len(names) != protocol.classes or len(set(names)) != len(names):
            raise ValueError(
                f"eval.protocol.classes={protocol.classes} and data.classes={names}: expected as many names, all "
                "different"
            )
        super().__init__(names=("miou", "accuracy"), dtype=torch.float64)
        self.protocol, self.classes = protocol, names
        self.add_sum("matrix_KK", torch.zeros(len(names), len(names), dtype=torch.int64))

    def update(self, classes_BHW: Tensor, masks_BHW: Tensor, index_B: Tensor | Sequence[int]) -> None:
        """Count a batch.

        Args:
            classes_BHW: predicted classes [B, H, W], whole numbers 0..K-1 of any type.
            masks_BHW: int [B, H, W], 0..K-1, 255 ignored.
            index_B: positions of the images in the data set, each given once.

        Raises:
            ValueError: sizes differ or values are outside their range.
        """
        K = len(self.classes)
        counts_BKK = counts_of(classes_BHW, masks_BHW, outputs=K, classes=K).cpu().transpose(1, 2)
        self.matrix_KK += counts_BKK.sum(0)
        positions = torch.as_tensor(index_B).tolist()
        alone = (pooled_metrics(matrix, beta2=self.protocol.beta2) for matrix in counts_BKK.numpy())
        rows = [[index, *(values[name] for name in self.names)] for index, values in zip(positions, alone, strict=True)]
        self.image_rows.append(torch.tensor(rows, dtype=torch.float64).reshape(-1, 1 + len(self.names)))

    def update_one(self, classes_HW: Tensor, mask_HW: Tensor, index: int) -> None:
        """Count one image, of any size; arguments as in :meth:`update`, without the batch."""
        self.update(classes_HW[None], mask_HW[None], [index])

    def compute(self) -> dict[str, float]:
        """Metrics of the set, over all processes (each of them must call it).

        Returns:
            ``miou``, ``accuracy`` (share of the pixels with the right class) and ``iou_<name>`` of every class, in
            percent. A class that is in no mask and no prediction has NaN and is left out of ``miou``; one that is only
            predicted has 0 and counts.

        Raises:
            ValueError: no image was counted, or one twice.
        """
        with self.all_processes():
            self.sorted_rows()
            matrix_KK = self.matrix_KK.numpy()
        pooled = pooled_metrics(matrix_KK, beta2=self.protocol.beta2)
        iou_K = 100 * intersection_over_union(matrix_KK)
        of_classes = {f"iou_{name}": float(iou) for name, iou in zip(self.classes, iou_K, strict=True)}
        return {"miou": pooled["miou"], "accuracy": pooled["accuracy"], **of_classes}

    def curves(self) -> dict[str, np.ndarray]:
        """Nothing here depends on a threshold."""
        return {}
