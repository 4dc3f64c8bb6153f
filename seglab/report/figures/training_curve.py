"""CAS loss over the epochs within its bounds: CAS supplement, figure 6 (v1, figure 4).

Example, in a table's YAML: ``figures: [{_target_: seglab.report.figures.training_curve.training_curve, name: curve}]``
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from omegaconf import DictConfig, OmegaConf

from seglab.report.figures.canvas import legend, look_of, panel_grid, write_figure
from seglab.report.figures.context import FigureContext
from seglab.report.figures.networks import CAS, trained_rows, trained_with
from seglab.run import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Bounds:
    """Between what the CAS loss of one image with two regions lies; no units.

    Attributes:
        alpha: weight of the uniformer.
        pairs: ``once`` (kappa = 1) or ``ordered`` (kappa = 2).
        channels: of the network's output, M.
        regions: whose uniformer counts: ``all`` or ``foreground``.
    """

    alpha: float
    pairs: str
    channels: int = 2
    regions: str = "all"

    @classmethod
    def of(cls, cfg: DictConfig) -> Bounds:
        """Those of a run; settings its config does not name have the loss's defaults."""
        loss = OmegaConf.to_container(cfg.loss, resolve=True)
        channels = int(OmegaConf.select(cfg, "model.channels", default=2))
        return cls(float(loss.get("alpha", 0.1)), loss.get("pairs", "once"), channels, loss.get("regions", "all"))

    @property
    def paper(self) -> tuple[float, float]:
        """As the paper states them: -(1 - alpha) N and alpha N, N = 2 regions."""
        return -(1 - self.alpha) * 2, self.alpha * 2

    @property
    def exact(self) -> tuple[float, float]:
        """-2 kappa (1 - alpha), and alpha (1 - 1/M) for every region with a uniformer: alpha for N = M = 2."""
        kappa = 1 if self.pairs == "once" else 2
        uniformers = 1 if self.regions == "foreground" else 2
        return -2 * kappa * (1 - self.alpha), self.alpha * uniformers * (1 - 1 / self.channels)


def training_curve(context: FigureContext, *, name: str, rows: Sequence[str] | None = None) -> list[Path]:
    """Loss of every epoch, seeds thin and their mean bold, with the paper's bounds and the exact ones.

    Args:
        context: its finished runs are read.
        name: end of the files' names.
        rows: names of rows; None = all that were trained with CAS. Rows with other bounds get a panel of their own.

    Returns:
        The files written; none where no such row has a finished run.

    Raises:
        ValueError: a row that the table does not have, or one that was trained with another loss.
    """
    panels = losses_by_bounds(context, name=name, rows=rows)
    if not panels:
        log.info("figure %s: no finished run with CAS, nothing is drawn", name)
        return []
    shape = panel_grid(len(panels), columns=2)

    def paint(figure: Figure) -> None:
        grid = figure.subplots(*shape, squeeze=False).flat
        for axes in grid[len(panels) :]:
            axes.set_axis_off()
        look = look_of([row for curves in panels.values() for row in curves])
        for axes, (bounds, curves) in zip(grid, panels.items(), strict=False):
            _panel(axes, bounds, curves, {row: style["color"] for row, style in look.items()})
        legend(figure, columns=3)

    note = "loss: mean over the training images of an epoch; thin: single seeds, bold: their mean; N = 2 regions"
    return write_figure(context, paint, name=name, height=1.2 + 3.6 * shape[0], note=note)


def losses_by_bounds(
    context: FigureContext, *, name: str, rows: Sequence[str] | None = None
) -> dict[Bounds, dict[str, list[np.ndarray]]]:
    """What the curve shows: bounds -> row, with its data where these differ -> the loss of every epoch of each seed.

    Args:
        context: its finished runs are read.
        name: of the figure, for messages.
        rows: names of rows; None = all that were trained with CAS.

    Raises:
        ValueError: a row that the table does not have, or one that was trained with another loss.
    """
    panels: dict[Bounds, dict[str, list[np.ndarray]]] = {}
    for row in trained_rows(context, rows, name):
        cfg = context.runs[row][0].config()
        if not trained_with(context, row, CAS):
            if rows is not None:
                raise ValueError(f"figures: {name}: rows: '{row}' was trained with {cfg.loss._target_}, not with {CAS}")
            continue
        for title, runs in _by_data(row, context.runs[row]).items():
            if curves := [curve for run in runs if len(curve := losses(run))]:
                panels.setdefault(Bounds.of(cfg), {})[title] = curves
    return panels


def _by_data(row: str, runs: Sequence[Run]) -> dict[str, list[Run]]:
    """A row's runs by what they were trained on, which is told where it is not the same for all."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(str(OmegaConf.select(run.config(), "data.name")), []).append(run)
    return {row if len(found) == 1 else f"{row}, {data}": own for data, own in found.items()}


def losses(run: Run) -> np.ndarray:
    """The training loss of every epoch of a run, float [epochs]; empty where nothing was logged."""
    path = run.path / "log.jsonl"
    if not path.is_file():
        return np.empty(0)
    return np.array([json.loads(line)["loss"] for line in path.read_text(encoding="utf-8").splitlines() if line])


def _panel(axes: Axes, bounds: Bounds, curves: dict[str, list[np.ndarray]], colours: dict[str, str]) -> None:
    for row, seeds in curves.items():
        for curve in seeds:
            axes.plot(np.arange(1, len(curve) + 1), curve, color=colours[row], linewidth=0.7, alpha=0.6)
        shortest = min(len(curve) for curve in seeds)
        mean = np.mean([curve[:shortest] for curve in seeds], axis=0)
        word = f"{row}, {len(seeds)} seed{'s' if len(seeds) > 1 else ''}"
        axes.plot(np.arange(1, shortest + 1), mean, color=colours[row], linewidth=2.8, label=word)
    kinds = (("bounds of the paper: -(1 - alpha) N, alpha N", bounds.paper, "--", "#4D4D4D", 1.4),
             ("exact bounds", bounds.exact, ":", "#000000", 2.2))  # fmt: skip
    for label, (low, high), style, colour, width in kinds:
        axes.axhline(low, linestyle=style, color=colour, linewidth=width, label=label)
        axes.axhline(high, linestyle=style, color=colour, linewidth=width)
    axes.grid(True)
    axes.set(xlabel="epoch", ylabel="CAS loss (no unit)")
    uniformer = "" if bounds.regions == "all" else f", uniformer: {bounds.regions}"
    paper, exact = (f"{low:.4g} to {high:.4g}" for low, high in (bounds.paper, bounds.exact))
    axes.set_title(f"alpha = {bounds.alpha:g}, pairs: {bounds.pairs}{uniformer}\nbounds: paper {paper}, exact {exact}")
