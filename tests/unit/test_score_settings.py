"""Settings of the benchmark reach the counts, and the score command and a run give one number for one label map."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from seglab.data.annotations import Annotations
from seglab.metrics.boundaries import boundary_counts, segment_boundaries
from seglab.metrics.bsds import Boundaries, Regions
from seglab.metrics.segmentation_metrics import SegmentationMetrics
from seglab.metrics.segmentation_protocol import SegmentationProtocol
from seglab.scoring.measure import measure_for
from seglab.scoring.region_files import Drawn, cut_contours
from seglab.scoring.work import add

SIZE = (40, 60)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Annotations]:
    """Label map of two halves; truth two pixels to the right; the drawing is a column, not their line."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    labels = (x > 20 + y // 2).astype(np.uint8)
    Image.fromarray(2 * labels + 1).save(tmp_path / "a.png")
    segments = np.roll(labels, 2, 1)
    segments[:, :2] = 0
    drawn = np.zeros(SIZE, np.uint8)
    drawn[:, 31:34] = 1
    cell = np.empty((1, 1), object)
    cell[0, 0] = {"Segmentation": segments + np.uint8(1), "Boundaries": drawn}
    savemat(tmp_path / "a.mat", {"groundTruth": cell})
    return tmp_path / "a.png", tmp_path / "a.mat", Annotations(segments[None].astype(np.int32), drawn[None] > 0)


@pytest.mark.parametrize(("max_distance", "thin"), [(0.0075, True), (0.02, True), (0.05, True), (0.05, False)])
def test_score_and_run_give_the_same_numbers(files: tuple, max_distance: float, thin: bool) -> None:
    labels, truth, drawn = files
    run = SegmentationMetrics(SegmentationProtocol(name="b", max_distance=max_distance, thin=thin))
    run.update_one(np.asarray(Image.open(labels)), drawn, 0)
    regions = measure_for(Regions(name="b"))
    lines = measure_for(Boundaries(name="b", maps="labels", max_distance=max_distance, thin=thin))
    found = {}
    for measure in (regions, lines):
        measured = measure.pair(labels, measure.truth(truth))
        found |= measure.summary(measured.sums, {})
    got = run.compute()
    for name in ("covering", "pri", "voi", "boundary_f"):
        assert got[f"{name}_ods"] == found[f"{name}_ods"]
        assert got[f"{name}_ois"] == found[f"{name}_ois"]
    assert got["boundary_precision"] == found["boundary_precision"]
    lines_HW = segment_boundaries(np.asarray(Image.open(labels)))
    counts = boundary_counts(lines_HW[None], drawn.boundaries_AHW, max_distance=max_distance, thin=thin)
    assert measured.sums["counts"].tolist() == np.stack(counts, 1).tolist()
    assert got["boundary_recall"] == counts.matched_recall[0] / counts.truth[0]
    assert counts.found[0] == (59 if not thin else 40)


def test_thresholds_are_those_of_the_protocol(tmp_path: Path) -> None:
    soft = np.zeros(SIZE, np.uint8)
    soft[20], soft[30] = 90, 200
    Image.fromarray(soft).save(tmp_path / "a.png")
    truth = Drawn(np.zeros((1, *SIZE), bool))
    measured = measure_for(Boundaries(name="b", maps="soft", thresholds=3)).pair(tmp_path / "a.png", truth)
    assert measured.sums["counts"][:, 3].tolist() == [120, 60, 60]
    savemat(tmp_path / "a.mat", {"ucm2": np.zeros((81, 121))})
    measured = measure_for(Regions(name="b", thresholds=3)).pair(tmp_path / "a.mat", np.zeros((1, *SIZE), np.int32))
    assert measured.sums["scales"].shape == (3, 3)


def test_regions_that_touch_by_a_corner_are_one() -> None:
    ucm2 = np.ones((5, 5))
    ucm2[1, 1] = ucm2[2, 2] = ucm2[3, 3] = 0
    ucm2[1, 3] = ucm2[3, 1] = 0
    (cut,) = cut_contours(ucm2, 1)
    assert cut[0, 0] == cut[1, 1]
    assert segment_boundaries(cut).any() == (len(np.unique(cut)) > 1)


@pytest.mark.parametrize("kind", ["texture", "void", "one region"])
def test_label_images_as_truth_give_the_numbers_of_a_run(tmp_path: Path, kind: str) -> None:
    """A mask of 0 and 255, class indices with void, and a mask of one region."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    found = ((x > 20 + y // 2) + 2 * (y > 30)).astype(np.uint8)
    true, ignore = np.where(np.roll(found, 1, 1) > 0, 255, 0).astype(np.uint8), None
    if kind == "void":
        true, ignore = np.roll(found, (1, 2), (0, 1)), 255
        true[18:25], true[:, 50:53] = 255, 255
    true = true if kind != "one region" else np.zeros_like(true)
    Image.fromarray(found).save(tmp_path / "found.png")
    Image.fromarray(true).save(tmp_path / "true.png")
    mask = true if kind == "void" else true // 255  # what a run's data source makes of the file
    run = SegmentationMetrics(SegmentationProtocol(name="b", max_distance=0.02))
    run.update_one(found, mask, 0)
    protocol = Boundaries(name="b", maps="labels", truth="labels", ignore=ignore, max_distance=0.02)
    same_numbers([tmp_path / "found.png"], [tmp_path / "true.png"], run.compute(), protocol)


def test_camvid_gives_the_numbers_of_a_run(data_root: Path, tmp_path: Path) -> None:
    """Real class masks with void, read by the data source and by the score command, against shifted labels."""
    from seglab.config import compose
    from seglab.targets import instantiate

    source = instantiate(compose("train", ["data=camvid", f"runtime.data_root={data_root}"]).data.source)
    run, maps, truths = SegmentationMetrics(SegmentationProtocol(name="b")), [], []
    for i, item in enumerate(source.items("test")[:2]):
        true = item.read()[1]
        found = np.roll(np.where(true == 255, 0, true), (2, -3), (0, 1)).astype(np.uint8)
        maps.append(tmp_path / f"{i}.png")
        truths.append(Path(item.mask))
        Image.fromarray(found).save(maps[-1])
        run.update_one(found, true, i)
    same_numbers(maps, truths, run.compute(), Boundaries(name="b", maps="labels", ignore=255))


def same_numbers(maps: list[Path], truths: list[Path], got: dict[str, float], protocol: Boundaries) -> None:
    """Numbers of a run against those of both protocols of the score command."""
    found: dict[str, float] = {}
    for measure in (measure_for(protocol), measure_for(Regions(name="b", ignore=protocol.ignore))):
        sums: dict[str, np.ndarray] = {}
        for labels, truth in zip(maps, truths, strict=True):
            add(sums, measure.pair(labels, measure.truth(truth)).sums)
        found |= measure.summary(sums, {})
    names = ["boundary_precision", "boundary_recall", "covering_best"]
    names += [f"{n}_{best}" for n in ("boundary_f", "covering", "pri", "voi") for best in ("ods", "ois")]
    assert {name: found[name] for name in names} == {name: got[name] for name in names}
