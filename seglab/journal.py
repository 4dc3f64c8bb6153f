"""``log.jsonl`` of a run: one row an epoch, none twice, whatever happened in between."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from seglab.atomic import write_atomic


class Journal:
    """The rows of one run.

    Args:
        path: the file; made with the first row.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, row: dict[str, Any]) -> None:
        """Append a row; it has an ``epoch``."""
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def forget_from(self, epoch: int) -> None:
        """Drop rows of this epoch and later ones, and a row that a kill cut short: they will be trained again."""
        if self.path.exists():
            rows = self.path.read_text(encoding="utf-8").splitlines()
            write_atomic(self.path, "".join(f"{row}\n" for row in rows if _epoch_of(row) < epoch))


def _epoch_of(row: str) -> float:
    try:
        return json.loads(row)["epoch"]
    except (json.JSONDecodeError, KeyError, TypeError):
        return float("inf")
