"""Train CE, CACE and CAS on SOD and PeopleSeg at four noise rates and three seeds, and print the table as Markdown.

SEGLAB_DATA=<folder of the data> python scripts/noise_on_real_photos.py --jobs 2 > table.md

Finished runs are not trained again; the table is made from the run folders.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import statistics
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from seglab.cli import setup_logging
from seglab.config import compose
from seglab.run import Run

SETS = ("sod", "people")
LOSSES = ("ce", "cace", "cas")
RATES = (0.0, 0.1, 0.3, 0.5)
SEEDS = (0, 1, 2)
SETTINGS = [
    "model=unet_small",
    "data.size=128",
    "schedule.epochs=30",
    "batch_size=16",
    "runtime.device=cpu",
    "runtime.threads=1",
    "runtime.precision=bf16",
    "runtime.progress=false",
    "eval.every=20",
    "tracker=none",
]
METRICS = {
    "fbeta_adaptive": "F-beta, 2 x mean",
    "mae": "MAE",
    "fbeta_max_of_mean_f": "max F-beta",
    "s_measure": "S-measure",
    "jaccard": "Jaccard at 0.5",
}


def overrides(data: str, loss: str, rate: float, seed: int) -> list[str]:
    return [*SETTINGS, f"data={data}", f"loss={loss}", f"noise.rate={rate}", f"seed={seed}"]


def train_one(arguments: list[str]) -> str:
    from seglab.train import train

    setup_logging()
    logging.getLogger().setLevel(logging.WARNING)
    return str(train(compose("train", arguments)))


def table(data: str) -> str:
    lines = [f"| loss | noise | {' | '.join(METRICS.values())} |", "|" + "---|" * (2 + len(METRICS))]
    for loss, rate in itertools.product(LOSSES, RATES):
        scores = [scores_of(data, loss, rate, seed) for seed in SEEDS]
        cells = [cell([s[name] for s in scores]) for name in METRICS]
        lines.append(f"| {loss.upper()} | {rate:g} | {' | '.join(cells)} |")
    return "\n".join(lines)


def scores_of(data: str, loss: str, rate: float, seed: int) -> dict[str, float]:
    run = Run.for_config(compose("train", overrides(data, loss, rate, seed)))
    return run.read_json(f"eval/{data}-cas.json")["metrics"]


def cell(values: list[float]) -> str:
    return f"{statistics.mean(values):.3f} ± {statistics.stdev(values):.3f}"


def draw(data: str) -> str:
    """The first seed's networks on six test images."""
    import torch

    from seglab.data.build import test_data
    from seglab.evaluate import trained_evaluator
    from seglab.samples import save_comparison

    cfg = compose("train", overrides(data, "cas", 0.0, 0))
    evaluators = {}
    for loss, rate in (("ce", 0.0), ("ce", 0.3), ("ce", 0.5), ("cace", 0.5), ("cas", 0.5)):
        one = compose("train", overrides(data, loss, rate, 0))
        evaluators[f"{loss.upper()} noise {rate:g}"] = trained_evaluator(Run.for_config(one), one, torch.device("cpu"))
    path = Path(cfg.runtime.outputs) / "figures" / f"noise-{data}.png"
    dataset = test_data(cfg, data)
    rows = range(0, len(dataset), len(dataset) // 6)[:6]
    return str(save_comparison(evaluators, dataset, path, rows=rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time, one CPU thread each")
    jobs = [overrides(*job) for job in itertools.product(SETS, LOSSES, RATES, SEEDS)]
    # Runs of one data set share a cache; the first one of each fills it.
    with ProcessPoolExecutor(parser.parse_args().jobs) as pool:
        for done, folder in enumerate(pool.map(train_one, sorted(jobs, key=lambda j: j[-1])), start=1):
            sys.stderr.write(f"{done}/{len(jobs)} {folder}\n")
    for data in SETS:
        sys.stdout.write(f"\n### {data}\n\n{table(data)}\n\n{draw(data)}\n")


if __name__ == "__main__":
    main()
