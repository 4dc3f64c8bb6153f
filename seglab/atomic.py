"""A file that is replaced whole or not at all, and stays so when the power goes.

One runnable line: ``python -c "from pathlib import Path; from seglab.atomic import write_atomic;
print(write_atomic(Path('note.txt'), 'whole'))"``.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

REMEDIES = {
    errno.ENOSPC: "the disk is full: free some space, or give runtime.outputs another folder",
    errno.EDQUOT: "the quota is used up: free some space, or give runtime.outputs another folder",
    errno.EROFS: "the file system is read-only: give runtime.outputs another folder",
    errno.EACCES: "no right to do that: mend the folder's rights, or give runtime.outputs another folder",
    errno.EPERM: "no right to do that: mend the folder's rights, or give runtime.outputs another folder",
    errno.EMFILE: "too many open files: raise the limit (ulimit -n)",
    errno.EIO: "the disk reports an error: look at the system's log",
}
"""What a user can do about an error of the operating system."""
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV)
"""What a file system answers that cannot give a file two names."""


def os_message(error: OSError) -> str:
    """One line on an error of the operating system: file, reason, remedy."""
    reason = error.strerror or str(error)
    what = f"{error.filename}: {reason}" if error.filename else reason
    remedy = REMEDIES.get(error.errno or 0)
    return f"{what}; {remedy}" if remedy else what


@contextlib.contextmanager
def replacing(path: Path, *, keep: Path | None = None) -> Iterator[Path]:
    """Give a temporary path to write to; it takes the place of ``path`` if the block ends without an error.

    The content reaches the disk before the name does, and the name before the block is left.

    Args:
        path: the file to replace; its folder exists.
        keep: name under which the file before stays; at no moment is there neither of the two.

    Raises:
        OSError: the file cannot be written; the one before is as it was.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")  # two processes may write the same file
    try:
        yield temporary
        _sync_file(temporary)
        if keep is not None and path.exists():
            _second_name(path, keep)
        os.replace(temporary, path)
        sync_folder(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):  # the error that is on its way says more
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)
        raise


def _second_name(path: Path, other: Path) -> None:
    """Give a file a second name, in place of what had it; a copy where the file system has no links."""
    temporary = other.with_name(f"{other.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        try:
            os.link(path, temporary)
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            shutil.copyfile(path, temporary)
            _sync_file(temporary)
        os.replace(temporary, other)
        sync_folder(other.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _sync_file(path: Path) -> None:
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Bring new names of a folder to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some file systems cannot sync a folder
            raise
    finally:
        os.close(handle)


def write_atomic(path: Path, text: str) -> Path:
    """Write a text file so that a reader never sees half of it; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path
