"""IOU and UOI while the pixels of a real label map are flipped one by one: Cogswell et al. 2014, figure 2.

Drawn from the CSV that :func:`seglab.report.figures.iou_flips.iou_flips` leaves beside its picture.

One runnable line: ``python -m seglab.table table=segnet_fig_2 scale=smoke && python -m seglab.report``.
"""

from __future__ import annotations

import csv
from pathlib import Path

from seglab.report.figures.iou_flips import CURVES
from seglab.report.page.curves import scale_words
from seglab.report.page.figure import Figure, figure_id
from seglab.report.page.svg import Series, curve_svg, panels
from seglab.tables.values import TableValues


def flips_figure(file: Path, stem: str, values: TableValues, *, name: str, data: str = "") -> Figure | None:
    """Mean IOU with its bound, and mean UOI, against the number of flipped pixels.

    Args:
        file: the CSV.
        stem: of the table, with its scale.
        values: of the table.
        name: of the figure in the table's YAML.
        data: name of the data set of the label map.

    Returns:
        None where there is no such file.

    Raises:
        ValueError: the file holds something else.
    """
    if not file.is_file():
        return None
    found = read_flips(file)
    x = [flips / 1000 for flips in found["flips"]]
    iou = Series("mean IOU", x, found["iou"], marker=None, colour=1)
    bound = Series("1 / mean UOI, a lower bound of mean IOU", x, found["bound"], marker=None, dashed=True, colour=1)
    uoi = Series("mean UOI", x, found["uoi"], marker=None, colour=2)
    labels = {"x_label": "flipped pixels = false positives (thousand)", "legend": False, "x_range": (0, None)}
    plots = [
        curve_svg(
            [iou, bound], y_label="mean IOU (fraction)\n↑ higher is better", title="IOU", y_range=(0, 1), **labels
        ),
        curve_svg([uoi], y_label="mean UOI (no unit)\n↓ lower is better", title="UOI", y_range=(0, None), **labels),
    ]
    return Figure(
        id=figure_id(stem, name),
        title=values.spec.title,
        caption=(
            f"Simulation on a label map of {data or 'the data set'}, no network: each flip gives a random pixel, each "
            "once, a random other class, so that false positives = false negatives = flips; means over the classes of "
            f"the map. {scale_words(values)}"
        ),
        html=panels(plots, [iou, bound, uoi]),
        kind="iou_uoi",
        table=stem,
    )


def read_flips(file: Path) -> dict[str, list[float]]:
    """The columns of the CSV.

    Raises:
        ValueError: it cannot be read, or lacks a column.
    """
    try:
        with file.open(encoding="utf-8", newline="") as opened:
            rows = list(csv.DictReader(opened))
        found = {key: [float(row[key]) for row in rows] for key in CURVES}
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise ValueError(f"{file.name}: expected numbers in the columns {', '.join(CURVES)}") from error
    if not rows:
        raise ValueError(f"{file.name}: no numbers")
    return found
