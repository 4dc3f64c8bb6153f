"""What label maps, contour maps and drawings are read as, and how soft maps are told from labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from seglab.metrics.bsds import Boundaries
from seglab.metrics.matching import squared_reach
from seglab.scoring.boundaries import BoundariesMeasure
from seglab.scoring.faults import Fault
from seglab.scoring.region_files import Drawn, cut_contours, looks_like_regions, read_annotations, read_lines, read_mat
from seglab.scoring.scales import natural, scan


def test_soft_maps_are_told_from_label_maps() -> None:
    y, x = np.mgrid[:60, :80]
    superpixels = 20 * (y // 5) + x // 5  # 192 regions of 25 pixels
    assert looks_like_regions(superpixels)
    assert looks_like_regions(superpixels % 20), "few values may lie anywhere"
    small = 27 * (y // 3) + x // 3
    assert looks_like_regions(small)
    assert not looks_like_regions(small % 100), "labels that wrapped around, as in 8 bits, lie in pieces"
    smooth = np.round(127 + 60 * np.sin(x / 9) + 60 * np.cos(y / 7)).astype(int)
    assert not looks_like_regions(smooth)
    thin_lines = np.where(x % 20 == 0, 300 * y + x + 1, 0)  # 16 bits: every pixel of a line has its own value
    assert not looks_like_regions(thin_lines)


def test_order_of_scales() -> None:
    assert sorted(["k20", "k5", "k100"], key=natural) == ["k5", "k20", "k100"]
    assert sorted(["0.1", "0.05", "1"], key=natural) == ["0.05", "0.1", "1"]
    assert sorted(["b", "a2", "a10"], key=natural) == ["a2", "a10", "b"]


def test_files_of_a_folder_go_before_folders_in_it(tmp_path: Path) -> None:
    for name in ("k2", "k10", "notes"):
        (tmp_path / name).mkdir()
    for name in ("k2/a.png", "k10/a.mat", "k2/b.png", "notes/read.txt"):
        (tmp_path / name).write_bytes(b"")
    found = scan(tmp_path, key="pred", suffixes=(".png", ".mat"), scales=True)
    assert found.files == {"a": ("k2/a.png", "k10/a.mat")}
    assert found.partial == {"b": ["k10"]}
    assert found.scales == ("k2", "k10")
    with pytest.raises(ValueError, match="holds the folders"):
        scan(tmp_path, key="pred")
    (tmp_path / "c.png").write_bytes(b"")
    found = scan(tmp_path, key="pred", scales=True)
    assert (found.files, found.scales) == ({"c": "c.png"}, ())


def test_contours_are_cut_as_the_benchmark_cuts_them() -> None:
    ucm2 = np.zeros((5, 7))
    ucm2[:, 2] = 0.5  # between the first and the second column
    ucm2[:, 4] = 0.25
    low, high = cut_contours(ucm2, 1)[0], cut_contours(ucm2, 3)
    assert len(np.unique(low)) == 1, "a contour at the threshold is gone"
    assert [len(np.unique(cut)) for cut in high] == [2, 1, 1]
    assert high[0].shape == (2, 3)
    assert (high[0][:, 0] != high[0][:, 1]).all()
    assert (high[0][:, 1] == high[0][:, 2]).all()


def test_what_a_matlab_file_may_hold(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    savemat(path, {"segs": np.array([[5, 9], [5, 700]])})
    (labels,) = read_mat(path)
    assert labels.tolist() == [[0, 1], [0, 2]]
    for content, words in (
        ({"other": 1}, "no variable segs or ucm2"),
        ({"segs": np.zeros((1, 0), object)}, "no segmentation"),
        ({"segs": np.array([["text"]], object)}, r"segs\{1\} is <U4"),
        ({"ucm2": np.full((3, 3), np.nan)}, "not within 0 and 1"),
        ({"ucm2": np.zeros((4, 3))}, "not of double size"),
    ):
        savemat(path, content)
        with pytest.raises(Fault, match=words):
            read_mat(path)


def test_label_images_as_truth(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    quarters = np.ones((9, 9), np.uint8)
    Image.fromarray(np.kron(np.array([[0, 255], [7, 7]], np.uint8), quarters)).save(path)

    def corners(**settings: Any) -> list:
        return read_annotations(path, **settings).segments_AHW[:, ::9, ::9].tolist()

    with pytest.raises(Fault, match=r"a\.png: labels up to 7, and 255"):
        read_annotations(path)
    assert corners(strict=False) == [[[0, 2], [1, 1]]]
    assert corners(ignore=255) == [[[0, -1], [1, 1]]]
    Image.fromarray(np.kron(np.array([[0, 255], [200, 7]], np.uint8), quarters)).save(path)
    assert corners() == [[[0, 3], [2, 1]]], "labels up to 255"
    Image.fromarray(np.kron(np.array([[0, 255], [255, 255]], np.uint8), quarters)).save(path)
    assert corners() == [[[0, 1], [1, 1]]], "two regions"
    Image.fromarray(np.full((3, 3), 255, np.uint8)).save(path)
    with pytest.raises(Fault, match="every pixel has the value 255"):
        read_annotations(path, ignore=255)
    with pytest.raises(Fault, match="the values 255"):
        read_lines(path)
    Image.fromarray(np.eye(3, dtype=bool)).save(path)
    assert read_lines(path).tolist() == np.eye(3, dtype=bool).tolist()


@pytest.mark.parametrize(("dtype", "top"), [(np.uint8, 255), (np.uint16, 65535)])
def test_a_grade_on_a_threshold_is_above_it(tmp_path: Path, dtype: type, top: int) -> None:
    """51 of 255 is 0.2 exactly, whatever rounding makes of the quotient."""
    measure = BoundariesMeasure(protocol=Boundaries(name="b", maps="soft"))
    path = tmp_path / "a.png"
    for k in (20, 40, 60, 80):
        grey = np.zeros((1, 8), dtype)
        grey[0, :2] = k * top // 100, k * top // 100 - 1
        Image.fromarray(grey).save(path)
        _, cut_KHW = measure._maps(path, Drawn(np.zeros((1, 1, 8), bool)))
        assert cut_KHW.shape == (99, 1, 8)
        assert cut_KHW[:, 0, :2].sum(0).tolist() == [k, k - 1]


def test_reach_of_a_match_is_that_of_the_benchmark() -> None:
    """0.0075 of the diagonal of 481 x 321 pixels, 4.3 pixels."""
    assert squared_reach((321, 481), Boundaries(name="b").max_distance) == 18
