"""Controller of one local worker: submitit's, which also notes how the worker ended, so that the reason can be told.

``python -m seglab.launch.controller <folder>``, started by :mod:`seglab.launch.local` in a session of its own, so that
Ctrl-C on the terminal reaches only the runner, which asks the workers to save.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any

from submitit.local.local import LOCAL_REQUEUE_RETURN_CODE
from submitit.local.local import Controller as SubmititController

from seglab.atomic import write_atomic


class Controller(SubmititController):
    """Starts the worker, again after a time-out, and writes ``<pid>_exit.json``: its last exit code."""

    def wait(self, freq: int = 24) -> Any:
        """Wait for the worker; returns its exit code in a list."""
        codes = super().wait(freq)
        write_atomic(exit_file(self.folder, self.pid), json.dumps(codes[0]))
        return codes


def exit_file(folder: Path, job: str) -> Path:
    """Where the exit code of a worker is noted."""
    return Path(folder) / f"{job}_exit.json"


def how_it_died(folder: Path, job: str, log_file: Path) -> tuple[str, bool]:
    """Why a worker ended with a work unfinished.

    Args:
        folder: submitit's folder.
        job: submitit's job id.
        log_file: what the worker wrote to stderr.

    Returns:
        The reason in one line, and whether it only ran out of time, with its state saved.
    """
    path = exit_file(folder, job)
    code = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    if code in (LOCAL_REQUEUE_RETURN_CODE, -signal.SIGUSR2):  # the second: before it could listen
        return "its worker ran out of time", True
    if code is None and path.exists():
        return "its worker did not save and leave within launch.signal_delay_s and was killed", False
    if code is None:
        return "its worker was killed together with its controller", False
    if code < 0:
        hint = ", as the kernel does when memory runs out" if code == -signal.SIGKILL else ""
        return f"its worker was killed by {signal.Signals(-code).name}{hint} (log: {log_file})", False
    lines = log_file.read_text(encoding="utf-8", errors="replace").split("\n") if log_file.exists() else []
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f"its worker ended with exit code {code}: {last} (log: {log_file})", False


if __name__ == "__main__":
    Controller(Path(sys.argv[1])).run()
