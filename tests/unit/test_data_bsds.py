"""Annotations of several people: what is read of a file, and what is refused with one message."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from seglab.data.bsds import Bsds500
from seglab.data.mat import read_bsds
from seglab.data.pairs import DataMissing
from seglab.metrics.boundaries import truth_boundaries

FIRST = np.array([[1, 1, 7, 7], [1, 3, 3, 7]], np.uint16)
SECOND = np.array([[2, 2, 2, 1], [2, 2, 2, 1]], np.uint16)


def save(path, segments, **change):
    from scipy.io import savemat

    cells = np.empty((1, len(segments)), dtype=object)
    for i, labels in enumerate(segments):
        cells[0, i] = {"Segmentation": labels, "Boundaries": np.zeros(np.shape(labels), np.uint8), **change}
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"groundTruth": cells})


@pytest.fixture
def folders(tmp_path):
    """One photo a part, annotated by two people."""
    for part in ("train", "val"):
        (tmp_path / "img" / part).mkdir(parents=True)
        Image.new("RGB", (4, 2)).save(tmp_path / "img" / part / f"{part}1.png")
        save(tmp_path / "gt" / part / f"{part}1.mat", [FIRST, SECOND])
    return tmp_path


def source(folder, **options):
    places = {key: {p: str(folder / key / p) for p in ("train", "val", "test")} for key in ("img", "gt")}
    return Bsds500(places["img"], masks=places["gt"], **{"test_parts": ["val"], **options})


def test_all_annotators_are_read_and_gaps_are_closed(folders):
    (item,) = source(folders).items("train")
    image, mask = item.read()
    assert image.shape == (2, 4, 3)
    assert mask.dtype == np.uint8
    assert mask.tolist() == [[[0, 0, 2, 2], [0, 1, 1, 2]], [[1, 1, 1, 0], [1, 1, 1, 0]]]
    found = item.annotations()
    assert found.segments_AHW.dtype == np.int32
    assert found.segments_AHW.tolist() == mask.tolist()
    assert found.boundaries_AHW.dtype == bool
    assert found.boundaries_AHW.shape == (2, 2, 4)


def test_one_annotator_by_number(folders):
    assert source(folders, annotator=1).items("train")[0].read()[1].tolist() == [[1, 1, 1, 0], [1, 1, 1, 0]]
    item = replace(source(folders).items("train")[0], annotator=2)
    with pytest.raises(ValueError, match=r"annotator=2: '.*train1\.mat' has 2 annotators: expected 0 to 1, or random"):
        item.read()


def test_the_test_part_has_all_annotators_whichever_is_trained_on(folders):
    one, every = (source(folders, annotator=a).items("test")[0] for a in (5, "random"))
    assert one.read()[1].shape == (2, 2, 4)
    assert one.fingerprint() == every.fingerprint()


def test_an_annotator_that_some_photos_lack_is_told_once(folders):
    for name, people in (("a", 4), ("b", 3), ("c", 1)):
        Image.new("RGB", (4, 2)).save(folders / f"img/train/{name}.png")
        save(folders / f"gt/train/{name}.mat", [FIRST] * people)
    assert len(source(folders, annotator=0).items("train")) == 4
    told = r"annotator=2: 2 of 4 training photos .* '.*c\.mat' has 1, the fewest: expected 0 to 0, or random"
    with pytest.raises(ValueError, match=told):
        source(folders, annotator=2).items("train")
    (folders / "gt/train/b.mat").write_bytes(b"no")
    with pytest.raises(ValueError, match=r"annotations '.*b\.mat' cannot be used: 2 bytes"):
        source(folders, annotator=2).items("train")


def test_the_fingerprint_tells_files_and_annotator(folders):
    prints = {source(folders, annotator=a).items("train")[0].fingerprint() for a in ("random", 0, 1)}
    save(folders / "gt/train/train1.mat", [SECOND, FIRST])
    prints.add(source(folders).items("train")[0].fingerprint())
    assert len(prints) == 4


def test_boundaries_may_be_absent_and_a_region_alone(tmp_path):
    from scipy.io import savemat

    cells = np.empty((1, 1), dtype=object)
    cells[0, 0] = {"Segmentation": np.full((3, 5), 4, np.uint8)}
    savemat(tmp_path / "a.mat", {"groundTruth": cells})
    found = read_bsds(tmp_path / "a.mat")
    assert found.boundaries_AHW is None
    assert found.segments_AHW.tolist() == [[[0] * 5] * 3]


def test_boundaries_that_one_annotator_lacks_are_those_between_its_segments(tmp_path):
    from scipy.io import savemat

    drawn, cells = np.eye(2, 4, dtype=np.uint8), np.empty((1, 2), dtype=object)
    cells[0, 0] = {"Segmentation": FIRST, "Boundaries": drawn}
    cells[0, 1] = {"Segmentation": SECOND}
    savemat(tmp_path / "a.mat", {"groundTruth": cells})
    found = read_bsds(tmp_path / "a.mat")
    assert found.boundaries_AHW[0].tolist() == (drawn > 0).tolist(), "the other's drawing is kept"
    assert found.boundaries_AHW[1].tolist() == truth_boundaries(found.segments_AHW)[1].tolist()
    assert found.boundaries_AHW[1].any()


@pytest.mark.parametrize(
    ("segments", "change", "words"),
    [
        ([FIRST, FIRST[:, :3]], {}, r"annotator 1 is 3x2, that of annotator 0 is 4x2"),
        ([FIRST - 1], {}, "smallest label of annotator 0 is 0"),
        ([FIRST + 0.5], {}, "no whole numbers"),
        ([np.full((2, 4), np.nan)], {}, "no whole numbers"),
        ([np.zeros((2, 0))], {}, r"shape \(2, 0\)"),
        ([FIRST], {"Segmentation": "text"}, "segmentation of annotator 0"),
        ([FIRST], {"Boundaries": np.full((2, 4), 2)}, "values other than 0 and 1"),
        ([FIRST], {"Boundaries": np.zeros((3, 4))}, r"shape \(3, 4\)"),
        ([], {}, "no annotator"),
    ],
)
def test_maps_that_do_not_fit_are_told(segments, change, words, tmp_path):
    save(tmp_path / "a.mat", segments, **change)
    with pytest.raises(ValueError, match=rf"annotations '.*a\.mat' cannot be used: .*{words}.*expected"):
        read_bsds(tmp_path / "a.mat")


def test_files_that_are_none_are_told(tmp_path):
    from scipy.io import savemat

    path = tmp_path / "a.mat"
    with pytest.raises(ValueError, match="cannot be opened"):
        read_bsds(path)
    savemat(path, {"other": np.eye(2)})
    with pytest.raises(ValueError, match="no variable groundTruth"):
        read_bsds(path)
    savemat(path, {"groundTruth": np.array([[{"Boundaries": np.eye(2)}]], dtype=object)})
    with pytest.raises(ValueError, match="annotator 0 has no Segmentation"):
        read_bsds(path)
    savemat(path, {"groundTruth": np.eye(2)})
    with pytest.raises(ValueError, match="annotator 0 has no Segmentation"):
        read_bsds(path)
    save(path, [FIRST])
    whole = path.read_bytes()
    for length in (0, 60, 200, len(whole) - 8):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"too short|truncated"):
            read_bsds(path)


def test_more_regions_than_a_mask_holds(folders):
    Image.new("RGB", (16, 17)).save(folders / "img/train/train1.png")
    save(folders / "gt/train/train1.mat", [np.arange(1, 273).reshape(17, 16)])
    item = source(folders).items("train")[0]
    assert item.annotations().segments_AHW.max() == 271
    with pytest.raises(ValueError, match=r"train1\.mat' has 272 regions: expected at most 255"):
        item.read()


def test_photos_and_annotations_that_do_not_match(folders):
    Image.new("RGB", (5, 2)).save(folders / "img/train/train1.png")
    with pytest.raises(ValueError, match=r"train1\.png' is 5x2 .* labels '.*train1\.mat' are 4x2"):
        source(folders).items("train")[0].read()
    Image.new("RGB", (4, 2)).save(folders / "img/train/lone.png")
    with pytest.raises(ValueError, match=r"1 name \(lone\): photo without annotations"):
        source(folders).items("train")
    (folders / "img/train/lone.png").unlink()
    (folders / "img/train/train1.png").unlink()
    with pytest.raises(ValueError, match=r"1 name \(train1\): annotations without a photo"):
        source(folders).items("train")


def test_parts(folders):
    assert [item.id for item in source(folders, train_parts=["train", "val"], test_parts=[]).items("train")] == [
        "train1",
        "val1",
    ]
    with pytest.raises(DataMissing, match=r"photo folder .*test' not found"):
        source(folders, test_parts=["test"]).items("test")
    with pytest.raises(ValueError, match="'val' in both"):
        source(folders, train_parts=["val"])
    with pytest.raises(ValueError, match=r"test_parts=\['no'\]: expected a list of train, val, test"):
        source(folders, test_parts=["no"])
    with pytest.raises(ValueError, match="has no test part"):
        source(folders, test_parts=[]).items("test")
    for odd in (-1, True, "first", 1.0):
        with pytest.raises(ValueError, match=f"annotator={odd}: expected random, or a number from 0"):
            source(folders, annotator=odd)


def test_real_files(data_root):
    root = data_root / "BSDS500/data"
    places = [{p: str(root / key / p) for p in ("train", "val", "test")} for key in ("images", "groundTruth")]
    items = Bsds500(places[0], masks=places[1], test_parts=["val"]).items("test")
    assert len(items) == 100
    photo = next(item for item in items if item.id == "101085")
    image, mask = photo.read()
    assert image.shape == (481, 321, 3)
    assert mask.shape == (5, 481, 321)
    assert photo.annotations().boundaries_AHW.mean() < 0.1
    assert all(np.unique(one).tolist() == list(range(one.max() + 1)) for one in mask)
