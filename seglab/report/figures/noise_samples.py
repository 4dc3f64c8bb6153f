"""Training images with their true masks and the masks the loss sees: CAS supplement, figure 7 (v1, figure 10).

Example, in a table's YAML: ``figures: [{_target_: seglab.report.figures.noise_samples.noise_samples, name: noise}]``
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seglab.data.palette import in_class_colours, in_colours
from seglab.report.figures.canvas import WIDTH, pictures, write_figure
from seglab.report.figures.context import FigureContext
from seglab.report.figures.networks import picture, run_config, trained_rows

if TYPE_CHECKING:
    from omegaconf import DictConfig

log = logging.getLogger(__name__)


def noise_samples(context: FigureContext, *, name: str, row: str | None = None, count: int = 6) -> list[Path]:
    """Image, true mask, training mask and where the two differ; half of the images changed where there are so many.

    Changed masks are framed. Where masks are only exchanged (``noise=flip``) there is no row of differences.

    Args:
        context: of rows that are trained; a finished run is not needed.
        name: end of the files' names.
        row: name of the row; None = the one with the largest noise rate, the first of several.
        count: images at the most: the first changed and the first true ones in the order of the data set.

    Returns:
        The files written; none where no row is trained.

    Raises:
        ValueError: no such row, or its data set is missing.
    """
    from seglab.data.build import training_data
    from seglab.preview import differences

    config = _config(context, row, name)
    if config is None:
        log.info("figure %s: no row that is trained, nothing is drawn", name)
        return []
    title, cfg = config
    data = training_data(cfg)
    train, noise = data.train, data.noise
    changed = train.marked
    shown = choose(changed, count=count)
    in_colour = in_class_colours if cfg.data.task == "semantic" else _regions_in_colours
    grid = [
        [picture(train, i) for i in shown],
        [in_colour(train.clean_mask(i)) for i in shown],
        [in_colour(train.mask(i)) for i in shown],
    ]
    rows = ["image", "true mask", "mask the loss sees"]
    done = "exchanged" if noise["type"] == "flip" else "changed"
    if changed.any() and done == "changed":
        grid.append([differences(train.clean_mask(i), train.mask(i)) for i in shown])
        rows.append("differs in")
    columns = [f"mask {done}" if changed[i] else "mask true" for i in shown]
    marked = {(2, j) for j, i in enumerate(shown) if changed[i]}
    note = (
        f"{title}, seed {cfg.seed}: {int(changed.sum())} of the {len(train)} training masks of {cfg.data.name} are "
        f"{done} (noise rate {cfg.noise.rate:g}), framed here"
    )
    if done == "changed":
        note += f"; noise={noise['type']}, {100 * noise['pixels']:.1f} % of all labelled pixels are wrong"
    return write_figure(
        context,
        lambda figure: pictures(figure, grid, columns=columns, rows=rows, marked=marked),
        name=name,
        height=0.9 + len(rows) * (WIDTH - 0.4) / max(len(shown), 4),
        note=note,
    )


def choose(changed: np.ndarray, *, count: int) -> list[int]:
    """Positions to show, in order: as many changed as true ones, more of one kind where the other is short."""
    wrong, true = np.flatnonzero(changed), np.flatnonzero(~np.asarray(changed, dtype=bool))
    first = min(len(wrong), max(count // 2, count - len(true)))
    return sorted([*wrong[:first].tolist(), *true[: count - first].tolist()])


def _regions_in_colours(mask_HW: np.ndarray) -> np.ndarray:
    """A mask as it is where it has two labels, else in a colour for each."""
    from seglab.data.sample import IGNORE

    known_HW = mask_HW != IGNORE
    return in_colours(np.where(known_HW, mask_HW, -1).astype(int)) if (mask_HW[known_HW] > 1).any() else mask_HW


def _config(context: FigureContext, row: str | None, name: str) -> tuple[str, DictConfig] | None:
    """Name and config of the row to show."""
    configs = dict(context.configs)
    for finished in trained_rows(context, None if row is None else [row], name):  # also checks the name
        configs.setdefault(finished, run_config(context, finished))
    if row is not None:
        return (row, configs[row]) if row in configs else None
    return max(configs.items(), key=lambda item: float(item[1].noise.rate), default=None)
