"""Loss against F-measure over the snapshots of a training, one colour a data set: regularized loss, figure 1.

The numbers are those that ``eval=correlation`` wrote into the run folders, see :mod:`seglab.metrics.crf_correlation`.
Example, in a table's YAML: ``figures: [{_target_: seglab.report.figures.loss_scatter.loss_scatter, name: scatter}]``
"""

from __future__ import annotations

import csv
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seglab.report.figures.canvas import look_of, write_figure
from seglab.report.figures.context import FigureContext
from seglab.report.figures.networks import trained_rows
from seglab.run import Run, result_stem
from seglab.tables.scale import set_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

log = logging.getLogger(__name__)

LOSSES = {"sparse_crf": "sparse-CRF", "dense_crf": "dense-CRF"}
"""Columns of a file of curves -> titles of the panels."""
TRUTH_AT = 100.0
"""F-measure of the true masks, percent."""
STEP = 4.0
"""Distance of their asterisks, percent."""


@dataclass(frozen=True)
class Curves:
    """What a run scored at its snapshots on one data set.

    Attributes:
        fbeta: F-measure, percent, one number a snapshot.
        losses: name of a loss -> one number a snapshot.
        truth: name of a loss -> that of the true masks.
        correlation: name of a loss -> Pearson's, in [-1, 1].
    """

    fbeta: np.ndarray
    losses: Mapping[str, np.ndarray]
    truth: Mapping[str, float]
    correlation: Mapping[str, float]


def loss_scatter(context: FigureContext, *, name: str, row: str | None = None) -> list[Path]:
    """One panel a loss: a point for every snapshot, an asterisk for the true masks, the correlation in the legend.

    Losses are scaled to 0..1 for each data set and loss, as the paper has it: that leaves the correlation as it is.

    Args:
        context: its finished runs, scored by ``eval=correlation``, are read.
        name: end of the files' names.
        row: name of the row; None = the first that has a finished run.

    Returns:
        The files written; none where no run is finished.

    Raises:
        ValueError: no such row, or none of its runs has numbers at its snapshots.
    """
    rows = trained_rows(context, None if row is None else [row], name)
    if not rows:
        log.info("figure %s: no finished run, nothing is drawn", name)
        return []
    found = curves_of_row(context, rows[0])
    if not found:
        raise ValueError(
            f"row '{rows[0]}': no numbers at its snapshots in eval/*-curves.csv of {context.runs[rows[0]][0].path}: "
            "expected a run of schedule=snapshots scored by eval=correlation (python -m seglab.evaluate run=<run> "
            "eval=correlation)"
        )

    def paint(figure: Figure) -> None:
        panels = figure.subplots(1, len(LOSSES), sharey=True)
        look = look_of(list(found))
        for axes, (loss, title) in zip(panels, LOSSES.items(), strict=True):
            _panel(axes, loss, found, look, published(context, loss))
            axes.set_title(title, loc="left", fontweight="bold")
        panels[0].set_ylabel("regularized loss, scaled (no unit)\n0 = lowest, 1 = highest of the data set")

    snapshots = max(len(seeds[0].fbeta) for seeds in found.values())
    several = max(len(seeds) for seeds in found.values())
    note = (
        f"a point: one of {snapshots} snapshots of a training with true masks, hard predictions, means over the test "
        "images; lines join them in order of the steps; asterisk: the true masks themselves, F = 100, side by side; "
        "r: Pearson correlation over the snapshots" + (f", mean of {several} seeds" if several > 1 else "")
    )
    return write_figure(context, paint, name=name, height=5.2 + 0.2 * len(found), note=note)


def curves_of_row(context: FigureContext, row: str) -> dict[str, list[Curves]]:
    """The numbers of a row's runs by the title of the data set they were scored on, one for each seed."""
    found: dict[str, list[Curves]] = {}
    sets = list(dict.fromkeys(column.set for column in context.values.columns if not column.mean_of))
    for run in context.runs[row]:
        cfg = context.configs.get(row) or run.config()
        for name in sets or [run.config().data.name]:
            if (curves := read_curves(run, result_stem(cfg, name))) is not None:
                found.setdefault(set_title(name), []).append(curves)
    return found


def published(context: FigureContext, loss: str) -> dict[str, str]:
    """The paper's correlation by the title of the data set, in words; none where the table has no row for it."""
    found: dict[str, str] = {}
    for row in context.values.spec.rows:
        for column in context.values.columns:
            cell = context.values.cells.get((row.name, column.name))
            if row.metric == f"correlation_{loss}" and cell is not None and cell.published is not None:
                on = "" if column.name == column.paper_name else f", {column.paper_name}"
                found[set_title(column.set)] = f" (paper{on}: {cell.published:.3f})"
    return found


def read_curves(run: Run, stem: str) -> Curves | None:
    """What a run scored at its snapshots; None where it was not scored so.

    Args:
        run: a finished run.
        stem: path of its numbers without suffix, of :func:`seglab.run.result_stem`.

    Raises:
        ValueError: the files hold other columns or metrics.
    """
    path, content = run.path / f"{stem}-curves.csv", run.read_json(f"{stem}.json")
    if content is None or not path.is_file():
        return None
    with path.open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    metrics = content["metrics"]
    lacking = [key for key in ("step", "fbeta", *LOSSES) if not lines or key not in lines[0]]
    lacking += [key for loss in LOSSES for key in (f"gt_{loss}", f"correlation_{loss}") if key not in metrics]
    if lacking:
        raise ValueError(
            f"{path}: no {', '.join(lacking)} there or in {stem}.json: expected a file of eval=correlation"
        )
    return Curves(
        np.array([float(line["fbeta"]) for line in lines]),
        {loss: np.array([float(line[loss]) for line in lines]) for loss in LOSSES},
        {loss: float(metrics[f"gt_{loss}"]) for loss in LOSSES},
        {loss: float(metrics[f"correlation_{loss}"]) for loss in LOSSES},
    )


def scaled(seeds: Sequence[Curves], loss: str) -> tuple[list[np.ndarray], float]:
    """The losses of all seeds and that of the true masks, brought to 0..1 together; 0 where all are the same."""
    everything = np.concatenate([[seeds[0].truth[loss]], *(curves.losses[loss] for curves in seeds)])
    low, wide = everything.min(), np.ptp(everything) or 1.0
    return [(curves.losses[loss] - low) / wide for curves in seeds], float((seeds[0].truth[loss] - low) / wide)


def _panel(
    axes: Axes,
    loss: str,
    found: Mapping[str, Sequence[Curves]],
    look: Mapping[str, Mapping[str, str]],
    beside: Mapping[str, str],
) -> None:
    for place, (title, seeds) in enumerate(found.items()):
        style = look[title]
        r = np.mean([curves.correlation[loss] for curves in seeds])
        values, truth = scaled(seeds, loss)
        for number, (curves, value_T) in enumerate(zip(seeds, values, strict=True)):
            label = f"{title}: r = {r:.3f}{beside.get(title, '')}" if not number else None
            axes.plot(curves.fbeta, value_T, color=style["color"], linewidth=0.7, alpha=0.35)
            axes.scatter(
                curves.fbeta, value_T, s=34, color=style["color"], marker=style["marker"], alpha=0.8, linewidths=0,
                label=label,
            )  # fmt: skip
        # Side by side: most true masks have the lowest loss, and the stars would hide each other.
        axes.scatter(
            [TRUTH_AT + STEP * place], [truth], s=150, marker="*", color=style["color"], zorder=3, clip_on=False
        )
    axes.scatter([], [], s=150, marker="*", color="#4D4D4D", label="true masks")
    axes.axvline(TRUTH_AT, color="#B0B0B0", linewidth=0.8)
    axes.grid(True)
    axes.set(xlabel="F-measure (percent)", xlim=(-3, TRUTH_AT + STEP * len(found)), ylim=(-0.06, 1.06))
    axes.set_xticks(range(0, 101, 20))
    axes.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=1 if beside else 2, handletextpad=0.3, columnspacing=1.2
    )
