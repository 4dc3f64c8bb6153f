"""Precision against recall over all thresholds, one line per row of a table, one plot per test set.

Read from what the evaluator writes, ``<run>/eval/<set>-<protocol>-curves.csv``.

One runnable line: ``python -m seglab.table table=cas_t3 scale=smoke && python -m seglab.report``.
"""

from __future__ import annotations

import csv
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import numpy as np

from seglab.data.names import file_name
from seglab.report.page.curves import scale_words
from seglab.report.page.figure import Figure, figure_id
from seglab.report.page.svg import Series, curve_svg, panels
from seglab.run import Run
from seglab.tables.values import TableValues

log = logging.getLogger(__name__)

RESOLUTIONS = ("", "-original")
"""Ends of a result's name, see :func:`seglab.run.result_stem`."""
LONGEST = 24
"""Lines in one plot at the most: three times eight colours, told apart by dashes."""


def pr_figures(stem: str, values: TableValues, runs: Sequence[Run]) -> list[Figure]:
    """The precision-recall curves of a table; none where no run has any.

    Args:
        stem: of the table, with its scale.
        values: which runs belong to which row.
        runs: the finished runs of the table.
    """
    folders = {run.path.name: run for run in runs}
    plots, named, reasons = [], {}, []
    last: dict[str, tuple[Place, dict]] = {}
    for group, place in places_of(values):
        if curves := curves_of(values, folders, place, reasons):
            last[group] = (place, curves)
    found = dict(last.values())
    names = list(dict.fromkeys(name for curves in found.values() for name in curves))
    colours = {name: i for i, name in enumerate(names[:LONGEST], 1)}
    if len(names) > LONGEST:
        reasons.append(f"the {len(names) - LONGEST} rows after '{names[LONGEST - 1]}' are not drawn")
    for place, curves in found.items():
        lines = [
            Series(name, recall, precision, marker=None, colour=colours[name])
            for name, (recall, precision) in curves.items()
            if name in colours
        ]
        if lines:
            plots.append(
                curve_svg(
                    lines,
                    x_label="recall (fraction)",
                    y_label="precision (fraction)",
                    title=place.title,
                    legend=False,
                    x_range=(0, 1),
                    y_range=(0, 1),
                )
            )
            named |= {line.name: line for line in lines}
    for reason in reasons:
        log.warning("precision-recall curves of %s: %s", stem, reason)
    if not plots:
        return []
    lacking = f" Left out: {'; '.join(reasons)}." if reasons else ""
    if any(column.overrides for column in values.columns):
        lacking = f" Of every group of columns the last one that has curves is drawn.{lacking}"
    seeds = "" if len(values.seeds) == 1 else "; mean over the finished seeds at each threshold"
    return [
        Figure(
            id=figure_id(stem, "pr"),
            title=f"{values.spec.title}: precision against recall",
            caption=f"256 thresholds on the map, means over the test images{seeds}. {scale_words(values)}{lacking}",
            html=panels(plots, list(named.values())),
            kind="pr",
            table=stem,
        )
    ]


@dataclass(frozen=True)
class Place:
    """What one plot is of.

    Attributes:
        data: test set.
        protocol: that it was scored by.
        overrides: what its columns add to the rows' trainings.
        words: what that is, for the title; may be empty.
    """

    data: str
    protocol: str = "cas"
    overrides: tuple[str, ...] = ()
    words: str = ""

    @property
    def title(self) -> str:
        """Above its plot."""
        return f"{self.data}, protocol {self.protocol}{', ' * bool(self.words)}{self.words}"


def places_of(values: TableValues) -> list[tuple[str, Place]]:
    """Test sets and protocols of a table; where its columns differ in how rows are trained, a place for each way.

    Runs that were trained differently are never averaged.

    Returns:
        (group, place) in the order of the columns; of a group one is drawn, the last that has curves.
    """
    names: dict[tuple, list[str]] = {}
    first = {}
    for column in values.columns:
        if not column.mean_of:
            key = (column.set, column.protocol, column.overrides)
            names.setdefault(key, []).append(column.name)
            first.setdefault(key, column)
    found = []
    for (data, protocol, overrides), own in names.items():
        shared = takewhile(lambda words: len(set(words)) == 1, zip(*(name.split() for name in own), strict=False))
        words = " ".join(word for word, *_ in shared) or " ".join(overrides)
        column = first[data, protocol, overrides]
        group = column.group or ("" if column.x is not None else " ".join(overrides))
        found.append((f"{data} {protocol} {group}", Place(data, protocol, overrides, words if overrides else "")))
    return found


def curves_of(
    values: TableValues, folders: Mapping[str, Run], place: Place, reasons: list[str]
) -> dict[str, tuple[list[float], list[float]]]:
    """Recall and precision of every row at one place, means over its seeds.

    Args:
        values: of the table.
        folders: name of a run folder -> the run.
        place: which columns.
        reasons: what could not be read is added, in words.

    Returns:
        ``{row: (recall, precision)}``, one number for each threshold.
    """
    data, protocol = place.data, place.protocol
    wanted = (data, protocol, place.overrides)
    columns = [c for c in values.columns if (c.set, c.protocol, c.overrides) == wanted and not c.mean_of]
    found = {}
    for row in values.spec.rows:
        if row.difference:
            continue
        cells = [values.cells.get((row.name, column.name)) for column in columns]
        names = dict.fromkeys(name for cell in cells if cell is not None for name in cell.runs)
        curves = []
        for name in names:
            path = _file(folders.get(name), data, protocol)
            if path is None:
                continue
            try:
                curves.append(read_curve(path))
            except ValueError as error:
                reasons.append(str(error))
        same = [curve for curve in curves if curve.shape == curves[0].shape]
        if len(same) < len(curves):
            reasons.append(f"'{row.name}' on {data}: seeds with other thresholds than the first one's")
        if same:
            recall, precision = np.mean(same, axis=0)
            found[row.name] = (recall.tolist(), precision.tolist())
    return found


def read_curve(path: Path) -> np.ndarray:
    """Recall and precision at every threshold, float [2, thresholds].

    Raises:
        ValueError: the file cannot be read or holds something else.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [(float(row["recall"]), float(row["precision"])) for row in csv.DictReader(file)]
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise ValueError(f"{_shown(path)}: no curve of precision and recall ({type(error).__name__})") from error
    if not rows or not all(math.isfinite(v) for row in rows for v in row):
        raise ValueError(f"{_shown(path)}: no numbers")
    return np.array(rows).T


def _file(run: Run | None, data: str, protocol: str) -> Path | None:
    """Where a run's curves on a test set are; None for a run without any, or with those of another kind."""
    if run is None:
        return None
    paths = [run.path / "eval" / f"{file_name(data)}-{protocol}{end}-curves.csv" for end in RESOLUTIONS]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        return None
    try:
        with path.open(encoding="utf-8") as file:
            head = file.readline()
    except (OSError, ValueError):
        return path  # reading it will say what is wrong
    other = "," in head and "precision" not in head  # curves of proposals, see eval=rerank
    return None if other else path


def _shown(path: Path) -> str:
    return "/".join(path.parts[-3:])
