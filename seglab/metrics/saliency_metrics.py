"""Saliency metrics of a test set, gathered over batches and processes.

Legend: B batch, H W pixels, K the 256 thresholds k/255. Definitions: :mod:`seglab.metrics.saliency`.
Example: ``m = SaliencyMetrics(Protocol(name="cas")); m.update(maps_BHW, masks_BHW, index_B); m.compute()``
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from seglab.metrics.curves import CURVES, THRESHOLDS, curve_metrics
from seglab.metrics.fbeta import f_beta, jaccard
from seglab.metrics.image_rows import ImageRows
from seglab.metrics.masks import IGNORE
from seglab.metrics.protocol import Protocol
from seglab.metrics.saliency import IMAGE_METRICS, score_map


class SaliencyMetrics(ImageRows):
    """All saliency metrics over a set; processes may hold different numbers of images, or none.

    Args:
        protocol: thresholds, normalisation and the rest.
        weighted: False leaves out ``fbeta_weighted``, which takes most of the time.

    Raises:
        ValueError: the protocol is one of another task.
    """

    def __init__(self, protocol: Protocol, *, weighted: bool = True) -> None:
        if not isinstance(protocol, Protocol):
            name = getattr(protocol, "name", protocol)
            raise ValueError(f"eval/protocol={name}: not one of saliency: expected cas, pysodmetrics, sal_eval_toolbox")
        super().__init__(names=[n for n in IMAGE_METRICS if weighted or n != "fbeta_weighted"], dtype=torch.float64)
        self.protocol = protocol
        self.weighted = weighted
        zeros = torch.zeros
        self.add_sum("curve_sums_4K", zeros(len(CURVES), 256, dtype=torch.float64))
        self.add_sum("object_images", zeros((), dtype=torch.int64))
        self.add_sum("confusion", zeros(4, dtype=torch.int64))  # TP, FP, FN, TN

    def update(
        self,
        maps_BHW: Tensor | Sequence[Tensor | np.ndarray],
        masks_BHW: Tensor | Sequence[Tensor | np.ndarray],
        index_B: Tensor | Sequence[int],
    ) -> None:
        """Score a batch.

        Args:
            maps_BHW: float [B, H, W] in [0, 1], or B maps of different sizes (float, or uint8 grey values).
            masks_BHW: int [B, H, W], 0 background, 1 object, 255 ignored, or bool; or B such masks.
            index_B: positions of the images in the data set, each given once.

        Raises:
            ValueError: sizes differ, values are outside their range, or an image has no pixel to score; the message
                names the image's position.
        """
        if not len(maps_BHW) == len(masks_BHW) == len(index_B):
            raise ValueError(
                f"{len(maps_BHW)} maps, {len(masks_BHW)} masks, {len(index_B)} positions: expected as many"
            )
        if not len(maps_BHW):
            return
        curves_4K, confusion, rows, images = np.zeros((len(CURVES), 256)), np.zeros(4, np.int64), [], 0
        for position, map_HW, mask_HW in zip(_whole_numbers(index_B), maps_BHW, masks_BHW, strict=True):
            try:
                object_HW, valid_HW = _object_and_valid(_to_numpy(mask_HW))
                score = score_map(
                    _to_numpy(map_HW), object_HW, self.protocol, valid_HW=valid_HW, weighted=self.weighted
                )
            except ValueError as error:
                raise ValueError(f"image {position} of the test set: {error}") from error
            counts = not (score.empty and self.protocol.empty_mask == "skip")
            images += counts
            curves_4K[3] += score.curves_4K[3]
            if counts:
                curves_4K[:3] += score.curves_4K[:3]
            confusion += score.confusion
            rows.append([position, *(score.values[name] for name in self.names)])
        self.curve_sums_4K += torch.from_numpy(curves_4K)
        self.object_images += images
        self.confusion += torch.from_numpy(confusion)
        self.image_rows.append(torch.tensor(rows, dtype=torch.float64))

    def update_one(self, map_HW: Tensor | np.ndarray, mask_HW: Tensor | np.ndarray, index: int) -> None:
        """Score one image, of any size; arguments as in :meth:`update`, without the batch."""
        self.update([map_HW], [mask_HW], [int(index)])

    def compute(self) -> dict[str, float]:
        """Metrics of the set, over all processes (each of them must call it).

        Returns:
            Means over images of :data:`seglab.metrics.saliency.IMAGE_METRICS`; ``fbeta_max_of_mean_pr``,
            ``fbeta_max_of_mean_f``, ``fbeta_mean_of_mean_f``, ``e_measure_max``, ``e_measure_mean`` from the mean
            curves; ``fbeta_pooled`` and ``jaccard_pooled`` from one confusion matrix over all pixels. NaN where the
            protocol skips every image.

        Raises:
            ValueError: no image was scored, or one twice.
        """
        with self.all_processes():
            rows_ND, mean_4K, confusion = self.sorted_rows(), self._mean_curves(), self.confusion.tolist()
        columns = rows_ND[:, 1:].T
        means = [float(c[~np.isnan(c)].mean()) if not np.isnan(c).all() else float("nan") for c in columns]
        tp, fp, fn, _ = confusion
        beta2 = self.protocol.beta2
        return {
            **dict(zip(self.names, means, strict=True)),
            **curve_metrics(mean_4K, beta2=beta2),
            "fbeta_pooled": float(f_beta(tp=tp, fp=fp, fn=fn, beta2=beta2)),
            "jaccard_pooled": float(jaccard(tp=tp, fp=fp, fn=fn)),
        }

    def curves(self) -> dict[str, np.ndarray]:
        """Curves averaged over the images of all processes (each of them must call it).

        Returns:
            ``threshold`` (k/255, ascending), ``precision``, ``recall``, ``fbeta``, ``e_measure``, float64 [256] each.
        """
        with self.all_processes():
            mean_4K = self._mean_curves()
        return {"threshold": THRESHOLDS.copy(), **dict(zip(CURVES, mean_4K, strict=True))}

    def _mean_curves(self) -> np.ndarray:
        objects, images = int(self.object_images), len(self.sorted_rows())
        counts = np.array([objects, objects, objects, images], np.float64)
        counts[counts == 0] = np.nan
        return self.curve_sums_4K.numpy() / counts[:, None]


def _whole_numbers(index_B: Tensor | Sequence[int]) -> list[int]:
    return [int(i) for i in (index_B.tolist() if isinstance(index_B, Tensor) else index_B)]


def _to_numpy(values: Tensor | np.ndarray) -> np.ndarray:
    if not isinstance(values, Tensor):
        return np.asarray(values)
    values = values.detach().cpu()
    return (values.float() if values.dtype in (torch.bfloat16, torch.float16) else values).numpy()


def _object_and_valid(mask_HW: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    if mask_HW.dtype == np.bool_:
        return mask_HW, None
    if not np.issubdtype(mask_HW.dtype, np.integer):
        raise ValueError(f"mask of type {mask_HW.dtype}: expected whole numbers or bool")
    object_HW, valid_HW = mask_HW == 1, mask_HW != IGNORE
    if not (object_HW | ~valid_HW | (mask_HW == 0)).all():
        raise ValueError(f"mask with values {np.unique(mask_HW)[:8].tolist()}: expected 0, 1 and 255 (ignored)")
    # Values 0 and 255 alone are what an 8-bit mask file holds: ignoring its object would go unnoticed.
    if not object_HW.any() and not valid_HW.all() and valid_HW.any() and mask_HW.dtype == np.uint8:
        raise ValueError("mask with values 0 and 255 of type uint8: expected 0, 1 and 255 (ignored), or bool")
    return object_HW, None if valid_HW.all() else valid_HW
