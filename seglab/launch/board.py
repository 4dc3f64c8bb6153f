"""Who is next: the order of works, their predecessors, their tries. No process, no file and no torch in here."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from graphlib import TopologicalSorter
from pathlib import Path

from seglab.launch.work import BUSY, Outcome, Work, is_locked

log = logging.getLogger(__name__)

LOOK_AGAIN_S = 1.0
"""Seconds between two looks at a run folder that another process holds."""
TELL_AGAIN_S = 60.0
"""Seconds between two lines in the log about the same wait."""

OnChange = Callable[[Work, Outcome | None], None]


class Board:
    """Keeps count of works: waiting, running, ended.

    Args:
        works: what is to be done, in the order in which it is wanted.
        retries: further tries after a transient failure.
        max_timeouts: how often a work may run out of time before it is given up.
        on_change: called when a work starts (None) and when it ends.
    """

    def __init__(self, works: Sequence[Work], *, retries: int, max_timeouts: int, on_change: OnChange) -> None:
        self.waiting = {item.key: item for item in works}
        assert len(self.waiting) == len(works), "two works have the same key"
        TopologicalSorter({item.key: item.after for item in works}).prepare()  # raises on a circle, our own mistake
        self.retries, self.max_timeouts, self.on_change = retries, max_timeouts, on_change
        self.running: dict[str, Work] = {}
        self.outcomes: dict[str, Outcome] = {}
        self.failures: dict[str, int] = {}
        self.starts: dict[str, int] = {}
        """How often a work was begun and ran out of time, over all its workers."""
        self._told: dict[str, float] = {}
        self._looked: dict[str, float] = {}

    @property
    def finished(self) -> bool:
        """True once every work has an outcome."""
        return not self.waiting and not self.running

    def ready(self) -> list[Work]:
        """Works that may start now; those that never can are failed on the way."""
        found = []
        for item in list(self.waiting.values()):
            ends = [self.outcomes[key] for key in item.after if key in self.outcomes]
            if bad := next((end for end in ends if end.state != "done"), None):
                del self.waiting[item.key]
                self._end(item, Outcome(item.key, "failed", f"it needs {bad.key}, which {bad.state}"))
                return self.ready()  # others may wait for this one
            if not any(key in self.waiting or key in self.running for key in item.after):
                found.append(item)
        return found

    def take(self) -> Work | None:
        """The next work that may start and that no other process holds."""
        return next((item for item in self.ready() if not self.held_elsewhere(item)), None)

    def held_elsewhere(self, item: Work) -> bool:
        """Whether another process works on a run; asked of the disk at most once a second."""
        now = time.monotonic()
        if now < self._looked.get(item.key, 0.0):
            return True
        if not is_locked(item.folder):
            return False
        self._looked[item.key] = now + LOOK_AGAIN_S
        if now > self._told.get(item.key, float("-inf")):
            self._told[item.key] = now + TELL_AGAIN_S
            far = f" ({_epochs(item.folder)} epochs done)" if item.kind == "train" else ""
            log.info("%s: another process is working on it%s; waiting", item.key, far)
        return True

    def start(self, item: Work) -> None:
        """A work begins."""
        self.reserve(item)
        self.announce(item)

    def reserve(self, item: Work) -> None:
        """A work was given away and will begin some time."""
        self.running[item.key] = self.waiting.pop(item.key)

    def announce(self, item: Work) -> None:
        """A work that was given away begins."""
        self.on_change(item, None)

    def end(self, item: Work, outcome: Outcome) -> None:
        """A running work ended: for good, or to be tried again."""
        del self.running[item.key]
        if outcome.state == BUSY:
            self.waiting[item.key] = item
            return
        if outcome.state == "failed" and outcome.transient:
            tries = self.failures[item.key] = self.failures.get(item.key, 0) + 1
            if tries <= self.retries:
                log.warning("%s: %s; try %d of %d follows", item.key, outcome.reason, tries + 1, self.retries + 1)
                self.waiting = {item.key: item, **self.waiting}
                return
        self._end(item, outcome)

    def out_of_time(self, item: Work, starts: int) -> None:
        """A running work was saved when its worker ran out of time; it goes on elsewhere unless that is too often."""
        self.starts[item.key] = starts
        if starts > self.max_timeouts:
            self.end(item, timed_out(item.key, starts))
            return
        del self.running[item.key]
        self.waiting = {item.key: item, **self.waiting}

    def _end(self, item: Work, outcome: Outcome) -> None:
        self.outcomes[item.key] = outcome
        self.on_change(item, outcome)


def timed_out(key: str, starts: int) -> Outcome:
    """Outcome of a work that ran out of time too often."""
    hint = "raise launch.timeout_min (launch.time on Slurm) or launch.max_timeouts"
    return Outcome(key, "failed", f"stopped {starts} times before it was done; its state is saved; {hint}")


def _epochs(folder: str) -> int:
    path = Path(folder) / "log.jsonl"
    return len(path.read_bytes().splitlines()) if path.is_file() else 0
