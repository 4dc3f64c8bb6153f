"""Train CAS, discriminative, magnet and triplet loss on regions and textures, beside segmentations that learn nothing.

SEGLAB_DATA=<folder of the data> python scripts/regions_study.py --jobs 2 > tables.md

Three data sets (BSDS500: train part to val; texture mosaics: train photos to test photos; CamVid: train to val), the
same small network and budget for every loss, two seeds. Finished runs are not trained again; tables and pictures are
made from the run folders.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import statistics
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from seglab.cli import setup_logging
from seglab.config import compose
from seglab.run import Run, result_stem

SETS = {
    "bsds500": ["data.source.test_parts=[val]"],
    "camvid": [],
    "texture_mosaic": [],
}
LOSSES = ("cas", "discriminative", "magnet", "triplet")
SEEDS = (0, 1)
SETTINGS = [
    "model=unet_small",
    "data.size=128",
    "schedule.epochs=20",
    "batch_size=16",
    "runtime.device=cpu",
    "runtime.threads=1",
    "runtime.precision=bf16",
    "runtime.progress=false",
    "eval.every=1000",
    "tracker=none",
]
BUDGET = {"bsds500": ["schedule.epochs=40"], "camvid": ["schedule.epochs=80", "batch_size=8"]}
"""Fewer images, more epochs."""
METRICS = {
    "covering_ods": ("covering", "higher"),
    "pri_ods": ("PRI", "higher"),
    "voi_ods": ("VI (bits)", "lower"),
    "boundary_f_ods": ("boundary F", "higher"),
}
CELLS = 20
"""Regions of the baselines, as many as descriptors are clustered into; 2 for textures."""


def losses_of(data: str) -> tuple[str, ...]:
    """CE needs labels that mean the same in every image; textures are where it can at least be tried (table 6).

    With many regions the pairs outweigh the uniformer of CAS; dividing them by N - 1 is tried beside it.
    """
    return ("ce", *LOSSES) if data == "texture_mosaic" else ("cas", "cas, pairs / (N - 1)", *LOSSES[1:])


def overrides(data: str, loss: str, seed: int) -> list[str]:
    """The run of one cell."""
    argmax = ["eval/post=argmax"] if data == "texture_mosaic" and loss in ("ce", "cas") else []
    name, _, divided = loss.partition(",")
    normalise = ["loss.normalise=true"] if divided else []
    own = [f"data={data}", f"loss={name}", f"seed={seed}", *SETS[data], *BUDGET.get(data, [])]
    return [*SETTINGS, *own, *argmax, *normalise]


def last_of_each(arguments: list[str]) -> list[str]:
    """Of two values for one key the later."""
    return list({argument.partition("=")[0]: argument for argument in arguments}.values())


def config(data: str, loss: str, seed: int):
    """The composed config of a cell."""
    return compose("train", last_of_each(overrides(data, loss, seed)))


def train_one(job: tuple[str, str, int]) -> str:
    """Train and score one cell."""
    from seglab.train import train

    setup_logging()
    logging.getLogger().setLevel(logging.WARNING)
    return str(train(config(*job)))


def one_region(image: np.ndarray, count: int) -> np.ndarray:
    """Everything is one region."""
    return np.zeros(image.shape[:2], np.int64)


def grid(image: np.ndarray, count: int) -> np.ndarray:
    """Equal cells, 5 by 4 for 20, side by side for 2."""
    rows = {20: 4, 2: 1}[count]
    height, width = image.shape[:2]
    row = np.arange(height) * rows // height
    return row[:, None] * (count // rows) + np.arange(width) * (count // rows) // width


def slic(image: np.ndarray, count: int) -> np.ndarray:
    """Superpixels of colour and place."""
    from skimage.segmentation import slic as superpixels

    return superpixels(image, n_segments=count, compactness=10, start_label=0)


def colours(image: np.ndarray, count: int) -> np.ndarray:
    """K-means on the colour (Lab) alone, small regions absorbed as for the networks."""
    import torch
    from skimage.color import rgb2lab

    from seglab.targets import instantiate

    post = compose("train", ["data=bsds500", "loss=discriminative", f"eval.clusters={count}"]).eval.post
    lab = torch.from_numpy(rgb2lab(image)).float().permute(2, 0, 1)[None]
    found = instantiate(post)(lab, torch.from_numpy(image).permute(2, 0, 1)[None])
    return found.labels_BTHW[0, 0].numpy()


BASELINES: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "one region": one_region,
    "grid": grid,
    "SLIC": slic,
    "k-means on colour": colours,
}


def test_images(data: str):
    """The test part at the network's size."""
    from seglab.data.build import test_data

    cfg = config(data, "cas", 0)
    return test_data(cfg, cfg.data.name)


def baseline(data: str, name: str) -> dict[str, float]:
    """Scores of a segmentation that learns nothing, computed at the network's size and scored like a network's."""
    import torch

    from seglab.evaluator import resize
    from seglab.targets import instantiate

    dataset, metrics = test_images(data), instantiate(config(data, "cas", 0).eval.metrics)
    for index in range(len(dataset)):
        drawn = dataset.annotations(index, original=True)
        labels = torch.from_numpy(BASELINES[name](picture(dataset, index), clusters(data)))
        metrics.update_one(resize(labels[None], drawn.segments_AHW.shape[1:]), drawn, index)
    return metrics.compute()


def picture(dataset, index: int) -> np.ndarray:
    """An image as uint8 [H,W,3]."""
    return np.ascontiguousarray(dataset[index]["image"].permute(1, 2, 0).numpy())


def clusters(data: str) -> int:
    """Regions asked for."""
    return 2 if data == "texture_mosaic" else CELLS


def scores_of(data: str, loss: str, seed: int) -> dict[str, float]:
    """Numbers of a finished cell."""
    cfg = config(data, loss, seed)
    return Run.for_config(cfg).read_json(f"{result_stem(cfg, cfg.data.name)}.json")["metrics"]


def table(data: str) -> str:
    """Baselines, then losses: mean and deviation over the seeds."""
    lines = [f"| method | {' | '.join(name for name, _ in METRICS.values())} |", "|---|" + "---:|" * len(METRICS)]
    for name in BASELINES:
        scores = baseline(data, name)
        title = name if name == "one region" else f"{name}, {clusters(data)}"
        lines.append(f"| {title} | {' | '.join(f'{scores[m]:.3f}' for m in METRICS)} |")
    for loss in losses_of(data):
        scores = [scores_of(data, loss, seed) for seed in SEEDS]
        cells = [cell([s[m] for s in scores]) for m in METRICS]
        lines.append(f"| {loss} | {' | '.join(cells)} |")
    return "\n".join(lines)


def cell(values: list[float]) -> str:
    """Mean and deviation."""
    return f"{statistics.mean(values):.3f} ± {statistics.stdev(values):.3f}"


def draw(data: str) -> Path:
    """The first seed's networks and the baselines on six test images."""
    import torch

    from seglab.data.grid import save_grid
    from seglab.evaluate import trained_evaluator
    from seglab.samples import maps_of

    dataset = test_images(data)
    rows = list(range(0, len(dataset), max(1, len(dataset) // 6)))[:6]
    images = [picture(dataset, i) for i in rows]
    columns = {"image": images, "annotator 1": [dataset.annotations(i, original=False).segments_AHW[0] for i in rows]}
    for name, make in list(BASELINES.items())[2:]:
        columns[name] = [make(image, clusters(data)) for image in images]
    for loss in losses_of(data):
        cfg = config(data, loss, 0)
        evaluator = trained_evaluator(Run.for_config(cfg), cfg, torch.device("cpu"))
        columns[loss] = maps_of(evaluator, dataset, rows)
    path = Path(cfg.runtime.outputs) / "figures" / f"regions-{data}.png"
    return save_grid(columns, path, titles=[dataset.ids[i] for i in rows])


def count(data: str, loss: str) -> str:
    """Regions that the first seed's network gives 25 test images, and channels that lead on 2 % of the pixels."""
    import torch

    from seglab.evaluate import trained_evaluator
    from seglab.forward import forward

    cfg, dataset = config(data, loss, 0), test_images(data)
    evaluator = trained_evaluator(Run.for_config(cfg), cfg, torch.device("cpu"))
    evaluator.model.eval()
    with torch.inference_mode():
        batch = dataset.__getitems__(range(0, len(dataset), max(1, len(dataset) // 25)))
        logits, moved = forward(evaluator.model, batch, runtime=cfg.runtime, device=torch.device("cpu"))
        regions = [len(labels.unique()) for labels in evaluator.post(logits, moved["image"]).labels_BTHW[:, 0]]
    leads = torch.nn.functional.one_hot(logits.argmax(1), logits.shape[1]).float().mean((1, 2))
    channels = (leads > 0.02).sum(1).tolist()
    return f"| {loss} | {statistics.median(regions):g} | {statistics.median(channels):g} of {logits.shape[1]} |"


def main() -> None:
    """Train what is not trained, then print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time, one CPU thread each")
    parser.add_argument("--sets", nargs="*", default=list(SETS), choices=list(SETS), help="data sets")
    arguments = parser.parse_args()
    jobs = [(d, loss, seed) for seed, d in itertools.product(SEEDS, arguments.sets) for loss in losses_of(d)]
    with ProcessPoolExecutor(arguments.jobs) as pool:
        for done, folder in enumerate(pool.map(train_one, jobs), start=1):
            sys.stderr.write(f"{done}/{len(jobs)} {folder}\n")
    for data in arguments.sets:
        sys.stdout.write(f"\n### {data}\n\n{table(data)}\n\n{draw(data)}\n")
        counts = "\n".join(count(data, loss) for loss in losses_of(data))
        sys.stdout.write(f"\n| loss | regions, median | leading channels, median |\n|---|---:|---:|\n{counts}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
