"""Mean IoU of re-ranked proposals over the iterations, for several losses: Cogswell et al. 2014, figure 6.

Drawn from what ``eval=rerank_curve`` wrote: ``<run>/eval/<set>-rerank_curve*-curves.csv``. Example, in a table's YAML:
``figures: [{_target_: seglab.report.figures.rerank_curve.rerank_curve, name: curves, start: CE first}]``
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seglab.data.names import file_name
from seglab.report.figures.canvas import legend, look_of, panel_grid, write_figure
from seglab.report.figures.context import FigureContext
from seglab.report.figures.networks import trained_rows
from seglab.run import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

log = logging.getLogger(__name__)


def rerank_curve(
    context: FigureContext,
    *,
    name: str,
    rows: Sequence[str] | None = None,
    start: str | None = None,
    metric: str = "miou_kl",
) -> list[Path]:
    """One panel a data set, one line a row: mean over the seeds, and the range from the lowest to the highest.

    Args:
        context: its finished runs were scored with ``eval=rerank_curve``.
        name: end of the files' names.
        rows: names of rows, a line each; None = all that have a finished run.
        start: the row the others go on from: their iterations are counted from its last one.
        metric: column of the curves.

    Returns:
        The files written; none where no run is finished.

    Raises:
        ValueError: no such row, or a run without a curve.
    """
    names = trained_rows(context, rows, name)
    if start is not None and start not in trained_rows(context, [start], name):
        names = []
    if start is not None and start not in names and names:
        names = [start, *names]
    if not names:
        log.info("figure %s: no finished run, nothing is drawn", name)
        return []
    sets = sets_of(context, names)
    curves = {data: shifted(curves_of(context, names, data, metric), start) for data in sets}
    shape = panel_grid(len(sets), columns=3)

    def paint(figure: Figure) -> None:
        look = look_of(sorted(names, key=lambda row: row == start))  # the lines that are compared come first
        panels = figure.subplots(*shape, squeeze=False).flat
        for axes in panels[len(sets) :]:
            axes.set_axis_off()
        for axes, data in zip(panels, sets, strict=False):
            draw_curves(axes, curves[data], look, start=start)
            axes.set_title(data)
            axes.set_xlabel("optimiser steps" + (f"\nsince the start of '{start}'" if start else ""))
            axes.set_ylabel("mean IoU of re-ranked proposals (percent)\n↑ higher is better")
        legend(figure, columns=2 if max(map(len, names)) > 24 else 4)

    seeds = sorted({len(found) for of in curves.values() for found in of.values()})
    told = " or ".join(map(str, seeds))
    note = (
        f"points: mean over {told} seed{'s' if seeds[-1] > 1 else ''}; shaded: from the lowest to the highest; the "
        "proposal with the smallest distance of Eq. 17 is taken"
    )
    return write_figure(context, paint, name=name, height=1.2 + 3.6 * shape[0], note=note)


def sets_of(context: FigureContext, names: Sequence[str]) -> list[str]:
    """Data sets of the table's columns, in their order; those the rows' runs were trained on where it has none."""
    wanted = list(dict.fromkeys(column.set for column in context.values.columns if not column.mean_of))
    return wanted or list(dict.fromkeys(str(run.config().data.name) for row in names for run in context.runs[row]))


def curves_of(context: FigureContext, names: Sequence[str], data: str, metric: str) -> dict[str, list[np.ndarray]]:
    """Row -> float64 [2, T] of steps and values for every finished run that was scored on a set.

    Raises:
        ValueError: a row has no run with a curve of the set.
    """
    found: dict[str, list[np.ndarray]] = {}
    for row in names:
        paths = [path for run in context.runs[row] if (path := curve_file(run, data, "rerank_curve"))]
        if not paths:
            raise ValueError(
                f"row '{row}': no run with eval/{file_name(data)}-rerank_curve*-curves.csv: expected runs scored with "
                "eval=rerank_curve"
            )
        found[row] = [columns_of(path, ("step", metric)) for path in paths]
    return found


def curve_file(run: Run, data: str, protocol: str) -> Path | None:
    """The curves of one protocol on a set, the newest where there are several; None where there are none."""
    paths = (run.path / "eval").glob(f"{file_name(data)}-{protocol}*-curves.csv")
    return max(paths, key=lambda path: (path.stat().st_mtime_ns, path.name), default=None)


def columns_of(path: Path, names: Sequence[str]) -> np.ndarray:
    """Some columns of a file of curves, float64 [names, rows].

    Raises:
        ValueError: a column is missing, or there is no row.
    """
    import pandas as pd

    table = pd.read_csv(path)
    for name in names:
        if name not in table.columns or not len(table):
            raise ValueError(f"'{path}': no column {name} with a value: expected {', '.join(names)}")
    return table[list(names)].to_numpy(dtype=float).T


def shifted(curves: Mapping[str, list[np.ndarray]], start: str | None) -> dict[str, list[np.ndarray]]:
    """Curves with the steps counted from the beginning of the start, and the start's last point as their first.

    The seeds of a row go on from the start's run of the same place; where it has fewer, from its last one.
    """
    if start is None:
        return dict(curves)
    first = curves[start]
    found = {start: first}
    for row, seeds in curves.items():
        if row != start:
            own = [first[min(i, len(first) - 1)][:, -1] for i in range(len(seeds))]
            found[row] = [
                np.concatenate([last[:, None], seed + np.array([[last[0]], [0.0]])], axis=1)
                for seed, last in zip(seeds, own, strict=True)
            ]
    return found


def draw_curves(
    axes: Axes, curves: Mapping[str, list[np.ndarray]], look: Mapping[str, dict[str, str]], *, start: str | None
) -> None:
    """Mean and range over the seeds of every row, at the steps that all of its seeds have."""
    for row, seeds in curves.items():
        steps = sorted(set.intersection(*(set(seed[0]) for seed in seeds)))
        values = np.array([[dict(zip(*seed, strict=True))[step] for step in steps] for seed in seeds])
        axes.plot(steps, values.mean(0), label=row, markersize=5, **look[row])
        if len(seeds) > 1:
            axes.fill_between(steps, values.min(0), values.max(0), color=look[row]["color"], alpha=0.16, linewidth=0)
    if start is not None:
        axes.axvline(curves[start][0][0, -1], color="#4D4D4D", linestyle=":", linewidth=1.2)
    axes.grid(True)
