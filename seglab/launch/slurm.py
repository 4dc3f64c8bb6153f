"""Engine for a Slurm cluster: jobs that outlive the command that submitted them, found again by the next one.

``<outputs>/jobs/<key>.json`` notes which job does a run; as long as ``squeue`` knows that job it is waited for, not
submitted a second time. Submission and requeueing are submitted to submitit, https://github.com/facebookincubator/submitit.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from submitit.core.utils import FailedJobError, FailedSubmissionError
from submitit.helpers import clean_env
from submitit.slurm.slurm import SlurmExecutor

from seglab.atomic import write_atomic
from seglab.cli import Stopped
from seglab.launch.board import Board
from seglab.launch.box import Box
from seglab.launch.local import python_path
from seglab.launch.work import BUSY, Outcome, Work
from seglab.launch.worker import Worker
from seglab.signals import StopRequest

log = logging.getLogger(__name__)

MISSES = 2
"""Looks at the queue in a row that must miss a job before it counts as ended: results travel slowly over a network."""
AGAIN = ("PREEMPTED", "NODE_FAIL", "BOOT_FAIL", "REQUEUED", "TIMEOUT")
"""States in which a job ended through no fault of the run."""


@dataclass
class Entry:
    """A work that a job does, or will."""

    item: Work
    job: str
    box: Box
    number: int
    begun: bool = False
    misses: int = 0


class Queue:
    """The works of one runner in Slurm's queue.

    Args:
        launch: ``conf/launch/slurm.yaml``.
        root: folder for records, boxes, scripts and logs; every node must see it.
        board: what there is to do.

    Raises:
        ValueError: there is no Slurm on this machine.
    """

    def __init__(self, launch: DictConfig, root: Path, board: Board) -> None:
        for program in ("sbatch", "squeue", "srun"):
            if shutil.which(program) is None:
                raise ValueError(f"launch=slurm: there is no {program} on this machine; use launch=local or inline")
        self.launch, self.root, self.board = launch, root.absolute(), board
        self.folder = self.root / "slurm"
        self.entries: list[Entry] = []

    def run(self) -> None:
        """Work until every work has an outcome.

        Raises:
            ValueError: ``sbatch`` refuses a job.
            Stopped: a signal asked for it; the jobs go on.
        """
        looked = float("-inf")
        with StopRequest() as stop:
            while not self.board.finished and not stop.asked:
                if time.monotonic() - looked >= self.launch.poll_s:
                    looked = time.monotonic()
                    known = in_queue()
                    self.submit_ready(known)
                    self.look(known)
                time.sleep(min(0.2, self.launch.poll_s))
        if stop.asked:
            jobs = " ".join(sorted({entry.job for entry in self.entries}))
            hint = f"its jobs stay in the queue (scancel {jobs} ends them); " if jobs else ""
            raise Stopped(f"stopped; {hint}start the same command to attach to them")

    def submit_ready(self, known: set[str] | None) -> None:
        """Attach to jobs that an earlier runner left; submit what nobody does."""
        if known is None:
            return  # without the queue's answer a job might be submitted twice
        new = []
        for item in self.board.ready():
            if entry := self.left_behind(item, known):
                log.info("%s: attached to job %s", item.key, entry.job)
                self.entries.append(entry)
                self.board.reserve(item)
            elif not self.board.held_elsewhere(item):
                new.append(item)
        self.submit(new)

    def left_behind(self, item: Work, known: set[str]) -> Entry | None:
        """The job that does this work since an earlier command; None where it ended or never was."""
        path = self.record(item.key)
        if not path.is_file():
            return None
        note = json.loads(path.read_text(encoding="utf-8"))
        entry = Entry(item, note["job"], Box(note["box"]), note["number"])
        return entry if entry.job in known and entry.box.outcome(entry.number) is None else None

    def submit(self, items: Sequence[Work]) -> None:
        """Submit works, ``launch.runs_per_job`` a job, as one job array."""
        if not items:
            return
        boxes = []
        share = self.launch.runs_per_job or 1
        for group in (items[first : first + share] for first in range(0, len(items), share)):
            box = Box(self.folder / "boxes" / uuid.uuid4().hex[:12])
            for number, item in enumerate(group):
                box.put(number, item, starts=self.board.starts.get(item.key, 0))
            box.close()
            boxes.append((box, group))
        workers = [Worker(str(box.folder), self.launch.max_timeouts) for box, _ in boxes]
        try:
            with clean_env():
                jobs = self.executor().submit_array(workers)
        except (FailedJobError, FailedSubmissionError) as error:
            raise ValueError(f"launch=slurm: sbatch refused: {' '.join(str(error).split())}") from error
        for job, (box, group) in zip(jobs, boxes, strict=True):
            for number, item in enumerate(group):
                note = {"job": job.job_id, "box": str(box.folder), "number": number, "log": str(job.paths.stderr)}
                write_atomic(self.record(item.key), json.dumps(note, indent=2) + "\n")
                self.entries.append(Entry(item, job.job_id, box, number))
                self.board.reserve(item)
            log.info("job %s: %s", job.job_id, ", ".join(item.key for item in group))

    def executor(self) -> SlurmExecutor:
        """Submission with the settings of ``launch``."""
        launch = OmegaConf.to_container(self.launch, resolve=True)
        executor = SlurmExecutor(self.folder, max_num_timeout=10**6)  # each run has its own count, see Worker
        settings: dict[str, Any] = {k: launch[k] for k in ("partition", "account", "qos", "constraint", "time", "mem")}
        settings |= {"gpus_per_node": launch["gpus"] or None, "cpus_per_task": launch["cpus"]}
        settings |= {k: launch[k] for k in ("array_parallelism", "signal_delay_s")}
        settings |= {"additional_parameters": launch["extra"] or None, "job_name": "seglab"}
        settings |= {"setup": [*launch["setup"], f"export PYTHONPATH={python_path()!r}"]}
        executor.update_parameters(**{k: v for k, v in settings.items() if v is not None})
        return executor

    def look(self, known: set[str] | None) -> None:
        """See which works began, which ended, and which jobs died."""
        for entry in list(self.entries):
            if not entry.begun and entry.box.started(entry.number):
                entry.begun = True
                self.board.announce(entry.item)
            outcome = entry.box.outcome(entry.number)
            if outcome is None and known is not None:
                entry.misses = 0 if entry.job in known else entry.misses + 1
                if entry.misses >= MISSES:
                    self.forget(entry)
                    self.died(entry)
            elif outcome is not None:
                self.forget(entry)
                self.board.end(entry.item, outcome)

    def died(self, entry: Entry) -> None:
        """Judge a job that left the queue with a work unfinished."""
        state, key = accounting(entry.job), entry.item.key
        shown = f"ended as {state}" if state else "left the queue"
        reason = f"job {entry.job} {shown} before the run was done (log: {self.folder / entry.job}_0_log.err)"
        begun = [entry.box.started(number) for number in range(entry.number + 1)]
        if state.startswith("CANCELLED"):
            self.board.end(entry.item, Outcome(key, "failed", reason))
        elif any(begun) and not begun[-1]:
            self.board.end(entry.item, Outcome(key, BUSY, "its job died of another run"))
        elif begun[-1] and state.startswith(AGAIN):
            self.board.out_of_time(entry.item, entry.box.starts(entry.number))
        else:
            self.board.end(entry.item, Outcome(key, "failed", reason, transient=True))

    def forget(self, entry: Entry) -> None:
        """Strike a work off the list of those in the queue."""
        self.entries.remove(entry)
        self.record(entry.item.key).unlink(missing_ok=True)

    def record(self, key: str) -> Path:
        """Where the job of a work is noted."""
        return self.root / f"{key}.json"


def in_queue() -> set[str] | None:
    """Ids of this user's jobs that are queued or running; None where Slurm does not answer."""
    command = ["squeue", "--noheader", "--array", "--user", str(os.getuid()), "--format", "%i"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        log.warning("squeue gives no answer, asking again later: %s", error)
        return None
    return set(answer.stdout.split())


def accounting(job: str) -> str:
    """State in which a job ended, in Slurm's words; empty where Slurm keeps no accounts."""
    command = ["sacct", "--noheader", "--parsable2", "--allocations", "--jobs", job, "--format", "State"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout.strip().partition("\n")[0]


def run_slurm(board: Board, launch: DictConfig, root: Path) -> None:
    """Bring every work of the board to an outcome by Slurm jobs; see :class:`Queue`."""
    Queue(launch, root, board).run()
