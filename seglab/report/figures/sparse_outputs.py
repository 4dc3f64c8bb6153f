"""Both softmax channels of a network side by side: CAS supplement, figure 2 (v1, figure 8).

Example, in a table's YAML: ``figures: [{_target_: seglab.report.figures.sparse_outputs.sparse_outputs, name: sparse}]``
"""

from __future__ import annotations

import logging
from pathlib import Path

from seglab.report.figures.canvas import picture_height, pictures, write_figure
from seglab.report.figures.context import FigureContext
from seglab.report.figures.networks import (
    CAS,
    load_network,
    picture,
    scored_images,
    scored_set,
    softmax_of,
    spread,
    trained_rows,
    trained_with,
)

log = logging.getLogger(__name__)


def sparse_outputs(
    context: FigureContext, *, name: str, row: str | None = None, count: int = 4, data: str | None = None
) -> list[Path]:
    """Image, mask and every softmax channel for test images at equal distances in their data set.

    Args:
        context: the first finished run of the row is shown.
        name: end of the files' names.
        row: name of the row; None = the first that has a finished run, one trained with CAS if there is any.
        count: images at the most.
        data: name of the data set; None = the first that the network is scored on.

    Returns:
        The files written; none where no run is finished.

    Raises:
        ValueError: no such row or data set, or its files are missing.
    """
    rows = trained_rows(context, None if row is None else [row], name)
    if not rows:
        log.info("figure %s: no finished run, nothing is drawn", name)
        return []
    rows.sort(key=lambda row: not trained_with(context, row, CAS))  # stable: else in the order of the table
    evaluator = load_network(context, rows[0])
    dataset = scored_images(evaluator, data)
    shown = spread(len(dataset), count)
    grid = [
        [picture(dataset, i), dataset.mask(i), *channels]
        for i, channels in zip(shown, softmax_of(evaluator, dataset, shown), strict=True)
    ]
    columns = ["image", "mask", *(f"{rows[0]}: channel {m}" for m in range(len(grid[0]) - 2))]
    titles = [dataset.ids[i] for i in shown]
    note = (
        f"softmax, black 0 to white 1; test images of {data or scored_set(evaluator)} at equal distances in their "
        f"list; run {context.runs[rows[0]][0].path.name}"
    )
    return write_figure(
        context,
        lambda figure: pictures(figure, grid, columns=columns, rows=titles),
        name=name,
        height=picture_height(len(grid), len(columns)),
        note=note,
    )
