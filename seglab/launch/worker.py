"""The worker: a process that takes works out of its box, one after the other, and can be stopped and started again.

It runs inside a submitit job. submitit asks for a stop by SIGUSR2, shortly before the time is up or when the cluster
wants the machine back; the trainer then finishes its step and saves, and submitit's own handler queues the job again.
"""

from __future__ import annotations

import logging
import signal
import sys
import time
from types import FrameType
from typing import Any

from seglab.cli import EXIT_STOPPED, Stopped, setup_logging
from seglab.launch.board import timed_out
from seglab.launch.box import Box
from seglab.launch.work import work

log = logging.getLogger(__name__)

POLL_S = 0.1


class Worker:
    """What is submitted.

    Args:
        box: folder of its :class:`~seglab.launch.box.Box`.
        max_timeouts: how often a work may be stopped for want of time before it is given up.
    """

    def __init__(self, box: str, max_timeouts: int) -> None:
        self.box, self.max_timeouts = box, max_timeouts

    def __call__(self) -> None:
        """Work until the box is closed and empty, or its runner is gone."""
        from submitit import JobEnvironment

        setup_logging()
        number = getattr(signal, f"SIG{JobEnvironment.USR_SIG}")
        shift = Shift(Box(self.box), number)
        # submitit ignores SIGTERM, which elsewhere asks a run to save and leave.
        signal.signal(signal.SIGTERM, _stop)
        submitit_handler = signal.signal(number, shift.preempt)
        try:
            shift.serve()
        except (Stopped, KeyboardInterrupt) as stop:
            log.info("%s", stop)
            if not shift.preempted:
                sys.exit(EXIT_STOPPED)
            shift.give_up_what_takes_too_long(self.max_timeouts)
            submitit_handler(number, None)  # queues this job again and ends the process

    def checkpoint(self) -> Any:
        """What submitit queues again: the same worker, which finds in its box where it was."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(Worker(self.box, self.max_timeouts))


class Shift:
    """One life of a worker's process.

    Args:
        box: where works come from.
        number: the signal that asks for a stop and a new start.
    """

    def __init__(self, box: Box, number: int) -> None:
        self.box, self.number, self.preempted = box, number, False

    def preempt(self, number: int, frame: FrameType | None) -> None:
        """Signal handler: note why, then let the trainer stop as it does on SIGTERM."""
        self.preempted = True
        signal.raise_signal(signal.SIGTERM)

    def serve(self) -> None:
        """Take work after work.

        Raises:
            Stopped: a signal asked for it.
        """
        while True:
            if self.preempted or self.box.stopped:
                raise Stopped("stopped between two runs")
            found = self.box.next()
            if found is None:
                if self.box.closed or not self.box.attended():
                    return
                time.sleep(POLL_S)
                continue
            number, item = found
            before = self.box.begin(number)
            log.info("run %s", item.key)
            outcome = work(item, again=before > 0)
            log.info("%s %s", outcome.state, outcome.reason)
            self.box.finish(number, outcome)

    def give_up_what_takes_too_long(self, max_timeouts: int) -> None:
        """Fail the work at hand where it was stopped too often."""
        found = self.box.next()
        if found and self.box.starts(found[0]) > max_timeouts:
            self.box.finish(found[0], timed_out(found[1].key, self.box.starts(found[0])))


def _stop(number: int, _frame: FrameType | None) -> None:
    raise Stopped(f"stopped by {signal.Signals(number).name}")
