"""Saliency metrics against numbers and programs of others."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image
from scipy.ndimage import gaussian_filter

from seglab.metrics.protocol import Protocol
from seglab.metrics.s_measure import centroid_cut
from seglab.metrics.saliency import score_map
from seglab.metrics.saliency_metrics import SaliencyMetrics

PRESETS = Path(__file__).resolve().parents[2] / "conf" / "eval" / "protocol"


def preset(name: str) -> Protocol:
    keys = OmegaConf.to_container(OmegaConf.load(PRESETS / f"{name}.yaml"))
    keys.pop("_target_")
    return Protocol(**keys)


def grey(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("L"))


def test_published_values_of_dss(data_root: Path) -> None:
    """The 60 maps of DSS on SOD reproduce what the Matlab toolbox printed, image by image and averaged."""
    expected = json.loads((data_root / "SOD-maps" / "DSS_expected.json").read_text())
    protocol = preset("sal_eval_toolbox")
    metric = SaliencyMetrics(protocol, weighted=False)
    for index, (stem, row) in enumerate(expected["images"].items()):
        map_HW = grey(data_root / "SOD-maps" / "DSS" / f"{stem}.png")
        mask_HW = protocol.binarise(grey(data_root / "SOD" / "masks" / f"{stem}.png"))
        metric.update_one(map_HW, mask_HW, index)
        got = metric.image_rows[-1][0, 1:].tolist()
        got = dict(zip(metric.names, got, strict=True))
        names = ("mae", "precision_adaptive", "recall_adaptive", "fbeta_adaptive_capped", "s_measure")
        want = [row["MAE_image"], *row["mean_Fmeasure_image"], row["S_measure_image"]]
        assert [got[n] for n in names] == pytest.approx(want, abs=1e-11, rel=0), stem
    assert len(metric.rows()) == expected["count"] == 60
    whole, subset = metric.compute(), expected["subset_from_published_rows"]
    names = (
        "mae",
        "precision_adaptive",
        "recall_adaptive",
        "fbeta_adaptive_capped",
        "s_measure",
        "fbeta_max_of_mean_pr",
    )
    want = [subset["MAE"], *subset["mean_Fmeasure"], subset["S_measure"], subset["MaxFmeasure"]]
    assert [whole[n] for n in names] == pytest.approx(want, abs=1e-11, rel=0)


def cases() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Grey maps that do not span 0..255, or not smoothly, on ordinary and extreme masks."""
    rng = np.random.default_rng(11)
    made = {}
    for i in range(40):
        shape = tuple(int(n) for n in rng.integers(8, 70, 2))
        noise = gaussian_filter(rng.random((2, *shape)), (0, *rng.uniform(0.5, 5, 2)))
        noise = (noise - noise.min((1, 2), keepdims=True)) / np.ptp(noise, axis=(1, 2), keepdims=True)
        low, high = sorted(rng.choice(256, 2, replace=False))
        made[f"smooth{i}"] = (
            np.round(low + (high - low) * noise[0]).astype(np.uint8),
            noise[1] > rng.uniform(0.1, 0.9),
        )
    s, g = made["smooth0"]
    one, corner = np.zeros(g.shape, bool), np.zeros(g.shape, bool)
    one[2, 3] = corner[0, 0] = True
    masks = {"some": g, "one": one, "corner": corner, "hole": ~one, "empty": one & ~one, "full": one | ~one}
    maps = {"smooth": s, "zero": 0 * s, "white": 0 * s + 255, "binary": 255 * (s > s.mean()), "mask": 255 * g}
    for map_name, map_HW in maps.items():
        for mask_name, mask_HW in masks.items():
            made[f"{map_name} on {mask_name}"] = map_HW.astype(np.uint8), mask_HW
    return made


CASES = cases()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
def test_pysodmetrics_agrees(name: str) -> None:
    other = pytest.importorskip("py_sod_metrics", reason="PySODMetrics is not installed")
    map_HW, object_HW = CASES[name]
    mask_HW = (255 * object_HW).astype(np.uint8)
    f, mae, s, e, weighted = other.Fmeasure(), other.MAE(), other.Smeasure(), other.Emeasure(), other.WeightedFmeasure()
    for theirs in (f, mae, s, e, weighted):
        theirs.step(map_HW, mask_HW)
    want = {
        "fbeta_adaptive_capped": f.get_results()["fm"]["adp"],
        "mae": mae.get_results()["mae"],
        "s_measure": s.get_results()["sm"],
        "e_measure_adaptive": e.get_results()["em"]["adp"],
        "fbeta_weighted": weighted.get_results()["wfm"],
    }
    score = score_map(map_HW, mask_HW, preset("pysodmetrics"))
    if np.isnan(want["s_measure"]):  # the centroid lies on the last row or column: two quarters have no pixels
        assert (np.array(centroid_cut(object_HW, rounding="half_even")) == object_HW.shape).any()
        assert 0 <= score.values["s_measure"] <= 1
        del want["s_measure"]
    assert {n: score.values[n] for n in want} == pytest.approx(want, abs=1e-10, rel=0, nan_ok=False)
    curves = [f.get_results()["pr"]["p"], f.get_results()["pr"]["r"], f.get_results()["fm"]["curve"]]
    curves.append(e.get_results()["em"]["curve"])
    for ours, theirs in zip(score.curves_4K, curves, strict=True):
        np.testing.assert_allclose(ours[::-1], theirs, atol=1e-12)  # they run from the highest threshold down


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("level", [0.25, 0.5, 0.625])
def test_pysodmetrics_agrees_on_constant_maps(level: float) -> None:
    """Levels that are exact in binary: elsewhere the other program's S-measure turns on the last bit of its mean."""
    other = pytest.importorskip("py_sod_metrics", reason="PySODMetrics is not installed")
    mask_HW = CASES["smooth0"][1]
    map_HW = np.full(mask_HW.shape, level)
    theirs = (other.MAE(), other.Smeasure(), other.WeightedFmeasure(), other.Fmeasure())
    for metric in theirs:
        metric.step(map_HW, mask_HW, normalize=False)
    results = [m.get_results() for m in theirs]
    want = [results[0]["mae"], results[1]["sm"], results[2]["wfm"], results[3]["fm"]["adp"]]
    got = score_map(map_HW, mask_HW, preset("pysodmetrics")).values
    names = ("mae", "s_measure", "fbeta_weighted", "fbeta_adaptive_capped")
    assert [got[n] for n in names] == pytest.approx(want, abs=1e-10, rel=0)


@pytest.mark.filterwarnings("ignore")
def test_pysodmetrics_agrees_on_a_set() -> None:
    other = pytest.importorskip("py_sod_metrics", reason="PySODMetrics is not installed")
    f, e, metric = other.Fmeasure(), other.Emeasure(), SaliencyMetrics(preset("pysodmetrics"))
    for index, name in enumerate(n for n in CASES if n.startswith("smooth")):
        map_HW, mask_HW = CASES[name]
        for theirs in (f, e):
            theirs.step(map_HW, (255 * mask_HW).astype(np.uint8))
        metric.update_one(map_HW, mask_HW, index)
    fm, em, got = f.get_results()["fm"], e.get_results()["em"], metric.compute()
    want = {
        "fbeta_adaptive_capped": fm["adp"],
        "fbeta_max_of_mean_f": fm["curve"].max(),
        "fbeta_mean_of_mean_f": fm["curve"].mean(),
        "e_measure_adaptive": em["adp"],
        "e_measure_max": em["curve"].max(),
        "e_measure_mean": em["curve"].mean(),
    }
    assert {n: got[n] for n in want} == pytest.approx(want, abs=1e-10, rel=0)
