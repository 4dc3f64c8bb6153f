"""Take up scored parts: a CSV file grows line by line, sums are added, nothing else is kept.

Example: ``with Method("DSS", measure, folder) as method: method.take(rows, sums); method.result()``
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from seglab.scoring.folders import file_name
from seglab.scoring.measure import Measure, Sums
from seglab.scoring.work import add


@dataclass(frozen=True)
class Result:
    """Numbers of one method.

    Attributes:
        name: of the method.
        images: how many were scored.
        metrics: metric -> number.
        curves: curve -> numbers over the thresholds; empty where there are none.
    """

    name: str
    images: int
    metrics: dict[str, float]
    curves: dict[str, np.ndarray]


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
        self.columns, self.counts = np.zeros(len(measure.columns)), np.zeros(len(measure.columns), np.int64)

    def __enter__(self) -> Self:
        """Open the CSV."""
        self.file = open(self.path, "w", encoding="utf-8", newline="")
        self.file.write(",".join(["id", *self.measure.columns]) + "\n")
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.file.close()

    def take(self, rows: list[tuple[str, tuple[float, ...]]], sums: Sums) -> None:
        """Take up the next images, in order."""
        for stem, row in rows:
            self.file.write(",".join([quoted(stem), *("" if math.isnan(v) else repr(float(v)) for v in row)]) + "\n")
            numbers = np.array(row)
            there = ~np.isnan(numbers)
            self.columns[there] += numbers[there]
            self.counts += there
        self.images += len(rows)
        add(self.sums, sums)

    def result(self) -> Result:
        """The numbers of the set."""
        means = np.divide(self.columns, self.counts, out=np.full(len(self.counts), np.nan), where=self.counts > 0)
        by_name = dict(zip(self.measure.columns, means.tolist(), strict=True))
        return Result(self.name, self.images, self.measure.summary(self.sums, by_name), self.measure.curves(self.sums))


def quoted(text: str) -> str:
    """A field of a CSV file."""
    return '"' + text.replace('"', '""') + '"' if any(sign in text for sign in ',"\r\n') else text
