"""Curves of trainings: the CAS loss within its bounds, and scores and loss with annealing and without.

What is drawn comes from :mod:`seglab.report.figures.training_curve` and
:mod:`seglab.report.figures.annealing_curve`, whose pictures show the same numbers.

One runnable line: ``python -m seglab.table table=cas_fig_s6 scale=smoke && python -m seglab.report``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from seglab.report.figures.annealing_curve import LABELS, LOSS_LABEL, common_epochs, curves_of
from seglab.report.figures.context import FigureContext
from seglab.report.figures.training_curve import Bounds, losses_by_bounds
from seglab.report.page.curves import scale_words
from seglab.report.page.figure import Figure, figure_id
from seglab.report.page.svg import Series, curve_svg, panels


def training_figure(
    context: FigureContext, stem: str, *, name: str, rows: Sequence[str] | None = None
) -> Figure | None:
    """Loss of every epoch of the rows trained with CAS, seeds pale and their mean strong, with both kinds of bounds.

    Args:
        context: its finished runs are read.
        stem: of the table, with its scale.
        name: of the figure in the table's YAML.
        rows: names of rows; None = all that were trained with CAS.

    Returns:
        None where no such row has a finished run.

    Raises:
        ValueError: as :func:`seglab.report.figures.training_curve.losses_by_bounds`.
    """
    found = losses_by_bounds(context, name=name, rows=rows)
    if not found:
        return None
    names = list(dict.fromkeys(row for curves in found.values() for row in curves))
    plots, named = [], []
    for bounds, curves in found.items():
        lines = [line for row, seeds in curves.items() for line in _with_mean(row, seeds, names.index(row) + 1)]
        lines += _bounds(bounds, max(len(curve) for seeds in curves.values() for curve in seeds))
        uniformer = "" if bounds.regions == "all" else f", uniformer: {bounds.regions}"
        title = f"alpha = {bounds.alpha:g}, pairs: {bounds.pairs}{uniformer}"
        plots.append(
            curve_svg(
                lines, x_label="epoch", y_label="CAS loss (no unit)", title=title, legend=False, x_range=(1, None)
            )
        )
        named += lines
    runs = sorted({run.path.name for row in context.runs.values() for run in row})
    return Figure(
        id=figure_id(stem, name),
        title=f"{context.values.spec.title}: the loss within its bounds",
        caption=(
            "Loss: mean over the training images of an epoch; pale: single seeds, strong: their mean; N = 2 regions. "
            f"Bounds of the paper: -(1 - alpha) N and alpha N. Runs: {', '.join(runs)}. {scale_words(context.values)}"
        ),
        html=panels(plots, named),
        kind="training",
        table=stem,
    )


def _with_mean(row: str, seeds: Sequence[np.ndarray], colour: int) -> list[Series]:
    shortest = min(map(len, seeds))
    mean = np.mean([curve[:shortest] for curve in seeds], axis=0)
    name = f"{row}, {len(seeds)} seed{'s' if len(seeds) > 1 else ''}"
    single = [_epochs(row, curve, colour, faint=True) for curve in seeds] if len(seeds) > 1 else []
    return [*single, _epochs(name, mean, colour)]


def _epochs(name: str, values: np.ndarray, colour: int, *, faint: bool = False) -> Series:
    x = list(range(1, len(values) + 1))
    return Series(name, x, values.tolist(), marker=None, colour=colour, faint=faint)


def _bounds(bounds: Bounds, epochs: int) -> list[Series]:
    """Two pairs of level lines: the exact ones in the last colour, over them those of the paper, dashed in ink."""
    kinds = (("exact bounds", bounds.exact, 8, False), ("bounds of the paper", bounds.paper, 0, True))
    return [
        Series(name, [1, epochs], [level, level], marker=None, colour=colour, dashed=dashed)
        for name, ends, colour, dashed in kinds
        for level in ends
    ]


def annealing_figure(
    context: FigureContext, stem: str, *, name: str, rows: Sequence[str] | None = None, metric: str = "fbeta"
) -> Figure | None:
    """Score on held-out images and the loss over the epochs, mean and range over the seeds, a line a row.

    Args:
        context: the logs of its finished runs are read.
        stem: of the table, with its scale.
        name: of the figure in the table's YAML.
        rows: names of rows; None = all that have a finished run.
        metric: of the validation.

    Returns:
        None where no run is finished.

    Raises:
        ValueError: as :func:`seglab.report.figures.annealing_curve.curves_of`.
    """
    found = curves_of(context, name=name, rows=rows, metric=metric)
    if found is None:
        return None
    plots, named = [], []
    labels = (LABELS.get(metric, f"{metric} of held-out images"), LOSS_LABEL)
    for title, curves, label in zip(("held-out images", "training"), (found.scores, found.losses), labels, strict=True):
        lines = [_with_range(row, seeds, i) for i, (row, seeds) in enumerate(curves.items(), 1)]
        high = max(v for line in lines for v in line.high)
        lines += _ends(found.annealed, high)
        plots.append(
            curve_svg(lines, x_label="epoch", y_label=label, title=title, legend=False, band=True, y_range=(0, None))
        )
        named += lines
    return Figure(
        id=figure_id(stem, name),
        title=context.values.spec.title,
        caption=(
            "Mean over the seeds, shaded: from the lowest to the highest. Dashed: end of the annealing, up to which "
            f"the loss is not of one measure, as sigma rises. {scale_words(context.values)}"
        ),
        html=panels(plots, named),
        kind="annealing",
        table=stem,
    )


def _with_range(row: str, seeds: Sequence[np.ndarray], colour: int) -> Series:
    epochs, values = common_epochs(seeds)
    name = f"{row}, {len(seeds)} seed{'s' if len(seeds) > 1 else ''}"
    low, high, mean = (v.tolist() for v in (values.min(0), values.max(0), values.mean(0)))
    marker = "auto" if len(epochs) < 4 else None
    return Series(name, epochs, mean, low, high, marker=marker, colour=colour)


def _ends(annealed: Mapping[str, int], high: float) -> list[Series]:
    """Where an annealing ended: an upright line in the colour of its row."""
    return [
        Series(f"end of the annealing ({row})", [last + 0.5] * 2, [0, high], marker=None, dashed=True, colour=i)
        for i, (row, last) in enumerate(annealed.items(), 1)
        if last
    ]
