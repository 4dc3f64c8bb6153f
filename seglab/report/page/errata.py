"""What the papers print and what we read in its place: misprints and notes of ``conf/table``, by paper.

One runnable line: ``python -c "from seglab.report.page.errata import errata; print(errata()[0].misprints[0])"``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from seglab.report.layout import joined
from seglab.tables.spec import TableSpec, load_table, table_ids

log = logging.getLogger(__name__)

PAPERS = {
    "cas": "Class-Agnostic Segmentation Loss and Its Application to Salient Object Detection and Segmentation",
    "reg": "Regularized Loss for Weakly Supervised Single Class Semantic Segmentation",
    "segnet": "Combining the Best of Graphical Models and ConvNets for Semantic Segmentation",
    "ours": "Beyond the papers",
    "own": "Your own tables",
}
"""Titles of papers by the short names that ``conf/table`` uses."""


@dataclass(frozen=True)
class Misprint:
    """A number that is printed and cannot be meant.

    Attributes:
        table: id of the table.
        row: its row.
        column: its column.
        printed: as printed.
        read: as it is compared here; None = no number.
    """

    table: str
    row: str
    column: str
    printed: float | None
    read: float | None


@dataclass
class PaperErrata:
    """All that is to be said on one paper.

    Attributes:
        paper: its short name.
        title: its title.
        misprints: in the order of the tables.
        notes: (table, where it is printed, notes) of every table that has some.
    """

    paper: str
    title: str
    misprints: list[Misprint] = field(default_factory=list)
    notes: list[tuple[str, str, list[str]]] = field(default_factory=list)


def paper_title(paper: str) -> str:
    """The title of a paper, or its short name where none is known."""
    return PAPERS.get(paper, paper)


def paper_place(paper: str) -> int:
    """Where a paper stands among the others."""
    return list(PAPERS).index(paper) if paper in PAPERS else len(PAPERS)


def errata(load: Callable[[str], TableSpec] = load_table) -> list[PaperErrata]:
    """Misprints and notes of all tables in ``conf/table``.

    Args:
        load: reads a table.
    """
    found: dict[str, PaperErrata] = {}
    for name in table_ids():
        try:
            spec = load(name)
        except ValueError as error:
            log.warning("errata of %s are left out: %s", name, error)
            continue
        paper = found.setdefault(spec.paper, PaperErrata(spec.paper, paper_title(spec.paper)))
        paper.misprints += _misprints(spec)
        if spec.notes:
            paper.notes.append((name, joined([spec.source]), [joined([note]) for note in spec.notes]))
    return sorted(found.values(), key=lambda one: paper_place(one.paper))


def _misprints(spec: TableSpec) -> list[Misprint]:
    return [
        Misprint(spec.id, row.name, column.paper_name, printed, read)
        for row in spec.rows
        if row.printed and row.kind != "extra"
        for column, printed, read in zip(spec.columns, row.printed, row.values, strict=True)
        if printed != read
    ]
