"""Saliency metrics of seglab and of PySODMetrics side by side, on one thread, in turns; images are read beforehand.

python scripts/bench_metrics.py --data <folder with SOD/ and SOD-maps/> --repeat 5
"""

from __future__ import annotations

import argparse
import logging
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import py_sod_metrics
from PIL import Image

from seglab.metrics.protocol import Protocol
from seglab.metrics.saliency import score_map

log = logging.getLogger("bench")
Pair = tuple[np.ndarray, np.ndarray]


def read(data: Path) -> list[Pair]:
    stems = sorted(p.stem for p in (data / "SOD-maps" / "DSS").glob("*.png"))
    folders = data / "SOD-maps" / "DSS", data / "SOD" / "masks"
    return [tuple(np.asarray(Image.open(f / f"{s}.png").convert("L")) for f in folders) for s in stems]


def seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compare(pairs: list[Pair], *, weighted: bool, as_float: bool, repeat: int) -> None:
    """Median images a second of both, and the median of the ratios of neighbouring rounds."""
    protocol = Protocol(
        name="pysodmetrics",
        normalise="minmax",
        mae_normalise="minmax",
        adaptive="capped",
        mask_above=128,
    )
    mine = [(m.astype(np.float32) / 255 if as_float else m, g) for m, g in pairs]
    kinds = [py_sod_metrics.Fmeasure, py_sod_metrics.MAE, py_sod_metrics.Smeasure, py_sod_metrics.Emeasure]
    kinds += [py_sod_metrics.WeightedFmeasure] if weighted else []

    def ours() -> None:
        for m, g in mine:
            score_map(m, g, protocol, weighted=weighted)

    def theirs() -> None:
        states = [kind() for kind in kinds]
        for m, g in pairs:
            for state in states:
                state.step(m, g)

    ours()
    rounds = [(seconds(theirs), seconds(ours)) for _ in range(repeat)]
    a, b = (len(pairs) / statistics.median(column) for column in zip(*rounds, strict=True))
    ratio = statistics.median(t / o for t, o in rounds)
    name = "F MAE S E" + (" weighted F" if weighted else "") + (", float32 maps" if as_float else ", uint8 maps")
    log.info("%-38s PySODMetrics %6.0f images/s   seglab %6.0f images/s   %.1fx", name, a, b, ratio)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--repeat", type=int, default=5)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    warnings.simplefilter("ignore")
    pairs = read(args.data)
    for as_float in (False, True):
        for weighted in (True, False):
            compare(pairs, weighted=weighted, as_float=as_float, repeat=args.repeat)


if __name__ == "__main__":
    main()
