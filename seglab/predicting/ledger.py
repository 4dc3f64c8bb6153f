"""``predict.jsonl``, one line a photo: of which file, by which settings, its results were made.

Lines are only ever added, the last one of a name counts, and a line that a kill cut short counts for nothing. A line is
added when all files of a photo are in their place; before results that are no longer right are written again, a line
takes back what was said of them. So a result is trusted only if its line agrees with the photo as it is now.

One runnable line: ``python -c "from pathlib import Path; from seglab.predicting.ledger import Ledger;
print(len(Ledger(Path('out/predict.jsonl')).read()))"``.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Stamp:
    """One state of a photo's file.

    Attributes:
        source: absolute path, links among its folders followed.
        size: bytes.
        mtime_ns: time of its last change; compared for being equal, since a copy may be older than what it replaces.
    """

    source: str
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Entry:
    """What is known of one name's results.

    Attributes:
        name: see :class:`seglab.predicting.inputs.Photo`.
        settings: digest of what they were made with.
        kinds: which files are in their place; empty where none may be trusted.
        stamp: the photo they were made of; None where ``kinds`` is empty.
    """

    name: str
    settings: str
    kinds: list[str] = field(default_factory=list)
    stamp: Stamp | None = None


class Ledger:
    """The lines of one folder of results.

    Args:
        path: the file; made with the first line.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._opened = False

    def read(self) -> dict[str, Entry]:
        """Name -> its last entry.

        Raises:
            ValueError: the file is there and cannot be read.
        """
        try:
            lines = self.path.read_bytes().splitlines()
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except OSError as error:
            raise ValueError(f"{self.path}: cannot be read ({error.strerror or error}); use another output") from error
        return {entry.name: entry for entry in map(_entry, lines) if entry}

    def add(self, entries: Iterable[Entry]) -> None:
        """Append entries; threads may call it at the same time.

        Raises:
            OSError: it cannot be written.
        """
        text = "".join(json.dumps(_plain(entry)) + "\n" for entry in entries)
        if not text:
            return
        with self._lock, open(self.path, "ab+") as file:
            if not self._opened and file.tell():
                file.seek(-1, os.SEEK_END)
                text = text if file.read(1) == b"\n" else f"\n{text}"  # do not go on in a line that was cut short
            file.write(text.encode())
            file.flush()
            self._opened = True


def digest(settings: dict[str, Any] | None) -> str:
    """First 16 hexadecimal digits of a hash over settings; of plain types."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def _plain(entry: Entry) -> dict[str, Any]:
    plain = asdict(entry)
    return {**{key: value for key, value in plain.items() if key != "stamp"}, **(plain["stamp"] or {})}


def _entry(line: bytes) -> Entry | None:
    """The entry of a line; None of a line that is cut short or foreign."""
    try:
        row = json.loads(line)
        stamp = Stamp(*(row[f.name] for f in fields(Stamp))) if row["kinds"] else None
        kinds = [str(kind) for kind in row["kinds"]]
        return Entry(str(row["name"]), str(row["settings"]), kinds, stamp)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
