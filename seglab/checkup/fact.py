"""One fact of the doctor's page, and how facts are gathered without ever failing.

One runnable line: ``python -c "from seglab.checkup.fact import gather; print(gather('disk', lambda: 1 / 0))"``.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

LEVELS = ("ok", "note", "broken")
"""ok: a plain fact; note: worth a look, or some uses fail; broken: no run can work."""


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
        reason = " ".join(f"{type(error).__name__}: {error}".split())
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
        said = " ".join(result.stderr.split())[-300:] or "it said nothing"
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


def home(path: object) -> str:
    """A path with the home directory shortened to ``~``, so that a pasted page does not name its user."""
    own = str(Path.home())
    return re.sub(rf"{re.escape(own)}(?=/|$|\W)", "~", str(path)) if len(own) > 1 else str(path)
