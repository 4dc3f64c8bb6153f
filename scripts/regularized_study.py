"""Train without masks, with the same network trained with masks beside it, and take the loss apart term by term.

    SEGLAB_DATA=<folder of the data> python scripts/regularized_study.py --jobs 2 > tables.md

Two data sets (shapes_single: drawn pictures; people: photographs), three seeds. Every case is the recipe with one
thing changed; what place alone reaches is told by the baselines below the cases (trivial_baselines.py). Finished runs
are not trained again; SIGTERM and Ctrl-C stop the trainings with their state saved, and the same command goes on.
Numbers of all finished runs go to docs/results/regularized-runs.csv, tables to stdout.

The recipe's constants (size, LAST, POSITION, width of centre and border) were chosen by trials scored on the same test
sets, one seed: the numbers are what the loss can do here, not an estimate for new data.
"""

from __future__ import annotations

import argparse
import csv
import io
import itertools
import json
import logging
import multiprocessing
import signal
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from functools import cache
from multiprocessing.process import BaseProcess
from pathlib import Path

from omegaconf import DictConfig
from trivial_baselines import METRICS, baselines

from seglab.atomic import write_atomic
from seglab.cli import Stopped, setup_logging
from seglab.config import compose
from seglab.run import Run, result_stem

SETS = ("shapes_single", "people")
SEEDS = (0, 1, 2)
SIZE = 64
"""Side of the pictures, pixels."""
SETTINGS = [
    "eval=object",
    "augment=flip",
    f"data.size={SIZE}",
    "val=0",
    "runtime.device=cpu",
    "runtime.threads=1",
    "runtime.precision=bf16",
    "runtime.progress=false",
    "eval.every=1000",
    "eval.samples=0",
    "tracker=none",
]
OF_SET = {
    "shapes_single": ["data.source.train=240", "model=unet_circular", "schedule.epochs=30", "batch_size=16"],
    "people": ["model=unet_small", "schedule.epochs=40", "batch_size=16"],
}
"""As many pictures in both sets, about. Where objects are told by their texture, a network that cannot know the place
is made to look at it; people are dressed in anything, and stand in the middle."""
GROW = "schedule.phases.grow.set"
RECIPES = {
    "shapes_single": ["loss.bilinear=0.3", "loss.volume_target=0.3", "loss.centre=6", "loss.border_width=3"],
    "people": ["loss.centre=12", "loss.border_width=6", f"{GROW}.sparse_crf.to=30"],
}
LAST = {"shapes_single": 3, "people": 30}
"""Last weight of the sparse CRF. The paper's 100 ends in maps without contrast where nothing was pretrained."""
MASKS = ["loss=ce", "eval/post=object", "schedule=constant"]
OURS, WITH, SCRATCH = "without masks", "with masks", "without masks, from scratch"
UNMASKED = ["loss=regularized", "schedule=grow"]
CASES: dict[str, list[str]] = {
    OURS: [],
    WITH: MASKS,
    SCRATCH: [],
    "with masks, from scratch": MASKS,
    "the start alone": [*MASKS, "schedule.epochs=0"],
    "without annealing of sigma": [f"{GROW}.sigma.from=0.15"],
    "sparse CRF at its last weight at once": ["at once"],
    "without sparse CRF": [
        *(f"{GROW}.sparse_crf.{end}" for end in ("from=0", "to=0", "curve=linear")),
        "loss.weights.sparse_crf=0",
    ],
    "without volume and small-size terms": ["loss.weights.volume=0", "loss.weights.small=0"],
    "without small-size term": ["loss.weights.small=0"],
    "without position": ["loss.weights.position=0"],
    "Eq. 3 as printed (loss.bilinear=0)": ["loss.bilinear=0"],
    "a network that knows the place": ["model=unet_small"],
    "a network that does not know the place": ["model=unet_circular"],
    "with negative images": ["loss=regularized_negative", "schedule.phases.grow.negatives=true"],
    "the paper's loss and schedule": ["loss=regularized", "schedule=anneal"],
}
"""What is trained, as changes of the recipe. On people it starts from a network of the same seed trained with masks on
shapes_single: masks of generated pictures, none of a photograph. On shapes_single everything is from scratch."""
FROM_SCRATCH = (SCRATCH, "with masks, from scratch", "a network that does not know the place")
ONLY = {
    "people": (SCRATCH, "with masks, from scratch", "the start alone", "a network that does not know the place"),
    "shapes_single": (
        "Eq. 3 as printed (loss.bilinear=0)",
        "a network that knows the place",
        "with negative images",
    ),
}
"""Cases that mean something on one of the sets only."""
COLUMNS = ("data", "case", "seed", *METRICS, "seconds", "run")
CSV = Path(__file__).resolve().parents[1] / "docs" / "results" / "regularized-runs.csv"
STOPPED = 75
"""Exit code of a study that a signal stopped."""

MASKED = (WITH, "with masks, from scratch", "the start alone")
"""Cases whose loss is cross-entropy."""
START = "start"
"""A network with masks on shapes_single, of the kind that is trained on people."""

Cell = tuple[str, str, int]


def config(data: str, case: str, seed: int, extra: tuple[str, ...]) -> DictConfig:
    """The composed config of one run; of two values for one key the later."""
    if case == START:
        own = [*OF_SET["shapes_single"], *OF_SET["people"], *MASKS, "schedule.epochs=15"]
    elif case in MASKED or CASES[case][:1] == ["loss=regularized"]:
        own = [*OF_SET[data], *CASES[case]]
    else:
        changes = [f"{GROW}.sparse_crf.from={LAST[data]}"] if CASES[case] == ["at once"] else CASES[case]
        own = [*OF_SET[data], *UNMASKED, *RECIPES[data], *changes]
    overrides = [*SETTINGS, f"data={data}", f"seed={seed}", *own]
    if (start := start_of(data, case, seed, extra)) is not None:
        overrides += ["init=run", f"init.run={start.path.name}"]
    return compose("train", list({o.partition("=")[0]: o for o in [*overrides, *extra]}.values()))


@cache
def start_of(data: str, case: str, seed: int, extra: tuple[str, ...]) -> Run | None:
    """The run that a run starts from; None = from scratch."""
    if data != "people" or case in FROM_SCRATCH:
        return None
    return Run.for_config(config("shapes_single", START, seed, extra))


def cells_of(sets: list[str], cases: list[str], seeds: Sequence[int] = SEEDS) -> list[Cell]:
    """The runs, a seed after the other; networks that others start from come first."""
    cells = [
        (data, case, seed)
        for seed, case, data in itertools.product(seeds, cases, sets)
        if not any(case in own for other, own in ONLY.items() if other != data)
    ]
    return [*(("shapes_single", START, seed) for seed in seeds if "people" in sets), *cells]


def train_one(cell: Cell, extra: tuple[str, ...]) -> None:
    """Train and score one run in a process of its own; a finished run is left as it is."""
    from seglab.train import train

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    setup_logging()
    logging.getLogger().setLevel(logging.WARNING)
    try:
        train(config(*cell, extra))
    except Stopped:
        sys.exit(STOPPED)


def train_all(cells: list[Cell], *, jobs: int, extra: tuple[str, ...]) -> None:
    """Train what is not trained, so many runs at a time; a signal stops them all, and the program."""
    context = multiprocessing.get_context("fork")
    waiting, running = list(cells), {}

    def stop(number: int, _: object) -> None:
        for process in running:
            process.terminate()
        for process in running:
            process.join()
        sys.stderr.write(f"stopped by {signal.Signals(number).name}; the same command goes on\n")
        sys.exit(STOPPED)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    while waiting or running:
        while waiting and len(running) < jobs and (not running or ready(waiting[0], extra)):
            process = context.Process(target=train_one, args=(waiting[0], extra))
            process.start()
            running[process] = waiting.pop(0)
        for process in [p for p in running if not p.is_alive()]:
            done(process, running.pop(process), left=len(waiting) + len(running))
        time.sleep(1)


def ready(cell: Cell, extra: tuple[str, ...]) -> bool:
    """Whether what a run starts from is finished."""
    start = start_of(*cell, extra)
    return start is None or start.done


def done(process: BaseProcess, cell: Cell, *, left: int) -> None:
    """Say how a run ended."""
    process.join()
    told = "done" if process.exitcode == 0 else f"FAILED with exit code {process.exitcode}"
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {cell}: {told}, {left} left\n")
    sys.stderr.flush()


def finished(cells: list[Cell], extra: tuple[str, ...]) -> Iterator[dict[str, str | int | float]]:
    """The CSV's rows of the runs that are finished."""
    for data, case, seed in cells:
        if not ready((data, case, seed), extra):
            continue
        cfg = config(data, case, seed, extra)
        run = Run.for_config(cfg)
        if not run.done:
            continue
        scores = run.read_json(f"{result_stem(cfg, cfg.data.name)}.json")["metrics"]
        log_of_run = run.path / "log.jsonl"  # a start that is only scored has none
        lines = log_of_run.read_text(encoding="utf-8").splitlines() if log_of_run.is_file() else []
        seconds = sum(json.loads(line)["seconds"] for line in lines)
        numbers = {metric: round(scores[metric], 3) for metric in METRICS}
        yield {"data": data, "case": case, "seed": seed, **numbers, "seconds": round(seconds), "run": run.path.name}


def csv_text(rows: list[dict[str, str | int | float]]) -> str:
    """The rows as a CSV file."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def table(data: str, rows: list[dict[str, str | int | float]], extra: tuple[str, ...]) -> str:
    """Cases as mean and deviation over the seeds, then what learns nothing."""
    lines = [f"| {data}, {SIZE} px | runs | {' | '.join(METRICS.values())} |", "|---|---:|" + "---:|" * len(METRICS)]
    for case in CASES:
        own = [row for row in rows if (row["data"], row["case"]) == (data, case)]
        if own:
            cells = [cell([float(row[metric]) for row in own]) for metric in METRICS]
            lines.append(f"| {case} | {len(own)} | {' | '.join(cells)} |")
    for name, scores in baselines(config(data, SCRATCH if data == "people" else OURS, 0, extra)):
        lines.append(f"| *{name}* | | {' | '.join(f'{scores[metric]:.1f}' for metric in METRICS)} |")
    return "\n".join(lines)


def cell(values: list[float]) -> str:
    """Mean and deviation; one value alone."""
    mean = f"{statistics.mean(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.1f}"


def main() -> None:
    """Train what is not trained, write the CSV, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time, one CPU thread each")
    parser.add_argument("--sets", nargs="*", default=list(SETS), choices=SETS, help="data sets")
    parser.add_argument("--cases", nargs="*", default=list(CASES), choices=list(CASES), help="what is trained")
    parser.add_argument("--seeds", nargs="*", type=int, default=list(SEEDS), choices=SEEDS, help="which of the seeds")
    parser.add_argument("--csv", type=Path, default=CSV, help="file of the numbers")
    parser.add_argument("extra", nargs="*", help="settings of every run, e.g. runtime.outputs=<folder>")
    arguments = parser.parse_args()
    extra = tuple(arguments.extra)
    train_all(cells_of(arguments.sets, arguments.cases, arguments.seeds), jobs=arguments.jobs, extra=extra)
    rows = list(finished(sorted(cells_of(list(SETS), list(CASES))), extra))
    write_atomic(arguments.csv, csv_text(rows))
    for data in arguments.sets:
        sys.stdout.write(f"\n### {data}\n\n{table(data, rows, extra)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
