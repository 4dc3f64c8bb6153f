"""The score command with the BSDS benchmark: label maps, boundary maps, several scales, real annotations."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from bsds_support import SIZE, STEMS, annotators, metrics, rows, save, scored, write_bsds
from PIL import Image
from scipy.io import savemat
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching
from scipy.spatial import cKDTree

from seglab.metrics.boundaries import boundary_counts, segment_boundaries, thin, truth_boundaries


@pytest.fixture
def bsds(tmp_path: Path) -> Path:
    return write_bsds(tmp_path)


def table_of(labels: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Pixels in both, region by true region; -1 ignored."""
    kept = truth >= 0
    a, b = (np.unique(m[kept], return_inverse=True)[1] for m in (labels, truth))
    table = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(table, (a.ravel(), b.ravel()), 1)
    return table


def direct(labels: np.ndarray, truths: Sequence[np.ndarray]) -> tuple[float, float, float, float]:
    """Covered pixels, pixels, Rand index and variation of information by the formulas in docs/metrics.md."""
    cover = area = 0.0
    rand, voi = [], []
    for truth in truths:
        table = table_of(labels, truth)
        n, rows_of, columns_of = table.sum(), table.sum(1), table.sum(0)
        iou = table / (rows_of[:, None] + columns_of - table)
        cover, area = cover + (columns_of * iou.max(0)).sum(), area + n
        pairs = (rows_of**2).sum() / 2 + (columns_of**2).sum() / 2 - (table**2).sum()
        rand.append(1 - pairs / (n * (n - 1) / 2))
        h = [-(p[p > 0] / n * np.log2(p[p > 0] / n)).sum() for p in (rows_of, columns_of, table.ravel())]
        voi.append(2 * h[2] - h[0] - h[1])
    return cover, area, float(np.mean(rand)), float(np.mean(voi))


def test_regions_at_one_and_several_scales(bsds: Path) -> None:
    folder = scored(bsds, "regions", "scales,segs,scales/k7", "names=[scales,segs,one]")
    values = np.array(
        [
            [
                direct(np.asarray(Image.open(bsds / "scales" / k / f"{s}.png")), annotators(bsds / "gt" / f"{s}.mat"))
                for k in ("k3", "k7", "k20")
            ]
            for s in STEMS
        ]
    )
    cover, area, pri, voi = values.transpose(2, 0, 1)
    got = metrics(folder)
    assert got["scales"] == got["segs"], "folders in the order of their numbers are the cells of segs"
    want = {
        "covering_ods": (cover.sum(0) / area.sum(0)).max(),
        "covering_ois": cover.max(1).sum() / area[:, 0].sum(),
        "pri_ods": pri.mean(0).max(),
        "pri_ois": pri.max(1).mean(),
        "voi_ods": voi.mean(0).min(),
        "voi_ois": voi.min(1).mean(),
        "covering_scale_ods": 1 + (cover.sum(0) / area.sum(0)).argmax(),
        "pri_scale_ods": 1 + pri.mean(0).argmax(),
        "voi_scale_ods": 1 + voi.mean(0).argmin(),
        "covering_image_mean": (cover / area).mean(0)[(cover.sum(0) / area.sum(0)).argmax()],
    }
    assert {k: got["scales"][k] for k in want} == pytest.approx(want, abs=1e-12)
    assert got["scales"]["covering_best"] > got["scales"]["covering_ois"] > got["scales"]["covering_ods"]
    assert got["one"]["covering_ods"] == got["one"]["covering_ois"] == got["one"]["covering_best"]
    for i, row in enumerate(rows(folder / "scales.csv")):
        assert float(row["covering"]) == pytest.approx((cover[i] / area[i]).max(), abs=1e-12)
        assert float(row["voi"]) == pytest.approx(voi[i].min(), abs=1e-12)
        assert int(float(row["voi_scale"])) == 1 + voi[i].argmin()
    curve = rows(folder / "scales-curves.csv")
    assert [float(row["pri"]) for row in curve] == pytest.approx(pri.mean(0), abs=1e-12)
    assert [float(row["scale"]) for row in curve] == [1, 2, 3]
    text = (folder / "table.md").read_text()
    assert "- scales: label maps of 3 scales: k3, k7, k20" in text
    assert "- one: label maps of 1 scale\n" in text


def test_soft_and_binary_boundaries(bsds: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    folder = scored(bsds, "boundaries", "soft,binary")
    assert "soft: soft maps of 99 thresholds" in caplog.text
    counts = []
    for stem in STEMS:
        soft = np.asarray(Image.open(bsds / "soft" / f"{stem}.png")).astype(int)
        maps = np.stack([100 * soft >= 255 * k for k in range(1, 100)])
        truth = np.stack([thin(segment_boundaries(s)) for s in annotators(bsds / "gt" / f"{stem}.mat")])
        counts.append(np.stack(boundary_counts(maps, truth), 1))
    hit_r, true, hit_p, found = np.array(counts, float).transpose(2, 0, 1)

    def f_of(*c: np.ndarray) -> np.ndarray:
        r, p = c[0] / np.maximum(c[1], 1), c[2] / np.maximum(c[3], 1)
        return 2 * p * r / np.maximum(p + r, 1e-300)

    got = metrics(folder)
    best = f_of(hit_r, true, hit_p, found).argmax(1)
    sums = [c[np.arange(len(STEMS)), best].sum() for c in (hit_r, true, hit_p, found)]
    assert got["soft"]["boundary_f_ois"] == pytest.approx(float(f_of(*sums)), abs=1e-12)
    assert got["soft"]["boundary_recall_ois"] == pytest.approx(sums[0] / sums[1], abs=1e-12)
    assert got["soft"]["boundary_precision_ois"] == pytest.approx(sums[2] / sums[3], abs=1e-12)
    assert got["soft"]["boundary_precision_ois"] != pytest.approx(got["soft"]["boundary_recall_ois"], abs=1e-3)
    curve = f_of(hit_r.sum(0), true.sum(0), hit_p.sum(0), found.sum(0))
    assert [float(row["f"]) for row in rows(folder / "soft-curves.csv")] == pytest.approx(curve, abs=1e-12)
    # Between two thresholds the benchmark draws a line, so the best F is that of a threshold or a little more.
    assert curve.max() <= got["soft"]["boundary_f_ods"] < curve.max() + 0.01
    assert abs(got["soft"]["threshold_ods"] - (1 + curve.argmax()) / 100) < 0.02
    assert [float(row["threshold"]) for row in rows(folder / "soft.csv")] == pytest.approx((best + 1) / 100)
    assert got["binary"]["boundary_f_ods"] == got["binary"]["boundary_f_ois"] > 0.5
    assert (got["binary"]["boundary_ap"], got["soft"]["boundary_ap"] > 0.3) == (None, True)
    assert {"ap", "scale_ods"}.isdisjoint(got["soft"]), "ap is the class-agnostic one of a run alone"
    assert {"threshold_ods", "scale_ods"}.isdisjoint(got["binary"])
    assert {row["scale"] for name in ("soft", "binary") for row in rows(folder / f"{name}.csv")} == {""}
    head = "F ODS ↑, threshold ODS, F OIS ↑, boundary AP ↑, P ODS ↑, R ODS ↑"
    assert re.sub(r" *\| *", ", ", (folder / "table.md").read_text().splitlines()[2])[10:-2] == head
    assert {"pr.png", "f.svg", "binary-curves.csv"} <= {p.name for p in folder.iterdir()}


def test_sixteen_bits_are_cut_where_eight_are(bsds: Path) -> None:
    (bsds / "wide").mkdir()
    for path in (bsds / "soft").iterdir():
        Image.fromarray(np.asarray(Image.open(path)).astype(np.uint16) * np.uint16(257)).save(bsds / "wide" / path.name)
    wide, soft = metrics(scored(bsds, "boundaries", "wide,soft", "curves=false")).values()
    assert wide == soft


def test_boundaries_of_label_maps(bsds: Path) -> None:
    """With labels of the truth itself, an annotator's lines are found whole."""
    (bsds / "same").mkdir()
    for stem in STEMS:
        labels = annotators(bsds / "gt" / f"{stem}.mat")[0]
        Image.fromarray(labels.astype(np.uint8)).save(bsds / "same" / f"{stem}.png")
    folder = scored(bsds, "boundaries", "same,scales,segs", "protocol.maps=labels")
    got = metrics(folder)
    assert got["same"]["boundary_precision"] == 1
    assert got["scales"] == got["segs"]
    assert [row["scale"] for row in rows(folder / "segs-curves.csv")] == ["1.0", "2.0", "3.0"]
    assert 1 <= got["segs"]["scale_ods"] <= 3
    assert "| scale ODS |" in (folder / "table.md").read_text()
    assert {row["scale"] for row in rows(folder / "segs.csv")} <= {"1.0", "2.0", "3.0"}
    assert {row["threshold"] for row in rows(folder / "segs.csv")} == {""}
    assert not (folder / "f.png").exists(), "scales are no thresholds"
    auto = metrics(scored(bsds, "boundaries", "segs,scales", f"runtime.outputs={bsds / 'o2'}"))
    assert auto["segs"] == auto["scales"] == got["segs"], "several scales are label maps"


def test_contour_maps_of_double_size(bsds: Path) -> None:
    """Cut at a threshold, an ultrametric contour map is a segmentation; its boundaries are graded."""
    for name in ("ucm", "cut/a", "cut/b"):
        (bsds / name).mkdir(parents=True)
    for stem in STEMS:
        fine, coarse = annotators(bsds / "gt" / f"{stem}.mat")[2], annotators(bsds / "gt" / f"{stem}.mat")[0]
        fine = 10 * fine + coarse
        ucm2 = np.zeros((2 * SIZE[0] + 1, 2 * SIZE[1] + 1))
        for labels, height in ((fine, 0.3), (coarse, 0.8)):
            ucm2[1:-1:2, 2:-1:2][labels[:, 1:] != labels[:, :-1]] = height
            ucm2[2:-1:2, 1:-1:2][labels[1:] != labels[:-1]] = height
        joints = [ucm2[1:-2:2, 2:-1:2], ucm2[3::2, 2:-1:2], ucm2[2:-1:2, 1:-2:2], ucm2[2:-1:2, 3::2]]
        ucm2[2:-1:2, 2:-1:2] = np.max(joints, 0)
        ucm2 = np.pad(ucm2[1:-1, 1:-1], 1, mode="edge")  # contours reach the frame
        savemat(bsds / "ucm" / f"{stem}.mat", {"ucm2": ucm2})
        Image.fromarray(fine.astype(np.uint8)).save(bsds / "cut" / "a" / f"{stem}.png")
        Image.fromarray(coarse.astype(np.uint8)).save(bsds / "cut" / "b" / f"{stem}.png")
    folder = scored(bsds, "regions", "ucm")
    assert "- ucm: contour maps (ucm2) of 99 scales" in (folder / "table.md").read_text()
    curve = [float(row["covering"]) for row in rows(folder / "ucm-curves.csv")]
    assert len(set(curve)) == 3
    assert curve[28] > curve[90]
    cut = rows(scored(bsds, "regions", "cut", f"runtime.outputs={bsds / 'o2'}") / "cut-curves.csv")
    assert [curve[10], curve[50]] == pytest.approx([float(row["covering"]) for row in cut], abs=0.03), "pieces apart"
    soft = metrics(scored(bsds, "boundaries", "ucm"))["ucm"]
    assert soft["boundary_f_ods"] > 0.6
    savemat(bsds / "ucm" / "im0.mat", {"ucm2": np.zeros((10, 9))})
    savemat(bsds / "ucm" / "im1.mat", {"ucm2": np.full((73, 95), 7.0)})
    for protocol in ("regions", "boundaries"):
        with pytest.raises(ValueError, match=r"shape \(10, 9\), not of double size(.|\n)*from 7.0 to 7.0"):
            scored(bsds, protocol, "ucm")


def test_truth_as_images(bsds: Path) -> None:
    """Label images are one annotator; 255 beside small labels is void or said to be a label; lines are two values."""
    for folder in ("labels", "lines", "drawn"):
        (bsds / folder).mkdir()
    for stem in STEMS:
        labels = annotators(bsds / "gt" / f"{stem}.mat")[1].astype(np.uint8)
        lines = thin(segment_boundaries(labels))
        labels[:5] = 255
        Image.fromarray(labels).save(bsds / "labels" / f"{stem}.png")
        Image.fromarray(lines).save(bsds / "lines" / f"{stem}.png")
        Image.fromarray(255 * lines.astype(np.uint8)).save(bsds / "drawn" / f"{stem}.png")
    outputs = [f"runtime.outputs={bsds / str(i)}" for i in range(3)]
    gt = f"gt={bsds / 'labels'}"
    for protocol, pred in (("regions", "scales/k7"), ("boundaries", "binary")):
        with pytest.raises(
            ValueError, match=r"10 x truth whose largest label, 255.*protocol.ignore=255.*\n.*up to 5, a"
        ):
            scored(bsds, protocol, pred, gt)
    whole = metrics(scored(bsds, "regions", "scales/k7", gt, outputs[0], "reading=grey"))["k7"]
    part = metrics(scored(bsds, "regions", "scales/k7", gt, outputs[1], "protocol.ignore=255"))["k7"]
    want = [[], []]
    for stem in STEMS:
        found, true = (np.asarray(Image.open(bsds / d / f"{stem}.png")).astype(int) for d in ("scales/k7", "labels"))
        want[0].append(direct(found, [true]))
        want[1].append(direct(found, [np.where(true == 255, -1, true)]))
    for got, values in zip((whole, part), np.array(want), strict=True):
        assert got["covering_ods"] == pytest.approx(values[:, 0].sum() / values[:, 1].sum(), abs=1e-12)
        assert got["voi_ods"] == pytest.approx(values[:, 3].mean(), abs=1e-12)
    lines = metrics(scored(bsds, "boundaries", "lines,binary", f"gt={bsds / 'gt'}", outputs[2]))
    assert lines["lines"]["boundary_precision"] == 1
    with pytest.raises(ValueError, match=r"10 x image of boundaries with other values than 0 and one more"):
        scored(bsds, "boundaries", "binary", gt, "protocol.truth=lines")
    again = metrics(scored(bsds, "boundaries", "lines,binary", f"gt={bsds / 'drawn'}", f"runtime.outputs={bsds / '4'}"))
    assert again["lines"]["boundary_f_ods"] == 1
    part = metrics(scored(bsds, "boundaries", "binary", gt, "protocol.ignore=255"))["binary"]
    hits = np.zeros(4, np.int64)
    for stem in STEMS:
        true, found = (np.asarray(Image.open(bsds / d / f"{stem}.png")) for d in ("labels", "binary"))
        lines = truth_boundaries(np.where(true == 255, -1, true.astype(int))[None])
        hits += np.ravel(boundary_counts((found & (true != 255))[None], lines))
    assert part["boundary_recall"] == hits[0] / hits[1]
    assert part["boundary_precision"] == hits[2] / hits[3]


def test_the_number_of_processes_changes_no_byte(bsds: Path) -> None:
    for protocol, pred in (("regions", "scales,segs"), ("boundaries", "soft,binary")):
        folders = [
            scored(bsds, protocol, pred, f"runtime.workers={n}", f"runtime.outputs={bsds / str(n)}", "curves=false")
            for n in (0, 2)
        ]
        names = sorted(p.name for p in folders[0].iterdir())
        assert [(folders[0] / n).read_bytes() for n in names] == [(folders[1] / n).read_bytes() for n in names]


def test_command_prints_what_was_read(bsds: Path, command: Callable) -> None:
    done = command("score", "pred=scales", "gt=gt", "set=toy", "protocol=bsds_regions", "runtime.workers=1")
    assert done.returncode == 0, done.stderr
    assert "covering ODS ↑" in done.stdout
    assert "VOI ODS ↓" in done.stdout
    assert "scales: label maps of 3 scales: k3, k7, k20" in done.stderr


def matched(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Which found pixels get a partner, by SciPy's matching."""
    here, there = np.argwhere(found), np.argwhere(truth)
    if not len(here) or not len(there):
        return np.zeros(len(here), bool)
    near = cKDTree(here).query_ball_tree(cKDTree(there), 0.0075 * np.hypot(*found.shape) + 1e-9)
    ends = np.cumsum([0, *map(len, near)])
    graph = csr_matrix((np.ones(ends[-1]), np.concatenate(near).astype(int), ends), (len(here), len(there)))
    return maximum_bipartite_matching(graph, perm_type="column") >= 0


def test_trivial_maps_of_real_photographs(data_root: Path, tmp_path: Path) -> None:
    """One region, and 20 of SLIC, of the first ten photos of BSDS val, against a computation of its own."""
    from scipy.io import loadmat
    from skimage.morphology import thin as thin_of_skimage
    from skimage.segmentation import slic

    root = data_root / "BSDS500" / "data"
    photos = sorted((root / "images" / "val").glob("*.jpg"))[:10]
    for name in ("gt", "one", "slic"):
        (tmp_path / name).mkdir()
    values, counts = {"one": [], "slic": []}, []
    for photo in photos:
        stem, image = photo.stem, np.asarray(Image.open(photo))
        (tmp_path / "gt" / f"{stem}.mat").symlink_to(root / "groundTruth" / "val" / f"{stem}.mat")
        maps = {"one": np.zeros(image.shape[:2], int), "slic": slic(image, n_segments=20, compactness=10)}
        entries = loadmat(tmp_path / "gt" / f"{stem}.mat")["groundTruth"].ravel()
        for name, labels in maps.items():
            save(tmp_path / name / f"{stem}.png", (3 * labels).astype(np.uint16))
            values[name].append(direct(labels, annotators(tmp_path / "gt" / f"{stem}.mat")))
        found = thin_of_skimage(segment_boundaries(maps["slic"]))
        truths = [entry["Boundaries"][0, 0] > 0 for entry in entries]
        hits = [matched(found, truth) for truth in truths]
        counts.append((sum(h.sum() for h in hits), sum(t.sum() for t in truths), np.any(hits, 0).sum(), found.sum()))
    got = metrics(scored(tmp_path, "regions", "one,slic"))
    for name, numbers in values.items():
        cover, area, pri, voi = np.array(numbers).T
        want = {"covering_ods": cover.sum() / area.sum(), "pri_ods": pri.mean(), "voi_ods": voi.mean()}
        assert {k: got[name][k] for k in want} == pytest.approx(want, abs=1e-11)
    assert got["one"]["covering_best"] == got["one"]["covering_ods"]
    got = metrics(scored(tmp_path, "boundaries", "one,slic", "protocol.maps=labels"))
    recall_hits, true, hits, found = np.sum(counts, 0).tolist()
    assert got["one"]["boundary_f_ods"] == 0
    assert got["slic"]["boundary_recall"] == recall_hits / true, "largest matchings have one number of pairs"
    # Which pixels a largest matching leaves single is not determined, so their union over annotators is not either.
    assert got["slic"]["boundary_precision"] == pytest.approx(hits / found, abs=0.005)
