"""The folder through which a runner hands works to one worker and hears how they ended.

``0001.json`` a work, ``0001.started`` how often it was begun, ``0001.outcome`` how it ended; ``closed`` no more will
come; ``stop`` begin nothing new. Every file is written whole, so both sides may die at any moment.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from seglab.atomic import write_atomic
from seglab.launch.work import Outcome, Work
from seglab.lock import is_held

ATTENDED = "runner.lock"
"""File beside the boxes that the runner holds locked as long as it lives."""


class Box:
    """One worker's mailbox.

    Args:
        folder: made when something is put in.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    def put(self, number: int, item: Work, *, starts: int = 0) -> None:
        """Hand over a work.

        Args:
            number: 0, 1, 2, ...
            item: what to do.
            starts: how often it was begun by other workers.
        """
        write_atomic(self._path(number, "json"), json.dumps(asdict(item) | {"starts": starts}))

    def close(self) -> None:
        """No more work will come."""
        write_atomic(self.folder / "closed", "")

    def stop(self) -> None:
        """Nothing new may be begun."""
        write_atomic(self.folder / "stop", "")

    @property
    def closed(self) -> bool:
        """True once no more work will come."""
        return (self.folder / "closed").exists()

    @property
    def stopped(self) -> bool:
        """True once nothing new may be begun."""
        return (self.folder / "stop").exists()

    def next(self) -> tuple[int, Work] | None:
        """The first work without an outcome."""
        for path in sorted(self.folder.glob("*.json")):
            number = int(path.stem)
            if not self._path(number, "outcome").exists():
                return number, self._read(number)[0]
        return None

    def starts(self, number: int) -> int:
        """How often a work was begun, by this worker and those before it."""
        path = self._path(number, "started")
        return int(path.read_text(encoding="utf-8")) if path.exists() else self._read(number)[1]

    def started(self, number: int) -> bool:
        """Whether this worker began a work."""
        return self._path(number, "started").exists()

    def begin(self, number: int) -> int:
        """Note that a work is begun; returns how often it was begun before."""
        before = self.starts(number)
        write_atomic(self._path(number, "started"), str(before + 1))
        return before

    def finish(self, number: int, outcome: Outcome) -> None:
        """Tell how a work ended."""
        write_atomic(self._path(number, "outcome"), json.dumps(asdict(outcome)))

    def outcome(self, number: int) -> Outcome | None:
        """How a work ended; None while it has not."""
        path = self._path(number, "outcome")
        return Outcome(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None

    def _path(self, number: int, kind: str) -> Path:
        return self.folder / f"{number:04d}.{kind}"

    def _read(self, number: int) -> tuple[Work, int]:
        content = json.loads(self._path(number, "json").read_text(encoding="utf-8"))
        starts = content.pop("starts")
        return Work(**{k: tuple(v) if isinstance(v, list) else v for k, v in content.items()}), starts

    def attended(self) -> bool:
        """Whether the runner that owns this box is alive."""
        return is_held(self.folder.parent / ATTENDED)


@contextmanager
def attending(folder: Path) -> Iterator[None]:
    """Hold the lock that tells the workers of this folder's boxes that their runner lives."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ATTENDED, "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
