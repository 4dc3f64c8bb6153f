"""What the fuzz tests share: sizes of a run, a scratch folder, and wires that a forbidden act trips."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import sys
import tempfile
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from hypothesis import HealthCheck, settings

settings.register_profile(
    "seglab",
    max_examples=int(os.environ.get("SEGLAB_FUZZ_EXAMPLES", "100")),
    deadline=None,  # machines differ; hanging shows as a test that does not end
    database=None,
    derandomize="SEGLAB_FUZZ_EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("seglab")

SCRATCH = Path(tempfile.mkdtemp(prefix="seglab-fuzz-"))
atexit.register(shutil.rmtree, SCRATCH, ignore_errors=True)

FORBIDDEN = ("os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork", "os.remove", "os.rename")
FORBIDDEN += ("os.rmdir", "os.mkdir", "os.chmod", "os.link", "os.symlink", "shutil.rmtree", "socket.connect")
HOSTILE_MODULES = ("antigravity", "this", "turtledemo", "idlelib", "lib2to3")
"""Modules that nothing here needs: their import shows that a name was followed that should not have been."""

_watching = False
_seen: list[str] = []


def _hook(event: str, arguments: tuple) -> None:
    if not _watching:
        return
    if event in FORBIDDEN:
        _seen.append(f"{event}{arguments!r}"[:200])
    elif event == "import" and str(arguments[0]).split(".")[0] in HOSTILE_MODULES:
        _seen.append(f"import {arguments[0]}")
    elif event == "open" and len(arguments) > 2 and _writes(arguments[1], arguments[2]):
        path = str(arguments[0])
        if "__pycache__" not in path and path != os.devnull:
            _seen.append(f"open for writing {path}")


def _writes(mode: object, flags: object) -> bool:
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


sys.addaudithook(_hook)


@contextlib.contextmanager
def tripwires(*allowed: str) -> Iterator[None]:
    """Fail if the block runs a program, writes a file, opens a connection or imports what it should not.

    Args:
        allowed: beginnings of acts that belong to what is tested.
    """
    global _watching
    _seen.clear()
    _watching = True
    try:
        yield
    finally:
        _watching = False
    acts = [act for act in _seen if not act.startswith(allowed)]
    assert not acts, f"tripped: {acts}"


def mutated(content: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    """Bytes with changes: (kind, place as a share of 65536, bytes put there)."""
    found = bytearray(content)
    for kind, place, new in changes:
        at = place * (len(found) + 1) // 65536
        if kind == 0:  # overwrite
            found[at : at + len(new)] = new
        elif kind == 1:  # insert
            found[at:at] = new
        elif kind == 2:  # take out
            del found[at : at + len(new)]
        elif kind == 3:  # cut off
            del found[at:]
        else:  # flip one bit
            if at < len(found):
                found[at] ^= 1 << (len(new) % 8)
    return bytes(found)


def worded(error: Exception, *words: object, visible: bool = False) -> None:
    """Fail unless an error has a message of a readable length, with these words; perhaps without control signs."""
    text = str(error)
    assert text, f"{type(error).__name__} without a message"
    for word in words:
        assert str(word) in text, f"{word} is not named: {text}"
    assert len(text) < 4000 + sum(len(str(word)) for word in words)
    signs = [sign for sign in text if unicodedata.category(sign) == "Cc" and sign not in "\n\t"]
    assert not signs or not visible, f"the message would write control signs to a terminal: {text!a}"
