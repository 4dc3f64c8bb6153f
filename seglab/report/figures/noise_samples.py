"""Training images with their true masks and the masks the loss sees: CAS supplement, figure 7 (v1, figure 10).

Example, in a table's YAML: ``figures: [{_target_: seglab.report.figures.noise_samples.noise_samples, name: noise}]``
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seglab.report.figures.canvas import WIDTH, pictures, write_figure
from seglab.report.figures.context import FigureContext
from seglab.report.figures.networks import picture, run_config, trained_rows

if TYPE_CHECKING:
    from omegaconf import DictConfig

log = logging.getLogger(__name__)


def noise_samples(context: FigureContext, *, name: str, row: str | None = None, count: int = 6) -> list[Path]:
    """Image, true mask and training mask, half of them exchanged where there are so many; exchanged ones are framed.

    Args:
        context: of rows that are trained; a finished run is not needed.
        name: end of the files' names.
        row: name of the row; None = the one with the largest noise rate, the first of several.
        count: images at the most: the first exchanged and the first true ones in the order of the data set.

    Returns:
        The files written; none where no row is trained.

    Raises:
        ValueError: no such row, or its data set is missing.
    """
    from seglab.data.build import training_data

    config = _config(context, row, name)
    if config is None:
        log.info("figure %s: no row that is trained, nothing is drawn", name)
        return []
    title, cfg = config
    train = training_data(cfg).train
    flipped = train.flipped
    clean = train.with_noise(flipped)  # exchanged twice is as it was
    shown = choose(flipped, count=count)
    grid = [
        [picture(train, i) for i in shown],
        [clean.mask(i) for i in shown],
        [train.mask(i) for i in shown],
    ]
    columns = ["mask exchanged" if flipped[i] else "mask true" for i in shown]
    marked = {(2, j) for j, i in enumerate(shown) if flipped[i]}
    note = (
        f"{title}, seed {cfg.seed}: {int(flipped.sum())} of the {len(train)} training masks of {cfg.data.name} are "
        f"exchanged (noise rate {cfg.noise.rate:g}), framed here"
    )
    return write_figure(
        context,
        lambda figure: pictures(
            figure, grid, columns=columns, rows=["image", "true mask", "mask the loss sees"], marked=marked
        ),
        name=name,
        height=0.9 + 3 * (WIDTH - 0.4) / max(len(shown), 4),
        note=note,
    )


def choose(flipped: np.ndarray, *, count: int) -> list[int]:
    """Positions to show, in order: as many exchanged as true ones, more of one kind where the other is short."""
    exchanged, true = np.flatnonzero(flipped), np.flatnonzero(~np.asarray(flipped, dtype=bool))
    first = min(len(exchanged), max(count // 2, count - len(true)))
    return sorted([*exchanged[:first].tolist(), *true[: count - first].tolist()])


def _config(context: FigureContext, row: str | None, name: str) -> tuple[str, DictConfig] | None:
    """Name and config of the row to show."""
    configs = dict(context.configs)
    for finished in trained_rows(context, None if row is None else [row], name):  # also checks the name
        configs.setdefault(finished, run_config(context, finished))
    if row is not None:
        return (row, configs[row]) if row in configs else None
    return max(configs.items(), key=lambda item: float(item[1].noise.rate), default=None)
