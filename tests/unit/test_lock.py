"""Who holds a run folder: a living process does, a dead one does not, whatever its name says."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from seglab import lock

HOLD = "import sys, time; from pathlib import Path; from seglab.lock import hold\n" + (
    "with hold(Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(60)"
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".lock"


@pytest.fixture
def holder(path: Path) -> subprocess.Popen:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_living_owner_is_named(path, holder) -> None:
    assert lock.is_held(path)
    named = rf"another process is working on this run \({holder.pid} on .* since 20"
    with pytest.raises(ValueError, match=named), lock.hold(path):
        pass


def test_a_killed_owner_is_told_and_replaced(path, holder, caplog) -> None:
    caplog.set_level("INFO")
    holder.kill()
    holder.wait()
    assert not lock.is_held(path)
    with lock.hold(path):
        assert json.loads(path.read_text())["pid"] == os.getpid()
    assert f"its last process ({holder.pid} on " in caplog.text
    assert path.read_text() == ""


def test_a_released_lock_says_nothing(path, caplog) -> None:
    caplog.set_level("INFO")
    for _ in range(2):
        with lock.hold(path):
            pass
    assert caplog.text == ""


@pytest.mark.parametrize("left", ["", "{", "[]", '{"pid": 1}', "\0\0\0"])
def test_an_owner_that_cannot_be_read_holds_nothing(path, left) -> None:
    path.write_text(left)
    with lock.hold(path):
        assert lock.is_held(path)


@pytest.fixture
def no_locks(monkeypatch) -> None:
    """A file system that cannot lock, as some network file systems."""

    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)


def test_without_locks_a_living_owner_counts(path, holder, no_locks) -> None:
    assert lock.is_held(path)
    with pytest.raises(ValueError, match="another process is working"), lock.hold(path):
        pass


def test_without_locks_a_dead_owner_does_not_count(path, holder, no_locks) -> None:
    holder.kill()
    holder.wait()
    assert not lock.is_held(path)
    with lock.hold(path):
        assert lock.is_held(path)
    assert not lock.is_held(path)


def test_a_number_that_was_given_to_another_process_does_not_count(path, no_locks) -> None:
    path.write_text(json.dumps(lock.owner() | {"born": "12"}))
    with lock.hold(path):
        pass


def test_an_owner_on_another_machine_is_left_alone(path, no_locks) -> None:
    path.write_text(json.dumps(lock.owner() | {"host": "elsewhere"}))
    with (
        pytest.raises(ValueError, match=r"on elsewhere since .*If that machine is down, delete .*\.lock"),
        lock.hold(path),
    ):
        pass
    assert json.loads(path.read_text())["host"] == "elsewhere"


def test_waiting_is_short(path, holder) -> None:
    began = time.monotonic()
    with pytest.raises(ValueError, match="another process"), lock.hold(path):
        pass
    assert time.monotonic() - began < lock.LOOK_S + 5
