"""The folder of results: where each file goes, what is there already, and what made it.

``<output>/maps/<name>.png``, ``masks/<name>.png``, ``overlays/<name>.jpg`` and ``predict.json``, which says by which
weights and settings they were made: results of two runs never meet in one folder.

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
from seglab.words import some

KINDS = {"maps": "png", "masks": "png", "overlays": "jpg"}
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

    def files(self, photo: Photo) -> dict[str, Path]:
        """Kind -> file of one photo's results."""
        return {kind: self.folder / kind / f"{photo.name}.{KINDS[kind]}" for kind in self.kinds}

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
            existing: ``skip`` passes over photos whose results are all there and newer than the photo, ``error``
                refuses if there is any, ``overwrite`` takes all.

        Raises:
            ValueError: results are there and ``existing`` is ``error``, or they were made with other settings.
        """
        if existing == "overwrite":
            return list(photos)
        there = [p for p in photos if any(f.is_file() for f in self.files(p).values())]
        if there and existing == "error":
            raise ValueError(
                f"output={self.folder}: results of {some([p.name for p in there])} are there; use existing=skip, "
                "existing=overwrite or another output"
            )
        self._check_settings(settings)
        done = {p.name for p in there if self._done(p)}
        return [p for p in photos if p.name not in done]

    def start(self, settings: dict[str, Any]) -> None:
        """Make the folders, say what writes into them, and clear files a killed command left half-written.

        Raises:
            ValueError: the folder cannot be written.
        """
        try:
            for kind in self.kinds:
                (self.folder / kind).mkdir(parents=True, exist_ok=True)
                self._sweep(self.folder / kind)
            write_atomic(self.folder / "predict.json", json.dumps(settings, indent=2) + "\n")
            (self.folder / "failed.txt").unlink(missing_ok=True)
        except OSError as error:
            raise ValueError(f"output={self.folder}: cannot be written ({error.strerror}); choose another") from error

    def fail(self, lines: Sequence[str]) -> Path:
        """Write the list of photos that could not be predicted, one line each."""
        return write_atomic(self.folder / "failed.txt", "".join(f"{line}\n" for line in lines))

    def _done(self, photo: Photo) -> bool:
        try:
            changed = photo.path.stat().st_mtime
            found = [file.stat() for file in self.files(photo).values()]
            # Empty: the name reached the disk before a power cut and the content did not; syncing each would be slow.
            return all(file.st_size and file.st_mtime >= changed for file in found)
        except OSError:
            return False

    def _check_settings(self, settings: dict[str, Any]) -> None:
        try:
            before = json.loads((self.folder / "predict.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return
        except (OSError, ValueError) as error:
            raise ValueError(f"{self.folder / 'predict.json'}: cannot be read ({error}); use another output") from error
        other = [key for key in settings if not isinstance(before, dict) or before.get(key) != settings[key]]
        if other:
            raise ValueError(
                f"output={self.folder}: holds results made with other settings ({', '.join(other)}); use another "
                "output, or existing=overwrite"
            )

    def _sweep(self, folder: Path) -> None:
        until = time.time() - _STALE_SECONDS
        for at, _, names in os.walk(folder):
            for name in names:
                path = Path(at) / name
                if name.startswith(".") and name.endswith(".tmp") and path.stat().st_mtime < until:
                    path.unlink(missing_ok=True)
