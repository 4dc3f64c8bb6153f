"""What the runs of a table say, cell by cell: plain values between the runner and the files it writes."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field

from seglab.tables.spec import Column, TableSpec

STATES = ("done", "part", "running", "stopped", "not run", "failed", "data missing", "not built", "published")
"""Of a cell: all seeds there; some of them; ...; a network that seglab does not have yet; nothing to be run."""


@dataclass(frozen=True)
class RunInfo:
    """One finished run that a table uses.

    Attributes:
        id: name of the run folder.
        row: name of the row.
        seed: its seed.
        commit: commit of the code that trained it, None outside a checkout.
        dirty: whether that checkout had uncommitted changes.
        device: what it was trained on.
        seconds: how long it took.
    """

    id: str
    row: str
    seed: int
    commit: str | None = None
    dirty: bool = False
    device: str = ""
    seconds: float | None = None


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
        ours: one number per finished seed, in the order of ``seeds``.
        seeds: the seeds of ``ours``.
        published: the paper's number as it is to be compared, None where it has none.
        printed: the paper's number as printed.
        state: one of :data:`STATES`.
        reason: why there is no number, in words; empty where there is one.
        runs: names of the run folders that ``ours`` comes from.
    """

    ours: tuple[float, ...] = ()
    seeds: tuple[int, ...] = ()
    published: float | None = None
    printed: float | None = None
    state: str = "not run"
    reason: str = ""
    runs: tuple[str, ...] = ()

    @property
    def mean(self) -> float | None:
        """Mean over the finished seeds."""
        return statistics.fmean(self.ours) if self.ours else None

    @property
    def deviation(self) -> float | None:
        """Sample standard deviation over the finished seeds, None for fewer than two."""
        if len(self.ours) < 2:
            return None
        if not all(map(math.isfinite, self.ours)):
            return math.nan  # which statistics.stdev cannot take
        return statistics.stdev(self.ours)

    @property
    def difference(self) -> float | None:
        """Ours minus published."""
        return None if self.mean is None or self.published is None else self.mean - self.published


@dataclass(frozen=True)
class TableValues:
    """A table at one scale, ready to be written.

    Attributes:
        spec: what the paper printed.
        scale: ``paper``, ``small``, ``smoke`` ...
        scale_title: what that scale changes, in one sentence.
        columns: as they are at this scale; ``paper_name`` says which published column each belongs to.
        cells: (row name, column name) -> cell, for every row of the spec and every column here.
        seeds: asked for.
        runs: the finished runs used.
        command: what to type to make it again.
        code: commit of the code that renders, with ``-dirty`` appended where it has uncommitted changes; None outside a
            checkout.
    """

    spec: TableSpec
    scale: str
    scale_title: str
    columns: tuple[Column, ...]
    cells: Mapping[tuple[str, str], Cell]
    seeds: tuple[int, ...] = (0,)
    runs: tuple[RunInfo, ...] = field(default_factory=tuple)
    code: str | None = None
    command: str = ""
