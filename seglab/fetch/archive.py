"""Unpack an archive into a folder, all of it or nothing.

Everything is written into a temporary folder beside, checked, and only then renamed into place file by file. Refused:
names that leave the folder, links and devices, names used twice, encrypted members, more bytes or files than the limits
allow (counted while they are written), and a target below a folder that is a link. Modes, owners and dates of the
archive are not taken over.

One runnable line: ``python -c "from pathlib import Path; from seglab.fetch.archive import extract;
print(len(extract(Path('a.zip'), Path('out'))))"``.
"""

from __future__ import annotations

import filecmp
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from seglab.fetch.members import DAMAGED, Member, members
from seglab.fetch.names import Limits, Taken, safe_name
from seglab.words import some

BLOCK = 1 << 20
WORK = ".seglab-unpack-"
"""Start of the name of a temporary folder; one that was left over by a killed process may be removed."""

Select = Callable[[PurePosixPath], PurePosixPath | None]


def extract(
    archive: Path,
    into: Path,
    *,
    limits: Limits | None = None,
    select: Select | None = None,
    replace: bool = False,
    progress: bool = False,
) -> list[Path]:
    """Unpack a zip, tar, tar.gz, tar.bz2 or tar.xz; the kind is read from its bytes.

    Args:
        archive: the file.
        into: folder below which everything is written; made where it is absent.
        limits: how much may come out.
        select: where a member goes, relative to ``into``; None = it is not taken. Without it all are, as named.
        replace: replace files that are there and differ; those that are equal are left alone either way.
        progress: show a bar.

    Returns:
        The files, sorted, those that were there already included.

    Raises:
        ValueError: the archive is hostile, damaged or holds nothing that is wanted, or files differ that are there.
            Nothing was changed then.
    """
    limits = limits or Limits()
    into.mkdir(parents=True, exist_ok=True)
    into = into.resolve()
    work = Path(tempfile.mkdtemp(prefix=WORK, dir=into))
    try:
        unpacked = _Unpacking(archive, work, limits, select, progress).run()
        for path in unpacked:
            _check_way(into, path)
        return _place(work, into, unpacked, replace)
    except ValueError as error:
        text = str(error)
        raise ValueError(text if archive.name in text else f"{archive.name}: {text}; nothing was unpacked") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


class _Unpacking:
    """One archive on its way into the temporary folder, with what it has used of its limits."""

    def __init__(self, archive: Path, work: Path, limits: Limits, select: Select | None, progress: bool) -> None:
        self.archive, self.work, self.limits, self.select, self.progress = archive, work, limits, select, progress
        self.size = max(archive.stat().st_size, 1)
        self.count = self.written = self.read = 0
        self.files: list[PurePosixPath] = []
        self.passed: list[str] = []

    def run(self) -> list[PurePosixPath]:
        taken = Taken()
        bar = tqdm(desc=f"unpack {self.archive.name}", unit=" files", disable=None if self.progress else True)
        with bar:
            for member in members(self.archive, self._spend):
                self.count += 1
                if self.count > self.limits.files:
                    raise ValueError(f"more than {self.limits.files} files")
                path = self._target(member)
                if path is None:
                    continue
                taken.add(path)
                self._write(member, path)
                self.files.append(path)
                bar.update()
        if not self.files:
            held = f"it holds {some(self.passed)}" if self.passed else "it is empty"
            raise ValueError(f"no file of those that are expected; {held}")
        return sorted(self.files)

    def _target(self, member: Member) -> PurePosixPath | None:
        """Where a member goes; None for folders, which come with their files, and for what is not wanted."""
        name = safe_name(member.name, self.limits)
        if member.kind == "folder" or not name.parts:
            return None
        path = self.select(name) if self.select else name
        if path is None:
            self.passed.append(str(name))
        elif member.kind != "file":
            raise ValueError(f"'{name}' is {member.kind}: expected files and folders only")
        elif member.size > self.limits.total - self.written:
            raise ValueError(f"more than {self.limits.total} bytes")
        return path

    def _write(self, member: Member, path: PurePosixPath) -> None:
        target = self.work / path
        target.parent.mkdir(parents=True, exist_ok=True)
        done = 0
        try:
            with member.open() as source, open(target, "xb") as file:
                while block := source.read(BLOCK):
                    done += len(block)
                    self.written += len(block)
                    self._check(self.written)
                    file.write(block)
        except DAMAGED as error:
            raise ValueError(f"'{path}' is damaged or cut off ({error})") from error
        except OSError as error:
            if error.errno is None:  # bz2's word for damage
                raise ValueError(f"'{path}' is damaged or cut off ({error})") from error
            raise ValueError(f"'{path}' cannot be written: {error.strerror}") from error
        except (RuntimeError, NotImplementedError) as error:  # zipfile's words for encryption and unknown methods
            raise ValueError(f"'{path}': {error}") from error
        if done != member.size:
            raise ValueError(f"'{path}' has {done} bytes, {member.size} are announced")

    def _spend(self, size: int) -> None:
        self.read += size
        self._check(self.read)

    def _check(self, size: int) -> None:
        if size > self.limits.total:
            raise ValueError(f"more than {self.limits.total} bytes")
        if size > self.limits.ratio_from and size > self.limits.ratio * self.size:
            raise ValueError(f"unpacks to more than {self.limits.ratio:g} times its size, as bombs do")


def check_folder(into: Path, folder: PurePosixPath) -> None:
    """Refuse to write through a link, or below something that is no folder.

    Args:
        into: folder that may itself be reached through links.
        folder: relative to ``into``; need not be there.

    Raises:
        ValueError: naming the link or file that is in the way.
    """
    place = into
    for part in folder.parts:
        place = place / part
        if place.is_symlink():
            raise ValueError(
                f"'{place}' is a link to '{os.readlink(place)}': expected a folder; put the files there by hand"
            )
        if place.exists() and not place.is_dir():
            raise ValueError(f"'{place}' is there and no folder")


def _check_way(into: Path, path: PurePosixPath) -> None:
    check_folder(into, path.parent)
    if (into / path).is_symlink() or ((into / path).exists() and not (into / path).is_file()):
        raise ValueError(f"'{into / path}' is there and no plain file")


def _place(work: Path, into: Path, files: list[PurePosixPath], replace: bool) -> list[Path]:
    there = {p for p in files if (into / p).exists()}
    same = {p for p in there if filecmp.cmp(work / p, into / p, shallow=False)}
    if (differ := sorted(str(p) for p in there - same)) and not replace:
        raise ValueError(f"{some(differ)} in '{into}' differ from those of the archive; force=true replaces them")
    for path in files:
        if path not in same:
            (into / path).parent.mkdir(parents=True, exist_ok=True)
            os.replace(work / path, into / path)
    return [into / path for path in files]
