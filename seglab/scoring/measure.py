"""Two kinds of measuring a pair of files: saliency metrics image by image, and one confusion matrix over a set.

Those of the BSDS benchmark are in :mod:`seglab.scoring.regions` and :mod:`seglab.scoring.boundaries`.
Example: ``measure_for(Protocol(name="cas")).pair(Path("map.png"), measure.truth(Path("mask.png")))``
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from seglab.metrics.bsds import Boundaries, Regions
from seglab.metrics.curves import CURVES, THRESHOLDS, curve_metrics
from seglab.metrics.fbeta import f_beta, jaccard
from seglab.metrics.pooled import Pooled, confusion_matrix, intersection_over_union, pooled_metrics
from seglab.metrics.protocol import Protocol
from seglab.metrics.saliency import IMAGE_METRICS, score_map
from seglab.scoring.faults import Fault
from seglab.scoring.images import read_labels, read_map, read_mask
from seglab.scoring.measured import Measure, Measured, Reads, Sums, fitted


@dataclass(frozen=True, kw_only=True)
class SaliencyMeasure:
    """Saliency metrics of a map against a mask.

    Args:
        protocol: thresholds, normalisation and the rest.
        weighted: False leaves out ``fbeta_weighted``, which takes most of the time.
        resize: ``error`` or ``to_mask``, for a map of another size than its mask.
        reading: ``strict`` refuses what looks like labels, ``grey`` takes grey values as they are.
    """

    reads: ClassVar[Reads] = Reads()
    percent: ClassVar[bool] = False

    protocol: Protocol
    weighted: bool = True
    resize: str = "error"
    reading: str = "strict"

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of an image's numbers."""
        return tuple(n for n in IMAGE_METRICS if self.weighted or n != "fbeta_weighted")

    def truth(self, path: Path) -> np.ndarray:
        """The mask, bool [H, W]."""
        return self.protocol.binarise(read_mask(path, strict=self.reading == "strict"))

    def has_object(self, mask_HW: np.ndarray) -> bool:
        """Whether a mask has a pixel of an object."""
        return bool(mask_HW.any())

    def pair(self, path: Path, mask_HW: np.ndarray) -> Measured:
        """Measure a map file against a mask that was read.

        Raises:
            Fault: the file does not fit.
        """
        map_HW = fitted(read_map(path, strict=self.reading == "strict"), mask_HW.shape, path, resize=self.resize)
        try:
            score = score_map(map_HW, mask_HW, self.protocol, weighted=self.weighted)
        except ValueError as error:
            raise Fault("other", f"{path}: {error}") from error
        counts = not (score.empty and self.protocol.empty_mask == "skip")
        curves_4K = score.curves_4K.copy()
        if not counts:
            curves_4K[:3] = 0
        sums = {
            "curves": curves_4K,
            "images": np.array([counts, 1], np.int64),
            "confusion": np.array(score.confusion, np.int64),
        }
        return Measured(row=tuple(score.values[name] for name in self.columns), sums=sums)

    def summary(self, sums: Sums, means: Mapping[str, float]) -> dict[str, float]:
        """Metrics of the set, as :meth:`seglab.metrics.saliency_metrics.SaliencyMetrics.compute`."""
        tp, fp, fn, _ = sums["confusion"].tolist()
        beta2 = self.protocol.beta2
        return {
            **means,
            **curve_metrics(self._curves(sums), beta2=beta2),
            "fbeta_pooled": float(f_beta(tp=tp, fp=fp, fn=fn, beta2=beta2)),
            "jaccard_pooled": float(jaccard(tp=tp, fp=fp, fn=fn)),
        }

    def curves(self, sums: Sums) -> dict[str, np.ndarray]:
        """Mean curves over the thresholds: ``threshold``, ``precision``, ``recall``, ``fbeta``, ``e_measure``."""
        return {"threshold": THRESHOLDS, **dict(zip(CURVES, self._curves(sums), strict=True))}

    def _curves(self, sums: Sums) -> np.ndarray:
        objects, images = sums["images"].tolist()
        counts = np.array([objects, objects, objects, images], np.float64)
        counts[counts == 0] = np.nan
        return sums["curves"] / counts[:, None]


@dataclass(frozen=True, kw_only=True)
class PooledMeasure:
    """One confusion matrix over a set, of saliency maps or of label maps.

    Args:
        protocol: classes, threshold and the rest.
        resize: ``error`` or ``to_mask``, for a map of another size than its mask.
        reading: as in :class:`SaliencyMeasure`; label maps are always taken as they are.
    """

    reads: ClassVar[Reads] = Reads()
    percent: ClassVar[bool] = True

    protocol: Pooled
    resize: str = "error"
    reading: str = "strict"

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of an image's numbers, in percent."""
        binary = ("fbeta", "jaccard", "precision", "recall") if self.classes == 2 else ()
        return (*binary, "miou", "accuracy", *(f"iou_{k}" for k in range(self.classes) if self.classes > 2))

    @property
    def classes(self) -> int:
        """Number of classes, two for an object and its background."""
        return self.protocol.classes or 2

    def truth(self, path: Path) -> np.ndarray:
        """The mask as labels [H, W], 255 ignored."""
        if self.protocol.classes or self.protocol.trimap:
            labels_HW = read_labels(path)
            self._count(np.zeros_like(labels_HW), labels_HW, path)
            if self.protocol.trimap and set(np.unique(labels_HW).tolist()) == {0, 255}:
                # What an ordinary mask file holds: ignoring its object would go unnoticed.
                raise Fault("not labels", f"{path}: values 0 and 255 only, but protocol.trimap=true ignores 255")
            return labels_HW
        return (read_mask(path, strict=self.reading == "strict") > self.protocol.mask_above).astype(np.uint8)

    def has_object(self, labels_HW: np.ndarray) -> bool:
        """Whether a mask has a pixel of an object; label maps need none."""
        return bool(self.protocol.classes) or bool((labels_HW == 1).any())

    def pair(self, path: Path, labels_HW: np.ndarray) -> Measured:
        """Measure a map file against labels that were read.

        Raises:
            Fault: the file does not fit.
        """
        if self.protocol.classes:
            found_HW = fitted(read_labels(path), labels_HW.shape, path, resize=self.resize, labels=True)
        else:
            map_HW = read_map(path, strict=self.reading == "strict")
            map_HW = fitted(map_HW, labels_HW.shape, path, resize=self.resize)
            top = 255 if map_HW.dtype == np.uint8 else 1
            found_HW = map_HW > self.protocol.fixed * top
        matrix_KK = self._count(found_HW, labels_HW, path)
        if not matrix_KK.sum():
            raise Fault("nothing", f"{path}: every pixel of its mask is ignored")
        values = pooled_metrics(matrix_KK, beta2=self.protocol.beta2)
        if self.classes > 2:
            values |= _per_class(matrix_KK)
        return Measured(row=tuple(values[name] for name in self.columns), sums={"confusion": matrix_KK})

    def _count(self, found_HW: np.ndarray, labels_HW: np.ndarray, path: Path) -> np.ndarray:
        try:
            return confusion_matrix(found_HW, labels_HW, classes=self.classes)
        except ValueError as error:
            raise Fault("not labels", f"{path}: {error}") from error

    def summary(self, sums: Sums, means: Mapping[str, float]) -> dict[str, float]:
        """Metrics of the set in percent, from the matrix of all images, and their means over images."""
        values = pooled_metrics(sums["confusion"], beta2=self.protocol.beta2)
        values |= _per_class(sums["confusion"]) if self.classes > 2 else {}
        return values | {f"{name}_image_mean": value for name, value in means.items() if not name.startswith("iou_")}

    def curves(self, sums: Sums) -> dict[str, np.ndarray]:
        """Nothing here depends on a threshold."""
        return {}


def measure_for(
    protocol: Protocol | Pooled | Regions | Boundaries,
    *,
    weighted: bool = True,
    resize: str = "error",
    reading: str = "strict",
) -> Measure:
    """The kind of measuring a protocol asks for."""
    if isinstance(protocol, Regions):
        from seglab.scoring.regions import RegionsMeasure

        return RegionsMeasure(protocol=protocol, resize=resize, reading=reading)
    if isinstance(protocol, Boundaries):
        from seglab.scoring.boundaries import BoundariesMeasure

        return BoundariesMeasure(protocol=protocol, resize=resize, reading=reading)
    if isinstance(protocol, Pooled):
        return PooledMeasure(protocol=protocol, resize=resize, reading=reading)
    return SaliencyMeasure(protocol=protocol, weighted=weighted, resize=resize, reading=reading)


def _per_class(matrix_KK: np.ndarray) -> dict[str, Any]:
    return {f"iou_{k}": 100 * float(v) for k, v in enumerate(intersection_over_union(matrix_KK))}
