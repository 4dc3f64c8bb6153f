"""Saliency metrics of seglab and of PySODMetrics in one process and one thread, in turns, on generated maps in memory.

Grey maps give equal numbers; of float32 maps a few pixels change sides at a threshold, by the rounding of k/255.
OMP_NUM_THREADS=1 taskset -c 0 python scripts/bench_score.py --images 300 --repeat 5
"""

from __future__ import annotations

import argparse
import logging
import time
import warnings
from collections.abc import Callable, Mapping

import numpy as np
import py_sod_metrics
from scipy.ndimage import gaussian_filter

from seglab.metrics.curves import curve_metrics
from seglab.metrics.protocol import Protocol
from seglab.metrics.saliency import score_map

log = logging.getLogger("bench")
HEIGHT, WIDTH = 321, 481
PROTOCOL = Protocol(
    name="pysodmetrics",
    normalise="minmax",
    mae_normalise="minmax",
    adaptive="capped",
    mask_above=128,
    s_centroid="half_even",
)
Pair = tuple[np.ndarray, np.ndarray]


def generate(count: int, *, seed: int = 0) -> list[Pair]:
    """Smooth objects and maps that follow them: uint8 map and mask of 0 and 255, 481 x 321."""
    rng = np.random.default_rng(seed)
    pairs = []
    for _ in range(count):
        noise = gaussian_filter(rng.standard_normal((2, HEIGHT, WIDTH)), (0, 24, 24))
        noise /= noise.std((1, 2), keepdims=True)
        mask = noise[0] > rng.uniform(0.2, 1.4)
        logits = rng.uniform(3, 12) * (noise[0] - rng.uniform(0, 1.5)) + rng.uniform(0, 3) * noise[1]
        map_HW = np.round(rng.uniform(0.6, 1) * 255 / (1 + np.exp(-logits))).astype(np.uint8)
        pairs.append((map_HW, 255 * mask.astype(np.uint8)))
    return pairs


def theirs(pairs: list[Pair], *, weighted: bool) -> dict[str, float]:
    """PySODMetrics as its documentation says: one object a metric, ``step`` an image."""
    metrics = {
        "f": py_sod_metrics.Fmeasure(),
        "mae": py_sod_metrics.MAE(),
        "s": py_sod_metrics.Smeasure(),
        "e": py_sod_metrics.Emeasure(),
    }
    metrics |= {"w": py_sod_metrics.WeightedFmeasure()} if weighted else {}
    for map_HW, mask_HW in pairs:
        for metric in metrics.values():
            metric.step(pred=map_HW, gt=mask_HW)
    fm, em = metrics["f"].get_results()["fm"], metrics["e"].get_results()["em"]
    values = {
        "mae": metrics["mae"].get_results()["mae"],
        "s_measure": metrics["s"].get_results()["sm"],
        "fbeta_adaptive": fm["adp"],
        "fbeta_max_of_mean_f": fm["curve"].max(),
        "fbeta_mean_of_mean_f": fm["curve"].mean(),
        "e_measure_adaptive": em["adp"],
        "e_measure_max": em["curve"].max(),
        "e_measure_mean": em["curve"].mean(),
    }
    return values | ({"fbeta_weighted": metrics["w"].get_results()["wfm"]} if weighted else {})


def ours(pairs: list[Pair], *, weighted: bool) -> dict[str, float]:
    """The same numbers by seglab."""
    scores = [score_map(map_HW, mask_HW, PROTOCOL, weighted=weighted) for map_HW, mask_HW in pairs]
    mean_4K = np.sum([s.curves_4K for s in scores], axis=0) / len(scores)
    means = {name: float(np.mean([s.values[name] for s in scores])) for name in scores[0].values}
    return means | curve_metrics(mean_4K, beta2=PROTOCOL.beta2)


def compare(pairs: list[Pair], *, weighted: bool, as_float: bool, repeat: int) -> None:
    """Images a second of both in their best rounds, their ratio, and the largest difference of a number."""
    mine = [(m.astype(np.float32) / 255 if as_float else m, g) for m, g in pairs]
    theirs(pairs[:2], weighted=weighted)
    ours(mine[:2], weighted=weighted)
    best = {"theirs": np.inf, "ours": np.inf}
    for _ in range(repeat):
        values = {}
        for name, work, images in (("theirs", theirs, pairs), ("ours", ours, mine)):
            seconds, values[name] = timed(work, images, weighted)
            best[name] = min(best[name], seconds)
    what = f"F MAE S E{' weighted F' if weighted else ''}, {'float32' if as_float else 'uint8'} maps"
    log.info(
        "%-38s PySODMetrics %6.1f images/s   seglab %7.1f images/s   %5.1fx   largest difference %.1e",
        what,
        len(pairs) / best["theirs"],
        len(pairs) / best["ours"],
        best["theirs"] / best["ours"],
        max(abs(values["ours"][k] - v) for k, v in values["theirs"].items()),
    )


def timed(work: Callable[..., Mapping[str, float]], images: list[Pair], weighted: bool) -> tuple[float, Mapping]:
    start = time.perf_counter()
    values = work(images, weighted=weighted)
    return time.perf_counter() - start, values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--repeat", type=int, default=5)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    warnings.simplefilter("ignore")
    pairs = generate(args.images)
    for as_float in (False, True):
        for weighted in (False, True):
            compare(pairs, weighted=weighted, as_float=as_float, repeat=args.repeat)


if __name__ == "__main__":
    main()
