"""A table as the page shows it: cells with what they are sorted by, notes, and the runs behind them.

One runnable line: ``python -c "from seglab.report.page.tables import sort_key; print(sort_key(0.5))"``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from seglab.report.layout import Layout, Line, Text, arrow, heading, joined, lay_out, reading, scale_sentences
from seglab.report.page.stored import StoredTable
from seglab.tables.spec import Column
from seglab.tables.values import Cell, TableValues

KINDS = ("ours", "published", "difference")


@dataclass(frozen=True)
class ShownCell:
    """One number of one row.

    Attributes:
        text: how it is set; its main number, deviation, mark and note.
        key: what it is sorted by, empty where there is no number.
        kind: one of :data:`KINDS`.
        first: whether a new column of the paper begins with it.
    """

    text: Text
    key: str
    kind: str
    first: bool


@dataclass(frozen=True)
class ShownRow:
    """One row of the paper.

    Attributes:
        name: as printed.
        extra: whether the paper does not have it.
        published_only: whether nothing of it is run here.
        label: what has to be said of all our numbers of the row, e.g. ``not built``.
        note: number of the footnote to the label.
        cells: of all columns of its block.
    """

    name: str
    extra: bool
    published_only: bool
    label: str
    note: int | None
    cells: tuple[ShownCell, ...]


@dataclass(frozen=True)
class ShownColumn:
    """One column of the paper.

    Attributes:
        name: heading.
        paper_name: heading in the paper where a stand-in changed it, else empty.
        arrow: ``↑`` or ``↓``.
        better: ``higher`` or ``lower``.
        kinds: which of :data:`KINDS` it has.
    """

    name: str
    paper_name: str
    arrow: str
    better: str
    kinds: tuple[str, ...]


@dataclass(frozen=True)
class Block:
    """Columns that are set side by side.

    Attributes:
        title: empty for the only block of a table.
        columns: its columns.
        rows: all rows of the table.
    """

    title: str
    columns: tuple[ShownColumn, ...]
    rows: tuple[ShownRow, ...]


@dataclass
class ShownTable:
    """A whole table.

    Attributes:
        stem: name of its files, and of its place on the page.
        values: what it was made from.
        made: when.
        about: what has to be known about the scale.
        reading: how the numbers are to be read.
        blocks: empty for a figure without numbers.
        notes: reasons, the first has number 1.
        misprints: one sentence per dagger.
        runs: (id of its page or empty, what the table says of the run).
        summary: counts of cells by state.
    """

    stem: str
    values: TableValues
    made: str
    about: str
    reading: str
    blocks: list[Block] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    misprints: list[str] = field(default_factory=list)
    runs: list[tuple[str, object]] = field(default_factory=list)
    summary: str = ""

    @property
    def name(self) -> str:
        """Its id, with the scale where that is not the paper's."""
        return self.values.spec.id if self.values.scale == "paper" else f"{self.values.spec.id}, {self.values.scale}"


def shown_table(stored: StoredTable, pages: Mapping[str, str]) -> ShownTable:
    """Arrange one table.

    Args:
        stored: from :func:`seglab.report.page.stored.read_table`.
        pages: name of a run folder -> id of its page.
    """
    values, layout = stored.values, lay_out(stored.values)
    shown = ShownTable(
        stem=stored.stem,
        values=values,
        made=stored.made,
        about=joined(scale_sentences(values)) if values.scale_title or values.scale != "paper" else "",
        reading=reading(values).partition(" ↑")[0] if layout.columns else "",
        notes=layout.notes,
        misprints=layout.misprints,
        runs=[(pages.get(run.id, ""), run) for run in values.runs],
        summary=_summary(values),
    )
    shown.blocks = [_block(values, layout, title, places) for title, places in layout.blocks]
    return shown


def sort_key(number: float | None) -> str:
    """What a number is sorted by; empty, and so last, where there is none."""
    return repr(float(number)) if number is not None and math.isfinite(number) else ""


def _block(values: TableValues, layout: Layout, title: str, places: Sequence[int]) -> Block:
    kinds = [_kinds(values, layout.columns[i]) for i in places]
    columns = tuple(_column(layout.columns[i], own) for i, own in zip(places, kinds, strict=True))
    rows = tuple(_row(values, group, number, places, kinds) for number, group in enumerate(layout.groups))
    return Block(title, columns, rows)


def _column(column: Column, kinds: tuple[str, ...]) -> ShownColumn:
    full = heading(column)
    paper = column.paper_name if full != column.name else ""
    return ShownColumn(column.name, paper, arrow(column), column.better, kinds)


def _kinds(values: TableValues, column: Column) -> tuple[str, ...]:
    """Ours always; published and difference where there are some."""
    cells = [cell for (_, name), cell in values.cells.items() if name == column.name]
    has = {
        "ours": True,
        "published": any(cell.published is not None or cell.printed is not None for cell in cells),
        "difference": any(cell.difference is not None for cell in cells),
    }
    return tuple(kind for kind in KINDS if has[kind])


def _row(
    values: TableValues, group: Sequence[Line], number: int, places: Sequence[int], kinds: Sequence[tuple[str, ...]]
) -> ShownRow:
    row = values.spec.rows[number]
    lines = {next(kind for kind in KINDS if line.label.startswith(kind)): line for line in group}
    ours = lines.get("ours")
    label = ours.label.removeprefix(f"ours ({values.scale})").lstrip(":, ") if ours else ""
    cells = []
    for i, own in zip(places, kinds, strict=True):
        cell = values.cells.get((row.name, values.columns[i].name), Cell())
        shown = cell.published if cell.printed is None else cell.printed
        keys = {"ours": cell.mean, "published": shown, "difference": cell.difference}
        for kind in own:
            text = lines[kind].cells[i] if kind in lines else Text("")
            cells.append(ShownCell(text, sort_key(keys[kind]) if kind in lines else "", kind, kind == own[0]))
    foreign = row.kind == "extra" and not values.spec.is_ours
    note = ours.note if ours else None
    return ShownRow(row.name, foreign, row.kind == "published", label, note, tuple(cells))


def _summary(values: TableValues) -> str:
    states = [cell.state for cell in values.cells.values()]
    return ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(sorted(states)))
