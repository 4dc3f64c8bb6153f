"""What the brackets of a claim stand for: rows and columns of this table and of others, at a scale with stand-ins.

Used by :mod:`seglab.tables.claims`, which turns what is found here into verdicts.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from seglab.tables.expression import Number, Undecided, evaluate, matches, parse
from seglab.tables.spec import Claim, Column, Row, TableSpec
from seglab.words import nearest

Loader = Callable[[str], TableSpec]
PAPER = ("ours", "published")
"""Kinds of rows that the paper has, which a name with ``*`` stands for."""


@dataclass(frozen=True)
class Value:
    """Answer to the question for a number.

    Attributes:
        number: None where there is none.
        pending: whether running the table would give one.
        measured: False where the row's table has no such column at this scale.
    """

    number: float | None
    pending: bool
    measured: bool = True


Ask = Callable[[str, Row, Column], Value]


@dataclass(frozen=True)
class Reference:
    """One bracket.

    Attributes:
        text: as written.
        table: name of another table; empty = the claim's own.
        spec: that table.
        rows: the rows it names; several for a name with ``*``.
        columns: the columns it names; empty = the column being looked at.
        many: whether it gives a list.
    """

    text: str
    table: str
    spec: TableSpec
    rows: tuple[Row, ...]
    columns: tuple[Column, ...]
    many: bool


@dataclass
class Looked:
    """A claim looked at in one column, or once for a claim that names its columns.

    Attributes:
        truth: None where numbers are missing.
        shown: the numbers that decided it.
        missing: why it could not be decided.
        measured: False where the scale leaves the column out.
        left_out: rows that a name with ``*`` could not include.
    """

    truth: bool | None = None
    shown: str = ""
    missing: str = ""
    measured: bool = True
    left_out: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Plan:
    """A claim that has been read and whose names have been found.

    Attributes:
        claim: as written.
        spec: its table.
        tree: its expression.
        references: per bracket.
    """

    claim: Claim
    spec: TableSpec
    tree: ast.expr
    references: tuple[Reference, ...]

    @classmethod
    def make(cls, claim: Claim, spec: TableSpec, load: Loader) -> Plan:
        """Read a claim.

        Raises:
            ValueError: naming the offending part, not the table and the claim.
        """
        tree, found = parse(claim.check)
        plan = cls(claim, spec, tree, tuple(_reference(text, spec, load) for text in found))
        names = plan.paper_columns()
        if claim.at_least is not None and names == [None]:
            raise ValueError("at_least needs a row without a column, so that columns can be counted")
        if claim.at_least is not None and not 1 <= claim.at_least <= len(names):
            raise ValueError(f"at_least={claim.at_least}: it is looked at in {len(names)} columns")
        for reference in plan.references:
            there = {c.paper_name for c in reference.spec.columns}
            if not reference.columns and not there & set(names):
                raise ValueError(f"[{reference.text}]: table {reference.table} has none of the columns looked at")
        return plan

    def paper_columns(self) -> list[str | None]:
        """Headings in the paper of the columns it is looked at in; ``[None]`` where it names them itself."""
        if all(reference.columns for reference in self.references):
            return [None]
        if not self.spec.columns:
            raise ValueError("the table has no columns; name table and column, as in [table:row|column]")
        wanted, names = self.claim.columns or ("*",), []
        for pattern in wanted:
            if not any(matches(n, pattern) for c in self.spec.columns for n in (c.metric, c.name, c.paper_name)):
                known = sorted({c.metric for c in self.spec.columns}) + [c.paper_name for c in self.spec.columns]
                raise ValueError(f"columns: no '{pattern}'{nearest(pattern, known)}")
        for column in self.spec.columns:
            own = (column.metric, column.name, column.paper_name)
            if any(matches(name, pattern) for name in own for pattern in wanted):
                names.append(column.paper_name)
        return names

    def look(self, name: str | None, columns: Sequence[Column], ask: Ask) -> Looked:
        """Decide it in one column of the paper.

        Args:
            name: heading in the paper; None for a claim that names its columns.
            columns: as they are at the scale.
            ask: gives numbers.

        Raises:
            ValueError: a list where a number is expected.
        """
        paper = {c.paper_name: c for c in self.spec.columns}
        stand_ins: dict[str, list[str]] = {}
        for column in columns:
            sets = stand_ins.setdefault(paper[column.paper_name].set, [])
            if column.set not in sets:
                sets.append(column.set)
        if name is not None and not any(c.paper_name == name for c in columns):
            return Looked(measured=False)
        used = {c.set for r in self.references for c in r.columns} | ({paper[name].set} if name else set())
        used = [s for s in used if s in stand_ins]
        choices = [dict(zip(used, sets, strict=True)) for sets in itertools.product(*(stand_ins[s] for s in used))]
        # Two data sets of the paper on one stand-in would compare a column with itself.
        choices = [choice for choice in choices if len(set(choice.values())) == len(choice)]
        if not choices:
            return Looked(missing="its data sets have one and the same stand-in at this scale")
        column = paper[name] if name else None
        results = [self._decide(column, choice, stand_ins, ask) for choice in choices]
        return _together(
            results, [choice[paper[name].set] if name else ", ".join(choice.values()) for choice in choices]
        )

    def _decide(
        self, column: Column | None, choice: Mapping[str, str], stand_ins: Mapping[str, Any], ask: Ask
    ) -> Looked:
        looked, values, missing, absent, shown = Looked(), {}, [], [], []
        own = {c.set for c in self.spec.columns}
        for i, reference in enumerate(self.references):
            found: list[Number] = []
            targets = reference.columns or tuple(c for c in reference.spec.columns if c.paper_name == column.paper_name)
            if not targets:
                missing.append(f"no column {column.paper_name} in table {reference.table}")
            for row, target in itertools.product(reference.rows, targets):
                if target.set in own and target.set not in stand_ins:
                    where = f"{target.paper_name} is not measured at this scale"
                    _add(looked.left_out if reference.many else missing, where)
                    continue
                answer = ask(reference.table, row, replace(target, set=choice.get(target.set, target.set)))
                if answer.number is not None:
                    found.append(Number(answer.number, target.better))
                elif not answer.measured:
                    looked.measured = False
                    whose = f" of table {reference.table}" if reference.table else ""
                    _add(missing, f"{target.paper_name}{whose} is not measured at this scale")
                elif answer.pending or not reference.many:
                    _add(absent, f"{row.name} of {reference.table}" if reference.table else row.name)
                else:
                    looked.left_out.add(row.name)
            if (
                reference.many
                and len(found) < 2
                and not missing + absent
                and len(found) < len(reference.rows) * len(targets)
            ):
                missing.append(f"{len(found)} number{'s' * (len(found) != 1)} for [{reference.text}]")
            if found:
                values[i] = found if reference.many else found[0]
                what = re.sub(r"^\*(?=$|\|)", "all rows", reference.text)
                what = re.sub(r"^(.*)\|(.*)$", r"\1 (\2)", what)
                _add(shown, f"{what} {_short(min(found))}{_to(found)}")
        looked.shown = ", ".join(shown)
        if missing or absent:
            missing += [f"no number for {listed(absent)}"] if absent else []
            looked.missing = "; ".join(missing)
            return looked
        try:
            looked.truth = evaluate(self.tree, values, column.better if column else None)
        except Undecided as error:
            looked.missing = str(error)
        return looked


def listed(names: Sequence[str], most: int = 4) -> str:
    """Names with commas, the first few of a long list."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _together(results: Sequence[Looked], stand_ins: Sequence[str]) -> Looked:
    """One result for several stand-ins of the same column: all have to hold that can be looked at."""
    pairs = [(r, s) for r, s in zip(results, stand_ins, strict=True) if r.measured or len(results) == 1]
    results = [r for r, _ in pairs] or results
    if len(results) == 1 or not pairs:
        return results[0]
    truths = [r.truth for r in results]
    truth = False if False in truths else None if None in truths else True
    shown = [f"{s}: {r.shown}" for r, s in pairs if truth is not False or r.truth is False]
    missing = [f"{s}: {r.missing}" for r, s in pairs if r.missing]
    if len({r.missing for r in results}) == 1:
        missing = [results[0].missing]
    left_out = set().union(*(r.left_out for r in results))
    return Looked(truth, "; ".join(shown), "; ".join(missing), True, left_out)


def _reference(text: str, spec: TableSpec, load: Loader) -> Reference:
    """Find the rows and columns of one bracket."""
    rows, table, name, heading = _rows(spec, text), "", text, ""
    if not rows and "|" in text:
        name, heading = (part.strip() for part in text.rsplit("|", 1))
        rows = _rows(spec, name)
    if not rows and ":" in name:
        head, rest = (part.strip() for part in name.split(":", 1))
        # A colon may also belong to a mistyped row of this table; the head then names no table.
        try:
            found = load(head)
        except ValueError as error:
            raise ValueError(
                f"[{text}]: no row '{name}'{nearest(name, [r.name for r in spec.rows])}; {error}"
            ) from error
        table, name, spec = head, rest, found
        rows = _rows(spec, name)
    if not rows:
        where = f" in table {table}" if table else ""
        raise ValueError(f"[{text}]: no row '{name}'{where}{nearest(name, [r.name for r in spec.rows])}")
    columns = tuple(c for c in spec.columns if heading and matches(c.paper_name, heading))
    if heading and not columns:
        raise ValueError(f"[{text}]: no column '{heading}'{nearest(heading, [c.paper_name for c in spec.columns])}")
    many = "*" in heading or all(row.name != name for row in rows)
    return Reference(text, table, spec, rows, columns, many)


def _rows(spec: TableSpec, name: str) -> tuple[Row, ...]:
    """The row of that name, or the rows that match; the paper's statements do not speak of rows it does not have."""
    exact = tuple(row for row in spec.rows if row.name == name)
    kinds = (*PAPER, "extra") if spec.is_ours else PAPER
    return exact or tuple(row for row in spec.rows if "*" in name and row.kind in kinds and matches(row.name, name))


def _add(to: list[str] | set[str], what: str) -> None:
    if what not in to:
        to.add(what) if isinstance(to, set) else to.append(what)


def _short(number: float) -> str:
    if float(number).is_integer():
        return f"{number:.0f}"
    return f"{number:.3f}" if abs(number) <= 1.5 else f"{number:.2f}".rstrip("0").rstrip(".")


def _to(found: Sequence[float]) -> str:
    return f" to {_short(max(found))}" if len(found) > 1 else ""
