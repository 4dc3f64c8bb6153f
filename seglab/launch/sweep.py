"""Sweeps whose runs are in other processes: ``python -m seglab.train -m seed=0,1 hydra/launcher=joblib``.

Hydra's launcher plugins bring home one error at most and no result lines. So every job leaves a note of how it ended
in a folder that the sweep's own process reads at the end, and in which it asks the jobs to stop when it is told to.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import signal
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from seglab.atomic import write_atomic

log = logging.getLogger(__name__)

SWEEPS: dict[str, DictConfig] = {}
"""Hydra's part of the config of the sweep that is going on, by the desk's token; see :class:`Watch`."""


class Watch(Callback):
    """Tells the desk, in the process of the sweep, which launcher Hydra chose and where notes can be left.

    Args:
        token: name of the desk.
    """

    def __init__(self, token: str) -> None:
        self.token = token

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Hydra calls this once, before the jobs."""
        SWEEPS[self.token] = config.hydra


class Desk:
    """Where the jobs of one sweep leave their notes; it is pickled with the job, so it is little more than a name."""

    def __init__(self) -> None:
        self.token = uuid.uuid4().hex[:12]
        self.stopped = False

    def override(self) -> list[str]:
        """Arguments with which Hydra tells this desk about the sweep."""
        name = "+hydra.callbacks.seglab"
        return [f"{name}._target_=seglab.launch.sweep.Watch", f"{name}.token='{self.token}'"]

    def folder(self, hydra: DictConfig) -> Path:
        """The folder of notes."""
        return Path(hydra.sweep.dir) / f".{self.token}"

    def work(self, hydra: DictConfig, run: Callable[[], Path | None], word: Callable[[Exception], str]) -> None:
        """Do a job, in its own process, and leave a note; nothing is raised, so that the other jobs go on.

        Args:
            hydra: Hydra's part of the config.
            run: the work itself.
            word: turns an error into its message.
        """
        from seglab.cli import Stopped, setup_logging

        setup_logging()
        folder, number = self.folder(hydra), int(hydra.job.num)
        note = {"overrides": " ".join(hydra.overrides.task), "pid": os.getpid(), "host": socket.gethostname()}
        with stoppable() as preempted:
            try:
                write_atomic(folder / f"{number:05d}.json", json.dumps(note))
                if (folder / "stop").exists():
                    raise Stopped("stopped before it began")
                path = run()
                note |= {"state": "done", "text": str(path) if path else ""}
            except (Stopped, KeyboardInterrupt) as stop:
                note |= {"state": "stopped", "text": str(stop)}
            except Exception as error:
                note |= {"state": "failed", "text": word(error)}
            if note["state"] == "stopped" and preempted:
                preempted[0]()  # submitit queues the job again and ends this process
            write_atomic(folder / f"{number:05d}.json", json.dumps(note))

    def notes(self) -> list[dict[str, Any]]:
        """The notes of all jobs that began, in the order of the sweep."""
        paths = sorted(self.folder(SWEEPS[self.token]).glob("*.json"))
        return [json.loads(path.read_text(encoding="utf-8")) for path in paths]

    @property
    def elsewhere(self) -> bool:
        """In the sweep's process: whether its jobs are in other processes."""
        return self.token in SWEEPS and in_other_processes(SWEEPS[self.token])

    @property
    def on_cluster(self) -> bool:
        """Whether the jobs belong to a cluster and outlive this process."""
        return "Slurm" in SWEEPS[self.token].launcher._target_

    @contextmanager
    def stopping(self) -> Iterator[None]:
        """While it is entered, a signal to the sweep's process is first passed on to its jobs."""
        from seglab.cli import Stopped

        def tell(number: int, _frame: FrameType | None) -> None:
            for one in before:
                signal.signal(one, before[one])  # a second signal does not wait
            if not self.elsewhere:
                signal.raise_signal(number)
            elif self.on_cluster:
                raise Stopped("stopped; the jobs stay in the queue, and the same command finds what they reach")
            else:
                self.stop_jobs()

        before = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)}
        for number in before:
            signal.signal(number, tell)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def stop_jobs(self) -> None:
        """Ask the jobs on this machine to save and leave; then the launcher comes home by itself."""
        self.stopped = True
        write_atomic(self.folder(SWEEPS[self.token]) / "stop", "")
        for note in self.notes():
            if "state" not in note:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(note["pid"], signal.SIGTERM)

    def results(self, error: Exception | None) -> tuple[list[str], list[tuple[str, Exception]]]:
        """What the sweep's process shows at the end.

        Args:
            error: what the launcher raised, because a job's process died or could not be started.

        Returns:
            Result lines, and (overrides, error) of each job that failed.

        Raises:
            Stopped: a signal asked for it, and the jobs have saved and left.
        """
        from seglab.cli import Stopped

        if error is not None and "submitit" in SWEEPS[self.token].launcher._target_ and not self.on_cluster:
            with contextlib.suppress(ChildProcessError):
                while True:
                    os.waitpid(-1, 0)  # the launcher gave up at the first dead job; the others are still at work
        notes = self.notes()
        lines = [n["text"] for n in notes if n.get("state") == "done" and n["text"]]
        failures = [(n["overrides"], ValueError(n["text"])) for n in notes if n.get("state") in ("failed", "stopped")]
        for note in (n for n in notes if "state" not in n):
            if self.on_cluster or is_alive(note):
                text = "was still at work when the launcher gave up"
            else:
                text = "its process was killed, as the kernel does when memory runs out"
            failures.append((note["overrides"], ValueError(f"{note['overrides']}: {text}; start it again to go on")))
        if error is not None and not any("state" not in note for note in notes):
            first = next((line for line in str(error).splitlines() if line.strip()), "")
            failures.append(("hydra/launcher", ValueError(f"hydra/launcher: {type(error).__name__}: {first}")))
        shutil.rmtree(self.folder(SWEEPS[self.token]), ignore_errors=True)
        if self.stopped:
            raise Stopped("stopped; what was trained is saved; start the same command to go on")
        return lines, failures


@contextmanager
def stoppable() -> Iterator[list[Callable[[], None]]]:
    """In a job's process: SIGTERM stops it as in a single run; SIGUSR2, where submitit listens, queues it again.

    Yields:
        A list into which what must be done to be queued again is put once SIGUSR2 came.
    """
    from seglab.cli import _stop

    again: list[Callable[[], None]] = []
    if threading.current_thread() is not threading.main_thread():
        yield again
        return
    submitit = signal.getsignal(signal.SIGUSR2)

    def preempt(number: int, frame: FrameType | None) -> None:
        again.append(lambda: submitit(number, frame))
        signal.raise_signal(signal.SIGTERM)

    before = {number: signal.signal(number, _stop) for number in (signal.SIGTERM, signal.SIGUSR1)}
    if callable(submitit):
        before[signal.SIGUSR2] = signal.signal(signal.SIGUSR2, preempt)
    try:
        yield again
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def in_other_processes(hydra: DictConfig) -> bool:
    """Whether Hydra's launcher runs its jobs in other processes."""
    return not hydra.launcher._target_.endswith("BasicLauncher")


def is_alive(note: dict[str, Any]) -> bool:
    """Whether the process that left a note is still there, as far as this machine can tell."""
    try:
        os.kill(note["pid"], 0)
    except ProcessLookupError:
        return False
    return note["host"] == socket.gethostname()
