"""Does a claim of the paper hold: in the paper's own numbers, and in ours.

The language of the claims is that of :mod:`seglab.tables.expression`. A claim whose expression names a row without a
column is looked at column by column; one that names all its columns is looked at once. Where a scale puts several data
sets in the place of one, it is looked at once for each of them and has to hold for all.

One runnable line: ``python -c "from seglab.tables.claims import validate as v; import seglab.tables.spec as s;
[v(s.load_table(t)) for t in s.table_ids()]"``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from seglab.tables.places import Loader, Looked, Plan, Value, listed
from seglab.tables.spec import Claim, Column, Row, TableSpec, load_table
from seglab.tables.values import TableValues

STATES = ("holds", "does not hold", "not run", "not printed", "text")
"""Of a verdict; ``not run`` and ``not printed``: numbers are missing, ours or the paper's; ``text``: prose."""
FINAL = ("not built", "data missing", "published")
"""States of a cell that will not get a number by running the table again."""
SHOWN = 3

Other = Callable[[str], TableValues | None]


@dataclass(frozen=True)
class Verdict:
    """What became of a claim.

    Attributes:
        state: one of :data:`STATES`.
        detail: how many columns, which fail with what numbers, what is missing.
    """

    state: str
    detail: str


@dataclass(frozen=True)
class Numbers:
    """Where a check gets its numbers.

    Attributes:
        value: (table, row, column) -> number and whether one is still to come; the table is empty for the claim's own.
            Rows without a number to come are left out of a name with ``*``.
        absent: state of a claim whose numbers are missing.
    """

    value: Callable[[str, Row, Column], Value]
    absent: str


@dataclass(frozen=True)
class BoardLine:
    """One claim with both verdicts.

    Attributes:
        text: the claim in words.
        published: with the paper's own numbers.
        ours: with the means over our seeds.
    """

    text: str
    published: Verdict
    ours: Verdict


def published_numbers(spec: TableSpec, load: Loader = load_table) -> Numbers:
    """The paper's own numbers, misprints corrected."""
    load = cache(load)

    def value(table: str, row: Row, column: Column) -> Value:
        columns = (load(table) if table else spec).columns
        place = next((i for i, c in enumerate(columns) if c.paper_name == column.paper_name), None)
        number = row.values[place] if place is not None and row.values else None
        return Value(_finite(number), pending=False)

    return Numbers(value, "not printed")


def our_numbers(values: TableValues, other: Other | None = None) -> Numbers:
    """Means over our seeds; for rows that the paper quotes, at scale ``paper``, the quoted numbers.

    Args:
        values: the table the claims belong to.
        other: gives another table at the same scale, None where it was never run.
    """
    other = cache(other) if other else lambda table: None

    def value(table: str, row: Row, column: Column) -> Value:
        source = other(table) if table else values
        own = _column(source, column) if source else None
        cell = source.cells.get((row.name, own.name)) if own else None
        if cell is None:
            to_come = row.kind != "published" and not row.unavailable
            return Value(None, pending=to_come, measured=source is None or own is not None)
        if row.kind == "published":
            return Value(_finite(cell.published) if source.scale == "paper" else None, pending=False)
        # A mean over some of the seeds decides nothing: the others may change it.
        return Value(_finite(cell.mean) if cell.state == "done" else None, pending=cell.state not in FINAL)

    return Numbers(value, "not run")


def _column(values: TableValues, wanted: Column) -> Column | None:
    """The column of a published one, on the data set that stands in for it."""
    same = [c for c in values.columns if c.paper_name == wanted.paper_name]
    if any(c.set == wanted.set for c in same):
        return next(c for c in same if c.set == wanted.set)
    # A column of another table that the claim's own does not have keeps the paper's data set.
    papers = {c.paper_name: c.set for c in values.spec.columns}
    return same[0] if len(same) == 1 and papers[wanted.paper_name] == wanted.set else None


def _finite(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None


def check(
    claim: Claim, *, spec: TableSpec, numbers: Numbers, columns: Sequence[Column], load: Loader = load_table
) -> Verdict:
    """Decide one claim.

    Args:
        claim: from ``spec``.
        spec: the table it belongs to.
        numbers: :func:`published_numbers` or :func:`our_numbers`.
        columns: as they are at the scale; for the paper's numbers those of ``spec``.
        load: reads other tables, of which the claim may name rows.

    Raises:
        ValueError: the expression is not one, or names a row, column, table or function that does not exist.
    """
    if claim.check is None:
        return Verdict("text", "not decidable from this table")
    try:
        plan = Plan.make(claim, spec, load)
        names, looked = plan.paper_columns(), []
        for name in names:
            looked.append(plan.look(name, columns, numbers.value))
    except ValueError as error:
        raise ValueError(f"table={spec.id}: claim '{claim.text}': {error}") from error
    if names == [None]:
        return _once(looked[0], numbers.absent)
    return _count(claim, dict(zip(names, looked, strict=True)), numbers.absent)


def _once(looked: Looked, absent: str) -> Verdict:
    """The verdict of a claim that names its columns."""
    if looked.truth is None:
        return Verdict(absent, looked.missing)
    return Verdict("holds" if looked.truth else "does not hold", looked.shown + _left_out([looked]))


def _count(claim: Claim, looked: dict[str, Looked], absent: str) -> Verdict:
    """The verdict of a claim that is looked at column by column."""
    there = {name: one for name, one in looked.items() if one.measured}
    if not there:
        return Verdict(absent, "none of its columns is measured at this scale")
    held = [name for name, one in there.items() if one.truth]
    failed = [name for name, one in there.items() if one.truth is False]
    missing = [name for name, one in there.items() if one.truth is None]
    detail = _counted(claim, looked, there, held, failed, missing)
    if claim.at_least is None:
        return Verdict("does not hold" if failed else absent if missing else "holds", detail)
    if len(held) >= claim.at_least:
        return Verdict("holds", detail)
    # Columns that a scale leaves out could have held, too.
    return Verdict("does not hold" if len(looked) - len(failed) < claim.at_least else absent, detail)


def _counted(claim: Claim, looked: dict, there: dict, held: list, failed: list, missing: list) -> str:
    """How many columns, which fail with what numbers, what is missing."""
    if len(missing) == len(there):
        return "; ".join(sorted({one.missing for one in there.values()})[:SHOWN])
    alone = len(there) == 1 and claim.at_least is None
    parts = [f"{len(held)} of {len(there)} column{'s' * (len(there) != 1)}"]
    if alone:
        parts = [f"{next(iter(there))}: {next(iter(there.values())).shown}"]
    if claim.at_least is not None:
        parts.append(f"{claim.at_least} of {len(looked)} are claimed")
    if failed and not alone:
        parts.append(f"not in {listed([f'{name} ({looked[name].shown})' for name in failed], SHOWN)}")
    if missing:
        reasons = sorted({looked[name].missing for name in missing})[:SHOWN]
        parts.append(f"{listed(missing, SHOWN)}: {'; '.join(reasons)}")
    if claim.at_least is None and len(there) < len(looked):
        parts.append(f"{len(looked)} columns in the paper")
    return "; ".join(parts) + _left_out(there.values())


def _left_out(looked: Iterable[Looked]) -> str:
    names = sorted({name for one in looked if one.truth is not None for name in one.left_out})
    return f"; without {listed(names)} (no number)" if names else ""


def board(values: TableValues, other: Other | None = None, load: Loader = load_table) -> list[BoardLine]:
    """All claims of a table with both verdicts, in the order of the table.

    Args:
        values: the table at one scale.
        other: gives another table at the same scale, None where it was never run.
        load: reads other tables.

    Raises:
        ValueError: see :func:`check`.
    """
    spec, lines, load = values.spec, [], cache(load)
    theirs, own = published_numbers(spec, load), our_numbers(values, other)
    for claim in spec.claims:
        paper = check(claim, spec=spec, numbers=theirs, columns=spec.columns, load=load)
        ours = check(claim, spec=spec, numbers=own, columns=values.columns, load=load)
        lines.append(BoardLine(claim.text, paper, ours))
    return lines


def validate(spec: TableSpec, load: Loader = load_table) -> None:
    """Check that every claim of a table can be read and names only what exists.

    Args:
        spec: the table.
        load: reads other tables.

    Raises:
        ValueError: naming the table, the claim, the offending part and the nearest name.
    """

    def one(table: str, row: Row, column: Column) -> Value:
        return Value(1.0, pending=False)

    load = cache(load)
    for claim in spec.claims:
        if claim.at_least is not None and claim.check is None:
            raise ValueError(f"table={spec.id}: claim '{claim.text}': at_least without check")
        check(claim, spec=spec, numbers=Numbers(one, "not run"), columns=spec.columns, load=load)
        check(claim, spec=spec, numbers=published_numbers(spec, load), columns=spec.columns, load=load)
