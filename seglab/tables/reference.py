"""How a table names runs of its own rows and of other tables: ``row``, ``table:row`` or ``table:row|column``.

One runnable line: ``python -c "from seglab.tables.reference import RunsOf; print(RunsOf.read('a:b|c'))"``.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RunsOf:
    """Runs that a row is made of, starts from or takes its labels from.

    Attributes:
        row: name of the row they belong to.
        table: its table; empty = the one that names it.
        column: heading in the paper of the column they were trained for; empty = the column being looked at.
    """

    row: str
    table: str = ""
    column: str = ""

    @classmethod
    def read(cls, text: str) -> RunsOf:
        """Take ``[table:]row[|column]`` apart."""
        table, _, rest = text.rpartition(":")
        row, _, column = rest.partition("|")
        return cls(row, table, column)


@dataclass(frozen=True)
class Place:
    """A data set of the paper that a row is looked at on, and what stands in for it at a scale.

    Attributes:
        paper: the set's name in the paper's table, e.g. ``voc_coseg/cow``.
        set: the set that stands for it; the same at ``scale=paper``.
        overrides: what the column adds to the row's overrides of ``seglab.train``.
    """

    paper: str
    set: str
    overrides: tuple[str, ...] = ()

    @property
    def category(self) -> str:
        """What follows the stroke in the paper's name; empty for a set without categories."""
        return self.paper.partition("/")[2]

    @property
    def words(self) -> str:
        """What tells jobs of a row apart that have no config."""
        return " ".join(filter(None, (self.set, *self.overrides)))
