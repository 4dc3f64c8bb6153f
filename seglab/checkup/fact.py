"""One fact of the doctor's page, and how facts are gathered without ever failing.

One runnable line: ``python -c "from seglab.checkup.fact import gather; print(gather('disk', lambda: 1 / 0))"``.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

LEVELS = ("ok", "note", "broken")
"""ok: a plain fact; note: worth a look, or some uses fail; broken: no run can work."""

LONGEST = 300
"""Signs of an error's message that are shown."""
HIDDEN = ("Cc", "Cs")
"""Unicode categories of signs that a page must not write to a terminal."""


@dataclass(frozen=True)
class Fact:
    """One line of the page.

    Attributes:
        name: what it is about.
        text: what was found.
        level: one of :data:`LEVELS`.
        remedy: what to do where the level is not ``ok``.
    """

    name: str
    text: str
    level: str = "ok"
    remedy: str = ""

    def __post_init__(self) -> None:
        assert self.level in LEVELS, f"no such level: {self.level}"


def gather(name: str, probe: Callable[[], Iterable[Fact]]) -> list[Fact]:
    """What a probe finds; its own failure is a fact too.

    Args:
        name: name of the line that tells of a failure.
        probe: gives facts, all at once or one by one; those given before a failure are kept.
    """
    found: list[Fact] = []
    try:
        for fact in probe():
            found.append(fact)
    except Exception as error:  # whatever is wrong with a machine must not hide the rest of the page
        reason = brief(f"{type(error).__name__}: {error}")
        remedy = "install what is absent" if isinstance(error, ImportError) else "report it: a fault of the doctor"
        found.append(Fact(name, f"could not be looked at ({reason})", "note", remedy))
    return found


def gather_apart(name: str, module: str, *arguments: str, seconds: float = 180.0) -> list[Fact]:
    """The same in a process of its own, for what can take the interpreter down: drivers, compiled code.

    Args:
        name: name of the line that tells of a failure, or of a death.
        module: has ``facts(*arguments)``.
        arguments: handed on.
        seconds: after which it counts as hanging.
    """
    code = "import sys; from seglab.checkup.fact import answer; answer(*sys.argv[1:])"
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    command = [sys.executable, "-c", code, name, module, *arguments]
    try:
        result = subprocess.run(
            command, env=environment, capture_output=True, text=True, errors="replace", timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        return [Fact(name, f"no answer within {seconds:.0f} s", "broken", "a driver or a file system hangs")]
    except OSError as error:
        return [Fact(name, f"no process could be started ({error})", "broken", "free memory or processes")]
    last = result.stdout.strip().rpartition("\n")[2]
    try:
        return [Fact(**content) for content in json.loads(last)]
    except (ValueError, TypeError):
        said = presentable(" ".join(result.stderr.split()))[-300:] or "it said nothing"
        how = f"was killed by signal {-result.returncode}" if result.returncode < 0 else f"exit {result.returncode}"
        return [Fact(name, f"its process ended without an answer ({how}): {said}", "broken", "reinstall the package")]


def answer(name: str, module: str, *arguments: str) -> None:
    """The other end of :func:`gather_apart`: facts as JSON on the last line of stdout."""
    from importlib import import_module

    found = gather(name, lambda: import_module(module).facts(*arguments))
    sys.stdout.write(f"\n{json.dumps([asdict(fact) for fact in found])}\n")


def size(count: float) -> str:
    """Bytes in words: ``3.2 GB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def brief(error: object) -> str:
    """What an error says, on one line and not too long."""
    # The home directory goes first: cut in two, it would not be known any more.
    return presentable(" ".join(str(error).split()))[:LONGEST]


def presentable(text: str) -> str:
    """Text as it may be pasted and shown: the home directory as ``~``, control signs as their numbers."""
    for own in homes():
        text = re.sub(rf"{re.escape(own)}(?=/|$|\W)", "~", text)
    return "".join(ascii(sign)[1:-1] if unicodedata.category(sign) in HIDDEN else sign for sign in text)


def homes() -> list[str]:
    """The home directory, as it is named and as it is reached where a link leads there; the longest name first."""
    try:
        own = Path.home()
        found = {str(own), str(own.resolve())}
    except (OSError, RuntimeError):  # a user without one, or a link that leads to itself
        return []
    return sorted((name for name in found if len(name) > 1), key=len, reverse=True)
