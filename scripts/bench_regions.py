"""Region metrics of seglab and of scikit-image with a plain covering, on photos of BSDS500 with all their annotators.

Both get the same SLIC segmentation at full size in memory, in turns, and the numbers are compared.
OMP_NUM_THREADS=1 taskset -c 0 python scripts/bench_regions.py --data $SEGLAB_DATA/BSDS500/data --images 20
"""

from __future__ import annotations

import argparse
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage.metrics import adapted_rand_error, variation_of_information
from skimage.segmentation import slic

from seglab.data.mat import read_bsds
from seglab.metrics.regions import region_scores, scores_of
from seglab.metrics.regions_torch import on_device

log = logging.getLogger("bench")
Pair = tuple[np.ndarray, np.ndarray]


def read(data: Path, *, images: int, segments: int) -> list[Pair]:
    """Labels [1, H, W] of SLIC and segments [A, H, W] of the annotators, of the first photos of val."""
    pairs = []
    for path in sorted((data / "images" / "val").glob("*.jpg"))[:images]:
        segments_AHW = read_bsds(data / "groundTruth" / "val" / f"{path.stem}.mat").segments_AHW
        photo_HW3 = np.asarray(Image.open(path))
        pairs.append((slic(photo_HW3, segments, start_label=0, channel_axis=-1)[None].astype(np.int64), segments_AHW))
    return pairs


def theirs(labels_THW: np.ndarray, segments_AHW: np.ndarray) -> tuple[float, float]:
    """Covering in pixels by the formula, variation of information and adapted Rand error by scikit-image."""
    cover, bits = 0.0, 0.0
    for true_HW in segments_AHW:
        bits += sum(variation_of_information(true_HW, labels_THW[0]))
        adapted_rand_error(true_HW + 1, labels_THW[0] + 1)
        found = [labels_THW[0] == u for u in np.unique(labels_THW[0])]
        for v in np.unique(true_HW):
            one_HW = true_HW == v
            cover += one_HW.sum() * max((one_HW & s).sum() / (one_HW | s).sum() for s in found)
    return cover, bits / len(segments_AHW)


def ours(labels_THW: np.ndarray, segments_AHW: np.ndarray) -> tuple[float, float]:
    """The same, and the probabilistic Rand index, by seglab."""
    scores = region_scores(labels_THW, segments_AHW)
    return float(scores.cover_T[0]), float(scores.voi_T[0])


def by_torch(device: str) -> Callable[[np.ndarray, np.ndarray], tuple[float, float]]:
    """The same counted by torch; the copies to the device are part of the time."""

    def score(labels_THW: np.ndarray, segments_AHW: np.ndarray) -> tuple[float, float]:
        to = torch.as_tensor
        scores = scores_of(on_device(to(labels_THW, device=device), to(segments_AHW, device=device)))
        return float(scores.cover_T[0]), float(scores.voi_T[0])

    return score


def timed(work: Callable[..., tuple[float, float]], pairs: list[Pair]) -> tuple[float, np.ndarray]:
    """Milliseconds a segmentation against all its annotators, and the numbers."""
    start = time.perf_counter()
    values = [work(*pair) for pair in pairs]
    return (time.perf_counter() - start) * 1000 / len(pairs), np.array(values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("SEGLAB_DATA", "data")) / "BSDS500/data")
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--segments", type=int, default=20)
    parser.add_argument("--repeat", type=int, default=3)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    pairs = read(args.data, images=args.images, segments=args.segments)
    if not pairs:
        raise SystemExit(f"{args.data}: no photo in images/val: expected the folder that holds images and groundTruth")
    works = {"scikit-image and plain covering": theirs, "seglab": ours, "seglab by torch, cpu": by_torch("cpu")}
    works |= {"seglab by torch, cuda": by_torch("cuda")} if torch.cuda.is_available() else {}
    best = dict.fromkeys(works, np.inf)
    values = {}
    ours(*pairs[0])
    for _ in range(args.repeat):
        for name, work in works.items():
            milliseconds, values[name] = timed(work, pairs)
            best[name] = min(best[name], milliseconds)
    first = next(iter(works))
    log.info("%d photos, %.2f annotators each", len(pairs), np.mean([len(s) for _, s in pairs]))
    for name, milliseconds in best.items():
        apart = np.abs(values[name] / values[first] - 1).max()
        ratio = best[first] / milliseconds
        log.info("%-32s %8.2f ms a segmentation %6.1fx  apart %.0e", name, milliseconds, ratio, apart)


if __name__ == "__main__":
    main()
