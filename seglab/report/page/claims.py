"""The claims of all papers on one board: on their own numbers, and on ours at every scale that was found.

One runnable line: ``python -c "from seglab.report.page.claims import claims_board; print(len(claims_board({})))"``.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from seglab.report.layout import joined
from seglab.report.page.errata import paper_place
from seglab.tables.claims import STATES, Verdict, board, check, published_numbers
from seglab.tables.spec import OURS, TableSpec, load_table, table_ids
from seglab.tables.values import TableValues

log = logging.getLogger(__name__)

SIGNS = {"holds": "✓", "does not hold": "✗", "not run": "·", "not printed": "·", "text": "¶"}
"""Beside the words, so that a board can be skimmed without its colours."""
WORDS = {"text": "prose"}
NOWHERE = "not run"
"""In place of a scale, for claims of tables that were made at none."""


@dataclass(frozen=True)
class BoardRow:
    """One claim on the board.

    Attributes:
        paper: short name of the paper.
        table: id of the table it belongs to.
        text: the claim.
        published: on the paper's own numbers.
        ours: (stem of the table, scale, verdict), one per scale that was found.
    """

    paper: str
    table: str
    text: str
    published: Verdict
    ours: tuple[tuple[str, str, Verdict], ...]

    @property
    def own(self) -> bool:
        """Whether no paper has its table, so that nothing is published."""
        return self.paper == OURS


def claims_board(tables: Mapping[str, TableValues], load: Callable[[str], TableSpec] = load_table) -> list[BoardRow]:
    """Every claim of ``conf/table``, whether its table was made or not.

    Args:
        tables: stem -> the tables that were found.
        load: reads a table.
    """
    load = cache(load)
    rows: list[BoardRow] = []
    for name in table_ids():
        try:
            spec = load(name)
        except ValueError as error:  # a file that somebody is editing spoils its own claims only
            log.warning("claims of %s are left out: %s", name, error)
            continue
        ours = {stem: _ours(values, tables, load) for stem, values in tables.items() if values.spec.id == name}
        theirs = published_numbers(spec, load)
        for place, claim in enumerate(spec.claims):
            paper = check(claim, spec=spec, numbers=theirs, columns=spec.columns, load=load)
            found = tuple((stem, tables[stem].scale, verdicts[place]) for stem, verdicts in ours.items())
            rows.append(BoardRow(spec.paper, name, joined([claim.text]), paper, found))
    return sorted(rows, key=lambda row: paper_place(row.paper))


def _ours(values: TableValues, tables: Mapping[str, TableValues], load: Callable[[str], TableSpec]) -> list[Verdict]:
    """Verdicts on our numbers, in the order of the claims."""
    same_scale = {other.spec.id: other for other in tables.values() if other.scale == values.scale}
    try:
        return [line.ours for line in board(values, same_scale.get, load)]
    except (ValueError, LookupError) as error:
        why = "its file has other rows or columns than conf/table" if isinstance(error, LookupError) else str(error)
        log.warning("claims of %s at scale %s cannot be checked: %s", values.spec.id, values.scale, why)
        return [Verdict("not run", f"cannot be checked: {why}; make the table again")] * len(values.spec.claims)


def counts(rows: Iterable[BoardRow]) -> list[dict]:
    """Per paper how many claims have which verdict: one line for its own numbers, one for each scale of ours."""
    found: dict[tuple[str, str], Counter] = {}
    for row in rows:
        if row.paper != OURS:  # nothing is published of a table of our own
            found.setdefault((row.paper, ""), Counter())[row.published.state] += 1
        elif not row.ours:
            found.setdefault((row.paper, NOWHERE), Counter())["not run"] += 1
        for _, scale, verdict in row.ours:
            found.setdefault((row.paper, scale), Counter())[verdict.state] += 1
    order = {paper: i for i, paper in enumerate(dict.fromkeys(paper for paper, _ in found))}

    def words(scale: str) -> str:
        return scale if scale == NOWHERE else f"ours, {scale}" if scale else "published"

    return [
        {"paper": paper, "of": words(scale), "numbers": [tally[state] for state in STATES], "sum": tally.total()}
        for (paper, scale), tally in sorted(found.items(), key=lambda item: (order[item[0][0]], item[0][1]))
    ]
