"""A download on its way: what is wanted, how long to try, and the half that is there.

One runnable line: ``python -c "from pathlib import Path; from seglab.fetch.task import Patience, Task;
print(Task(Path('a.zip'), None, None, None, Patience(), False).have)"``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Patience:
    """How long to try.

    Args:
        timeout: seconds without a byte before a connection counts as dead.
        retries: attempts in a row that bring nothing, an address.
        pause: seconds before the first repetition; doubled each time, at most a minute.
        attempts: attempts in all, an address, however much they bring.
        sleep: waits; replaced in tests.
    """

    timeout: float = 30.0
    retries: int = 4
    pause: float = 1.0
    attempts: int = 200
    sleep: Callable[[float], None] = time.sleep


@dataclass
class Task:
    """What is to be fetched, and the half that is there.

    Args:
        path: name of the whole file.
        sha256: checksum expected; None = unknown.
        md5: the same.
        size: bytes expected; None = unknown.
        patience: time-outs and repetitions.
        progress: show a bar.
        resumed: whether the half that is there was added to.
        faults: why addresses did not give it.
    """

    path: Path
    sha256: str | None
    md5: str | None
    size: int | None
    patience: Patience
    progress: bool
    resumed: bool = False
    faults: list[str] = field(default_factory=list)

    @property
    def part(self) -> Path:
        """The half that is there."""
        return self.path.with_name(f"{self.path.name}.part")

    @property
    def note(self) -> Path:
        """Where it came from."""
        return self.path.with_name(f"{self.path.name}.part.json")

    @property
    def have(self) -> int:
        """Bytes of it."""
        return self.part.stat().st_size if self.part.is_file() else 0

    @property
    def checked(self) -> bool:
        """Whether a checksum is known."""
        return bool(self.sha256 or self.md5)

    def origin(self) -> dict[str, Any]:
        """Address, ETag, date and size of the file that the half belongs to; empty where that is not known."""
        try:
            read = json.loads(self.note.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}  # no note, or half of one: the part is of unknown origin
        return read if isinstance(read, dict) else {}

    def drop(self) -> None:
        """Forget the half that is there."""
        self.part.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)
