"""Region and contour metrics of a set: pooling, ODS and OIS, rows, order, two processes, refusals, protocol."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import loadmat

from seglab import distributed
from seglab.config import compose
from seglab.data.annotations import Annotations
from seglab.metrics.average_precision import average_precision, region_hits
from seglab.metrics.boundaries import boundary_counts, found_boundaries, segment_boundaries, truth_boundaries
from seglab.metrics.regions import overlaps, region_scores
from seglab.metrics.segmentation_metrics import SegmentationMetrics
from seglab.metrics.segmentation_protocol import SegmentationProtocol
from seglab.targets import instantiate

BSDS = SegmentationProtocol(name="bsds")
IMAGES = 5
NAMES = [f"{name}_{best}" for name in ("covering", "pri", "voi", "boundary_f") for best in ("ods", "ois")]
NAMES += ["covering_best", "boundary_precision", "boundary_recall", "ap50", "ap"]


def image(index: int, scales: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels [T, H, W] that fit worse and worse or better and better, segments [A, H, W], confidence [T, R]."""
    rng = np.random.default_rng(index)
    shape, people = (20 + index, 26), 1 + index % 3
    truth_HW = (np.arange(shape[0])[:, None] // 9) * 3 + np.arange(shape[1]) // (7 + index)
    segments = np.stack([truth_HW // (1 + a) for a in range(people)]).astype(np.int32)
    segments[0, : index % 2] = -1
    labels = np.stack([np.roll(truth_HW, (t * index) % 4, 1) % (9 - 3 * ((t + index) % 3)) for t in range(scales)])
    return labels, segments, rng.random((scales, 9 * scales))


def filled(indices: list[int], *, scales: int = 3) -> SegmentationMetrics:
    metric = SegmentationMetrics(BSDS)
    for i in indices:
        labels, segments, confidence = image(i, scales)
        metric.update_one(torch.from_numpy(labels), Annotations(segments, None), i, confidence=confidence)
    return metric


def test_the_set_is_added_up_as_the_benchmark_does() -> None:
    metric = filled(list(range(IMAGES)))
    got = metric.compute()
    assert sorted(got) == sorted(NAMES)
    scores = [region_scores(*image(i)[:2]) for i in range(IMAGES)]
    cover, area = np.stack([s.cover_T for s in scores]), sum(s.area for s in scores)
    pri, voi = np.stack([s.pri_T for s in scores]), np.stack([s.voi_T for s in scores])
    assert got["covering_ods"] == pytest.approx(max(cover[:, t].sum() / area for t in range(3)))
    assert got["covering_ois"] == pytest.approx(sum(row.max() for row in cover) / area)
    assert got["covering_best"] == pytest.approx(sum(s.best_cover for s in scores) / area)
    assert got["covering_ods"] < got["covering_ois"] <= got["covering_best"] <= 1
    assert (got["pri_ods"], got["pri_ois"]) == pytest.approx((pri.mean(0).max(), pri.max(1).mean()))
    assert (got["voi_ods"], got["voi_ois"]) == pytest.approx((voi.mean(0).min(), voi.min(1).mean()))
    assert (got["pri_ois"] - got["pri_ods"], got["voi_ods"] - got["voi_ois"]) > (1e-3, 1e-3)
    rows, curves = metric.rows(), metric.curves()
    assert [r["index"] for r in rows] == list(range(IMAGES))
    assert np.mean([r["pri"] for r in rows]) == pytest.approx(got["pri_ods"])
    assert np.mean([r["voi"] for r in rows]) == pytest.approx(got["voi_ods"])
    areas = np.array([s.area for s in scores])
    assert np.average([r["covering"] for r in rows], weights=areas) == pytest.approx(got["covering_ods"])
    assert (curves["covering"].max(), curves["voi"].min()) == pytest.approx((got["covering_ods"], got["voi_ods"]))
    assert curves["scale"].tolist() == [1, 2, 3]
    assert curves["f"].argmax() == 0
    turned = SegmentationMetrics(BSDS)
    for i in range(IMAGES):
        labels, segments, _ = image(i)
        turned.update_one(labels[::-1], Annotations(segments, None), i)
    best = turned.curves()["f"].argmax()
    assert best == 2, "with the best scale first, rows of the first scale would pass"
    for i, row in enumerate(turned.rows()):
        labels, segments, _ = image(i)
        found = found_boundaries(labels[::-1], ignored_HW=(segments < 0).all(0))
        counts = np.stack(boundary_counts(found, truth_boundaries(segments)))[:, best]
        recalled, truth, right, pixels = counts.tolist()
        assert (row["precision"], row["recall"]) == pytest.approx((right / pixels, recalled / truth))
        assert row["f"] == pytest.approx(2 * right * recalled / (right * truth + recalled * pixels))


def test_contours_are_those_of_the_boundary_metrics() -> None:
    metric = filled([0, 1, 2], scales=1)
    counts = []
    for i in range(3):
        labels, segments, _ = image(i, 1)
        labels = np.where((segments < 0).all(0), -1, labels)
        counts.append(boundary_counts(np.stack([segment_boundaries(m) for m in labels]), truth_boundaries(segments)))
    recalled, truth, right, found = np.sum([np.ravel(c) for c in counts], 0)
    precision, recall = right / found, recalled / truth
    got, rows = metric.compute(), metric.rows()
    assert (got["boundary_precision"], got["boundary_recall"]) == pytest.approx((precision, recall))
    assert (
        got["boundary_f_ods"] == got["boundary_f_ois"] == pytest.approx(2 * precision * recall / (precision + recall))
    )
    assert rows[1]["precision"] == pytest.approx((counts[1].matched_precision / counts[1].found).item())
    assert rows[1]["recall"] == pytest.approx((counts[1].matched_recall / counts[1].truth).item())
    assert metric.curves() == {}


def test_drawn_boundaries_are_used_where_there_are_some(data_root: Path) -> None:
    cells = loadmat(data_root / "BSDS500/data/groundTruth/val/3096.mat")["groundTruth"].ravel()
    segments = np.stack([cell["Segmentation"][0, 0].astype(np.int32) - 1 for cell in cells])
    drawn = np.stack([cell["Boundaries"][0, 0].astype(bool) for cell in cells])
    values = []
    for boundaries in (drawn, None, np.zeros_like(drawn)):
        metric = SegmentationMetrics(BSDS)
        metric.update_one(segments[0], Annotations(segments, boundaries), 0)
        values.append(metric.compute()["boundary_f_ods"])
    assert values[0] == pytest.approx(values[1], abs=0.01)
    assert values[0] > 0.5
    assert values[2] == 0


def test_average_precision_is_of_the_whole_set() -> None:
    got, ious = filled(list(range(IMAGES))).compute(), (0.5, *BSDS.ap_ious)
    want = []
    for t in range(3):
        parts = []
        for i in range(IMAGES):
            labels, segments, confidence = image(i)
            found = overlaps(labels[t], segments)
            parts.append(region_hits(found.tables[0], confidence[t, found.labels[0]], ious=ious))
        joined = [np.concatenate([p[k] for p in parts]) for k in range(3)]
        want.append(average_precision(*joined, truth=sum(p.truth for p in parts)))
    want = np.array(want)
    assert got["ap50"] == pytest.approx(want[:, 0].max())
    assert got["ap"] == pytest.approx(want[:, 1:].mean(1).max())
    assert 0 < got["ap"] < got["ap50"] < 1


def test_order_does_not_matter_and_one_scale_makes_ods_ois() -> None:
    straight, shuffled = filled(list(range(IMAGES))), filled([3, 0, 4, 1, 2])
    assert straight.compute() == shuffled.compute()
    assert straight.rows() == shuffled.rows()
    got = filled(list(range(IMAGES)), scales=1).compute()
    for name in ("covering", "pri", "voi", "boundary_f"):
        assert got[f"{name}_ods"] == got[f"{name}_ois"]
    assert got["covering_best"] == got["covering_ods"]
    straight.reset()
    with pytest.raises(ValueError, match="no image was scored"):
        straight.compute()


@pytest.mark.filterwarnings("error")
def test_a_batch_of_plain_masks_is_one_annotator_and_no_contour_is_no_warning() -> None:
    masks = torch.zeros(2, 8, 9, dtype=torch.int64)
    masks[1, :, 4:] = 7
    masks[:, 0] = 255
    labels = torch.stack([torch.zeros(8, 9), (masks[1] == 7).float()])
    metric = SegmentationMetrics(BSDS)
    metric.update(labels, masks, torch.tensor([4, 2]), confidence_B=torch.tensor([[-0.5, -0.2]]).repeat(2, 1))
    got = metric.compute()
    assert (got["covering_ods"], got["pri_ods"], got["voi_ods"], got["ap50"], got["ap"]) == (1, 1, 0, 1, 1)
    assert (got["boundary_f_ods"], got["boundary_precision"]) == (1, 1)
    assert [(r["index"], r["f"]) for r in metric.rows()] == [(2, 1.0), (4, 0.0)]
    without = SegmentationMetrics(BSDS)
    without.update(labels, [masks[0].numpy(), np.where(masks[1:] == 255, -1, masks[1:])], [0, 1])
    got = without.compute()
    assert np.isnan([got["ap50"], got["ap"]]).all()
    assert got["covering_ods"] == 1


def test_refusals() -> None:
    metric, (labels, segments, confidence) = SegmentationMetrics(BSDS), image(1)
    with pytest.raises(ValueError, match=r"image 7 of the test set: labels \(3, 21, 25\)"):
        metric.update_one(labels[:, :, 1:], Annotations(segments, None), 7)
    with pytest.raises(ValueError, match=r"image 7 .*every one is ignored"):
        metric.update_one(labels[0], np.full(labels[0].shape, 255), 7)
    with pytest.raises(ValueError, match=r"image 7 .*float32: expected whole numbers"):
        metric.update_one(labels[0], np.zeros(labels[0].shape, np.float32), 7)
    with pytest.raises(ValueError, match=r"image 7 .*boundaries \(21, 26\) and segments"):
        metric.update_one(labels, Annotations(segments, np.zeros((21, 26), bool)), 7)
    with pytest.raises(ValueError, match=r"image 7 .*confidence \(2, 27\) for 3 scales"):
        metric.update_one(labels, Annotations(segments, None), 7, confidence=confidence[:2])
    with pytest.raises(ValueError, match=r"image 7 .*label \d with 3 confidences"):
        metric.update_one(labels, Annotations(segments, None), 7, confidence=confidence[:, :3])
    with pytest.raises(ValueError, match=r"of 3, 1 and 1 images"):
        metric.update(labels, segments[:1], [0])
    metric.update_one(labels, Annotations(segments, None), 0, confidence=confidence)
    with pytest.raises(ValueError, match=r"image 1 .*: 1 segmentation\(s\), 3 of the image before"):
        metric.update_one(labels[0], Annotations(segments, None), 1)
    metric.update_one(labels, Annotations(segments, None), 1)
    with pytest.raises(ValueError, match="image 1 of the test set has no confidences"):
        metric.compute()
    metric.update_one(labels, Annotations(segments, None), 1)
    with pytest.raises(ValueError, match="image 1 of the test set was scored twice"):
        metric.rows()


def test_unequal_numbers_of_scales_of_two_processes_are_told() -> None:
    first, second = filled([0]), filled([1], scales=2)
    for name in ("image_rows", "scale_rows", "region_rows"):
        getattr(first, name).extend(getattr(second, name))
    with pytest.raises(ValueError, match="image 1 of the test set has 2 scales, image 0 has 3: expected as many"):
        first.compute()


@pytest.mark.parametrize("shares", [([4, 0], [1, 2, 3]), ([], [0, 1, 2, 3, 4])])
def test_shares_of_two_processes_are_one_set(shares: tuple[list[int], ...], monkeypatch: pytest.MonkeyPatch) -> None:
    alone = filled(list(range(IMAGES)))
    want = [alone.compute(), alone.rows(), {name: values.tolist() for name, values in alone.curves().items()}]
    parts = [filled(share) for share in shares]
    states = [
        {name: list(getattr(part, name)) for name in ("image_rows", "scale_rows", "region_rows")} for part in parts
    ]
    monkeypatch.setattr(distributed, "gather", lambda own: states)
    for part in parts:
        assert [part.compute(), part.rows(), {k: v.tolist() for k, v in part.curves().items()}] == want


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", ""),
        ("note", 3),
        ("max_distance", 0),
        ("max_distance", True),
        ("max_distance", float("nan")),
        ("thin", 1),
        ("ap_ious", []),
        ("ap_ious", 0.5),
        ("ap_ious", "0.5"),
        ("ap_ious", [0.5, 0.5]),
        ("ap_ious", [0.0, 0.5]),
        ("ap_ious", [0.5, 1.1]),
    ],
)
def test_bad_value_of_the_protocol_is_named(key: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"^eval\.protocol\.{key}="):
        SegmentationProtocol(**{"name": "x", key: value})


def test_the_preset_is_complete_and_says_what_the_defaults_say() -> None:
    config = compose("train", ["eval/protocol=bsds"]).eval.protocol
    protocol = instantiate(config)
    assert protocol == SegmentationProtocol(name="bsds", note=config.note)
    assert protocol.to_dict() == {key: value for key, value in config.items() if key != "_target_"}
    assert type(protocol.to_dict()["ap_ious"]) is list
