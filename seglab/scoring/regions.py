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
        reading: ``strict`` refuses what looks like a soft map, ``grey`` takes its values as labels.
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
        what, maps = read_label_maps(path, thresholds=self.protocol.thresholds, strict=self.reading == "strict")
        size = segments_AHW.shape[1:]
        labels_THW = np.stack([fitted(m, size, p, resize=self.resize, labels=True) for p, m in maps])
        try:
            score = region_scores(labels_THW, segments_AHW)
        except ValueError as error:
            raise Fault("other", f"{maps[0][0]}: {error}") from error
        covering_T = score.cover_T / score.area
        best = (int(covering_T.argmax()), int(score.pri_T.argmax()), int(score.voi_T.argmin()))
        values = (float(covering_T[best[0]]), float(score.pri_T[best[1]]), float(score.voi_T[best[2]]))
        sums = {
            "images": np.array(1, np.int64),
            "area": np.array(score.area, np.int64),
            "scales": np.stack([score.cover_T, covering_T, score.pri_T, score.voi_T]),
            "ois": np.array([score.cover_T[best[0]], *values[1:]]),
            "best_cover": np.array(score.best_cover, np.float64),
        }
        scales = len(labels_THW)
        kind = f"{what} of {scales} scale{'s' if scales > 1 else ''}"
        return Measured(row=(*values, *(1.0 + scale for scale in best)), sums=sums, kind=kind)

    def summary(self, sums: Sums, means: Mapping[str, float]) -> dict[str, float]:
        """ODS (one scale for the set), OIS (each image its own) and best (each true region its own); no means."""
        covering_T, image_covering_T, pri_T, voi_T = self._scales(sums)
        images, area = int(sums["images"]), int(sums["area"])
        cover_ois, pri_ois, voi_ois = sums["ois"].tolist()
        covering_at, pri_at, voi_at = int(covering_T.argmax()), int(pri_T.argmax()), int(voi_T.argmin())
        return {
            "covering_ods": float(covering_T[covering_at]),
            "covering_ois": cover_ois / area,
            "covering_best": float(sums["best_cover"]) / area,
            "pri_ods": float(pri_T[pri_at]),
            "pri_ois": pri_ois / images,
            "voi_ods": float(voi_T[voi_at]),
            "voi_ois": voi_ois / images,
            "covering_scale_ods": covering_at + 1.0,
            "pri_scale_ods": pri_at + 1.0,
            "voi_scale_ods": voi_at + 1.0,
            "covering_image_mean": float(image_covering_T[covering_at]),
        }

    def curves(self, sums: Sums) -> dict[str, np.ndarray]:
        """Numbers of the set at each scale; nothing where there is one."""
        covering_T, _, pri_T, voi_T = self._scales(sums)
        if len(covering_T) == 1:
            return {}
        return {"scale": np.arange(1, len(covering_T) + 1), "covering": covering_T, "pri": pri_T, "voi": voi_T}

    def _scales(self, sums: Sums) -> np.ndarray:
        """Covering, its mean over the images, PRI and VOI of the set, float64 [4, T]."""
        images = int(sums["images"])
        return sums["scales"] / np.array([int(sums["area"]), images, images, images], np.float64)[:, None]
