"""What stands in the lines of a table, before it becomes Markdown or LaTeX.

A row of the paper becomes up to three lines: ours, published, difference. Each cell is text with a mark (best, second)
and footnotes; wide tables are cut into blocks of columns.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from seglab.report.blocks import blocks
from seglab.tables.spec import Column, Row
from seglab.tables.values import Cell, TableValues

FRACTION = 1.5
"""Columns whose numbers are all below this are fractions, correlations and the like, not counts or percent."""
NONE = "\N{EN DASH}"
SMOKE = "The numbers mean nothing: they only show that everything runs."
NOT_PAPER = (
    "The published numbers belong to the paper's data and networks, so a difference is not an error of reproduction."
)

NO_PAPER = "No paper has this table: rows, columns and claims are our own, and nothing is published to compare with."


@dataclass(frozen=True)
class Text:
    """One cell of one line.

    Attributes:
        main: the number, or a dash.
        deviation: its deviation over seeds, without the sign ±; empty for one seed.
        after: what follows in words, e.g. ``(2 of 3 seeds)``.
        mark: ``best``, ``second`` or empty.
        note: number of a footnote.
        dagger: whether the number is a misprint.
    """

    main: str
    deviation: str = ""
    after: str = ""
    mark: str = ""
    note: int | None = None
    dagger: bool = False


@dataclass(frozen=True)
class Line:
    """One line.

    Attributes:
        row: name of the row, on its first line; empty on the others.
        label: what the numbers are, e.g. ``ours (small)``.
        cells: one per column of the table.
        note: number of a footnote to the label.
    """

    row: str
    label: str
    cells: tuple[Text, ...]
    note: int | None = None


@dataclass
class Layout:
    """A table ready to be set.

    Attributes:
        columns: at this scale.
        groups: per row of the paper its lines.
        blocks: title and column positions of each block; the title is empty for a single one.
        notes: footnotes, the first has number 1.
        misprints: one sentence per dagger.
    """

    columns: tuple[Column, ...]
    groups: list[list[Line]] = field(default_factory=list)
    blocks: list[tuple[str, list[int]]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    misprints: list[str] = field(default_factory=list)

    def note(self, text: str) -> int:
        """The number of a footnote; equal texts share one."""
        if text not in self.notes:
            self.notes.append(text)
        return self.notes.index(text) + 1


def lay_out(values: TableValues) -> Layout:
    """Arrange a table; one without columns has no lines.

    Args:
        values: what is to be shown.
    """
    layout = Layout(values.columns, blocks=blocks(values.columns))
    if not values.columns:
        return layout
    digits = {c.name: _digits(values, c) for c in values.columns}
    marks = {c.name: _marks(values, c, *digits[c.name]) for c in values.columns}
    for row in values.spec.rows:
        cells = [values.cells.get((row.name, c.name), Cell()) for c in values.columns]
        name = f"{row.name} (not in the paper)" if row.kind == "extra" and not values.spec.is_ours else row.name
        lines = []
        if row.kind != "published":
            lines.append(_ours(layout, values, row, cells, digits, marks))
        if any(_printed(c) is not None for c in cells) or row.kind == "published":
            lines.append(_published(layout, values, row, cells, digits, marks))
        if any(c.difference is not None for c in cells):
            texts = [_signed(c.difference, digits[k.name][0]) for c, k in zip(cells, values.columns, strict=True)]
            lines.append(Line("", "difference", tuple(Text(t) for t in texts)))
        layout.groups.append([replace(lines[0], row=name), *lines[1:]])
    return layout


def heading(column: Column) -> str:
    """Heading with the paper's where a stand-in differs, without the arrow."""
    same = column.paper_name in ("", column.name)
    return column.name if same else f"{column.name} (for {column.paper_name})"


def scale_sentences(values: TableValues) -> list[str]:
    """What has to be known about the scale before reading a number."""
    sentences = [f"Scale: {values.scale} ({values.scale_title})."]
    if values.scale == "smoke" and "mean nothing" not in values.scale_title:
        sentences.append(SMOKE)
    if values.spec.is_ours:
        sentences.append(NO_PAPER)
    elif values.scale != "paper":
        sentences.append(NOT_PAPER)
    return sentences


def reading(values: TableValues) -> str:
    """How the lines are to be read."""
    first, last, num = values.seeds[0], values.seeds[-1], len(values.seeds)
    together = num > 3 and values.seeds == tuple(range(first, last + 1))
    seeds = f"{first} to {last}" if together else ", ".join(str(s) for s in values.seeds)
    over = f"mean ± sample standard deviation over seeds {seeds}" if len(values.seeds) > 1 else f"seed {seeds}"
    if values.spec.is_ours:
        return f"Numbers: {over}. ↑ higher is better, ↓ lower is better. Best bold, second underlined."
    return (
        f"Ours: {over}. Difference: ours minus published. ↑ higher is better, ↓ lower is better. "
        "Best bold, second underlined, ours and published apart."
    )


def _ours(layout: Layout, values: TableValues, row: Row, cells: list[Cell], digits: dict, marks: dict) -> Line:
    label, note = f"ours ({values.scale})", None
    # What is the same in all columns is said once, beside the label.
    shared = len({(c.state, c.reason) for c in cells}) == 1
    if shared and cells[0].reason:
        note = layout.note(f"{cells[0].state}: {cells[0].reason}")
    if shared and not any(c.ours for c in cells):
        label += f": {cells[0].state}"
    counts = {len(c.ours) for c in cells}
    short = counts.pop() if len(counts) == 1 else None
    if short and short < len(values.seeds):
        label += f", {short} of {len(values.seeds)} seeds"
    texts = []
    for cell, column in zip(cells, values.columns, strict=True):
        reason = layout.note(f"{cell.state}: {cell.reason}") if cell.reason and not shared else None
        if not cell.ours:
            texts.append(Text(NONE if shared or cell.state == "done" else cell.state, note=reason))
            continue
        own = digits[column.name][0]
        few = len(cell.ours) < len(values.seeds) and short is None
        texts.append(
            Text(
                _plain(cell.mean, own),
                "" if deviation(cell) is None else _plain(deviation(cell), own),
                f"({len(cell.ours)} of {len(values.seeds)} seeds)" if few else "",
                marks[column.name]["ours"].get(row.name, ""),
                reason,
            )
        )
    return Line("", label, tuple(texts), note)


def deviation(cell: Cell) -> float | None:
    """Deviation over the seeds; None also where a number is not finite, which ``statistics`` cannot take."""
    return cell.deviation if all(math.isfinite(n) for n in cell.ours) else None


def _published(layout: Layout, values: TableValues, row: Row, cells: list[Cell], digits: dict, marks: dict) -> Line:
    texts = []
    for cell, column in zip(cells, values.columns, strict=True):
        shown, places = _printed(cell), digits[column.name][1]
        if shown is None:
            texts.append(Text(NONE))
            continue
        misprint = cell.published is not None and cell.published != shown
        if misprint:
            sentence = (
                f"{row.name}, {column.paper_name or column.name}: printed {_plain(shown, places)}, a misprint; "
                f"compared with {_plain(cell.published, places)}."
            )
            layout.misprints += [] if sentence in layout.misprints else [sentence]
        mark = marks[column.name]["published"].get(row.name, "")
        texts.append(Text(_plain(shown, places), mark=mark, dagger=misprint))
    return Line("", "published", tuple(texts))


def _printed(cell: Cell) -> float | None:
    return cell.published if cell.printed is None else cell.printed


def _marks(values: TableValues, column: Column, own: int, theirs: int) -> dict[str, dict[str, str]]:
    """Row -> best or second, apart for ours and published; what looks equal as shown is equal."""
    ranked = [row for row in values.spec.rows if not row.difference and not (row.metric and row.kind == "extra")]
    cells = {row.name: values.cells.get((row.name, column.name), Cell()) for row in ranked}
    extra = {row.name for row in values.spec.rows if row.kind == "extra"}
    ours = {name: round(c.mean, own) for name, c in cells.items() if c.mean is not None}
    # The published numbers of an extra row repeat those of the paper's row.
    paper = {n: round(c.published, theirs) for n, c in cells.items() if c.published is not None and n not in extra}
    return {"ours": rank(ours, column.better), "published": rank(paper, column.better)}


def rank(numbers: dict[str, float], better: str) -> dict[str, str]:
    """Row -> ``best`` or ``second``, where two numbers differ; equal numbers share a place.

    Args:
        numbers: row -> number as it is shown.
        better: ``higher`` or ``lower``.
    """
    finite = {name: number for name, number in numbers.items() if math.isfinite(number)}
    order = sorted(set(finite.values()), reverse=better == "higher")[:2]
    if len(order) < 2:
        return {}
    names = dict(zip(order, ("best", "second"), strict=False))
    return {name: names[number] for name, number in finite.items() if number in names}


def _digits(values: TableValues, column: Column) -> tuple[int, int]:
    """Decimals of a column, ours and published; a paper's own are taken from all its numbers of that kind."""
    kind = _is_fraction(values, column)
    alike = [c for c in values.columns if _is_fraction(values, c) == kind]
    theirs = max((_decimals(n) for c in alike for n in _all_published(values, c)), default=3 if kind else 0)
    if kind:
        return max(3, theirs), theirs
    ours = [cell.mean for (_, name), cell in values.cells.items() if name == column.name and cell.mean is not None]
    return (max(theirs, 1) if any(not float(n).is_integer() for n in ours) else theirs), theirs


def _is_fraction(values: TableValues, column: Column) -> bool:
    published = _all_published(values, column)
    ours = [cell.mean for (_, name), cell in values.cells.items() if name == column.name and cell.mean is not None]
    if published and all(float(n).is_integer() for n in published):
        return False
    return all(abs(n) <= FRACTION for n in [*published, *ours] if math.isfinite(n))


def _all_published(values: TableValues, column: Column) -> list[float]:
    cells = [cell for (_, name), cell in values.cells.items() if name == column.name]
    return [n for c in cells for n in (c.published, c.printed) if n is not None]


def _decimals(number: float) -> int:
    text = f"{number:.4f}".rstrip("0")
    return len(text.partition(".")[2])


def _plain(number: float, places: int) -> str:
    return f"{number:.{places}f}" if math.isfinite(number) else "nan"


def _signed(number: float | None, places: int) -> str:
    if number is None or not math.isfinite(number):
        return NONE
    text = f"{number:+.{places}f}"
    return text[1:] if float(text) == 0 else text


def arrow(column: Column) -> str:
    """Direction of the better numbers."""
    return "↑" if column.better == "higher" else "↓"


def joined(sentences: Iterable[str]) -> str:
    """Sentences in one line, without the line breaks of a YAML."""
    return " ".join(" ".join(sentences).split())
