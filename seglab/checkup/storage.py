"""Where runs are written: rights, room, locks, and what became of the runs that are there.

One runnable line: ``python -c "from seglab.checkup.storage import facts; print(*facts('outputs'))"``.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from seglab.checkup.fact import Fact, size

ROOM_BYTES = 5 * 10**9
"""Less free room than this is soon used up: two checkpoints of a large network are 1 GB a run."""
ACROSS_A_NETWORK = ("nfs", "cifs", "smb", "fuse", "9p", "lustre", "gpfs", "beegfs", "ceph", "afs", "glusterfs")
"""File systems on which locks may not be seen by other machines."""


def facts(outputs: str) -> Iterator[Fact]:
    """Facts about ``runtime.outputs``."""
    root = Path(outputs).absolute()
    yield writable(root)
    yield room(root)
    yield from runs(root / "runs")


def nearest_folder(path: Path) -> Path:
    """The folder itself, or the first above it that exists."""
    return next(folder for folder in (path, *path.parents) if folder.is_dir())


def writable(root: Path) -> Fact:
    """Do what a run does with its files, in a folder that is removed again."""
    remedy = "choose another folder with runtime.outputs=..., or see to its rights"
    shown = f"runtime.outputs={root}"
    made = [folder for folder in (root, *root.parents) if not folder.exists()]
    trial = root / f".doctor-{uuid.uuid4().hex[:8]}"
    doing = "a folder cannot be made"
    try:
        trial.mkdir(parents=True)
        doing = "a file cannot be written"
        with open(trial / "file.tmp", "wb") as file:
            file.write(bytes(1 << 16))
            file.flush()
            doing = "a file cannot be synchronised"
            os.fsync(file.fileno())
        doing = "a file cannot be renamed"
        os.replace(trial / "file.tmp", trial / "file")
        doing = "a file cannot be linked, which checkpoints need"
        os.link(trial / "file", trial / "other")
        doing = "a file cannot be locked"
        with open(trial / "file", "rb") as first, open(trial / "file", "rb") as second:
            fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
            try:
                fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pass  # as it should be
            else:
                return Fact("outputs", f"{shown}: locks hold nobody off", "broken", "use a local file system")
        doing = "a file cannot be removed"
        (trial / "file").unlink()
    except OSError as error:
        return Fact("outputs", f"{shown}: {doing} ({error.strerror or error})", "broken", remedy)
    finally:
        shutil.rmtree(trial, ignore_errors=True)
        for folder in made:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
    there = "does not exist yet, can be made" if made else "exists"
    return Fact("outputs", f"{shown}: {there}; write, fsync, rename, link, lock and remove work")


def room(root: Path) -> Fact:
    """Free space, and the kind of file system."""
    folder = nearest_folder(root)
    usage, (kind, mount) = shutil.disk_usage(folder), file_system(folder)
    text = f"{size(usage.free)} free of {size(usage.total)} ({kind} at {mount})"
    inodes = os.statvfs(folder)
    if inodes.f_files and inodes.f_favail < 10_000:
        return Fact("disk", f"{text}, {inodes.f_favail} more files", "note", "remove files: their number is limited")
    if usage.free < ROOM_BYTES:
        return Fact("disk", text, "note", "make room, or set runtime.outputs to another disk")
    if kind.lower().startswith(ACROSS_A_NETWORK):
        remedy = "let one machine at a time work in one outputs folder, unless its locks reach across machines"
        return Fact("disk", f"{text}, a file system across a network", "note", remedy)
    return Fact("disk", text)


def file_system(folder: Path) -> tuple[str, str]:
    """Kind and mount point of the file system a folder lies on."""
    try:
        lines = Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return "unknown file system", "?"
    there, best = str(folder.resolve()), ("unknown file system", "")
    for line in lines:
        _, mount, kind, *_ = line.split(" ")
        mount = mount.encode().decode("unicode_escape")  # a blank is written \040
        inside = there == mount or there.startswith(mount.rstrip("/") + "/")
        if inside and len(mount) >= len(best[1]):
            best = (kind, mount)
    return best


def runs(folder: Path) -> Iterator[Fact]:
    """How far the runs are that lie in ``outputs/runs``, and what others left behind."""
    if not folder.is_dir():
        yield Fact("runs", "none yet")
        return
    states: Counter[str] = Counter()
    leftovers, broken, killed = [], [], 0
    for run in sorted(path for path in folder.iterdir() if path.is_dir()):
        state = state_of(run)
        states[state] += 1
        if state == "without a config":
            broken.append(run.name)
        if state not in ("running", "closed to us"):
            killed += (run / ".lock").is_file() and (run / ".lock").stat().st_size > 0  # who works there writes it in
            leftovers += [f"{run.name}/{path.name}" for path in run.glob("*.tmp")]
    order = ("done", "running", "stopped", "failed", "not begun", "without a config", "closed to us")
    words = [f"{states[state]} {state}" for state in order if states[state]]
    ended = f"; {killed} ended by a kill or a crash, their locks are free" if killed else ""
    yield Fact("runs", f"{', '.join(words) or 'none yet'}{ended}")
    if failed := [run for run in sorted(folder.iterdir()) if (run / "FAILED").is_file()]:
        last = max(failed, key=lambda run: (run / "FAILED").stat().st_mtime)
        lines = (last / "FAILED").read_text(encoding="utf-8", errors="replace").strip().splitlines()
        yield Fact("last failure", f"{last.name}: {lines[-1].strip() if lines else 'no reason was written'}")
    if broken:
        remedy = "look into them, then remove them: no command reads such a folder"
        yield Fact("broken runs", f"{len(broken)} without a config.yaml, e.g. {broken[0]}", "note", remedy)
    if leftovers:
        text = f"{len(leftovers)} half-written files (*.tmp), e.g. {leftovers[0]}"
        yield Fact("leftovers", text, "note", "the same command removes them as it goes on")


def state_of(run: Path) -> str:
    """How far a run is, in words; a lock that nobody holds any more says nothing."""
    from seglab.launch.work import is_locked

    try:
        if is_locked(run):
            return "running"
    except OSError:
        return "closed to us"
    if not (run / "config.yaml").is_file():
        return "without a config"
    for mark, word in (("DONE", "done"), ("FAILED", "failed"), ("last.pt", "stopped")):
        if (run / mark).is_file():
            return word
    return "not begun"
