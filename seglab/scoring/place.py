"""Where results lie: drafts beside a folder, what an earlier call left in it, and what may not be written over.

Example: ``with beside(folder, about) as draft: (draft / "table.md").write_text("...")``
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import platform
import shutil
import signal
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

SUMMARY = "summary.json"
WORDS = ("name", "note")
"""Keys of a protocol that change no number."""
GO_ON = "protocol.name=<name>, set=<name> or runtime.outputs=<folder>"


@contextlib.contextmanager
def beside(folder: Path, about: Mapping[str, Any]) -> Iterator[Path]:
    """A new folder whose files take their places in ``folder`` at the end, or vanish if anything went wrong.

    What an earlier call of the same masks, protocol and settings wrote is replaced: its files go, other files stay.

    Args:
        folder: where the results will lie.
        about: ``gt``, ``protocol`` and ``settings``, as in ``summary.json``.

    Raises:
        ValueError: the folder holds results of another ``about``.
    """
    check_same(folder, about)
    host = platform.node()
    draft = folder.with_name(f".{folder.name}.{host}.{os.getpid()}.tmp")
    for old in folder.parent.glob(f".{glob.escape(folder.name)}.{glob.escape(host)}.*.tmp"):
        if not alive(int(old.name.split(".")[-2])):  # of a command that was killed here
            shutil.rmtree(old, ignore_errors=True)
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        yield draft
        with signals_later():
            earlier = check_same(folder, about)  # another call may have ended meanwhile
            folder.mkdir(exist_ok=True)
            for name in set(earlier.get("files", ())) - {path.name for path in draft.iterdir()}:
                (folder / name).unlink(missing_ok=True)
            for path in sorted(draft.iterdir(), key=lambda path: path.name == SUMMARY):  # the summary vouches for them
                os.replace(path, folder / path.name)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def check_same(folder: Path, about: Mapping[str, Any]) -> dict[str, Any]:
    """The summary of an earlier call, empty if there is none.

    Raises:
        ValueError: it was made with other masks, another protocol or other settings, or cannot be read.
    """
    path = folder / SUMMARY
    try:
        earlier = json.loads(path.read_text(encoding="utf-8"))
        files = [earlier[key] for key in ("gt", "protocol", "settings")] and earlier["files"]
        if not all(name == Path(name).name and name not in ("", "..") for name in files):
            raise ValueError("it lists files of other folders")
        there, here = _flat(earlier), _flat(about)
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} is no summary that can be compared with this call ({error}); nothing was written. Take {folder} "
            f"away, or choose another place: {GO_ON}"
        ) from error
    differ = [key for key in {**there, **here} if (key in there, there.get(key)) != (key in here, here.get(key))]
    if differ:
        shown = "; ".join(f"{key} {_word(there, key)} there, {_word(here, key)} here" for key in differ)
        raise ValueError(
            f"{folder} holds numbers that were made otherwise: {shown}. Nothing was written; choose another place: "
            f"{GO_ON}"
        )
    return earlier


def _word(settings: Mapping[str, Any], key: str) -> str:
    """A value as it is typed."""
    if key not in settings:
        return "absent"
    value = settings[key]
    return str(value) if isinstance(value, str) else json.dumps(value)


def _flat(about: Mapping[str, Any]) -> dict[str, Any]:
    """What numbers depend on, by the key it is typed as."""
    protocol = {f"protocol.{key}": value for key, value in about["protocol"].items() if key not in WORDS}
    return {"gt": about["gt"], **protocol, **about["settings"]}


@contextlib.contextmanager
def signals_later() -> Iterator[None]:
    """Hold SIGTERM, SIGUSR1 and Ctrl-C back until the block ends, so that it is not left half done."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    numbers = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
    before = [signal.signal(number, lambda number, _: came.append(number)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


def alive(pid: int) -> bool:
    """Whether a process of this machine still runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
