"""Boundary maps against the boundaries that people drew, by the boundary half of the BSDS benchmark.

Soft maps are cut at every threshold, binary maps are taken as they are, and of label maps the lines between regions,
at one or several scales; of truth that is labels too. Source: Arbelaez, Maire, Fowlkes, Malik, TPAMI 2011; the
formulas are in ``docs/metrics.md``.
Legend: K thresholds or scales, A annotators, H W pixels.
Example: ``m = BoundariesMeasure(protocol=Boundaries(name="bsds")); m.pair(Path("a.png"), m.truth(Path("a.mat")))``
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import ClassVar

import numpy as np

from seglab.metrics.boundaries import boundary_counts, found_boundaries
from seglab.metrics.boundary_summary import METRICS, pooled_summary, precision_recall_f
from seglab.metrics.bsds import Boundaries
from seglab.scoring.faults import Fault
from seglab.scoring.images import grey_values, open_image, refuse_palette, values_in
from seglab.scoring.measured import MapFile, Measured, Reads, Sums, fitted
from seglab.scoring.region_files import (
    READS,
    Drawn,
    check_lines,
    looks_like_regions,
    read_boundaries,
    read_label_maps,
    read_mat,
)

STEPS = 100
"""A map of 16 bits has a value of at least 2 / STEPS of the range; with more thresholds, at least the second."""
WORDS = {"soft": "soft maps", "binary": "binary maps", "labels": "label maps"}


@dataclass(frozen=True, kw_only=True)
class BoundariesMeasure:
    """Precision, recall and F of boundary maps.

    Args:
        protocol: kind of the maps and of the truth, thresholds, reach of a match.
        resize: ``error`` or ``to_mask``, for a map of another size than its truth.
        reading: ``strict`` refuses what looks like another kind of file, and empty soft maps; ``grey`` takes them.
    """

    reads: ClassVar[Reads] = READS
    percent: ClassVar[bool] = False

    protocol: Boundaries
    resize: str = "error"
    reading: str = "strict"

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of an image's numbers, at its own best threshold (soft maps), or scale from 1 (label maps)."""
        return ("precision", "recall", "f", "threshold", "scale")

    def truth(self, path: Path) -> Drawn:
        """Boundaries of all annotators as drawn, or the lines between the regions of each."""
        protocol, strict = self.protocol, self.reading == "strict"
        return read_boundaries(path, truth=protocol.truth, ignore=protocol.ignore, strict=strict)

    def has_object(self, drawn: Drawn) -> bool:
        """An annotator may see a single region."""
        return True

    def pair(self, path: MapFile, drawn: Drawn) -> Measured:
        """Measure the boundary map of an image.

        Raises:
            Fault: a file does not fit.
        """
        kind, maps_KHW = self._maps(path, drawn)
        protocol = self.protocol
        counts = boundary_counts(maps_KHW, drawn.boundaries_AHW, max_distance=protocol.max_distance, thin=protocol.thin)
        counts_K4 = np.stack(counts, 1)
        values_K3 = precision_recall_f(counts_K4)
        best = int(values_K3[:, 2].argmax())
        at = float(self._thresholds(len(maps_KHW), soft=kind == "soft")[best])
        count = len(maps_KHW)
        words = f"{WORDS[kind]} of {count} {'threshold' if kind == 'soft' else 'scale'}{'s' if count > 1 else ''}"
        place = (at, nan) if kind == "soft" else (nan, at if kind == "labels" else nan)
        return Measured(
            row=(*values_K3[best].tolist(), *place),
            sums={
                "images": np.array(1, np.int64),
                "soft": np.array(kind == "soft", np.int64),
                "counts": counts_K4,
                "ois": counts_K4[best],
            },
            kind=WORDS["binary"] if kind == "binary" else words,
        )

    def summary(self, sums: Sums, means: Mapping[str, float]) -> dict[str, float]:
        """F, precision and recall at the best threshold of the set (ODS), at each image's own (OIS), and the area.

        The place of ODS is ``threshold_ods`` of soft maps, ``scale_ods`` of label maps of several scales.
        """
        counts_K4, soft = sums["counts"], bool(sums["soft"])
        found = pooled_summary(counts_K4, sums["ois"], self._thresholds(len(counts_K4), soft=soft))
        place = {"threshold_ods" if soft else "scale_ods": found["threshold"]} if soft or len(counts_K4) > 1 else {}
        return {
            **{name: found[key] for name, key in METRICS.items()},
            "boundary_ap": found["area"],
            **place,
            "boundary_precision_ois": found["precision_ois"],
            "boundary_recall_ois": found["recall_ois"],
        }

    def curves(self, sums: Sums) -> dict[str, np.ndarray]:
        """Precision, recall and F of the set at every ``threshold`` of soft maps, or ``scale`` of others."""
        values_3K = precision_recall_f(sums["counts"]).T
        soft = bool(sums["soft"])
        first = {"threshold" if soft else "scale": self._thresholds(values_3K.shape[1], soft=soft)}
        return first | dict(zip(("precision", "recall", "f"), values_3K, strict=True))

    def _thresholds(self, count: int, *, soft: bool) -> np.ndarray:
        return np.arange(1, count + 1) / (count + 1) if soft else np.arange(1.0, count + 1)

    def _maps(self, file: MapFile, drawn: Drawn) -> tuple[str, np.ndarray]:
        """What the files hold, and boundaries bool [K, H, W], none where every annotator ignores a pixel."""
        size, ignored_HW = drawn.boundaries_AHW.shape[1:], drawn.ignored_HW
        kind, maps = self._read(file, size)
        if kind == "labels":
            return kind, found_boundaries(maps, ignored_HW=ignored_HW)
        return kind, maps if ignored_HW is None else maps & ~ignored_HW

    def _read(self, file: MapFile, size: tuple[int, int]) -> tuple[str, np.ndarray]:
        """What the files hold, and boundaries bool [K, H, W], or the label maps [T, H, W]."""
        kind, path = self.protocol.maps, file[0] if isinstance(file, tuple) else file
        in_matlab, strict = path.suffix.lower() == ".mat", self.reading == "strict"
        if isinstance(file, tuple) and kind in ("soft", "binary"):
            raise Fault("other", f"{path}: one file a scale, but protocol.maps={kind}: expected labels or auto")
        whole = {"resize": self.resize, "same_shape": strict, "labels": True}
        if in_matlab and kind != "labels" and isinstance(ucm2 := read_mat(path), np.ndarray):
            if kind == "binary":
                raise Fault("other", f"{path}: a contour map (ucm2), but protocol.maps=binary: expected soft or auto")
            return "soft", self._cut(ucm2[2::2, 2::2], size, path)
        if kind == "labels" or (kind == "auto" and (in_matlab or isinstance(file, tuple))):
            _, maps = read_label_maps(file, thresholds=self.protocol.thresholds, strict=strict)
            return "labels", np.stack([fitted(labels_HW, size, p, **whole) for p, labels_HW in maps])
        if in_matlab:
            raise Fault("other", f"{path}: segmentations (segs), but protocol.maps={kind}: expected labels or auto")
        image = open_image(path)
        refuse_palette(image, path, kind="palette map")
        grey_HW = grey_values(image, path)
        kind = self._kind(grey_HW, path)
        if kind == "binary":
            return kind, fitted(grey_HW > 0, size, path, **whole)[None]
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
            if strict:
                check_lines(grey_HW > 0, path)
            return "binary"
        one_bit = grey_HW.dtype == np.bool_
        if strict and ((there[-1] == 1 and not one_bit) or (kind == "auto" and looks_like_regions(grey_HW))):
            raise Fault("labels or grades", f"{path}: {len(there)} values, {values_in(there)}")
        # Of 16 bits label maps reach only the lowest thresholds: the second of 99, and none of a few.
        steps = max(self.protocol.thresholds + 1, STEPS)
        if strict and not one_bit and grey_HW.dtype != np.uint8 and int(there[-1]) * steps < 2 * 65535:
            raise Fault("depth", f"{path}: map with no value above {there[-1]}, of 65535")
        return "soft"

    def _cut(self, grey_HW: np.ndarray, size: tuple[int, int], path: Path) -> np.ndarray:
        """``map >= k / (n + 1)`` for k = 1..n, bool [n, H, W], decided in whole numbers where the file has them."""
        n = self.protocol.thresholds
        k_n11 = np.arange(1, n + 1)[:, None, None]
        top = {np.dtype(bool): 1, np.dtype(np.uint8): 255, np.dtype(np.float64): 1}.get(grey_HW.dtype, 65535)
        if grey_HW.shape == size and grey_HW.dtype != np.float64:
            return grey_HW.astype(np.int64) * (n + 1) >= top * k_n11
        strict = self.reading == "strict"
        return fitted(grey_HW / top, size, path, resize=self.resize, same_shape=strict) >= k_n11 / (n + 1)
