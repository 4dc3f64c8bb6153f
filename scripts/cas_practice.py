"""Train CAS with 2, 4 and 8 channels on SOD and PeopleSeg, and measure every way to find the object in them.

SEGLAB_DATA=<folder of the data> python scripts/cas_practice.py --jobs 2

writes ``outputs/figures/cas-practice.{csv,md,png}``: rules without masks against correlation with clean masks, softmax
against calibrated probabilities, one channel against a set. Finished runs are not trained again.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from seglab.atomic import write_atomic
from seglab.cli import setup_logging
from seglab.config import compose
from seglab.data.build import test_data, training_data
from seglab.evaluate import trained_evaluator
from seglab.forward import enlarged, forward
from seglab.metrics.saliency_metrics import SaliencyMetrics
from seglab.post.calibrated import Calibrated
from seglab.post.channel import Channel
from seglab.post.channel_set import ChannelSet
from seglab.post.shown import training_images
from seglab.run import Run
from seglab.targets import instantiate

SETS, CHANNELS, SEEDS = ("sod", "people"), (2, 4, 8), (0, 1, 2)
CLICK_SEEDS, CLICKS, BINS = 20, 5, 15
SETTINGS = [
    "model=unet_small",
    "data.size=96",
    "schedule.epochs=25",
    "batch_size=16",
    "loss=cas",
    "noise.rate=0.5",
    "runtime.device=cpu",
    "runtime.threads=1",
    "runtime.precision=bf16",
    "runtime.progress=false",
    "eval.every=25",
    "tracker=none",
]
NAMES = {"sod": "SOD", "people": "PeopleSeg"}
TITLES = {"fbeta": "F-beta", "max_fbeta": "max F-beta", "mae": "MAE", "ece": "ECE", "brier": "Brier"}
READ_OUTS = {
    ("one channel", "clean masks"): "softmax",
    ("calibrated", "clean masks"): "logistic, clean masks",
    ("calibrated", "border"): "mixture, no masks",
}
Shown = list[tuple[Tensor, Tensor, list[str]]]


def overrides(outputs: str, job: tuple[int, int, str]) -> list[str]:
    seed, channels, data = job
    return [*SETTINGS, f"runtime.outputs={outputs}", f"data={data}", f"model.channels={channels}", f"seed={seed}"]


def train_one(outputs: str, job: tuple[int, int, str]) -> str:
    from seglab.train import train

    setup_logging()
    logging.getLogger().setLevel(logging.WARNING)
    return str(train(compose("train", overrides(outputs, job))))


def measure_one(outputs: str, job: tuple[int, int, str]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of the CSV for one run, and its bins of predicted probability."""
    seed, channels, data = job
    logging.getLogger().setLevel(logging.ERROR)
    torch.set_num_threads(1)
    cfg = compose("train", overrides(outputs, job))
    evaluator = trained_evaluator(Run.for_config(cfg), cfg, torch.device("cpu"))
    parts = training_data(cfg), training_images(cfg)
    val, everything, test = (seen(evaluator, d) for d in (parts[0].val, parts[1], test_data(cfg, data)))
    base = {"data": data, "channels": channels, "seed": seed}
    bench = Bench(base, test, instantiate(cfg.eval.protocol))
    for way, kind in (("one channel", Channel), ("set of channels", ChannelSet)):
        paper = fitted(kind(channel="auto"), val)
        bench.add(way, "clean masks", paper, compared=paper)
        for rule in ("border", "size"):
            bench.add(way, rule, fitted(kind(channel=rule), val, blind=True), compared=paper)
            bench.add(way, f"{rule}, nothing held out", fitted(kind(channel=rule), everything, blind=True), paper)
        for click_seed in range(CLICK_SEEDS):
            post = clicked(kind, everything, seed=click_seed)
            bench.add(way, "five clicks", post, compared=paper, click_seed=click_seed)
    bench.add("calibrated", "clean masks", fitted(Calibrated(), val), compared=None)
    for rule in ("border", "size"):
        bench.add("calibrated", rule, fitted(Calibrated(masks="none", channel=rule), val, blind=True), compared=None)
    return bench.rows, bench.bins


@torch.inference_mode()
def seen(evaluator: Any, dataset: Any) -> Shown:
    """Logits at network size, clean masks and names of a data set, batch by batch."""
    found = []
    for batch in evaluator.batches(dataset, "images"):
        logits, moved = forward(evaluator.model, batch, runtime=evaluator.cfg.runtime, device=evaluator.device)
        found.append((enlarged(logits, moved["image"]), batch["mask"], batch["id"]))
    return found


def fitted(post: Any, shown: Shown, *, blind: bool = False) -> Any:
    for logits, masks, names in shown:
        extra = (names,) if getattr(post, "wants_names", False) else ()
        post.update(logits, None if blind else masks, *extra)
    post.finish()
    return post


def clicked(kind: Any, shown: Shown, *, seed: int) -> Any:
    """A read-out by clicks on five random images of the training part, one random object pixel of each."""
    rng = np.random.default_rng((seed, 5))
    post = kind(channel="clicks", clicks="simulated")
    logits, masks = torch.cat([s[0] for s in shown]), torch.cat([s[1] for s in shown])
    usable = [row for row in rng.permutation(len(masks)) if bool((masks[row] == 1).any())]
    for row in usable[:CLICKS]:
        y, x = rng.choice(np.argwhere(masks[row].numpy() == 1))
        height, width = masks.shape[1:]
        post.click(logits[row : row + 1], [[((x + 0.5) / width, (y + 0.5) / height)]])
    scores = post.rule.scores()
    post.chosen = int(scores.argmax()) if kind is Channel else post.rule.channels()
    first = post.rule.sums[2] / post.rule.sums[0, 0]
    post.told = {"agreement": float(first[post.chosen].sum())}
    return post


class Bench:
    """Scores read-outs of one network on its test images; equal choices are scored once."""

    def __init__(self, base: dict[str, Any], test: Shown, protocol: Any) -> None:
        self.base, self.test, self.protocol = base, test, protocol
        self.rows: list[dict[str, Any]] = []
        self.bins: list[dict[str, Any]] = []
        self.known: dict[str, dict[str, Any]] = {}

    def add(self, way: str, rule: str, post: Any, compared: Any, click_seed: int | None = None) -> None:
        told = post.state()
        # One channel is a set of one; a mixture read as the same object by two rules is one mixture.
        parts = [round(w, 9) for w in told["weights"]] if way == "calibrated" else np.atleast_1d(post.chosen).tolist()
        key = str(parts)
        scores = self.known.get(key) or self.known.setdefault(key, self.scored(post))
        row = {**self.base, "way": way, "rule": rule, "click_seed": click_seed, "chosen": key}
        row["same"] = None if compared is None else post.chosen == compared.chosen
        row |= {k: told.get(k) for k in ("agreement", "margin")} | scores["values"]
        self.rows.append(row)
        if click_seed in (None, 0):
            name = {**self.base, "way": way, "rule": rule}
            self.bins += [{**name, "bin": b, "n": n, "p": p, "y": y} for b, (n, p, y) in enumerate(scores["bins"])]

    def scored(self, post: Any) -> dict[str, Any]:
        metrics, sums, brier = SaliencyMetrics(self.protocol), np.zeros((BINS, 3)), 0.0
        row = 0
        for logits, masks, _ in self.test:
            maps = post(logits)
            metrics.update(maps, masks, torch.arange(row, row := row + len(maps)))
            p, y = maps[masks != 255].double().numpy(), (masks[masks != 255] == 1).double().numpy()
            into = np.minimum((p * BINS).astype(int), BINS - 1)
            sums += np.stack([np.bincount(into, weights=w, minlength=BINS) for w in (np.ones_like(p), p, y)], 1)
            brier += float(((p - y) ** 2).sum())
        found, total = metrics.compute(), sums[:, 0].sum()
        values = {
            "fbeta": found["fbeta_adaptive"],
            "fbeta_half": found["fbeta_fixed"],
            "max_fbeta": found["fbeta_max_of_mean_f"],
            "mae": found["mae"],
            "ece": float(np.abs(sums[:, 1] - sums[:, 2]).sum() / total),
            "brier": brier / total,
        }
        return {"values": values, "bins": sums.tolist()}


def tables(rows: pd.DataFrame) -> str:
    """The page's tables, Markdown: choices and F-beta by rule, calibration, and channels."""
    text = []
    for way in ("one channel", "set of channels"):
        own, columns = rows[rows["way"] == way], list(itertools.product(SETS, CHANNELS))
        text += [f"\n{way}: same choice as by clean masks, F-beta\n"]
        text += header("rule", *(f"{NAMES[data]}, {channels}" for data, channels in columns))
        for rule in own["rule"].unique():
            parts = [own[(own[["rule", "data", "channels"]] == [rule, *column]).all(axis=1)] for column in columns]
            cells = [f"{int(p['same'].astype(bool).sum())}/{len(p)}, {spread(p, 'fbeta')}" for p in parts]
            text.append(line(rule, *cells))
    for title, shown, measures in (
        ("calibration", READ_OUTS, ("ece", "brier", "mae")),
        ("channels", {("one channel", "clean masks"): "softmax"}, ("fbeta", "max_fbeta", "mae")),
    ):
        text += [f"\n{title}\n"]
        text += header("read-out", "channels", *(f"{NAMES[d]} {TITLES[m]}" for d in SETS for m in measures))
        for channels, ((way, rule), label) in itertools.product(CHANNELS, shown.items()):
            own = rows[(rows[["way", "rule", "channels"]] == [way, rule, channels]).all(axis=1)]
            cells = [spread(own[own["data"] == data], measure) for data in SETS for measure in measures]
            text.append(line(label, str(channels), *cells))
    return "\n".join(text) + "\n"


def line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def header(*cells: str) -> list[str]:
    return [line(*cells), "|" + "---|" * len(cells)]


def spread(rows: pd.DataFrame, measure: str) -> str:
    """Mean and deviation over seeds; twenty sets of clicks of one network are one value of that network."""
    by_seed = rows.groupby("seed")[measure].mean()
    return f"{by_seed.mean():.3f} ± {by_seed.std():.3f}"


def draw(rows: pd.DataFrame, bins: pd.DataFrame, path: Path) -> None:
    """F-beta by rule, one dot a network (clicks: one a network and draw), and reliability of two channels."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(10, 8), layout="constrained")
    names = ["clean masks", "border", "size", "five clicks"]
    for column, data in enumerate(SETS):
        ax = axes[0, column]
        for shift, channels in zip((-0.25, 0, 0.25), CHANNELS, strict=True):
            own = rows[(rows["data"] == data) & (rows["channels"] == channels) & (rows["way"] == "one channel")]
            own = own[own["rule"].isin(names)]
            x = own["rule"].map(names.index) + shift + (own["click_seed"].fillna(0) - 10) * 0.004
            ax.plot(x, own["fbeta"], "o", alpha=0.6, markersize=5, label=f"{channels} channels")
        ax.set(
            xticks=range(4),
            xticklabels=names,
            ylabel="F-beta at 2 x mean",
            title=f"{NAMES[data]}: F-beta by rule, one channel",
        )
        ax.set_ylim(0, None)
        ax.legend(loc="lower left")
        ax = axes[1, column]
        ax.plot([0, 1], [0, 1], color="grey", linewidth=1)
        for (way, rule), label in READ_OUTS.items():
            own = bins[(bins["data"] == data) & (bins["channels"] == 2) & (bins["way"] == way) & (bins["rule"] == rule)]
            total = own.groupby("bin")[["n", "p", "y"]].sum()
            total = total[total["n"] > 0]
            ax.plot(total["p"] / total["n"], total["y"] / total["n"], "o-", markersize=4, label=label)
        ax.set(
            xlabel="probability given",
            ylabel="share of object pixels",
            title=f"{NAMES[data]}: two channels, test pixels",
        )
        ax.legend(loc="upper left")
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time, one CPU thread each")
    parser.add_argument("--outputs", default="outputs", help="folder of the runs")
    given = parser.parse_args()
    jobs = list(itertools.product(SEEDS, CHANNELS, SETS))
    folder = Path(given.outputs) / "figures"
    with ProcessPoolExecutor(given.jobs) as pool:
        for done, run in enumerate(pool.map(partial(train_one, given.outputs), jobs), start=1):
            sys.stderr.write(f"{done}/{len(jobs)} {run}\n")
        found = []
        for done, one in enumerate(pool.map(partial(measure_one, given.outputs), jobs), start=1):
            found.append(one)
            sys.stderr.write(f"{done}/{len(jobs)} measured\n")
    rows, bins = (pd.DataFrame([row for one in found for row in one[i]]) for i in (0, 1))
    write_atomic(folder / "cas-practice.csv", rows.to_csv(index=False))
    write_atomic(folder / "cas-practice-bins.csv", bins.to_csv(index=False))
    write_atomic(folder / "cas-practice.md", tables(rows))
    draw(rows, bins, folder / "cas-practice.png")
    sys.stdout.write(f"{folder / 'cas-practice.md'}\n")


if __name__ == "__main__":
    main()
