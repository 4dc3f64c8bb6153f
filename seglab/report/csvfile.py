"""A table as CSV: one line per row and column, all digits, for other programs."""

from __future__ import annotations

import csv
import io

from seglab.report.layout import deviation
from seglab.tables.values import Cell, TableValues

FIELDS = (
    *("table", "scale", "row", "kind", "column", "paper_column", "set", "metric", "protocol", "better"),
    *("seeds", "mean", "deviation", "published", "printed", "difference", "state", "reason", "runs", "dirty"),
    *("overrides", "group", "x"),
)
"""``seeds`` counts the finished ones; ``runs`` are the ids of the runs behind the number, joined by spaces; ``dirty``:
one of them was trained by code with uncommitted changes; ``overrides``: what the column adds to the row's."""


def csv_text(values: TableValues) -> str:
    """The whole file; numbers that are missing are empty."""
    file = io.StringIO()
    writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
    writer.writeheader()
    dirty = {run.id for run in values.runs if run.dirty}
    for row in values.spec.rows:
        for column in values.columns:
            cell = values.cells.get((row.name, column.name), Cell())
            writer.writerow(
                {
                    "table": values.spec.id,
                    "scale": values.scale,
                    "row": row.name,
                    "kind": row.kind,
                    "column": column.name,
                    "paper_column": column.paper_name or column.name,
                    "set": column.set,
                    "metric": column.metric,
                    "protocol": column.protocol,
                    "better": column.better,
                    "seeds": len(cell.ours),
                    "mean": cell.mean,
                    "deviation": deviation(cell),
                    "published": cell.published,
                    "printed": cell.printed,
                    "difference": cell.difference,
                    "state": cell.state,
                    "reason": cell.reason,
                    "runs": " ".join(cell.runs),
                    "dirty": any(run in dirty for run in cell.runs),
                    "overrides": " ".join(column.overrides),
                    "group": column.group,
                    "x": column.x,
                }
            )
    return file.getvalue()
