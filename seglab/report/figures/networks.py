"""The trained networks behind the rows of a figure, and what they say about test images.

Example: ``evaluator = load_network(context, "CAS"); maps = softmax_of(evaluator, scored_images(evaluator), [0, 1])``
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from seglab.report.figures.context import FigureContext
from seglab.words import nearest

CAS = "seglab.losses.cas.CAS"

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from seglab.data.arrays import ArrayDataset
    from seglab.evaluator import Evaluator


def trained_rows(context: FigureContext, rows: Sequence[str] | None, figure: str) -> list[str]:
    """The rows to draw that have a finished run.

    Args:
        context: of the figure.
        rows: names asked for, kept in this order; None = all, in the order of the table.
        figure: name of the figure, for the message.

    Raises:
        ValueError: a row that the table does not have.
    """
    names = [row.name for row in context.values.spec.rows]
    for row in rows or ():
        if row not in names:
            place = f"table {context.values.spec.id}: figures: {figure}"
            raise ValueError(f"{place}: rows: no row '{row}'{nearest(row, names)}")
    return [row for row in (names if rows is None else rows) if context.runs.get(row)]


def trained_with(context: FigureContext, row: str, target: str) -> bool:
    """Whether a row's first finished run was trained with a loss, named by its ``_target_``."""
    return context.runs[row][0].config().loss._target_ == target


def load_network(context: FigureContext, row: str, *, as_asked: bool = False) -> Evaluator:
    """The network of a row's first finished run with its read-out.

    Args:
        context: of the figure.
        row: a row with a finished run.
        as_asked: read it out as the row asks; False: as at training time, which another table may have asked for.

    Raises:
        ValueError: the run has no trained weights.
    """
    from seglab.evaluate import trained_evaluator
    from seglab.train import setup_torch

    cfg = run_config(context, row)
    if as_asked and row in context.configs:
        cfg.eval = copy.deepcopy(context.configs[row].eval)
    return trained_evaluator(context.runs[row][0], cfg, setup_torch(cfg))


def run_config(context: FigureContext, row: str) -> DictConfig:
    """Config of a row's first finished run; device and folders are those of now, the precision is the run's."""
    cfg = context.runs[row][0].config()
    if row in context.configs:
        precision, cfg.runtime = cfg.runtime.precision, copy.deepcopy(context.configs[row].runtime)
        cfg.runtime.precision = precision
    return cfg


def scored_images(evaluator: Evaluator, name: str | None = None) -> ArrayDataset:
    """The test images of a network.

    Args:
        evaluator: from :func:`load_network`.
        name: of the data set; None = that of :func:`scored_set`.

    Raises:
        ValueError: no such data set, or its files are missing.
    """
    from seglab.data.build import test_data

    return test_data(evaluator.cfg, name or scored_set(evaluator))


def scored_set(evaluator: Evaluator) -> str:
    """Name of the first data set that a network is scored on; what it was trained on where it is scored on none."""
    from seglab.data.build import test_sets

    return next(iter(test_sets(evaluator.cfg)), evaluator.cfg.data.name)


def softmax_of(evaluator: Evaluator, dataset: ArrayDataset, rows: Sequence[int]) -> Iterator[np.ndarray]:
    """Softmax channels, float32 [M,H,W], of some images, one after the other.

    Args:
        evaluator: from :func:`load_network`.
        dataset: where the images are.
        rows: their positions.
    """
    import torch

    from seglab.forward import forward

    evaluator.model.eval()
    size = evaluator.cfg.eval.batch_size
    for start in range(0, len(rows), size):
        with torch.inference_mode():
            batch = dataset.__getitems__(list(rows[start : start + size]))
            logits, _ = forward(evaluator.model, batch, runtime=evaluator.cfg.runtime, device=evaluator.device)
            channels = logits.softmax(1).cpu().numpy()
        yield from channels


def picture(dataset: ArrayDataset, index: int) -> np.ndarray:
    """One image of a data set as uint8 [H,W,3]."""
    return np.moveaxis(dataset[index]["image"].numpy(), 0, -1)


def spread(total: int, count: int) -> list[int]:
    """``count`` positions at equal distances among ``total``, the first one included."""
    count = min(count, total)
    return [i * total // count for i in range(count)]
