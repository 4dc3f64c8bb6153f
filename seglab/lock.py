"""Who works on a run folder: one process at a time, and a dead one holds nothing.

The lock is the operating system's (``flock``) and goes with the process, however it ends. The file also names its
owner, for messages, and for file systems that cannot lock: there the owner counts as long as its process lives.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import logging
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

log = logging.getLogger(__name__)

LOOK_S = 0.5
"""Seconds that a lock is asked for before it counts as held."""
CHILDREN_S = 15.0
"""The same where the process that held it is gone: a child of it may live on for some seconds."""
_HELD: set[IO[str]] = set()
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)
"""What a file system answers that cannot lock."""


@contextlib.contextmanager
def hold(path: Path) -> Iterator[None]:
    """Hold a lock file for the length of the block.

    Raises:
        ValueError: another process holds it; names the process.
    """
    with open(path, "a+", encoding="utf-8") as file:
        _take(file, path)
        if left := _owner(file):
            log.info(
                "%s: its last process (%s) ended without finishing; going on from what it saved", *_told(path, left)
            )
        _write(file, owner())
        _HELD.add(file)
        try:
            yield
        finally:
            _HELD.discard(file)
            _write(file, None)


def _let_go() -> None:
    """A forked child, a data worker say, shares the lock; it must not outlive the process that took it."""
    for file in _HELD:
        os.close(file.fileno())
    _HELD.clear()


os.register_at_fork(after_in_child=_let_go)


def is_held(path: Path) -> bool:
    """Whether some process holds a lock file; the file is left as it is."""
    try:
        with open(path, encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            except OSError as error:
                return error.errno in NO_LOCKS and lives(_owner(file))
    except FileNotFoundError:
        pass
    return False


def owner() -> dict[str, Any]:
    """This process, told apart from a later one with the same number."""
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "born": _born(os.getpid()),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])[:200],
    }


def lives(who: dict[str, Any] | None) -> bool:
    """Whether an owner may still work. On another machine that cannot be seen, so it counts as alive."""
    if who is None:
        return False
    if who["host"] != socket.gethostname():
        return True
    return _born(who["pid"]) == who["born"] is not None


def _take(file: IO[str], path: Path) -> None:
    began = time.monotonic()
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as error:
            if error.errno in NO_LOCKS:
                return _take_by_name(file, path)
            # Perhaps somebody only looks whether it is locked, for a moment.
            who = _owner(file)
            gone = who is not None and not lives(who)
            if time.monotonic() - began > (CHILDREN_S if gone else LOOK_S):
                raise _refusal(path, who) from error
            time.sleep(0.02)


def _take_by_name(file: IO[str], path: Path) -> None:
    """Where the file system cannot lock: write a name, and see whether it stays."""
    if lives(found := _owner(file)):
        raise _refusal(path, found)
    _write(file, owner())
    time.sleep(0.1)  # two that came at once both wrote; the later name stands
    if (found := _owner(file)) and (found["pid"], found["host"]) != (os.getpid(), socket.gethostname()):
        raise _refusal(path, found)
    _write(file, None)


def _refusal(path: Path, who: dict[str, Any] | None) -> ValueError:
    folder, name = _told(path, who)
    elsewhere = who is not None and who["host"] != socket.gethostname()
    remedy = f". If that machine is down, delete {path}" if elsewhere else ""
    return ValueError(f"{folder}: another process is working on this run ({name}){remedy}")


def _told(path: Path, who: dict[str, Any] | None) -> tuple[Path, str]:
    if who is None:
        return path.parent, "it does not say which"
    return path.parent, f"{who['pid']} on {who['host']} since {who['since']}: {who['command']}"


def _owner(file: IO[str]) -> dict[str, Any] | None:
    file.seek(0)
    try:
        who = json.loads(file.read())
        return who if {"host", "pid", "born", "since", "command"} <= who.keys() else None
    except (ValueError, AttributeError):
        return None  # empty: released; or cut short by a kill


def _write(file: IO[str], who: dict[str, Any] | None) -> None:
    with contextlib.suppress(OSError):  # a full disk: the lock itself holds without a name in it
        file.seek(0)
        file.truncate()
        file.write(json.dumps(who) if who else "")
        file.flush()


def _born(pid: int) -> str | None:
    """When a process was started, in the kernel's count; None if there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        pass
    try:  # a system without /proc: the number alone must do
        os.kill(pid, 0)
        return "alive"
    except PermissionError:
        return "alive"
    except OSError:
        return None
