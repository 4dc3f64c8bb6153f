"""The score command with the BSDS benchmark: files that do not fit, and settings that do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bsds_support import SIZE, cells, metrics, rows, save, scored, write_bsds
from PIL import Image
from scipy.io import savemat

from seglab.config import compose
from seglab.score import score


@pytest.fixture
def bsds(tmp_path: Path) -> Path:
    return write_bsds(tmp_path)


def test_all_faults_of_label_maps_are_told_at_once(bsds: Path) -> None:
    rng, maps = np.random.default_rng(1), bsds / "scales" / "k7"
    save(maps / "im0.png", np.zeros((5, 6), np.uint8))
    save(maps / "im1.png", rng.integers(0, 255, (*SIZE, 3), np.uint8))
    save(maps / "im2.png", np.asarray(Image.open(bsds / "soft" / "im2.png")))
    Image.open(maps / "im3.png").save(maps / "im3.jpg")
    (maps / "im3.png").unlink()
    (maps / "im4.png").unlink()
    (maps / "im9.png").rename(maps / "other.png")
    savemat(bsds / "gt" / "im5.mat", {"something": 1})
    entries = [{"Segmentation": np.ones(s), "Boundaries": np.zeros(s)} for s in (SIZE, (9, 9))]
    savemat(bsds / "gt" / "im6.mat", {"groundTruth": cells(entries)})
    (bsds / "gt" / "im7.mat").write_bytes(b"no MATLAB file at all" * 20)
    with pytest.raises(ValueError, match="nothing was written") as caught:
        scored(bsds, "regions", "scales/k7")
    text = str(caught.value)
    for words in (
        "1 x map without a mask",
        "2 x mask without a map",
        "im0.png: map 6x5, mask 47x36 (width x height)",
        "1 x image in colour",
        r"1 x soft map where label maps are expected (soft boundary maps: protocol=bsds_boundaries",
        "1 x label map in a file that loses values",
        "3 x MATLAB file without what is expected",
        "no variable groundTruth",
        "annotator 1 is 9x9, that of annotator 0 is 47x36",
        "im7.mat' cannot be used",
    ):
        assert words in text, f"{words} not in {text}"


def test_scales_that_do_not_fit_together(bsds: Path) -> None:
    (bsds / "scales" / "k20" / "im3.png").unlink()
    with pytest.raises(ValueError, match=r"1 x mask without a map(.|\n)*im3.mat has none in \S*scales/k20\n") as caught:
        scored(bsds, "regions", "scales")
    assert "unmatched.csv" in str(caught.value)
    folder = scored(bsds, "regions", "scales", "missing=skip")
    assert len(rows(folder / "scales.csv")) == 9
    savemat(bsds / "segs" / "im8.mat", {"segs": cells([np.ones(SIZE), np.ones(SIZE)])})
    other = f"runtime.outputs={bsds / 'o2'}"
    with pytest.raises(ValueError, match=r"9 label maps of 3 scales .*im0.mat\); 1 label maps of 2 .*im8.mat"):
        scored(bsds, "regions", "segs", other)
    savemat(bsds / "segs" / "im8.mat", {"segs": cells([np.ones(SIZE), np.ones((3, 3)), np.ones(SIZE)])})
    savemat(bsds / "segs" / "im9.mat", {"segs": cells([np.full(SIZE, 0.5)] * 3)})
    with pytest.raises(ValueError, match=r"scale of 3x3(.|\n)*") as caught:
        scored(bsds, "regions", "segs", other)
    assert "segs{1} has labels that are no whole numbers" in str(caught.value)


def test_boundary_maps_of_another_kind(bsds: Path) -> None:
    save(bsds / "soft" / "im0.png", np.zeros(SIZE, np.uint8))
    save(bsds / "soft" / "im1.png", np.asarray(Image.open(bsds / "scales" / "k7" / "im1.png")))
    save(bsds / "soft" / "im2.png", np.asarray(Image.open(bsds / "soft" / "im2.png")).astype(np.uint16))
    with pytest.raises(ValueError, match="3 faults") as caught:
        scored(bsds, "boundaries", "soft")
    for words in ("1 x boundary map without a boundary", "1 x map that may hold labels or grades", "of 65535"):
        assert words in str(caught.value)
    assert metrics(scored(bsds, "boundaries", "soft", "protocol.maps=soft", "reading=grey"))
    save(bsds / "soft" / "im0.png", np.full(SIZE, 9, np.uint8))
    with pytest.raises(ValueError, match=r"10 x image of boundaries with other values(.|\n)*im0"):
        scored(bsds, "boundaries", "soft", "protocol.maps=binary", f"runtime.outputs={bsds / 'o2'}")
    save(bsds / "binary" / "im4.png", np.asarray(Image.open(bsds / "soft" / "im4.png")))
    with pytest.raises(ValueError, match=r"binary: 9 binary maps .*im0.png\); 1 soft maps of 99 .*im4.png"):
        scored(bsds, "boundaries", "binary", f"runtime.outputs={bsds / 'o2'}")
    with pytest.raises(ValueError, match=r"10 x file that cannot(.|\n)*expected labels or auto"):
        scored(bsds, "boundaries", "scales", "protocol.maps=soft", f"runtime.outputs={bsds / 'o2'}")


def test_maps_are_brought_to_the_size_of_the_truth(bsds: Path) -> None:
    for name in ("soft", "binary", "scales/k7"):
        for path in (bsds / name).iterdir():
            Image.open(path).resize((94, 72), Image.Resampling.NEAREST).save(path)
    assert metrics(scored(bsds, "regions", "scales/k7", "resize=to_mask"))["k7"]["covering_ods"] > 0.5
    got = metrics(scored(bsds, "boundaries", "soft,binary", "resize=to_mask"))
    assert min(m["boundary_f_ods"] for m in got.values()) > 0.5
    for name in ("soft", "binary", "scales/k7"):
        path = bsds / name / "im3.png"
        Image.open(path).transpose(Image.Transpose.ROTATE_90).save(path)
        protocol, other = "regions" if "k7" in name else "boundaries", f"runtime.outputs={bsds / 'o2'}"
        with pytest.raises(ValueError, match=r"1 x map whose width over height(.|\n)*im3.png: map 72x94, mask 47x36 "):
            scored(bsds, protocol, name, "resize=to_mask", other)
        assert scored(bsds, protocol, name, "resize=to_mask", "reading=grey", f"runtime.outputs={bsds / name / 'o'}")


@pytest.mark.parametrize(
    ("protocol", "setting", "words"),
    [
        ("regions", "protocol.ignore=-1", "^protocol.ignore=-1: expected null, or a value from 0 to 65535"),
        ("boundaries", "protocol.truth=mask", "^protocol.truth=mask: expected one of auto, lines, labels"),
        ("boundaries", "protocol.ignore=-1", "^protocol.ignore=-1: expected null, or a value from 0 to 65535"),
        ("boundaries", "protocol.maps=hard", "^protocol.maps=hard: expected one of auto, soft, binary, labels"),
        ("boundaries", "protocol.max_distance=4.3", r"^protocol.max_distance=4.3: expected a number in \(0, 1\)"),
        ("boundaries", "protocol.thresholds=0", "^protocol.thresholds=0: expected a whole number from 1 to 254"),
        ("boundaries", "columns=[covering_ods]", "columns=covering_ods: no such metric"),
        ("regions", "pred=text", r"has no image and no MATLAB file \(.*\.mat\)"),
    ],
)
def test_mistakes_are_named(bsds: Path, protocol: str, setting: str, words: str) -> None:
    (bsds / "text").mkdir()
    (bsds / "text" / "a.txt").write_text("")
    pred = "text" if setting == "pred=text" else "scales/k7" if protocol == "regions" else "binary"
    with pytest.raises(ValueError, match=words):
        scored(bsds, protocol, pred, *([] if setting == "pred=text" else [setting]))


def test_annotations_need_a_protocol_that_reads_them(bsds: Path) -> None:
    pred, gt = f"pred={bsds / 'soft'}", f"gt={bsds / 'gt'}"
    with pytest.raises(ValueError, match=r"has no image .* for MATLAB files of BSDS: protocol=bsds_regions"):
        score(compose("score", [pred, gt, f"runtime.outputs={bsds / 'out'}"]))
