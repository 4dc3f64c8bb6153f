"""Region and contour metrics of a test set, gathered over batches and processes, as the BSDS benchmark adds them up.

ODS is one scale for the whole set, the best one, chosen for each metric by itself; OIS is the best scale of each image.
Covering and contours are pooled over annotators and images, PRI and VOI are averaged over annotators, then over images.
With one segmentation an image ODS and OIS are the same. Definitions: :mod:`seglab.metrics.regions`,
:mod:`seglab.metrics.boundaries`, :mod:`seglab.metrics.average_precision`; what a set's numbers are made of:
:mod:`seglab.metrics.region_summary`, :mod:`seglab.metrics.boundary_summary`.

Legend: B batch, T scales (segmentations of one image), A annotators, R labels, H W pixels, N images.
Example: ``m = SegmentationMetrics(SegmentationProtocol(name="bsds")); m.update_one(labels_THW, annotations, 0)``
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from seglab.data.annotations import IGNORED, Annotations
from seglab.data.sample import IGNORE
from seglab.metrics.average_precision import average_precision, region_hits
from seglab.metrics.boundaries import boundary_counts, found_boundaries, truth_boundaries
from seglab.metrics.boundary_summary import METRICS, precision_recall_f, summary
from seglab.metrics.image_rows import ImageRows
from seglab.metrics.region_summary import RegionSums, best_scales, region_summary, set_values
from seglab.metrics.regions import Overlaps, overlaps, scores_of
from seglab.metrics.segmentation_protocol import SegmentationProtocol

IMAGE_COLUMNS = ("scales", "area", "best_cover", "true_regions", "confident")
SCALE_COLUMNS = ("cover", "pri", "voi", "matched_recall", "truth", "matched_precision", "found")
ROW_METRICS = ("covering", "pri", "voi", "precision", "recall", "f")
AP50 = 0.5

Maps = Tensor | np.ndarray


class SegmentationMetrics(ImageRows):
    """Region and contour metrics over a set; processes may hold different numbers of images, or none.

    Args:
        protocol: limits of contour matching and average precision.

    Raises:
        ValueError: the protocol is one of another task.
    """

    def __init__(self, protocol: SegmentationProtocol) -> None:
        if not isinstance(protocol, SegmentationProtocol):
            raise ValueError(f"eval/protocol={getattr(protocol, 'name', protocol)}: not one of regions: expected bsds")
        super().__init__(names=IMAGE_COLUMNS, dtype=torch.float64)
        self.protocol = protocol
        self.ious = (AP50, *protocol.ap_ious)
        self.add_rows("scale_rows")  # position, scale, then SCALE_COLUMNS
        self.add_rows("region_rows")  # position, scale, confidence, weight, matches at AP50 and each of ap_ious

    def update(
        self,
        labels_B: Maps | Sequence[Maps],
        annotations_B: Maps | Sequence[Annotations | Maps],
        index_B: Tensor | Sequence[int],
        *,
        confidence_B: Maps | Sequence[Maps] | None = None,
    ) -> None:
        """Score a batch; each of its images as in :meth:`update_one`."""
        counts = [len(labels_B), len(annotations_B), len(index_B)]
        if len(set(counts)) != 1 or (confidence_B is not None and len(confidence_B) != counts[0]):
            confidences = "" if confidence_B is None else f", confidences of {len(confidence_B)}"
            raise ValueError(
                f"labels, annotations and positions of {counts[0]}, {counts[1]} and {counts[2]} images{confidences}: "
                "expected as many"
            )
        for b, index in enumerate(index_B):
            confidence = None if confidence_B is None else confidence_B[b]
            self.update_one(labels_B[b], annotations_B[b], int(index), confidence=confidence)

    def update_one(
        self, labels: Maps, annotations: Annotations | Maps, index: int, *, confidence: Maps | None = None
    ) -> None:
        """Score one image, of any size.

        Args:
            labels: regions found, whole numbers from 0, [H, W] or [T, H, W]; T must be the same for all images. Labels
                may be absent.
            annotations: what people drew, or a plain map of integers [H, W] or [A, H, W], 255 or -1 = ignored.
            index: position of the image in the data set, each given once.
            confidence: float [R] or [T, R], how sure the segmentation is of the region of each label; None leaves
                ``ap50`` and ``ap`` NaN.

        Raises:
            ValueError: sizes differ, values are outside their range, or no pixel can be scored; the message names the
                image's position.
        """
        try:
            given = _annotations(annotations)
            found = overlaps(labels, given.segments_AHW)
            labels_THW = _scales(_to_numpy(labels))
            self._check_scales(len(labels_THW))
            scores = scores_of(found)
            counts_4T = boundary_counts(
                found_boundaries(labels_THW, ignored_HW=(given.segments_AHW == IGNORED).all(0)),
                truth_boundaries(given.segments_AHW) if given.boundaries_AHW is None else given.boundaries_AHW,
                max_distance=self.protocol.max_distance,
                thin=self.protocol.thin,
            )
            regions = [] if confidence is None else self._region_rows(found, _to_numpy(confidence), index)
        except ValueError as error:
            raise ValueError(f"image {index} of the test set: {error}") from error
        scale_T, position_T = np.arange(len(labels_THW)), np.full(len(labels_THW), index)
        columns = [position_T, scale_T, scores.cover_T, scores.pri_T, scores.voi_T, *counts_4T]
        true_regions = np.mean([len(table.true_N) for table in found.tables[0]])
        image = [index, len(scale_T), scores.area, scores.best_cover, true_regions, confidence is not None]
        self.image_rows.append(torch.tensor([image], dtype=torch.float64))
        self.scale_rows.append(torch.from_numpy(np.stack(columns, 1).astype(np.float64)))
        self.region_rows += regions

    def compute(self) -> dict[str, float]:
        """Metrics of the set.

        Returns:
            ``covering_ods``, ``covering_ois``, ``covering_best`` (each true region takes the best region of all
            scales), ``pri_ods``, ``pri_ois``, ``boundary_f_ods``, ``boundary_f_ois``, ``boundary_precision``,
            ``boundary_recall`` (those whose F is ``boundary_f_ods``: of one scale, or of a point on the line between
            two neighbouring ones), ``ap50`` and ``ap`` (mean over the thresholds of the protocol; each at its best
            scale; NaN without confidences), all in 0..1, 1 is best; ``voi_ods`` and ``voi_ois`` in bits, 0 is best.

        Raises:
            ValueError: no image was scored, or one twice, or images have different numbers of scales, or only some
                have confidences.
        """
        with self.all_processes():
            images_ND, scales_NTD = self._tables()
            ap_TK = self._average_precision(images_ND, scales_NTD.shape[1])
        contours = summary(scales_NTD[:, :, 3:], np.arange(1, scales_NTD.shape[1] + 1))
        return {
            **region_summary(_region_sums(images_ND, scales_NTD)),
            **{name: contours[key] for name, key in METRICS.items()},
            "ap50": float(ap_TK[:, 0].max()),
            "ap": float(ap_TK[:, 1:].mean(1).max()),
        }

    def rows(self) -> list[dict[str, float]]:
        """Values of every image at the scale that is best for the set, over all processes (each must call it).

        Of contours that is the best of the scales themselves; no image has counts between two.

        Returns:
            One dict an image, sorted by ``index``, its position in the data set, with ``covering``, ``pri``, ``voi``,
            ``precision``, ``recall`` and ``f`` of the contours; 0 where a contour is missing.

        Raises:
            ValueError: as :meth:`compute`.
        """
        with self.all_processes():
            images_ND, scales_NTD = self._tables()
        covering, pri, voi = best_scales(set_values(_region_sums(images_ND, scales_NTD)))
        contour = precision_recall_f(scales_NTD[:, :, 3:].sum(0))[:, 2].argmax()
        columns = [
            scales_NTD[:, covering, 0] / images_ND[:, 2],
            scales_NTD[:, pri, 1],
            scales_NTD[:, voi, 2],
            *precision_recall_f(scales_NTD[:, contour, 3:]).T,
        ]
        rows = zip(images_ND[:, 0].tolist(), *(column.tolist() for column in columns), strict=True)
        return [{"index": int(index), **dict(zip(ROW_METRICS, values, strict=True))} for index, *values in rows]

    def curves(self) -> dict[str, np.ndarray]:
        """Numbers of the set at each scale, over all processes (each must call it); nothing with a single scale.

        Returns:
            ``scale`` (1..T), ``covering``, ``pri``, ``voi``, ``precision``, ``recall``, ``f``, float64 [T] each.
        """
        with self.all_processes():
            images_ND, scales_NTD = self._tables()
        if scales_NTD.shape[1] == 1:
            return {}
        regions_3T = set_values(_region_sums(images_ND, scales_NTD))
        columns = [*regions_3T, *precision_recall_f(scales_NTD[:, :, 3:].sum(0)).T]
        return {"scale": np.arange(1.0, 1 + len(columns[0])), **dict(zip(ROW_METRICS, columns, strict=True))}

    def _tables(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows of the images, and those of their scales [N, T, D] without position and scale, sorted by position."""
        images_ND = self.sorted_rows()
        if (other := np.flatnonzero(images_ND[:, 1] != images_ND[0, 1])).size:
            (first, scales, *_), (i, others, *_) = images_ND[0].tolist(), images_ND[other[0]].tolist()
            raise ValueError(
                f"image {int(i)} of the test set has {int(others)} scales, image {int(first)} has {int(scales)}: "
                "expected as many segmentations of every image"
            )
        rows = torch.cat(self.scale_rows).numpy()
        rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
        return images_ND, rows[:, 2:].reshape(len(images_ND), -1, len(SCALE_COLUMNS))

    def _average_precision(self, images_ND: np.ndarray, scales: int) -> np.ndarray:
        """Average precision [T, K] at AP50 and the thresholds of the protocol."""
        confident_N, truth = images_ND[:, 5] > 0, images_ND[:, 4].sum()
        if not confident_N.any():
            return np.full((scales, len(self.ious)), np.nan)
        if not confident_N.all():
            without = int(images_ND[~confident_N, 0][0])
            raise ValueError(f"image {without} of the test set has no confidences, others have: expected all or none")
        rows = torch.cat(self.region_rows).numpy()
        rows = rows[np.lexsort((rows[:, 0], rows[:, 1]))]  # stable: regions of an image stay in their order
        of_T = [rows[rows[:, 1] == t] for t in range(scales)]
        return np.stack([average_precision(r[:, 2], r[:, 3], r[:, 4:], truth=truth) for r in of_T])

    def _region_rows(self, found: Overlaps, confidence: np.ndarray, index: int) -> list[Tensor]:
        confidence_TR, rows = np.atleast_2d(confidence), []
        if confidence_TR.ndim != 2 or len(confidence_TR) != len(found.tables):
            raise ValueError(f"confidence {confidence.shape} for {len(found.tables)} scales: expected [scales,labels]")
        for scale, (tables, labels_R) in enumerate(zip(found.tables, found.labels, strict=True)):
            if labels_R.max() >= confidence_TR.shape[1]:
                raise ValueError(
                    f"label {labels_R.max()} with {confidence_TR.shape[1]} confidences: expected one for every label"
                )
            hits = region_hits(tables, confidence_TR[scale, labels_R], ious=self.ious)
            regions = len(hits.confidence_D)
            place = [np.full(regions, index), np.full(regions, scale), hits.confidence_D, hits.weight_D]
            rows.append(torch.from_numpy(np.concatenate([np.stack(place, 1), hits.hits_DK], 1)))
        return rows

    def _check_scales(self, scales: int) -> None:
        before = int(self.image_rows[-1][0, 1]) if self.image_rows else scales
        if scales != before:
            raise ValueError(f"{scales} segmentation(s), {before} of the image before: expected as many of every image")


def _region_sums(images_ND: np.ndarray, scales_NTD: np.ndarray) -> RegionSums:
    cover_NT, pri_NT, voi_NT = np.moveaxis(scales_NTD[:, :, :3], 2, 0)
    return RegionSums(
        images=len(images_ND),
        area=images_ND[:, 2].sum(),
        scales_3T=np.stack([cover_NT.sum(0), pri_NT.sum(0), voi_NT.sum(0)]),
        ois_3=np.array([cover_NT.max(1).sum(), pri_NT.max(1).sum(), voi_NT.min(1).sum()]),
        best_cover=images_ND[:, 3].sum(),
    )


def _annotations(annotations: Annotations | Maps) -> Annotations:
    if isinstance(annotations, Annotations):
        segments_AHW, boundaries_AHW = annotations
    else:
        segments_AHW, boundaries_AHW = _to_numpy(annotations), None
        if segments_AHW.dtype.kind not in "iub":
            raise ValueError(f"annotations of type {segments_AHW.dtype}: expected whole numbers")
        segments_AHW = np.where(segments_AHW == IGNORE, IGNORED, segments_AHW.astype(np.int32))
    segments_AHW = _scales(segments_AHW)
    if boundaries_AHW is not None and np.shape(boundaries_AHW) != segments_AHW.shape:
        raise ValueError(
            f"boundaries {np.shape(boundaries_AHW)} and segments {segments_AHW.shape}: expected the same shape"
        )
    return Annotations(segments_AHW, boundaries_AHW)


def _scales(maps: np.ndarray) -> np.ndarray:
    return maps[None] if maps.ndim == 2 else maps


def _to_numpy(values: Maps) -> np.ndarray:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
