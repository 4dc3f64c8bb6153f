"""F-measure on held-out images and the loss over the epochs, with annealing and without: regularized loss section 3.3.

Example, in a table's YAML: ``figures: [{_target_: seglab.report.figures.annealing_curve.annealing_curve, name: a}]``
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seglab.report.figures.canvas import legend, look_of, write_figure
from seglab.report.figures.context import FigureContext
from seglab.report.figures.networks import trained_rows
from seglab.run import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

log = logging.getLogger(__name__)

LABELS = {
    "fbeta": "F-measure of held-out images (percent)\n↑ higher is better",
    "jaccard": "Jaccard index of held-out images (percent)\n↑ higher is better",
}
"""Metrics of the validation -> words on an axis."""
LOSS_LABEL = "sparse-CRF loss of the training images\nper pair, before its weight (no unit)"


@dataclass(frozen=True)
class Curves:
    """What the figure shows, by row, one array for each seed.

    Attributes:
        scores: epochs and what was measured on the held-out images after them, float [2, epochs].
        losses: epochs and the loss during them, float [2, epochs].
        annealed: the last epoch of the annealing, counted from 1; 0 where there was none.
    """

    scores: Mapping[str, list[np.ndarray]]
    losses: Mapping[str, list[np.ndarray]]
    annealed: Mapping[str, int]


def annealing_curve(
    context: FigureContext, *, name: str, rows: Sequence[str] | None = None, metric: str = "fbeta"
) -> list[Path]:
    """Mean and range over the seeds, a line a row; the left panel is what masks say, the right one what is trained on.

    Args:
        context: the logs of its finished runs are read; they held some images out (``val=0.1``) and measured them at
            every epoch (``eval.every=1``).
        name: end of the files' names.
        rows: names of rows; None = all that have a finished run.
        metric: of the validation, one of ``eval.watch``.

    Returns:
        The files written; none where no run is finished.

    Raises:
        ValueError: no such row, or a run was not validated or was trained with another loss.
    """
    found = curves_of(context, name=name, rows=rows, metric=metric)
    if found is None:
        log.info("figure %s: no finished run, nothing is drawn", name)
        return []
    names, annealed = list(found.scores), found.annealed

    def paint(figure: Figure) -> None:
        look = {row: style["color"] for row, style in look_of(names).items()}
        panels = figure.subplots(1, 2)
        for axes, curves, label in zip(
            panels,
            (found.scores, found.losses),
            (LABELS.get(metric, f"{metric} of held-out images"), LOSS_LABEL),
            strict=True,
        ):
            _panel(axes, curves, look)
            _mark(axes, annealed, look)
            axes.set_ylabel(label)
        panels[0].set_ylim(bottom=0)
        panels[1].set_ylim(bottom=0)
        legend(figure, columns=3)

    held = context.runs[names[0]][0].config().val
    note = (
        f"mean over the seeds, shaded: from the lowest to the highest; held out: {100 * held:.0f} % of the training "
        "images, never trained on. The loss depends on sigma, which rises until the dashed line: left of it, values of "
        "two epochs are not of one measure"
    )
    return write_figure(context, paint, name=name, height=4.8, note=note)


def curves_of(
    context: FigureContext, *, name: str, rows: Sequence[str] | None = None, metric: str = "fbeta"
) -> Curves | None:
    """What the figure shows; None where no run is finished.

    Args:
        context: the logs of its finished runs are read.
        name: of the figure, for messages.
        rows: names of rows; None = all that have a finished run.
        metric: of the validation.

    Raises:
        ValueError: no such row, or a run was not validated or was trained with another loss.
    """
    names = trained_rows(context, rows, name)
    if not names:
        return None
    return Curves(
        scores={row: [validation(run, metric) for run in context.runs[row]] for row in names},
        losses={row: [sparse_loss(run) for run in context.runs[row]] for row in names},
        annealed={row: phase_ends(context.runs[row][0]) for row in names},
    )


def common_epochs(seeds: Sequence[np.ndarray]) -> tuple[list[float], np.ndarray]:
    """The epochs that all seeds have, and their values at these, float [seeds, epochs].

    Args:
        seeds: epochs and values, float [2, epochs], of each.
    """
    epochs = sorted(set.intersection(*(set(curve[0]) for curve in seeds)))
    return epochs, np.array([curve[1][np.isin(curve[0], epochs)] for curve in seeds])


def journal(run: Run) -> list[dict[str, float]]:
    """The rows of a run's log, one an epoch."""
    path = run.path / "log.jsonl"
    return (
        [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line] if path.is_file() else []
    )


def validation(run: Run, metric: str) -> np.ndarray:
    """Epochs, counted from 1, and what was measured on the held-out images after them, float [2, epochs].

    Raises:
        ValueError: nothing was measured.
    """
    lines = journal(run)
    measured = [(line["epoch"] + 1, line[f"val_{metric}"]) for line in lines if f"val_{metric}" in line]
    if not measured:
        raise ValueError(
            f"{run.path / 'log.jsonl'}: no val_{metric}: expected a run with val=0.1 eval.every=1 and {metric} in "
            "eval.watch"
        )
    return np.array(measured, dtype=float).T


def sparse_loss(run: Run) -> np.ndarray:
    """Epochs, counted from 1, and the mean sparse-CRF loss during them without its weight, float [2, epochs].

    Raises:
        ValueError: the run was trained with another loss.
    """
    weights = run.config().loss.get("weights") or {}
    found = []
    for line in journal(run):
        weight = line.get("set_sparse_crf", weights.get("sparse_crf") if "sparse_crf" in weights else None)
        if weight and "sparse_crf" in line:
            found.append((line["epoch"] + 1, line["sparse_crf"] / weight))
    if not found:
        raise ValueError(f"{run.path / 'log.jsonl'}: no sparse_crf: expected a run of loss=regularized")
    return np.array(found).T


def phase_ends(run: Run) -> int:
    """The last epoch in which a run's sigma changed, counted from 1; 0 where it was fixed."""
    sigmas = [line.get("set_sigma") for line in journal(run)]
    return max((i + 1 for i, sigma in enumerate(sigmas) if sigma is not None), default=0)


def _panel(axes: Axes, curves: Mapping[str, Sequence[np.ndarray]], colours: Mapping[str, str]) -> None:
    for row, seeds in curves.items():
        epochs, values = common_epochs(seeds)
        word = f"{row}, {len(seeds)} seed{'s' if len(seeds) > 1 else ''}"
        axes.plot(epochs, values.mean(0), color=colours[row], linewidth=2.2, label=word)
        if len(seeds) > 1:
            axes.fill_between(epochs, values.min(0), values.max(0), color=colours[row], alpha=0.18, linewidth=0)
    axes.grid(True)
    axes.set_xlabel("epoch")


def _mark(axes: Axes, annealed: Mapping[str, int], colours: Mapping[str, str]) -> None:
    for row, last in annealed.items():
        if last:
            label = f"end of the annealing ({row})" if sum(map(bool, annealed.values())) > 1 else "end of the annealing"
            axes.axvline(last + 0.5, color=colours[row], linestyle="--", linewidth=1.2, label=label)
