"""What is in an archive, one member after the other: zip, tar, and tar packed with gzip, bzip2 or xz.

The kind is read from the first bytes, not from the name. Sizes in headers are never trusted: real bytes are counted by
whoever reads. ``tarfile`` ends in silence where a header is damaged; here that is an error.

One runnable line: ``python -c "from seglab.fetch.members import members; from pathlib import Path;
print([m.name for m in members(Path('a.zip'))])"``.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, gzip.BadGzipFile)
HEADER = 1 << 24
"""Bytes that one header may have: longer ones are an attack on the memory."""
PACKED = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
OTHERS = {b"Rar!": "RAR", b"7z\xbc\xaf\x27\x1c": "7z", b"\x28\xb5\x2f\xfd": "zstd"}


@dataclass(frozen=True)
class Member:
    """One member of an archive.

    Args:
        name: as it stands in the archive.
        kind: ``file``, ``folder``, or what else it is, in words.
        size: bytes its header claims.
        open: gives a reader of its bytes.
    """

    name: str
    kind: str
    size: int
    open: Callable[[], IO[bytes]]


def members(archive: Path, spend: Callable[[int], None] = lambda _: None) -> Iterator[Member]:
    """Go through an archive; read a member before the next one is asked for.

    Args:
        archive: the file.
        spend: told of every byte that comes out of a packed tar, headers and members that are passed over included.

    Raises:
        ValueError: no archive of a known kind, encrypted, damaged or cut off.
    """
    with open(archive, "rb") as file:
        start = file.read(512)
    for magic, kind in OTHERS.items():
        if start.startswith(magic):
            raise ValueError(f"{archive.name}: a {kind} archive; unpack it by hand")
    try:
        if start.startswith(b"PK"):
            yield from _zip(archive)
            return
        opener = next((o for magic, o in PACKED.items() if start.startswith(magic)), open)
        with opener(archive, "rb") as stream:
            yield from _tar(_Counted(stream, spend), archive.name)
    except DAMAGED as error:
        raise ValueError(f"{archive.name}: no archive, damaged or cut off ({error})") from error
    except OSError as error:
        if error.errno is not None:  # of the disk, not of the content
            raise
        raise ValueError(f"{archive.name}: no archive, damaged or cut off ({error})") from error


def _zip(archive: Path) -> Iterator[Member]:
    with zipfile.ZipFile(archive) as pack:
        for info in pack.infolist():
            mode = info.external_attr >> 16 if info.create_system == 3 else 0
            kind = "folder" if info.filename.endswith("/") else _kind(mode)
            if info.flag_bits & 0x1:
                raise ValueError(f"{archive.name}: '{info.filename}' is encrypted")
            if info.compress_type not in METHODS:
                raise ValueError(f"{archive.name}: '{info.filename}' is packed by an unknown method")
            # zipfile cuts a name at a NUL; the whole one is what has to be looked at.
            yield Member(info.orig_filename, kind, info.file_size, lambda info=info: pack.open(info))


def _kind(mode: int) -> str:
    known = {
        stat.S_IFLNK: "a symbolic link",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
    }
    return known.get(stat.S_IFMT(mode), "file")


def _tar(stream: _Counted, name: str) -> Iterator[Member]:
    with tarfile.open(fileobj=stream, mode="r:") as pack:
        number = 0
        while (info := pack.next()) is not None:
            number += 1
            if info.size < 0:
                raise ValueError(f"{name}: damaged: '{info.name}' has a negative size")
            pack.members.clear()  # tarfile remembers every header; sets have many files
            yield Member(info.name, _tar_kind(info), info.size, lambda info=info: pack.extractfile(info))
        stream.seek(pack.offset)
        if stream.read(512).strip(b"\0"):
            raise ValueError(f"{name}: damaged after {number} members")
        if stream.tell() < pack.offset + 512:
            raise ValueError(f"{name}: cut off after {number} members")
        while stream.read(1 << 20):
            pass  # to the end, where a packed file keeps its checksum


def _tar_kind(info: tarfile.TarInfo) -> str:
    if info.isdir():
        return "folder"
    if info.issym():
        return "a symbolic link"
    if info.islnk():
        return "a hard link"
    if info.issparse():
        return "a sparse file"
    if info.isfifo():
        return "a pipe"
    return "file" if info.isreg() else "a device or of an unknown type"


class _Counted:
    """A reader that counts, refuses enormous single reads, and can step back a little without unpacking anew."""

    def __init__(self, stream: IO[bytes], spend: Callable[[int], None]) -> None:
        self.stream, self.spend = stream, spend
        self.at = self.end = 0  # where the reader is; how far the stream was read
        self.tail = b""

    def read(self, size: int) -> bytes:
        if size > HEADER:
            raise ValueError(f"a header of {size} bytes: expected at most {HEADER}")
        old = self.tail[len(self.tail) - (self.end - self.at) :][:size] if self.at < self.end else b""
        new = self.stream.read(size - len(old)) if len(old) < size else b""
        self.spend(len(new))
        self.at += len(old) + len(new)
        self.end += len(new)
        self.tail = (self.tail + new)[-4096:]
        return old + new

    def tell(self) -> int:
        return self.at

    def seek(self, place: int, whence: int = 0) -> int:
        if whence != 0 or place < self.end - len(self.tail):  # what tarfile does with a negative size
            raise ValueError("damaged: a header leads backwards")
        if place <= self.end:
            self.at = place
        else:
            self.at = self.end
            while self.at < place and self.read(min(1 << 20, place - self.at)):
                pass
        return self.at
