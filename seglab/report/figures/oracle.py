"""What could be had from the first M proposals, beside what rankers choose: Cogswell et al. 2014, section 4.

Drawn from what ``eval=rerank`` wrote: ``<run>/eval/<set>-rerank_miou*-curves.csv`` and the ``.json`` beside it.
Example, in a table's YAML: ``figures: [{_target_: seglab.report.figures.oracle.oracle, name: oracle, row: SVM}]``
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seglab.report.figures.canvas import COLOURS, MARKERS, legend, panel_grid, write_figure
from seglab.report.figures.context import FigureContext
from seglab.report.figures.networks import trained_rows
from seglab.report.figures.rerank_curve import columns_of, curve_file, sets_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

log = logging.getLogger(__name__)

LINES = {
    "first": ("first proposal", ":"),
    "random": ("mean over the proposals", "-."),
    "kl": ("chosen by the distance (KL)", "--"),
    "svm": ("chosen by the ranking SVM", "-"),
}
"""Ranker -> words and line style."""
LABELS = {
    "miou": "mean IoU over the set (percent)\n↑ higher is better",
    "accuracy": "mean accuracy of an image (percent)\n↑ higher is better",
}


def oracle(context: FigureContext, *, name: str, row: str, metric: str = "miou") -> list[Path]:
    """One panel a data set: the oracle against the number of proposals, the rankers as lines over all of them.

    Args:
        context: its finished runs were scored with ``eval=rerank``.
        name: end of the files' names.
        row: whose runs; mean over the seeds, bars from the lowest to the highest.
        metric: ``miou``, pooled over the set, or ``accuracy``, mean over the images.

    Returns:
        The files written; none where no run is finished.

    Raises:
        ValueError: no such row or metric, or a run without such numbers.
    """
    if metric not in LABELS:
        raise ValueError(f"figures: {name}: metric={metric}: expected {' or '.join(LABELS)}")
    if not trained_rows(context, [row], name):
        log.info("figure %s: no finished run, nothing is drawn", name)
        return []
    sets = sets_of(context, [row])
    found = {data: numbers_of(context, row, data, metric) for data in sets}
    shape = panel_grid(len(sets), columns=3)

    def paint(figure: Figure) -> None:
        panels = figure.subplots(*shape, squeeze=False).flat
        for axes in panels[len(sets) :]:
            axes.set_axis_off()
        for axes, data in zip(panels, sets, strict=False):
            draw_panel(axes, found[data])
            axes.set(title=data, xlabel="proposals of an image, the best first", ylabel=LABELS[metric])
        legend(figure, columns=3)

    count = max(len(numbers["curves"]) for numbers in found.values())
    note = f"row '{row}', mean over {count} seed{'s' if count > 1 else ''}; bars: from the lowest to the highest seed"
    return write_figure(context, paint, name=name, height=1.2 + 3.6 * shape[0], note=note)


def numbers_of(context: FigureContext, row: str, data: str, metric: str) -> dict[str, Any]:
    """``curves``: float64 [2, M] of every run, proposals and oracle; ``lines``: ranker -> its number in every run.

    Raises:
        ValueError: the row has no run with such numbers of the set.
    """
    paths = [path for run in context.runs[row] if (path := curve_file(run, data, "rerank_miou"))]
    if not paths:
        raise ValueError(
            f"row '{row}': no run with rerank_miou curves of {data}: expected runs scored with eval=rerank"
        )
    texts = [path.with_name(path.name.replace("-curves.csv", ".json")).read_text(encoding="utf-8") for path in paths]
    metrics = [json.loads(text)["metrics"] for text in texts]
    lines = {}
    for ranker in LINES:
        key = f"miou_{ranker}" if metric == "miou" else f"{ranker}_accuracy"
        if all(key in numbers for numbers in metrics):  # an SVM is not there with eval.rerank.folds=0
            lines[ranker] = [float(numbers[key]) for numbers in metrics]
    return {"curves": [columns_of(path, ("m", f"{metric}_oracle")) for path in paths], "lines": lines}


def draw_panel(axes: Axes, numbers: dict[str, Any]) -> None:
    """The oracle as a curve, the rankers as lines across, each with its number at the right."""
    most = min(curve.shape[1] for curve in numbers["curves"])
    m = numbers["curves"][0][0, :most]
    values = np.array([curve[1, :most] for curve in numbers["curves"]])
    axes.plot(m, values.mean(0), color=COLOURS[2], marker=MARKERS[2], label="oracle: the most accurate of them")
    if len(values) > 1:
        spread = np.abs(np.stack([values.min(0), values.max(0)]) - values.mean(0))
        axes.errorbar(m, values.mean(0), yerr=spread, fmt="none", ecolor=COLOURS[2])
    colours = dict(zip(LINES, (COLOURS[6], COLOURS[4], COLOURS[0], COLOURS[1]), strict=True))
    for ranker, of_runs in numbers["lines"].items():
        word, style = LINES[ranker]
        axes.axhline(float(np.mean(of_runs)), color=colours[ranker], linestyle=style, linewidth=1.6, label=word)
    ticks = m if most <= 12 else m[:: most // 10 + 1]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.grid(True)
