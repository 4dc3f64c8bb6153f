"""Boundary maps against the boundaries that people drew, by the boundary half of the BSDS benchmark.

Soft maps are cut at every threshold, binary maps are taken as they are, and of label maps the lines between regions,
at one or several scales. Source: Arbelaez, Maire, Fowlkes, Malik, TPAMI 2011; the formulas are in ``docs/metrics.md``.
Legend: K thresholds or scales, A annotators, H W pixels.
Example: ``measure = BoundariesMeasure(protocol=Boundaries(name="bsds")); measure.pair(Path("a.png"), truth_AHW)``
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from seglab.metrics.boundaries import boundary_counts, segment_boundaries, truth_boundaries
from seglab.metrics.boundary_summary import precision_recall_f, summary
from seglab.metrics.bsds import Boundaries
from seglab.scoring.faults import Fault
from seglab.scoring.images import grey_values, open_image, values_in
from seglab.scoring.measured import MapFile, Measured, Reads, Sums, fitted
from seglab.scoring.region_files import (
    READS,
    looks_like_regions,
    read_annotations,
    read_label_maps,
    read_lines,
    read_mat,
)

WORDS = {"soft": "soft maps", "binary": "binary maps", "labels": "label maps"}


@dataclass(frozen=True, kw_only=True)
class BoundariesMeasure:
    """Precision, recall and F of boundary maps.

    Args:
        protocol: kind of the maps, thresholds, reach of a match.
        resize: ``error`` or ``to_mask``, for a map of another size than its truth.
        reading: ``strict`` refuses empty soft maps and soft maps that look like labels, ``grey`` takes them.
    """

    reads: ClassVar[Reads] = READS
    percent: ClassVar[bool] = False

    protocol: Boundaries
    resize: str = "error"
    reading: str = "strict"

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of an image's numbers, at its own best threshold, or scale from 1."""
        return ("precision", "recall", "f", "threshold")

    def truth(self, path: Path) -> np.ndarray:
        """Boundaries of all annotators as drawn, bool [A, H, W]; where only segments were, the lines between them."""
        if path.suffix.lower() != ".mat":
            return read_lines(path)[None]
        annotations = read_annotations(path)
        if annotations.boundaries_AHW is None:
            return truth_boundaries(annotations.segments_AHW)
        return annotations.boundaries_AHW

    def has_object(self, truth_AHW: np.ndarray) -> bool:
        """An annotator may see a single region."""
        return True

    def pair(self, path: MapFile, truth_AHW: np.ndarray) -> Measured:
        """Measure the boundary map of an image.

        Raises:
            Fault: a file does not fit.
        """
        kind, maps_KHW = self._maps(path, truth_AHW.shape[1:])
        protocol = self.protocol
        counts = boundary_counts(maps_KHW, truth_AHW, max_distance=protocol.max_distance, thin=protocol.thin)
        counts_K4 = np.stack(counts, 1)
        values_K3 = precision_recall_f(counts_K4)
        best = int(values_K3[:, 2].argmax())
        threshold = self._thresholds(len(maps_KHW), soft=kind == "soft")[best]
        count = len(maps_KHW)
        words = f"{WORDS[kind]} of {count} {'threshold' if kind == 'soft' else 'scale'}{'s' if count > 1 else ''}"
        return Measured(
            row=(*values_K3[best].tolist(), float(threshold)),
            sums={
                "images": np.array(1, np.int64),
                "soft": np.array(kind == "soft", np.int64),
                "counts": counts_K4,
                "ois": counts_K4[best],
            },
            kind=WORDS["binary"] if kind == "binary" else words,
        )

    def summary(self, sums: Sums, means: Mapping[str, float]) -> dict[str, float]:
        """F, precision and recall at the best threshold of the set (ODS), at each image's own (OIS), and AP."""
        counts_K4 = sums["counts"]
        ods = summary(counts_K4[None], self._thresholds(len(counts_K4), soft=bool(sums["soft"])))
        precision, recall, f = precision_recall_f(sums["ois"]).tolist()
        return {
            "boundary_f_ods": ods["f"],
            "boundary_f_ois": f,
            "ap": ods["ap"],
            "boundary_precision": ods["precision"],
            "boundary_recall": ods["recall"],
            "threshold_ods": ods["threshold"],
            "boundary_precision_ois": precision,
            "boundary_recall_ois": recall,
        }

    def curves(self, sums: Sums) -> dict[str, np.ndarray]:
        """Precision, recall and F of the set at every ``threshold`` of soft maps, or ``scale`` of others."""
        values_3K = precision_recall_f(sums["counts"]).T
        soft = bool(sums["soft"])
        first = {"threshold" if soft else "scale": self._thresholds(values_3K.shape[1], soft=soft)}
        return first | dict(zip(("precision", "recall", "f"), values_3K, strict=True))

    def _thresholds(self, count: int, *, soft: bool) -> np.ndarray:
        return np.arange(1, count + 1) / (count + 1) if soft else np.arange(1.0, count + 1)

    def _maps(self, file: MapFile, size: tuple[int, int]) -> tuple[str, np.ndarray]:
        """What the files hold, and boundaries bool [K, H, W]."""
        kind, path = self.protocol.maps, file[0] if isinstance(file, tuple) else file
        in_matlab, strict = path.suffix.lower() == ".mat", self.reading == "strict"
        if isinstance(file, tuple) and kind != "labels":
            raise Fault("other", f"{path}: one file a scale, but protocol.maps={kind}: expected protocol.maps=labels")
        if in_matlab and kind != "labels" and isinstance(ucm2 := read_mat(path), np.ndarray):
            if kind == "binary":
                raise Fault("other", f"{path}: a contour map (ucm2), but protocol.maps=binary: expected soft or auto")
            return "soft", self._cut(ucm2[2::2, 2::2], size, path)
        if kind == "labels" or (kind == "auto" and in_matlab):
            _, maps = read_label_maps(file, thresholds=self.protocol.thresholds, strict=strict)
            maps = [fitted(labels_HW, size, p, resize=self.resize, labels=True) for p, labels_HW in maps]
            return "labels", np.stack([segment_boundaries(labels_HW) for labels_HW in maps])
        if in_matlab:
            raise Fault("other", f"{path}: segmentations (segs), but protocol.maps={kind}: expected labels or auto")
        grey_HW = grey_values(open_image(path), path)
        kind = self._kind(grey_HW, path)
        if kind == "binary":
            return kind, fitted(grey_HW > 0, size, path, resize=self.resize, labels=True)[None]
        return kind, self._cut(grey_HW, size, path)

    def _kind(self, grey_HW: np.ndarray, path: Path) -> str:
        """``soft`` or ``binary``: as the protocol says, and as the values allow.

        Raises:
            Fault: they do not allow it, or leave it open.
        """
        kind, strict = self.protocol.maps, self.reading == "strict"
        there = np.unique(grey_HW)
        if not there[-1] and strict and kind != "binary":
            raise Fault("empty map", f"{path}: no pixel above 0")
        if kind == "binary" or (kind == "auto" and len(there) <= 2):
            if len(there) > 2 or there[0] != 0:
                raise Fault("not lines", f"{path}: the values {values_in(there)}")
            return "binary"
        if strict and (there[-1] == 1 or (kind == "auto" and looks_like_regions(grey_HW))):
            raise Fault("labels or grades", f"{path}: {len(there)} values, {values_in(there)}")
        if strict and grey_HW.dtype not in (np.uint8, np.bool_) and there[-1] <= 255:
            raise Fault("depth", f"{path}: map with no value above {there[-1]}, of 65535")
        return "soft"

    def _cut(self, grey_HW: np.ndarray, size: tuple[int, int], path: Path) -> np.ndarray:
        """``map >= k / (n + 1)`` for k = 1..n, bool [n, H, W], decided in whole numbers where the file has them."""
        n = self.protocol.thresholds
        k_n11 = np.arange(1, n + 1)[:, None, None]
        top = {np.dtype(bool): 1, np.dtype(np.uint8): 255, np.dtype(np.float64): 1}.get(grey_HW.dtype, 65535)
        if grey_HW.shape == size and grey_HW.dtype != np.float64:
            return grey_HW.astype(np.int64) * (n + 1) >= top * k_n11
        return fitted(grey_HW / top, size, path, resize=self.resize) >= k_n11 / (n + 1)
