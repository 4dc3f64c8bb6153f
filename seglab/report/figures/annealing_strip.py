"""What a network takes for the object while the edge weights are annealed: regularized loss, figure 2.

Legend: B batch, H W pixels.
Example, in a table's YAML: ``figures: [{_target_: seglab.report.figures.annealing_strip.annealing_strip, name: a}]``
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seglab.report.figures.canvas import picture_height, pictures, write_figure
from seglab.report.figures.context import FigureContext
from seglab.report.figures.networks import (
    load_network,
    picture,
    scored_images,
    scored_set,
    softmax_of,
    spread,
    trained_rows,
)
from seglab.run import Run

if TYPE_CHECKING:
    from omegaconf import DictConfig

log = logging.getLogger(__name__)

OBJECT = 1
"""The output channel that the regularized loss makes the object."""


@dataclass(frozen=True)
class Moment:
    """A moment of a training.

    Attributes:
        epoch: counted from 1.
        words: of the moment, for a heading.
        sigma: width of the edge weights in that epoch, in the units of ``loss.scale``.
        weights: file of the network's weights; None = those of the end.
    """

    epoch: int
    words: str
    sigma: float
    weights: Path | None


def annealing_strip(
    context: FigureContext, *, name: str, row: str | None = None, count: int = 3, data: str | None = None
) -> list[Path]:
    """Image, object probability at some epochs of the annealing and at the end; below them mask and edge weights.

    Args:
        context: the first finished run of the row is shown; it was trained with ``loss=regularized`` and a schedule
            that keeps snapshots (``schedule=anneal schedule.snapshot_epochs=[1,5,10,15]``).
        name: end of the files' names.
        row: name of the row; None = the first that has a finished run.
        count: images at the most, at equal distances in the test part.
        data: name of the data set; None = the first that the network is scored on.

    Returns:
        The files written; none where no run is finished.

    Raises:
        ValueError: no such row or data set, its files are missing, or the run kept no snapshots.
    """
    from seglab.data.sample import IGNORE  # brings torch

    rows = trained_rows(context, None if row is None else [row], name)
    if not rows:
        log.info("figure %s: no finished run, nothing is drawn", name)
        return []
    run = context.runs[rows[0]][0]
    evaluator = load_network(context, rows[0])
    found = moments(run, evaluator.cfg)
    dataset = scored_images(evaluator, data)
    shown = spread(len(dataset), count)
    images = [picture(dataset, i) for i in shown]
    outputs = [[channels[OBJECT] for channels in softmax_of(evaluator, dataset, shown)]]
    for moment in reversed(found[:-1]):  # the end first: its weights are those in the network now
        outputs.insert(0, _with_weights(evaluator, moment.weights, dataset, shown))
    weights = [[mean_weight(image, evaluator.cfg.loss, sigma=moment.sigma) for image in images] for moment in found]
    grid = []
    for place, i in enumerate(shown):
        grid.append([images[place], *(maps[place] for maps in outputs)])
        grid.append([dataset.mask(i), *(maps[place] for maps in weights)])
    columns = ["image; below: true mask", *(f"{moment.words}, sigma\u00a0{moment.sigma:.3g}" for moment in found)]
    titles = [words for i in shown for words in (f"{dataset.ids[i]}: output", "edge weights")]
    ignored = ", ignored pixels violet" if any((line[0] == IGNORE).any() for line in grid[1::2]) else ""
    note = (
        "upper line: probability of the object, black 0 to white 1; lower line: mean weight w_pq of a pixel's edges "
        f"at that epoch's sigma, black 0 to white 1; test images of {data or scored_set(evaluator)} at equal distances "
        f"in their list{ignored}; run {run.path.name}"
    )
    return write_figure(
        context,
        lambda figure: pictures(figure, grid, columns=columns, rows=titles),
        name=name,
        height=picture_height(len(grid), len(columns), beside=1.2),
        note=note,
    )


def moments(run: Run, cfg: DictConfig) -> list[Moment]:
    """The epochs of a run whose weights were kept, and its end.

    Args:
        run: finished.
        cfg: its config.

    Raises:
        ValueError: the run was trained with another loss or schedule, or its snapshots are missing.
    """
    from seglab.targets import instantiate

    schedule = instantiate(cfg.schedule)
    kept = sorted({epoch for epoch in getattr(schedule, "snapshot_epochs", ()) if epoch <= schedule.epochs})
    if "sigma" not in cfg.loss:
        raise ValueError(f"{run.path.name}: loss={cfg.loss._target_}: expected a run of loss=regularized")
    if not kept:
        raise ValueError(
            f"{run.path.name}: its schedule keeps no weights of its {schedule.epochs} epochs: expected "
            "schedule=anneal schedule.snapshot_epochs=[1,5,10,15], or epochs within a shortened training"
        )
    files = sorted((run.path / "snapshots").glob("*.safetensors"))
    if len(files) != len(kept):
        raise ValueError(
            f"{run.path / 'snapshots'}: {len(files)} files for the epochs {', '.join(map(str, kept))}: expected one "
            "for each; train again with runtime.rerun=true"
        )
    found = []
    for epoch, path in zip(kept, files, strict=True):
        words = f"{schedule.where(epoch - 1)[1].name} epoch {epoch}"
        found.append(Moment(epoch, words, sigma_of(cfg, schedule, epoch), path))
    last = schedule.epochs
    return [*found, Moment(last, f"end, epoch {last}", sigma_of(cfg, schedule, last), None)]


def sigma_of(cfg: DictConfig, schedule: object, epoch: int) -> float:
    """Width of the edge weights in an epoch, counted from 1: what the schedule sets, else the loss's own."""
    return float(schedule.settings(epoch - 1).get("sigma", cfg.loss.sigma))


def mean_weight(image_HW3: np.ndarray, loss: DictConfig, *, sigma: float) -> np.ndarray:
    """Mean weight of the edges of every pixel to the right and downwards, float32 [H,W] in 0..1.

    Args:
        image_HW3: uint8.
        loss: node of a config, of which ``scale`` counts.
        sigma: width of the weights.
    """
    import torch

    from seglab.losses.sparse_crf import edge_weights

    image_B3HW = torch.from_numpy(np.ascontiguousarray(image_HW3)).permute(2, 0, 1)[None]
    right_HW, down_HW = edge_weights(image_B3HW, sigma=sigma, scale=loss.scale)[0].numpy()
    right_HW[:, -1], down_HW[-1] = right_HW[:, -2], down_HW[-2]  # the last ones have no such neighbour
    return (right_HW + down_HW) / 2


def _with_weights(evaluator: object, path: Path, dataset: object, rows: Sequence[int]) -> list[np.ndarray]:
    """Object probabilities of some images by a network with the weights of a snapshot, which it keeps."""
    from seglab import checkpoint
    from seglab.models.init import fit_state

    fit_state(evaluator.model, checkpoint.load_weights(path), source=str(path))
    return [channels[OBJECT] for channels in softmax_of(evaluator, dataset, rows)]
