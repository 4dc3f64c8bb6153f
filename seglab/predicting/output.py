"""The folder of results: where each file goes, what is there already, and what made it.

``<output>/maps/<name>.png``, ``masks/<name>.png``, ``labels/<name>.png``, ``overlays/<name>.jpg``; ``predict.json``,
the weights and settings of the last command; ``predict.jsonl``, one line a photo, see
:mod:`seglab.predicting.ledger`. Results of two runs never stay in one folder: a command is refused where it would leave
some of other settings beside its own.

One runnable line: ``python -c "from pathlib import Path; from seglab.predicting.output import Output;
print(Output(Path('out'), ['maps']).folder)"``.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from seglab.atomic import write_atomic
from seglab.predicting.inputs import Photo
from seglab.predicting.ledger import Entry, Ledger, Stamp, digest
from seglab.words import some

KINDS = {"maps": "png", "masks": "png", "labels": "png", "overlays": "jpg"}
"""What can be written -> type of its files."""

RULES = ("skip", "error", "overwrite")
"""What ``existing`` offers."""

_STALE_SECONDS = 3600


class Output:
    """A folder of results.

    Args:
        folder: made when something is written.
        kinds: which of :data:`KINDS` are written.
    """

    def __init__(self, folder: Path, kinds: Sequence[str]) -> None:
        self.folder, self.kinds = folder, list(kinds)
        self.ledger = Ledger(folder / "predict.jsonl")
        self._digest = ""
        self._stamps: dict[str, Stamp | None] = {}
        self._agreed: dict[str, list[str]] = {}
        self._outdated: list[Entry] = []

    def files(self, photo: Photo) -> dict[str, Path]:
        """Kind -> file of one photo's results."""
        return {kind: self._file(kind, photo.name) for kind in self.kinds}

    def _file(self, kind: str, name: str) -> Path:
        return self.folder / kind / f"{name}.{KINDS[kind]}"

    def check_apart(self, photos: Sequence[Photo], wanted: Sequence[str], *, recursive: bool) -> None:
        """Refuse to write among the photos or over one of them.

        Args:
            photos: all inputs.
            wanted: what the user typed as input.
            recursive: folders are read with their sub-folders.

        Raises:
            ValueError: naming both places.
        """
        here = self.folder.resolve()
        for entry in wanted:
            root = Path(entry).expanduser().resolve()
            if root.is_dir() and (here == root or (recursive and here.is_relative_to(root))):
                raise ValueError(
                    f"output={self.folder}: lies in the folder of the photos, input={entry}, and the next "
                    "command would take results for photos; expected a folder elsewhere"
                )
        real = cache(os.path.realpath)  # of folders: many photos lie in one
        sources = {(real(photo.path.parent), photo.path.name) for photo in photos}
        for photo in photos:
            for file in self.files(photo).values():
                if (real(file.parent), file.name) in sources:
                    raise ValueError(
                        f"output={self.folder}: '{file}' is one of the photos; expected a folder elsewhere"
                    )

    def left(self, photos: Sequence[Photo], settings: dict[str, Any], existing: str) -> list[Photo]:
        """The photos still to predict.

        Args:
            photos: all of them.
            settings: what results depend on besides the photos, plain types.
            existing: ``skip`` passes over photos whose results are all there and of this very file, ``error`` refuses
                if there is any, ``overwrite`` takes all.

        Raises:
            ValueError: results are there and ``existing`` is ``error``; they were made with other settings or of other
                photos, and ``existing`` is not ``overwrite``; or some of other settings would stay.
        """
        self._stamps = _stamps(photos)
        self._digest = digest(settings)
        there = {p.name for p in photos if any(self._file(kind, p.name).is_file() for kind in KINDS)}
        if there and existing == "error":
            raise ValueError(
                f"output={self.folder}: results of {some(sorted(there))} are there; use existing=skip, "
                "existing=overwrite or another output"
            )
        entries, before = self.ledger.read(), self._settings(existing)
        if existing != "overwrite":
            self._check_settings(before, settings, there)
            self._check_sources(photos, {n: e for n, e in entries.items() if n in there})
        self._check_others({p.name for p in photos}, entries, changed=before is None or digest(before) != self._digest)
        self._agreed = {name: e.kinds for name in there if (e := entries.get(name)) and self._agrees(e)}
        done = set() if existing == "overwrite" else {p.name for p in photos if self._done(p)}
        left = [p for p in photos if p.name not in done]
        old = digest(before)
        doubtful = [p.name for p in left if p.name in there and p.name not in self._agreed]
        self._outdated = [Entry(n, entries[n].settings if n in entries else old) for n in doubtful]
        return left

    def start(self, settings: dict[str, Any]) -> None:
        """Make the folders, take back what no longer holds, say what writes here, and clear half-written files.

        Raises:
            ValueError: the folder cannot be written.
        """
        try:
            for kind in self.kinds:
                (self.folder / kind).mkdir(parents=True, exist_ok=True)
                self._sweep(self.folder / kind)
            self.ledger.add(self._outdated)  # before the first of them is written again
            write_atomic(self.folder / "predict.json", json.dumps(settings, indent=2) + "\n")
            (self.folder / "failed.txt").unlink(missing_ok=True)
        except OSError as error:
            raise ValueError(f"output={self.folder}: cannot be written ({error.strerror}); choose another") from error

    def done(self, photo: Photo) -> None:
        """Note that the results of a photo are in their place; files of other kinds that do not fit them go.

        Raises:
            OSError: it cannot be written.
        """
        agreed = self._agreed.get(photo.name, [])
        self._remove(photo.name, [kind for kind in KINDS if kind not in self.kinds and kind not in agreed])
        kinds = [kind for kind in KINDS if kind in self.kinds or kind in agreed]
        self.ledger.add([Entry(photo.name, self._digest, kinds, self._stamps[photo.name])])

    def drop(self, photo: Photo) -> None:
        """Remove the results of a photo that could not be predicted: they are of another state of it, or half."""
        self._remove(photo.name, list(KINDS))

    def fail(self, lines: Sequence[str]) -> Path:
        """Write the list of photos that could not be predicted, one line each."""
        return write_atomic(self.folder / "failed.txt", "".join(f"{line}\n" for line in lines))

    def _remove(self, name: str, kinds: Sequence[str]) -> None:
        for kind in kinds:
            self._file(kind, name).unlink(missing_ok=True)

    def _agrees(self, entry: Entry) -> bool:
        """Whether what is noted holds for the photo as it is now and these settings."""
        stamp = self._stamps[entry.name]
        return stamp is not None and entry.stamp == stamp and entry.settings == self._digest

    def _done(self, photo: Photo) -> bool:
        if not set(self.kinds) <= set(self._agreed.get(photo.name, [])):
            return False
        try:
            # Empty: the name reached the disk before a power cut and the content did not; syncing each would be slow.
            return all(file.stat().st_size for file in self.files(photo).values())
        except OSError:
            return False

    def _settings(self, existing: str) -> dict[str, Any] | None:
        """What the last command here noted, None if there was none."""
        path = self.folder / "predict.json"
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            return found if isinstance(found, dict) else {}
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            if existing == "overwrite":
                return None
            raise ValueError(f"{path}: cannot be read ({error}); use another output") from error

    def _check_settings(self, before: dict[str, Any] | None, settings: dict[str, Any], there: set[str]) -> None:
        remedy = "use another output, or existing=overwrite"
        if before is None:
            if there:
                raise ValueError(
                    f"output={self.folder}: files of {some(sorted(there))} are there and no predict.json says what "
                    f"made them; {remedy}"
                )
            return
        other = [key for key in {**settings, **before} if before.get(key) != settings.get(key)]
        if other:
            raise ValueError(
                f"output={self.folder}: holds results made with other settings ({', '.join(other)}); {remedy}"
            )

    def _check_sources(self, photos: Sequence[Photo], entries: dict[str, Entry]) -> None:
        """Refuse to take another photo for the one that was predicted, whose results have the same name."""
        other = []
        for photo in photos:
            stamp, entry = self._stamps[photo.name], entries.get(photo.name)
            if stamp and entry and entry.stamp and entry.stamp.source != stamp.source:
                other.append(f"'{entry.stamp.source}', and not of '{stamp.source}'")
        if other:
            more = f" ({len(other) - 1} more such pairs)" if len(other) > 1 else ""
            raise ValueError(
                f"output={self.folder}: holds results of {other[0]}{more}; use another output, or existing=overwrite"
            )

    def _check_others(self, asked: set[str], entries: dict[str, Entry], *, changed: bool) -> None:
        """Refuse to leave results of other settings beside those of this command."""
        if changed:
            stay = self._names() - asked
        else:  # what an overwriting command that was cut short has not come to
            others = {n for n, e in entries.items() if n not in asked and e.settings != self._digest}
            stay = others & self._names() if others else set()
        if stay:
            raise ValueError(
                f"output={self.folder}: results of {some(sorted(stay))}, made with other settings, would stay beside "
                "those of this command, whose input does not hold these photos; use another output, remove them, or "
                "name these photos too"
            )

    def _names(self) -> set[str]:
        """Names of all results that are there."""
        found = set()
        for kind, suffix in KINDS.items():
            for at, _, names in os.walk(self.folder / kind):
                below = Path(os.path.relpath(at, self.folder / kind))
                found |= {(below / n).as_posix().removesuffix(f".{suffix}") for n in names if n.endswith(f".{suffix}")}
        return found

    def _sweep(self, folder: Path) -> None:
        until = time.time() - _STALE_SECONDS
        for at, _, names in os.walk(folder):
            for name in names:
                path = Path(at) / name
                if name.startswith(".") and name.endswith(".tmp") and path.stat().st_mtime < until:
                    path.unlink(missing_ok=True)


def _stamps(photos: Sequence[Photo]) -> dict[str, Stamp | None]:
    """Name -> state of its file; None of one that is not there: reading it will say so."""
    real = cache(os.path.realpath)  # of folders: many photos lie in one
    found: dict[str, Stamp | None] = {}
    for photo in photos:
        try:
            state = photo.path.stat()
            source = os.path.join(real(photo.path.parent), photo.path.name)
            found[photo.name] = Stamp(source, state.st_size, state.st_mtime_ns)
        except OSError:
            found[photo.name] = None
    return found
