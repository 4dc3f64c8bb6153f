"""One object against its background, as the regularized-loss paper counts: one confusion matrix over a set.

Formulas: :mod:`seglab.metrics.pooled` and docs/metrics.md. Legend: B batch, H W pixels; matrices label by prediction.
Example: ``m = ObjectMetrics(Pooled(name="regularized_paper")); m.update(maps_BHW, masks_BHW, index_B); m.compute()``
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from seglab.metrics.confusion import counts_of
from seglab.metrics.fbeta import f_beta, jaccard
from seglab.metrics.image_rows import ImageRows
from seglab.metrics.pooled import Pooled, pooled_metrics


class ObjectMetrics(ImageRows):
    """F-measure, Jaccard, precision, recall, mIoU and accuracy in percent; processes may hold any share of the images.

    Args:
        protocol: threshold and beta.

    Raises:
        ValueError: the protocol is one of another task.
    """

    def __init__(self, protocol: Pooled) -> None:
        if not isinstance(protocol, Pooled) or protocol.classes is not None:
            name = getattr(protocol, "name", protocol)
            raise ValueError(f"eval/protocol={name}: not one of eval=object: expected regularized_paper")
        super().__init__(names=("fbeta", "jaccard"), dtype=torch.float64)
        self.protocol = protocol
        self.add_sum("matrix_22", torch.zeros(2, 2, dtype=torch.int64))

    def update(self, maps_BHW: Tensor, masks_BHW: Tensor, index_B: Tensor | Sequence[int]) -> None:
        """Count a batch.

        Args:
            maps_BHW: float [B, H, W] in [0, 1]; object is what lies above ``protocol.fixed``.
            masks_BHW: int [B, H, W], 0 background, 1 object, 255 ignored.
            index_B: positions of the images in the data set, each given once.

        Raises:
            ValueError: sizes differ, a map is not finite, or a mask holds other values.
        """
        if not bool(maps_BHW.isfinite().all()):
            raise ValueError("map with NaN or infinity: expected numbers in 0..1; are the weights whole?")
        found_BHW = (maps_BHW > self.protocol.fixed).long()
        counts_B22 = counts_of(found_BHW, masks_BHW, outputs=2, classes=2).cpu().transpose(1, 2)
        self.matrix_22 += counts_B22.sum(0)
        rows = np.stack(
            [torch.as_tensor(index_B).cpu().numpy(), *scores_of(counts_B22.numpy(), beta2=self.protocol.beta2)], 1
        )
        self.image_rows.append(torch.from_numpy(rows).double())

    def update_one(self, map_HW: Tensor, mask_HW: Tensor, index: int) -> None:
        """Count one image, of any size; arguments as in :meth:`update`, without the batch."""
        self.update(map_HW[None], mask_HW[None], [index])

    def compute(self) -> dict[str, float]:
        """Metrics of the set, over all processes (each of them must call it).

        Returns:
            ``fbeta``, ``jaccard``, ``precision``, ``recall`` of the object, ``miou`` and ``accuracy`` of object and
            background, in percent; NaN where all pixels of the set are ignored.

        Raises:
            ValueError: no image was counted, or one twice.
        """
        with self.all_processes():
            self.sorted_rows()
            matrix_22 = self.matrix_22.numpy()
        values = pooled_metrics(matrix_22, beta2=self.protocol.beta2)
        return values if matrix_22.sum() else dict.fromkeys(values, float("nan"))

    def curves(self) -> dict[str, np.ndarray]:
        """There is one threshold: no curve."""
        return {}


def scores_of(counts_B22: np.ndarray, *, beta2: float) -> tuple[np.ndarray, np.ndarray]:
    """F-measure and Jaccard of every image alone, in percent.

    Args:
        counts_B22: label by prediction.
        beta2: weight of precision in F.

    Returns:
        float64 [B] each; 0 where nothing is found right, NaN for an image of which every pixel is ignored.
    """
    fp, fn, tp = counts_B22[:, 0, 1], counts_B22[:, 1, 0], counts_B22[:, 1, 1]
    nothing = np.where(counts_B22.sum((1, 2)) > 0, 0.0, np.nan)
    return (
        100 * f_beta(tp=tp, fp=fp, fn=fn, beta2=beta2) + nothing,
        100 * jaccard(tp=tp, fp=fp, fn=fn) + nothing,
    )
