"""One view of how far the runs of some tables are."""

from __future__ import annotations

from collections.abc import Iterable

from seglab.tables.job import Job
from seglab.tables.spec import Row
from seglab.tables.state import State, state_of
from seglab.tables.values import STATES

WIDTH = 44
QUIET = ("done", "published", "not run")
"""States that need no reason."""


def status_text(title: str, rows: Iterable[tuple[Row, list[Job]]]) -> str:
    """A block of lines: the sum over a table, one line a row, and every reason, said once.

    Args:
        title: heading of the block.
        rows: a row and its runs.
    """
    rows = [(row, [(job, state_of(job)) for job in jobs]) for row, jobs in rows]
    once = {job.key: state for _, jobs in rows for job, state in jobs}
    lines = [f"{title}: {len(once)} runs: {counts(once.values())}"]
    said: set[str] = set()
    for row, jobs in rows:
        what = "published" if row.kind == "published" else f"not built: {row.unavailable}" if row.unavailable else ""
        lines.append(f"  {row.name:<{WIDTH}} {what or counts(state for _, state in jobs)}")
        reasons: dict[str, list[int]] = {}
        for job, state in jobs:
            if state.name not in QUIET and state.reason:
                reasons.setdefault(f"{state.name}: {state.reason}", []).append(job.seed)
        new = [reason for reason in reasons if reason not in said]
        said.update(new)
        for reason in new:
            lines.append(f"  {'':<{WIDTH}} seed {', '.join(map(str, dict.fromkeys(reasons[reason])))}: {reason}")
        if len(new) < len(reasons):
            lines.append(f"  {'':<{WIDTH}} {len(reasons) - len(new)} of the reasons above")
    return "\n".join(lines) + "\n"


def counts(states: Iterable[State]) -> str:
    """``4 done, 1 running``."""
    names = [state.name for state in states]
    return ", ".join(f"{names.count(name)} {name}" for name in STATES if name in names) or "none"
