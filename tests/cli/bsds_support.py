"""A small BSDS in files, the score command on it, and what it wrote: for tests of the benchmark's protocols."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import loadmat, savemat

from seglab.config import compose
from seglab.metrics.boundaries import segment_boundaries, thin
from seglab.score import score

SIZE = (36, 47)
STEMS = [f"im{i}" for i in range(10)]


def cells(arrays: Sequence[object]) -> np.ndarray:
    array = np.empty((1, len(arrays)), object)
    for i, one in enumerate(arrays):
        array[0, i] = one
    return array


def write_truth(path: Path, segments: Sequence[np.ndarray]) -> None:
    entries = [
        {"Segmentation": (s + 1).astype(np.uint16), "Boundaries": thin(segment_boundaries(s)).astype(np.uint8)}
        for s in segments
    ]
    savemat(path, {"groundTruth": cells(entries)}, do_compression=True)


def regions(rng: np.random.Generator, count: int) -> np.ndarray:
    """Pixels by the nearest of some places."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    places = rng.uniform((0, 0), SIZE, (count, 2))
    return np.argmin([(y - a) ** 2 + (x - b) ** 2 for a, b in places], 0)


def write_bsds(tmp_path: Path) -> Path:
    """Truth of three annotators; label maps at three scales as folders and as MATLAB files; soft and binary maps."""
    rng = np.random.default_rng(0)
    for name in ("gt", "scales/k3", "scales/k7", "scales/k20", "segs", "soft", "binary"):
        (tmp_path / name).mkdir(parents=True)
    for stem in STEMS:
        truth = [regions(rng, n) for n in (3, 5, 8)]
        write_truth(tmp_path / "gt" / f"{stem}.mat", truth)
        maps = [regions(rng, 3), np.roll(truth[1], 2, 1), np.where(rng.random(SIZE) < 0.01, 9, truth[2])]
        for folder, labels in zip(("k3", "k7", "k20"), maps, strict=True):
            Image.fromarray((13 * labels).astype(np.uint8)).save(tmp_path / "scales" / folder / f"{stem}.png")
        savemat(tmp_path / "segs" / f"{stem}.mat", {"segs": cells([m.astype(np.float64) + 1 for m in maps])})
        edge = np.mean([segment_boundaries(s) for s in truth], 0)
        soft = np.clip(0.7 * edge + 0.3 * rng.random(SIZE), 0, 1)
        Image.fromarray(np.round(255 * soft).astype(np.uint8)).save(tmp_path / "soft" / f"{stem}.png")
        Image.fromarray(segment_boundaries(truth[2])).save(tmp_path / "binary" / f"{stem}.png")
    return tmp_path


def scored(root: Path, protocol: str, pred: str, *settings: str) -> Path:
    folders = ",".join(str(root / name) for name in pred.split(","))
    gt = [] if any(s.startswith("gt=") for s in settings) else [f"gt={root / 'gt'}"]
    outputs = [] if any("outputs" in s for s in settings) else [f"runtime.outputs={root / 'out'}"]
    return score(
        compose("score", [f"pred=[{folders}]", f"protocol=bsds_{protocol}", "set=toy", *gt, *outputs, *settings])
    )


def metrics(folder: Path) -> dict[str, dict[str, float]]:
    return {n: m["metrics"] for n, m in json.loads((folder / "summary.json").read_text())["methods"].items()}


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def save(path: Path, array: np.ndarray) -> None:
    Image.fromarray(array).save(path)


def annotators(path: Path) -> list[np.ndarray]:
    entries = loadmat(path)["groundTruth"].ravel()
    return [entry["Segmentation"][0, 0].astype(int) for entry in entries]
