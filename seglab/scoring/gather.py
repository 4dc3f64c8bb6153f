"""Take up scored parts: a CSV file grows line by line, sums are added, nothing else is kept.

Example: ``with Method("DSS", measure, folder) as method: method.take(rows, sums, kinds); method.result()``
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from seglab.scoring.faults import Fault
from seglab.scoring.folders import file_name
from seglab.scoring.measured import Measure, Sums
from seglab.scoring.work import Kinds, add, count


@dataclass(frozen=True)
class Result:
    """Numbers of one method.

    Attributes:
        name: of the method.
        images: how many were scored.
        metrics: metric -> number.
        curves: curve -> numbers over the thresholds; empty where there are none.
        kind: what its maps were read as, in words; empty where there is no choice.
    """

    name: str
    images: int
    metrics: dict[str, float]
    curves: dict[str, np.ndarray]
    kind: str = ""


class Method:
    """A method while it is scored; its per-image CSV is written beside the place where it will lie.

    Args:
        name: of the method.
        measure: what is measured.
        folder: where its CSV grows; a folder that is thrown away unless everything went well.
    """

    def __init__(self, name: str, measure: Measure, folder: Path) -> None:
        self.name, self.measure = name, measure
        self.path = folder / f"{file_name(name)}.csv"
        self.images = 0
        self.sums: Sums = {}
        self.kinds: Kinds = {}
        self.columns, self.counts = np.zeros(len(measure.columns)), np.zeros(len(measure.columns), np.int64)

    def __enter__(self) -> Self:
        """Open the CSV."""
        self.file = open(self.path, "w", encoding="utf-8", newline="")
        self.file.write(",".join(["id", *self.measure.columns]) + "\n")
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.file.close()

    def take(self, rows: list[tuple[str, tuple[float, ...]]], sums: Sums, kinds: Kinds) -> None:
        """Take up the next images, in order, with what they were read as."""
        for stem, row in rows:
            self.file.write(",".join([quoted(stem), *("" if math.isnan(v) else repr(float(v)) for v in row)]) + "\n")
            numbers = np.array(row)
            there = ~np.isnan(numbers)
            self.columns[there] += numbers[there]
            self.counts += there
        self.images += len(rows)
        count(self.kinds, kinds)
        if len(self.kinds) == 1:
            add(self.sums, sums)

    def faults(self) -> list[Fault]:
        """One, where its maps are not all of one kind: sums over them would mean nothing."""
        if len(self.kinds) < 2:
            return []
        shown = "; ".join(f"{n} {kind} (first {first})" for kind, (n, first) in self.kinds.items())
        return [Fault("kinds", f"{self.name}: {shown}")]

    def result(self) -> Result:
        """The numbers of the set."""
        means = np.divide(self.columns, self.counts, out=np.full(len(self.counts), np.nan), where=self.counts > 0)
        by_name = dict(zip(self.measure.columns, means.tolist(), strict=True))
        metrics, curves = self.measure.summary(self.sums, by_name), self.measure.curves(self.sums)
        return Result(self.name, self.images, metrics, curves, next(iter(self.kinds), ""))


def quoted(text: str) -> str:
    """A field of a CSV file."""
    return '"' + text.replace('"', '""') + '"' if any(sign in text for sign in ',"\r\n') else text
