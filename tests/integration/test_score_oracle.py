"""The score command's numbers against published ones and against PySODMetrics."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image
from scipy.ndimage import gaussian_filter

from seglab.config import compose, conf_dir
from seglab.metrics.protocol import Protocol
from seglab.metrics.saliency import score_map
from seglab.score import score
from seglab.targets import instantiate


@pytest.mark.parametrize("option", [p.stem for p in sorted((conf_dir() / "protocol").glob("*.yaml"))])
def test_protocols_of_both_commands_are_the_same(option: str) -> None:
    """A protocol of the same name means the same in ``score`` and in ``evaluate``; cas_paper is cas."""
    cfg = compose("score", ["pred=a", "gt=b", f"protocol={option}"])
    assert cfg.protocol.name == option
    assert cfg.columns
    other = conf_dir() / "eval" / "protocol" / f"{'cas' if option == 'cas_paper' else option}.yaml"
    if other.is_file():
        theirs = OmegaConf.to_container(OmegaConf.load(other))
        ours = OmegaConf.to_container(cfg.protocol)
        assert {**ours, "name": None} == {**theirs, "name": None}


def test_published_values_of_dss(data_root: Path, tmp_path: Path) -> None:
    """The 60 maps of DSS on SOD: MAE, S, precision, recall and F of the Matlab toolbox, image by image and averaged."""
    pred, gt = data_root / "SOD-maps" / "DSS", data_root / "SOD" / "masks"
    settings = [f"pred={pred}", f"gt={gt}", "missing=skip", "weighted=false", "curves=false"]
    folder = score(compose("score", [*settings, "protocol=sal_eval_toolbox", f"runtime.outputs={tmp_path}"]))
    expected = json.loads((data_root / "SOD-maps" / "DSS_expected.json").read_text())
    with open(folder / "DSS.csv", newline="") as file:
        rows = {row.pop("id"): row for row in csv.DictReader(file)}
    assert list(rows) == sorted(expected["images"])
    names = ("mae", "s_measure", "precision_adaptive", "recall_adaptive", "fbeta_adaptive")
    for stem, row in expected["images"].items():
        want = [row["MAE_image"], row["S_measure_image"], *row["mean_Fmeasure_image"]]
        assert [float(rows[stem][n]) for n in names] == pytest.approx(want, abs=1e-11, rel=0), stem
        assert [float(rows[stem][n]) for n in names[2:]] == pytest.approx(want[2:], abs=1e-15, rel=0), stem
    subset = expected["subset_from_published_rows"]
    want = [subset["MAE"], subset["S_measure"], *subset["mean_Fmeasure"], subset["MaxFmeasure"]]
    got = json.loads((folder / "summary.json").read_text())["methods"]["DSS"]
    assert got["images"] == expected["count"]
    assert [got["metrics"][n] for n in (*names, "fbeta_max_of_mean_pr")] == pytest.approx(want, abs=1e-11, rel=0)


@pytest.mark.filterwarnings("ignore")
def test_pysodmetrics_agrees_on_files(tmp_path: Path) -> None:
    """Maps that do not reach 0 or 255, a constant one, an empty and a full mask, written as PNG and scored."""
    other = pytest.importorskip("py_sod_metrics", reason="PySODMetrics is not installed")
    rng = np.random.default_rng(4)
    metrics = [other.Fmeasure(), other.MAE(), other.Smeasure(), other.Emeasure(), other.WeightedFmeasure()]
    for name in ("maps", "masks"):
        (tmp_path / name).mkdir()
    for i in range(12):
        noise = gaussian_filter(rng.random((2, 61, 83)), (0, 4, 4))
        noise = (noise - noise.min((1, 2), keepdims=True)) / np.ptp(noise, axis=(1, 2), keepdims=True)
        low, high = sorted(rng.choice(256, 2, replace=False))
        map_HW = np.round(low + (high - low) * noise[0]).astype(np.uint8)
        mask_HW = (255 * (noise[1] > rng.uniform(0.2, 0.8))).astype(np.uint8)
        if i < 3:
            map_HW, mask_HW = [(map_HW * 0 + 64, mask_HW), (map_HW, mask_HW * 0), (map_HW, mask_HW * 0 + 255)][i]
        Image.fromarray(map_HW).save(tmp_path / "maps" / f"{i}.png")
        Image.fromarray(mask_HW).save(tmp_path / "masks" / f"{i}.bmp")
        for metric in metrics:
            metric.step(pred=map_HW, gt=mask_HW)
    results = [metric.get_results() for metric in metrics]
    want = {
        "fbeta_adaptive": results[0]["fm"]["adp"],
        "fbeta_max_of_mean_f": results[0]["fm"]["curve"].max(),
        "fbeta_mean_of_mean_f": results[0]["fm"]["curve"].mean(),
        "mae": results[1]["mae"],
        "s_measure": results[2]["sm"],
        "e_measure_adaptive": results[3]["em"]["adp"],
        "e_measure_max": results[3]["em"]["curve"].max(),
        "e_measure_mean": results[3]["em"]["curve"].mean(),
        "fbeta_weighted": results[4]["wfm"],
    }
    settings = [f"pred={tmp_path / 'maps'}", f"gt={tmp_path / 'masks'}", "curves=false"]
    folder = score(compose("score", [*settings, f"runtime.outputs={tmp_path / 'out'}"]))
    got = json.loads((folder / "summary.json").read_text())["methods"]["maps"]["metrics"]
    assert {n: got[n] for n in want} == pytest.approx(want, abs=1e-6, rel=0)


def test_label_maps(data_root: Path, tmp_path: Path) -> None:
    """Street scenes against the same labels, shifted: pooled IoU of every class, as counted pixel by pixel."""
    source = data_root / "CamVid-mini"
    gt, pred = tmp_path / "gt", tmp_path / "shifted"
    gt.mkdir()
    pred.mkdir()
    truth, found = [], []
    for stem in (source / "ImageSets" / "Segmentation" / "val.txt").read_text().split():
        labels = Image.open(source / "SegmentationClass" / f"{stem}.png")
        labels.save(gt / f"{stem}.png")
        moved = np.roll(np.asarray(labels), 5, axis=1) % 11  # grey, void becomes a class
        Image.fromarray(moved).save(pred / f"{stem}.png")
        truth.append(np.asarray(labels))
        found.append(moved)

    def scored(*settings: str) -> Path:
        return score(compose("score", [*settings, f"runtime.outputs={tmp_path / 'out'}"]))

    with pytest.raises(ValueError, match=r"label map where(.|\n)*protocol=regularized_paper"):
        scored(f"pred={pred}", f"gt={gt}")
    protocol = "protocol=regularized_paper"
    with pytest.raises(ValueError, match=r"label outside the classes(.|\n)*\[5, 6"):
        scored(f"pred={pred}", f"gt={gt}", protocol, "protocol.classes=5")
    folder = scored(f"pred={pred}", f"gt={gt}", protocol, "protocol.classes=11", "runtime.workers=2")
    truth, found = np.stack(truth), np.stack(found)
    valid = truth != 255
    want = [((truth == k) & (found == k)).sum() / (((truth == k) | (found == k)) & valid).sum() for k in range(11)]
    got = json.loads((folder / "summary.json").read_text())["methods"]["shifted"]["metrics"]
    assert [got[f"iou_{k}"] for k in range(11)] == pytest.approx([100 * v for v in want])
    assert got["miou"] == pytest.approx(100 * np.mean(want))
    assert got["accuracy"] == pytest.approx(100 * (truth == found)[valid].mean())
    assert (folder / "shifted.csv").read_text().startswith("id,")
    assert "IoU 10" in (folder / "table.md").read_text()
    assert not (folder / "pr.png").exists()


@pytest.mark.filterwarnings("ignore")
def test_constant_map_follows_the_formula_where_pysodmetrics_does_not() -> None:
    """A constant map and an object of one pixel: the variance of every quarter is 0, which PySODMetrics rounds."""
    map_HW, mask_HW = np.full((6, 5), 28, np.uint8), np.zeros((6, 5), np.uint8)
    mask_HW[0, 0] = 255
    got = score_map(map_HW, mask_HW > 128, measure_protocol("pysodmetrics")).values["s_measure"]
    level, share = 28 / 255, 1 / 30
    inside, outside = 2 * level / (level**2 + 1), 2 * (1 - level) / ((1 - level) ** 2 + 1)
    objects = share * inside + (1 - share) * outside
    # The object's pixel is a quarter of its own, so map and mask are constant in every quarter: numerator and
    # denominator are 0, which counts as 1.
    assert got == pytest.approx(0.5 * objects + 0.5 * 1, abs=1e-12)
    assert got == pytest.approx(0.984, abs=5e-4)
    other = pytest.importorskip("py_sod_metrics", reason="PySODMetrics is not installed").Smeasure()
    other.step(pred=map_HW, gt=mask_HW)
    assert other.get_results()["sm"] == pytest.approx(0.567, abs=5e-4)


def measure_protocol(name: str) -> Protocol:
    return instantiate(compose("score", ["pred=a", "gt=b", f"protocol={name}"]).protocol)
