"""Label maps against the segmentations that people drew, by the region half of the BSDS benchmark.

Covering, probabilistic Rand index and variation of information; sums over images give ODS, OIS and best.
Source: Arbelaez, Maire, Fowlkes, Malik, TPAMI 2011; the formulas are in ``docs/metrics.md``.
Legend: T scales, A annotators, H W pixels.
Example: ``measure = RegionsMeasure(protocol=Regions(name="bsds")); measure.pair(Path("a.png"), measure.truth(gt))``
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from seglab.metrics.bsds import Regions
from seglab.metrics.region_summary import RegionSums, best_scales, region_summary, set_values
from seglab.metrics.regions import region_scores
from seglab.scoring.faults import Fault
from seglab.scoring.measured import MapFile, Measured, Reads, Sums, fitted
from seglab.scoring.region_files import READS, read_annotations, read_label_maps


@dataclass(frozen=True, kw_only=True)
class RegionsMeasure:
    """Covering, PRI and VOI of label maps at one or several scales.

    Args:
        protocol: which pixels count.
        resize: ``error`` or ``to_mask``, for a map of another size than its truth.
        reading: ``strict`` refuses what looks like a soft map or a line drawing, and void that would count as a region;
            ``grey`` takes the values as labels.
    """

    reads: ClassVar[Reads] = READS
    percent: ClassVar[bool] = False

    protocol: Regions
    resize: str = "error"
    reading: str = "strict"

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of an image's numbers, each at the image's own best scale, which is named by its number from 1."""
        return ("covering", "pri", "voi", "covering_scale", "pri_scale", "voi_scale")

    def truth(self, path: Path) -> np.ndarray:
        """Regions of all annotators, int32 [A, H, W], -1 = ignored."""
        return read_annotations(path, ignore=self.protocol.ignore, strict=self.reading == "strict").segments_AHW

    def has_object(self, segments_AHW: np.ndarray) -> bool:
        """Every segmentation has regions."""
        return True

    def pair(self, path: MapFile, segments_AHW: np.ndarray) -> Measured:
        """Measure the label maps of an image.

        Raises:
            Fault: a file does not fit.
        """
        strict, size = self.reading == "strict", segments_AHW.shape[1:]
        what, maps = read_label_maps(path, thresholds=self.protocol.thresholds, strict=strict)
        labels_THW = np.stack([fitted(m, size, p, resize=self.resize, labels=True, same_shape=strict) for p, m in maps])
        try:
            score = region_scores(labels_THW, segments_AHW)
        except ValueError as error:
            raise Fault("other", f"{maps[0][0]}: {error}") from error
        scales_3T = np.stack([score.cover_T, score.pri_T, score.voi_T])
        best = best_scales(scales_3T)
        ois_3 = scales_3T[np.arange(3), best]
        sums = {
            "images": np.array(1, np.int64),
            "area": np.array(score.area, np.int64),
            "scales": scales_3T,
            "ois": ois_3,
            "best_cover": np.array(score.best_cover, np.float64),
            "image_covering": score.cover_T / score.area,
        }
        scales = len(labels_THW)
        kind = f"{what} of {scales} scale{'s' if scales > 1 else ''}"
        row = (float(ois_3[0] / score.area), *ois_3[1:].tolist(), *(1.0 + best).tolist())
        return Measured(row=row, sums=sums, kind=kind)

    def summary(self, sums: Sums, means: Mapping[str, float]) -> dict[str, float]:
        """ODS (one scale for the set), OIS (each image its own) and best (each true region its own); no means."""
        pooled = _region_sums(sums)
        covering_at, pri_at, voi_at = best_scales(set_values(pooled)).tolist()
        return {
            **region_summary(pooled),
            "covering_scale_ods": covering_at + 1.0,
            "pri_scale_ods": pri_at + 1.0,
            "voi_scale_ods": voi_at + 1.0,
            "covering_image_mean": float(sums["image_covering"][covering_at] / pooled.images),
        }

    def curves(self, sums: Sums) -> dict[str, np.ndarray]:
        """Numbers of the set at each scale; nothing where there is one."""
        covering_T, pri_T, voi_T = set_values(_region_sums(sums))
        if len(covering_T) == 1:
            return {}
        return {"scale": np.arange(1, len(covering_T) + 1), "covering": covering_T, "pri": pri_T, "voi": voi_T}


def _region_sums(sums: Sums) -> RegionSums:
    return RegionSums(
        images=int(sums["images"]),
        area=int(sums["area"]),
        scales_3T=sums["scales"],
        ois_3=sums["ois"],
        best_cover=float(sums["best_cover"]),
    )
