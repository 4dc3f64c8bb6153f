"""How much of a data set is there, and the record of what was fetched.

``<data_root>/.seglab/<name>.json`` holds, for every download, address, bytes, SHA-256, day, and how many files it gave,
so that another machine can pin the same bytes: ``download.files.<file>.sha256=...``.

One runnable line: ``python -c "from pathlib import Path; from seglab.fetch.recipe import load_recipe;
from seglab.fetch.state import State; print(State(Path('data'), load_recipe('duts')).words())"``.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from seglab.data.pairs import STANDIN
from seglab.fetch.archive import WORK
from seglab.fetch.download import Fetched
from seglab.fetch.recipe import Recipe, RemoteFile
from seglab.run import write_atomic

FOLDER = ".seglab"


class State:
    """A data set on disk.

    Args:
        root: ``runtime.data_root``.
        recipe: what should be there.
    """

    def __init__(self, root: Path, recipe: Recipe) -> None:
        self.root, self.recipe = root, recipe
        self.path = root / FOLDER / f"{recipe.name}.json"

    @property
    def downloads(self) -> Path:
        """Folder of the archives until they are unpacked."""
        return self.root / FOLDER / "downloads" / self.recipe.name

    def record(self) -> dict[str, Any]:
        """What was fetched, by the key of the file; empty where nothing was or the record cannot be read."""
        try:
            read = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}  # it only spares work: what is there is counted
        return read if isinstance(read, dict) else {}

    def count(self, pattern: str) -> int:
        """Files that match a pattern below the root, generated stand-ins not counted."""
        return sum(1 for path in self.root.glob(pattern) if path.is_file() and not path.name.startswith("."))

    def lacking(self, expect: tuple[tuple[str, int], ...], record: dict[str, Any] | None = None) -> dict[str, int]:
        """Patterns of which fewer files are there than expected (or than the record says came), with what is there."""
        came = (record or {}).get("found", {})
        found = {pattern: self.count(pattern) for pattern, _ in expect}
        return {p: found[p] for p, wanted in expect if found[p] < min(wanted, came.get(p, wanted))}

    def has(self, file: RemoteFile) -> bool:
        """Whether everything a download gives is there."""
        record = self.record().get(file.key)
        if not file.expect:
            return bool(record)
        return not self.lacking(file.expect, record if record and record.get("found") else None)

    @property
    def whole(self) -> bool:
        """Whether the whole set is there."""
        of_files = {pattern for file in self.recipe.files for pattern, _ in file.expect}
        own = tuple(item for item in self.recipe.expect if item[0] not in of_files)
        return all(self.has(file) for file in self.recipe.files) and not self.lacking(own)

    def words(self) -> str:
        """``there``, ``in part: 300 of 500 files`` or ``absent``; fewer than published is said of a whole set too."""
        found = sum(min(self.count(pattern), wanted) for pattern, wanted in self.recipe.expect)
        wanted = sum(wanted for _, wanted in self.recipe.expect)
        if self.whole:
            return "there" if found == wanted else f"there, but {found} of {wanted} files"
        return f"in part: {found} of {wanted} files" if found else "absent"

    def standin(self) -> Path | None:
        """A folder of the set that holds generated images, see :mod:`seglab.data.standin`."""
        tops = {pattern.split("/")[0] for pattern, _ in self.recipe.expect if "*" not in pattern.split("/")[0]}
        return next((self.root / top for top in sorted(tops) if (self.root / top / STANDIN).is_file()), None)

    def write(self, file: RemoteFile, fetched: Fetched, files: int) -> None:
        """Note a download whose files are in place."""
        record = self.record()
        before = record.get(file.key, {})
        record[file.key] = {
            "url": fetched.url or before.get("url", ""),
            "bytes": fetched.bytes,
            "sha256": fetched.sha256,
            "date": datetime.now(UTC).date().isoformat(),
            "files": files,
            "found": {pattern: self.count(pattern) for pattern, _ in file.expect},
        }
        write_atomic(self.path, json.dumps(record, indent=2) + "\n")

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the data root against another ``seglab.prepare``, and remove what a killed one left half unpacked.

        Raises:
            ValueError: another process works there, or nothing can be written.
        """
        path = self.root / FOLDER / "lock"
        busy = f"runtime.data_root={self.root}: another seglab.prepare is at work there"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = open(path, "a+", encoding="utf-8")  # noqa: SIM115 - closed below
        except OSError as error:
            raise ValueError(f"runtime.data_root={self.root} cannot be written: {error.strerror}") from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ValueError(busy) from error
            if not path.exists() or not os.path.samestat(os.fstat(file.fileno()), path.stat()):
                raise ValueError(busy)  # it has just tidied up: this file is no longer the lock
            for leftover in self.root.glob(f"{WORK}*"):
                shutil.rmtree(leftover, ignore_errors=True)
            try:
                yield
            finally:
                self._tidy(path)

    def _tidy(self, lock: Path) -> None:
        """Remove the folder of records and downloads where it holds nothing but the lock, which is held."""
        for folder in (self.downloads, self.downloads.parent):
            with contextlib.suppress(OSError):  # not there, or not empty: the half of a download is kept
                folder.rmdir()
        if {path.name for path in lock.parent.iterdir()} == {lock.name}:
            lock.unlink()
            with contextlib.suppress(OSError):  # another process has just come, and is refused or has its own lock
                lock.parent.rmdir()
