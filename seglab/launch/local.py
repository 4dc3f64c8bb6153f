"""Engine for processes of this machine: a pool of workers, one a slot, each a submitit job that does run after run.

Starting Python and torch takes seconds, so a worker is kept as long as there is work for its slot.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from submitit.helpers import clean_env
from submitit.local.local import LocalExecutor, LocalJob

import seglab
from seglab.cli import Stopped
from seglab.launch.board import Board
from seglab.launch.box import Box, attending
from seglab.launch.controller import how_it_died
from seglab.launch.work import Outcome, Work
from seglab.launch.worker import Worker
from seglab.signals import StopRequest

log = logging.getLogger(__name__)

POLL_S = 0.1
LEAVE_S = 10.0
"""Seconds that idle workers have to end before their boxes are removed."""
NEVER_MIN = 10**7
"""Minutes in which nothing runs out of time; submitit knows no 'never'."""


class Executor(LocalExecutor):
    """submitit's local executor with a controller in a session of its own and an environment for each job.

    Args:
        folder: for pickles and logs.
        environment: variables that differ from this process's.
    """

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        super().__init__(folder, max_num_timeout=NEVER_MIN)  # each run has its own count, see Shift
        self.environment = environment

    def _submit_command(self, command: str) -> LocalJob[Any]:
        environment = {
            **os.environ,
            **self.environment,
            "SUBMITIT_EXECUTOR": "local",
            "SUBMITIT_LOCAL_COMMAND": command,
            "SUBMITIT_LOCAL_NTASKS": "1",
            "SUBMITIT_LOCAL_NODEID": "0",
            "SUBMITIT_LOCAL_JOB_NUM_NODES": "1",
            "SUBMITIT_LOCAL_TIMEOUT_S": str(int(60 * self.parameters["timeout_min"])),
            "SUBMITIT_LOCAL_SIGNAL_DELAY_S": str(int(self.parameters["signal_delay_s"])),
            "SUBMITIT_LOCAL_WITH_SHELL": "",
            "SUBMITIT_STDERR_TO_STDOUT": "",
        }
        with open(self.folder / "controller.log", "ab") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "seglab.launch.controller", str(self.folder)],
                env=environment,
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )
        return LocalJob(folder=self.folder, job_id=str(process.pid), process=process)


@dataclass
class Slot:
    """A place where one run at a time can go on."""

    device: str
    job: LocalJob[Any] | None = None
    box: Box | None = None
    item: Work | None = None
    number: int = 0
    boxes: int = field(default=0)


class Pool:
    """Slots and the workers in them.

    Args:
        launch: ``conf/launch/local.yaml``.
        root: folder below which this runner makes its own.
        board: what there is to do.
    """

    def __init__(self, launch: DictConfig, root: Path, board: Board) -> None:
        self.launch, self.board = launch, board
        self.folder = (root / f"local-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}").absolute()
        gpus = visible_gpus(launch.gpus)
        self.slots = [Slot(gpu) for gpu in gpus for _ in range(launch.slots_per_gpu)]
        self.slots = self.slots or [Slot("") for _ in range(launch.slots)]
        self.jobs: list[LocalJob[Any]] = []

    def run(self) -> None:
        """Work until every work has an outcome.

        Raises:
            Stopped: a signal asked for it; the workers have saved and left.
        """
        with attending(self.folder), StopRequest() as stop:
            try:
                while not self.board.finished and not stop.asked:
                    for slot in self.slots:
                        self.look(slot)
                        if slot.item is None and (item := self.board.take()):
                            self.give(slot, item)
                    time.sleep(POLL_S)
                if stop.asked:
                    self.stop_workers()
            finally:
                for slot in self.slots:
                    self.leave(slot)
        self.tidy()

    def look(self, slot: Slot) -> None:
        """See whether the work of a slot ended, or its worker died."""
        if slot.item is None:
            return
        gone = slot.job.done()  # asked first: what it wrote before it went is seen below
        item = slot.item
        if outcome := slot.box.outcome(slot.number):
            slot.item = None
            self.board.end(item, outcome)
        elif gone:
            slot.item = None
            reason, out_of_time = how_it_died(self.folder, slot.job.job_id, slot.job.paths.stderr)
            if out_of_time:
                self.board.out_of_time(item, max(slot.box.starts(slot.number), self.board.starts.get(item.key, 0) + 1))
            else:
                self.board.end(item, Outcome(item.key, "failed", reason, transient=True))

    def give(self, slot: Slot, item: Work) -> None:
        """Hand a work to the slot's worker; to a new one where there is none or it has done its share."""
        share = self.launch.runs_per_job
        if slot.job is not None and share and slot.number + 1 >= share:
            self.leave(slot)
        slot.number += 1
        if slot.job is None or slot.job.done():
            slot.boxes, slot.number = slot.boxes + 1, 0
            slot.box = Box(self.folder / f"slot-{self.slots.index(slot)}-{slot.boxes}")
        slot.box.put(slot.number, item, starts=self.board.starts.get(item.key, 0))
        slot.item = item
        self.board.start(item)
        if slot.number == 0:
            slot.job = self.submit(slot)

    def submit(self, slot: Slot) -> LocalJob[Any]:
        """Start a worker."""
        threads = self.launch.threads or max(1, (os.cpu_count() or 1) // len(self.slots))
        environment = {"CUDA_VISIBLE_DEVICES": slot.device, "PYTHONPATH": python_path()}
        if "OMP_NUM_THREADS" not in os.environ:
            environment["OMP_NUM_THREADS"] = str(threads)
        executor = Executor(self.folder, environment)
        minutes = NEVER_MIN if self.launch.timeout_min is None else self.launch.timeout_min
        executor.update_parameters(timeout_min=minutes, signal_delay_s=self.launch.signal_delay_s)
        with clean_env():
            job = executor.submit(Worker(str(slot.box.folder), self.launch.max_timeouts))
        self.jobs.append(job)
        log.info("worker %s%s; its log: %s", job.job_id, f" on GPU {slot.device}" * bool(slot.device), job.paths.stderr)
        return job

    def leave(self, slot: Slot) -> None:
        """Let a slot's worker go when it has nothing more to do."""
        if slot.box is not None:
            slot.box.close()
        slot.job = None

    def stop_workers(self) -> None:
        """Ask all workers to save and leave, and wait for them; a second signal does not wait.

        Raises:
            Stopped: always.
        """
        busy = [slot for slot in self.slots if slot.job is not None and not slot.job.done()]
        log.info("asking %d workers to save and leave", len(busy))
        for slot in busy:
            slot.box.stop()
            slot.job._process.terminate()  # its controller passes it on
        while any(not slot.job.done() for slot in busy):
            time.sleep(POLL_S)
        for slot in self.slots:
            if slot.item is not None:
                outcome = slot.box.outcome(slot.number) or Outcome(slot.item.key, "stopped", "stopped by a signal")
                self.board.end(slot.item, outcome)
                slot.item = None
        raise Stopped("stopped; what was trained is saved; start the same command to go on")

    def tidy(self) -> None:
        """Remove what only workers read; the logs stay."""
        until = time.monotonic() + LEAVE_S
        while any(not job.done() for job in self.jobs) and time.monotonic() < until:
            time.sleep(POLL_S)
        for path in [*self.folder.glob("*.pkl"), *self.folder.glob("*_exit.json")]:
            path.unlink(missing_ok=True)
        for path in self.folder.glob("slot-*"):
            shutil.rmtree(path, ignore_errors=True)


def visible_gpus(wanted: Any) -> list[str]:
    """GPUs that workers may use, as ``CUDA_VISIBLE_DEVICES`` names them; torch is not asked.

    Args:
        wanted: None, ``auto`` or a list (``launch.gpus``).

    Raises:
        ValueError: neither of them.
    """
    if wanted is None:
        return []
    if OmegaConf.is_list(wanted) or isinstance(wanted, list | tuple):
        return [str(gpu) for gpu in wanted]
    if wanted != "auto":
        raise ValueError(f"launch.gpus={wanted}: expected auto, null, or a list such as [0,1]")
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        return [gpu.strip() for gpu in os.environ["CUDA_VISIBLE_DEVICES"].split(",") if gpu.strip() not in ("", "-1")]
    if shutil.which("nvidia-smi") is None:
        return []
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    return [str(number) for number in range(len(re.findall(r"^GPU \d", listed.stdout, flags=re.MULTILINE)))]


def python_path() -> str:
    """``PYTHONPATH`` with which a worker finds this very package."""
    mine = str(Path(seglab.__file__).resolve().parents[1])
    return os.pathsep.join(dict.fromkeys([mine, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]))


def run_local(board: Board, launch: DictConfig, root: Path) -> None:
    """Bring every work of the board to an outcome in local processes; see :class:`Pool`."""
    Pool(launch, root, board).run()
