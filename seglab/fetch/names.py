"""Names inside an archive: which are safe to write below a folder, and how much an archive may hold.

An archive comes from somewhere else: a name may climb out of the folder, hide an earlier file, or mean another place on
another system. Such an archive is refused as a whole; nothing of it is written.

One runnable line: ``python -c "from seglab.fetch.names import safe_name; print(safe_name('a/./b.png'))"``.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from pathlib import PurePosixPath

GIB = 1 << 30


@dataclass(frozen=True)
class Limits:
    """How much an archive may unpack to.

    Args:
        files: files and folders, those that are not taken included.
        total: bytes of everything together.
        ratio: bytes unpacked to bytes of the archive; photos do not shrink, so real sets stay below 10.
        ratio_from: bytes from which on the ratio counts, since small archives of text are dense.
        depth: folders in one another.
        name: bytes of one part of a name, what file systems allow.
        path: bytes of a whole name.
    """

    files: int = 500_000
    total: int = 200 * GIB
    ratio: float = 100.0
    ratio_from: int = 64 << 20
    depth: int = 24
    name: int = 255
    path: int = 1024


def safe_name(name: str, limits: Limits | None = None) -> PurePosixPath:
    """A member's name as a path that stays below the folder it is unpacked into.

    Args:
        name: as it stands in the archive, whole.
        limits: lengths and depth allowed.

    Raises:
        ValueError: the name is absolute, climbs (``..``), has a drive letter, a backslash or a control sign, is too
            long or no text; the message shows the name and says which.
    """
    limits = limits or Limits()
    if fault := _fault(name, limits):
        shown = name if len(name) < 120 else f"{name[:60]}...{name[-20:]}"
        raise ValueError(f"{fault} in the name {shown!a}")
    return PurePosixPath(*(part for part in name.split("/") if part not in ("", ".")))


def _fault(name: str, limits: Limits) -> str:
    parts = [part for part in name.split("/") if part not in ("", ".")]
    try:
        size = len(name.encode("utf-8"))
        sizes = [len(part.encode("utf-8")) for part in parts]
    except UnicodeEncodeError:
        return "bytes that are no text"
    if name.startswith("/"):
        return "an absolute path"
    if ".." in parts:
        return "'..' (a way out of the folder)"
    if re.match(r"[A-Za-z]:", name):
        return "a drive letter"
    if "\\" in name:
        return "a backslash"
    if any(unicodedata.category(sign) == "Cc" for sign in name):
        return "a control sign"
    if size > limits.path or any(s > limits.name for s in sizes):
        return f"too many signs (at most {limits.name} bytes a part, {limits.path} in all)"
    if len(parts) > limits.depth:
        return f"more than {limits.depth} folders in one another"
    return ""


class Taken:
    """The names an archive has used so far; two that one file system would merge are refused."""

    def __init__(self) -> None:
        self._files: dict[str, str] = {}
        self._folders: dict[str, str] = {}

    def add(self, path: PurePosixPath) -> None:
        """Note a file.

        Raises:
            ValueError: the name is used already, perhaps with other capitals, or by a folder.
        """
        key = _folded(path)
        if key in self._files or key in self._folders:
            other = self._files.get(key) or self._folders[key]
            same = "twice" if other == str(path) else f"beside '{other}', one name where capitals do not count"
            raise ValueError(f"the name '{path}' {same}")
        self._files[key] = str(path)
        for folder in path.parents[:-1]:
            key = _folded(folder)
            if key in self._files:
                raise ValueError(f"'{self._files[key]}' both as a file and as a folder")
            if self._folders.setdefault(key, str(folder)) != str(folder):
                raise ValueError(f"the folders '{folder}' and '{self._folders[key]}', one where capitals do not count")


def _folded(path: PurePosixPath) -> str:
    return unicodedata.normalize("NFC", str(path)).casefold()
