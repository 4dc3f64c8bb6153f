"""Any bytes as an archive: all files inside the folder, or a ValueError and nothing at all; never anything outside."""

from __future__ import annotations

import io
import shutil
import tarfile
import zipfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from support import SCRATCH, mutated, worded

from seglab.fetch.archive import extract
from seglab.fetch.names import Limits

LIMITS = Limits(files=20, total=20_000, ratio=50.0, ratio_from=4000)
NAMES = (
    "a.png",
    "b/a.png",
    "b",
    "B",
    "b/",
    "./a.png",
    "a//b",
    "../x",
    "b/../../x",
    "/tmp/seglab-fuzz-x",
    "..",
    ".",
    "",
    "é",
)
NAMES += (
    "e\u0301",
    "C:\\x",
    "a\\b",
    "..\\x",
    "con",
    "a\0b",
    "\x1b[31m",
    "x" * 300,
    "d/" * 40 + "x",
    "link/x",
    "link",
    " ",
    "a ",
)
names = st.one_of(st.sampled_from(NAMES), st.text(max_size=8))
bodies = st.one_of(st.binary(max_size=40), st.just(bytes(5000)), st.just(bytes(30_000)))
entries = st.lists(st.tuples(names, st.sampled_from("fffdlhpcs"), bodies, st.integers(0, 0o7777)), max_size=5)
packings = st.sampled_from(["zip", "zip", "w", "w:gz", "w:bz2", "w:xz"])
changes = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 65535), st.binary(max_size=6)), max_size=3)
TYPES = {"d": tarfile.DIRTYPE, "l": tarfile.SYMTYPE, "h": tarfile.LNKTYPE, "p": tarfile.FIFOTYPE, "c": tarfile.CHRTYPE}
MODES = {"l": 0o120777, "p": 0o010644, "c": 0o020644, "s": 0o140644}


def packed(packing: str, content) -> bytes:
    file = io.BytesIO()
    if packing == "zip":
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as pack:
            for name, kind, body, mode in content:
                info = zipfile.ZipInfo("x")
                info.filename = name + ("/" if kind == "d" else "")
                info.external_attr = (MODES.get(kind, mode) << 16) & 0xFFFFFFFF
                info.compress_type = zipfile.ZIP_DEFLATED
                try:
                    pack.writestr(info, b"../../outside" if kind == "l" else body)
                except (ValueError, UnicodeError):  # not a name that a zip can hold
                    continue
        return file.getvalue()
    with tarfile.open(fileobj=file, mode=packing) as pack:
        for name, kind, body, mode in content:
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.linkname = TYPES.get(kind, tarfile.REGTYPE), mode, "../../outside"
            info.size = len(body) if info.type == tarfile.REGTYPE else 0
            try:
                pack.addfile(info, io.BytesIO(body))
            except (ValueError, UnicodeError):
                continue
    return file.getvalue()


def tree(folder: Path) -> dict[str, bytes | None]:
    return {
        str(p.relative_to(folder)): p.read_bytes() if p.is_file() and not p.is_symlink() else None
        for p in folder.rglob("*")
    }


def check(content: bytes) -> None:
    home = SCRATCH / "home"
    shutil.rmtree(home, ignore_errors=True)
    (home / "deep" / "into").mkdir(parents=True)
    (home / "outside").write_text("as it was")
    (home / "deep" / "archive.bin").write_bytes(content)
    before = tree(home)
    try:
        files = extract(home / "deep" / "archive.bin", home / "deep" / "into", limits=LIMITS)
    except ValueError as error:
        worded(error, "archive.bin", visible=True)
        assert tree(home) == before
        return
    after = tree(home)
    into = home / "deep" / "into"
    assert {k: v for k, v in after.items() if not k.startswith("deep/into/")} == before
    inside = [p for p in into.rglob("*") if not p.is_dir()]
    assert sorted(inside) == sorted(files)
    assert not any(p.is_symlink() for p in into.rglob("*"))
    assert len(inside) <= LIMITS.files
    assert sum(p.stat().st_size for p in inside) <= LIMITS.total
    assert not any(p.stat().st_mode & 0o7000 for p in inside)


@given(packings, entries, changes)
def test_any_archive(packing: str, content, changed) -> None:
    check(mutated(packed(packing, content), changed))


MAGICS = (
    b"PK\3\4",
    b"PK\5\6" + bytes(18),
    b"\x1f\x8b\x08",
    b"BZh9",
    b"\xfd7zXZ\0",
    b"Rar!",
    b"x/" + bytes(255) + b"ustar\0",
)


@given(st.one_of(st.binary(max_size=600), st.builds(bytes.__add__, st.sampled_from(MAGICS), st.binary(max_size=600))))
def test_any_bytes_as_an_archive(content: bytes) -> None:
    check(content)
