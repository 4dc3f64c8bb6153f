"""Files that look like another kind in the benchmark's protocols: areas, drawings, palettes, void, depth, shape."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat
from scipy.ndimage import binary_dilation

from seglab.metrics.boundaries import segment_boundaries, thin, truth_boundaries
from seglab.metrics.bsds import Boundaries, Regions
from seglab.metrics.segmentation_protocol import SegmentationProtocol
from seglab.scoring.boundaries import BoundariesMeasure
from seglab.scoring.faults import KINDS, Fault
from seglab.scoring.figures import line_of_f
from seglab.scoring.region_files import Drawn, read_boundaries
from seglab.scoring.regions import RegionsMeasure

SIZE = (60, 80)
BLANK = Drawn(np.zeros((1, *SIZE), bool))


def quarters() -> np.ndarray:
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    return (2 * (y > 25) + (x + y // 3 > 50)).astype(np.uint8)


def save(path: Path, array: np.ndarray, *, colours: bool = False) -> Path:
    image = Image.fromarray(array)
    if colours:
        image.putpalette([value for i in range(256) for value in (i, 90 * i % 256, 130 * i % 256)])
    image.save(path)
    return path


def boundaries(path: Path, *, reading: str = "strict", **protocol: object) -> str:
    """What a boundary map is read as, or the kind of its fault."""
    measure = BoundariesMeasure(protocol=Boundaries(name="b", **protocol), reading=reading)
    try:
        return measure.pair(path, BLANK).kind
    except Fault as fault:
        return fault.kind


def regions(path: Path, *, reading: str = "strict") -> str:
    """What a label map is read as, or the kind of its fault; the same as truth."""
    measure, kinds = RegionsMeasure(protocol=Regions(name="b"), reading=reading), []
    for read in (lambda: measure.pair(path, np.zeros((1, *SIZE), np.int32)), lambda: measure.truth(path)):
        try:
            kinds.append(getattr(read(), "kind", ""))
        except Fault as fault:
            kinds.append(fault.kind)
    assert kinds[1] in ("", kinds[0])
    assert bool(kinds[1]) == (kinds[0] in KINDS)
    return kinds[0]


@pytest.mark.parametrize("value", [1, 255])
def test_a_mask_of_two_regions_is_no_line_drawing(tmp_path: Path, value: int) -> None:
    mask = (quarters() % 2 * value).astype(np.uint8)
    path = save(tmp_path / "a.png", mask)
    assert [boundaries(path), boundaries(path, maps="binary")] == ["areas", "areas"]
    assert boundaries(path, maps="labels") == "label maps of 1 scale"
    assert boundaries(path, reading="grey") == "binary maps"
    for truth in ("auto", "lines"):
        with pytest.raises(Fault, match=r"a\.png: \d+ pixels marked, \d+ of them left when thinned") as caught:
            read_boundaries(path, truth=truth)
        assert caught.value.kind == "areas"
    assert "protocol.maps=labels for maps, protocol.truth=labels for truth" in KINDS["areas"][1]
    drawn = read_boundaries(path, truth="labels")
    assert drawn.ignored_HW is None
    assert drawn.boundaries_AHW.tolist() == truth_boundaries(mask[None]).tolist()
    assert regions(path) == "label maps of 1 scale"


def test_a_ragged_mask_is_areas_too(tmp_path: Path) -> None:
    mask = np.random.default_rng(0).random(SIZE) < 0.3
    mask[10:50, 30:70] = True
    assert mask.sum() < 12 * thin(mask).sum()
    path = save(tmp_path / "a.png", mask)
    assert boundaries(path) == "areas"
    with pytest.raises(Fault, match="pixels marked"):
        read_boundaries(path)


@pytest.mark.parametrize("width", [1, 2, 5])
def test_lines_of_some_width_are_lines(tmp_path: Path, width: int) -> None:
    lines = binary_dilation(thin(segment_boundaries(quarters())), np.ones((width, width)))
    path = save(tmp_path / "a.png", (255 * lines).astype(np.uint8))
    assert boundaries(path) == "binary maps"
    assert read_boundaries(path).boundaries_AHW.tolist() == [lines.tolist()]
    if width <= 2:
        assert regions(path) == "drawing"
        assert regions(save(tmp_path / "b.png", 255 * (~lines).astype(np.uint8))) == "drawing", "black on white"
        assert boundaries(path, maps="labels") == "drawing"
        assert regions(path, reading="grey") == "label maps of 1 scale"


def test_truth_of_more_than_two_values_is_labels(tmp_path: Path) -> None:
    labels = quarters()
    drawn = read_boundaries(save(tmp_path / "a.png", 20 * labels, colours=True))
    assert drawn.boundaries_AHW.tolist() == truth_boundaries(labels[None]).tolist()
    mean = 51 * sum((thin(segment_boundaries(np.roll(labels, 3 * s, 1))) for s in range(5)), np.zeros(SIZE, np.uint8))
    with pytest.raises(Fault) as caught:
        read_boundaries(save(tmp_path / "b.png", mean.astype(np.uint8)))
    assert caught.value.kind == "drawing", "the mean of five drawings"


def test_void_scores_only_where_it_is_said_to(tmp_path: Path) -> None:
    labels = quarters()
    labels[20:30] = 255
    path = save(tmp_path / "a.png", labels)
    for read in (RegionsMeasure(protocol=Regions(name="b")).truth, read_boundaries):
        with pytest.raises(Fault, match="labels up to 3, and 255") as caught:
            read(path)
        assert caught.value.kind == "void"
    assert "protocol.ignore=255" in KINDS["void"][1]
    drawn = read_boundaries(path, ignore=255)
    assert drawn.ignored_HW.tolist() == (labels == 255).tolist()
    assert not drawn.boundaries_AHW[0, 18:31, :20].any(), "nothing is drawn against void"
    assert read_boundaries(path, strict=False).boundaries_AHW[0, 18:31, :20].any()
    assert RegionsMeasure(protocol=Regions(name="b"), reading="grey").truth(path).min() == 0


def test_drawings_of_a_matlab_file_are_taken_unless_labels_are_asked_for(tmp_path: Path) -> None:
    labels, cells = quarters(), np.empty((1, 1), object)
    cells[0, 0] = {"Segmentation": labels + 1, "Boundaries": np.eye(*SIZE, dtype=np.uint8)}
    savemat(tmp_path / "a.mat", {"groundTruth": cells})
    for truth in ("auto", "lines"):
        assert read_boundaries(tmp_path / "a.mat", truth=truth).boundaries_AHW.tolist() == [np.eye(*SIZE).tolist()]
    drawn = read_boundaries(tmp_path / "a.mat", truth="labels")
    assert drawn.boundaries_AHW.tolist() == truth_boundaries(labels[None]).tolist()


@pytest.mark.parametrize("classes", [2, 4])
def test_palettes_of_colours_are_labels(tmp_path: Path, classes: int) -> None:
    path = save(tmp_path / "a.png", (quarters() % classes * 7).astype(np.uint8), colours=True)
    for maps in ("auto", "soft", "binary"):
        assert boundaries(path, maps=maps) == "palette map"
    assert "protocol.maps=labels" in KINDS["palette map"][1]
    assert boundaries(path, maps="labels") == regions(path) == "label maps of 1 scale"


def test_one_bit_may_be_soft_and_labels_of_sixteen_may_not(tmp_path: Path) -> None:
    lines = thin(segment_boundaries(quarters()))
    assert boundaries(save(tmp_path / "a.png", lines), maps="soft") == "soft maps of 99 thresholds"
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    labels = (x // 3 + 27 * (y // 3) + 1).astype(np.uint16)  # up to 540
    path = save(tmp_path / "b.png", labels)
    assert boundaries(path, maps="soft") == "depth"
    assert boundaries(path, maps="soft", thresholds=5) == "depth"
    assert boundaries(path, maps="soft", thresholds=254) == "soft maps of 254 thresholds"
    assert boundaries(path, maps="soft", reading="grey") == "soft maps of 99 thresholds"
    for top, what in ((1310, "depth"), (1311, "soft maps of 99 thresholds")):  # 2/100 of 65535 is 1310.7
        assert boundaries(save(path, labels * 0 + np.uint16(top)), maps="soft") == what


@pytest.mark.parametrize("value", [0, 1, 1.5, -0.1, float("nan"), float("inf"), True, "0.1"])
def test_one_range_of_distances_for_score_and_runs(value: object) -> None:
    for make, key in ((Boundaries, "protocol"), (SegmentationProtocol, r"eval\.protocol")):
        with pytest.raises(ValueError, match=rf"^{key}\.max_distance=.*: expected a number in \(0, 1\), a share of"):
            make(name="b", max_distance=value)


def test_lines_of_equal_f_are_drawn_with_enough_points() -> None:
    for f in np.arange(1, 10) / 10:
        recall, precision = line_of_f(f)
        assert (precision[0], recall[-1]) == pytest.approx((1, 1))
        assert 2 * precision * recall / (precision + recall) == pytest.approx(f)
        middle = (recall[1:] + recall[:-1]) / 2, (precision[1:] + precision[:-1]) / 2
        assert 2 * middle[0] * middle[1] / (middle[0] + middle[1]) == pytest.approx(f, abs=2e-4), "corners"
