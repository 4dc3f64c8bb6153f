"""Signals that ask a training to stop, caught so that the step can be finished and the state saved.

Python runs its handlers between two steps of its own, which a long computation can keep back for minutes. The system's
handler writes a byte at once, though, and a thread that reads it counts the signals.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from types import FrameType
from typing import Any, Self

from seglab import distributed

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
SAME_S = 5.0
"""Under torchrun a Ctrl-C arrives twice, from the terminal and from torchrun; within this time both are one request."""


class StopRequest:
    """While it is entered, SIGTERM, SIGUSR1 and the first Ctrl-C only set ``asked``; a second Ctrl-C ends at once."""

    def __init__(self) -> None:
        self.asked = False
        self._told = False
        self._interrupted = 0.0
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Take the signals over; only the main thread can."""
        reader, writer = socket.socketpair()
        writer.setblocking(False)
        watcher = threading.Thread(target=self._watch, args=(reader,), daemon=True)
        watcher.start()
        self._stack.callback(reader.close)
        self._stack.callback(writer.close)
        self._stack.callback(watcher.join)
        # Ends the watcher. Closing the writer would not: forked data workers have it open, too.
        self._stack.callback(reader.shutdown, socket.SHUT_RDWR)
        before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        self._stack.callback(signal.set_wakeup_fd, before)
        for number in SIGNALS:
            self._stack.callback(signal.signal, number, signal.signal(number, self._ask))
        return self

    def __exit__(self, *_: object) -> None:
        """Give them back."""
        self._stack.close()

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True

    def _watch(self, reader: socket.socket) -> None:
        while received := reader.recv(64):
            for number in received:
                if number in SIGNALS:
                    self._count(signal.Signals(number))

    def _count(self, number: signal.Signals) -> None:
        if not self._told and distributed.is_main():
            self._told = True
            name = number.name.encode()
            os.write(2, b"seglab: %s: saving what runs, then stopping; a second Ctrl-C leaves at once\n" % name)
        self.asked = True
        if number is not signal.SIGINT:
            return  # schedulers send several kinds one after the other, and all of them mean: save
        now = time.monotonic()
        if not self._interrupted:
            self._interrupted = now
        elif distributed.world() == 1 or now - self._interrupted > SAME_S:
            os._exit(128 + number)  # nothing is tidied up: what is on the disk is whole at every moment


def _deafen(*_: Any) -> None:
    """A forked data worker hears a Ctrl-C as well; it must not write into the line of the process that counts."""
    if threading.current_thread() is threading.main_thread():
        signal.set_wakeup_fd(-1)


os.register_at_fork(after_in_child=_deafen)
