"""Archives that attack, archives that are broken, and what unpacking leaves behind."""

from __future__ import annotations

import bz2
import gzip
import io
import os
import stat
import struct
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

import pytest

from seglab.fetch.archive import extract
from seglab.fetch.names import Limits, safe_name

NAMES = ["../out.txt", "a/../../out.txt", "/etc/out.txt", "C:/out.txt", "c:out.txt", "a\\..\\out.txt", "a/\x1b[2J.txt"]


def make_zip(path: Path, *members: tuple[str, bytes], mode: int = 0) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as pack:
        for name, data in members:
            info = zipfile.ZipInfo("x")
            info.filename = info.orig_filename = name
            info.create_system, info.compress_type = 3, zipfile.ZIP_DEFLATED
            info.external_attr = (mode or stat.S_IFREG | 0o644) << 16
            pack.writestr(info, data)
    return path


def make_tar(path: Path, *members: tuple[str, bytes], kind: str = "w", **header) -> Path:
    with tarfile.open(path, kind, format=tarfile.PAX_FORMAT) as pack:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            for key, value in header.items():
                setattr(info, key, value)
            pack.addfile(info, io.BytesIO(data) if data else None)
    return path


def refused(archive: Path, tmp_path: Path, match: str, **options) -> None:
    """It raises, and not a thing is left, neither inside nor beside."""
    into = tmp_path / "inner" / "into"
    into.mkdir(parents=True, exist_ok=True)
    (into / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match=match):
        extract(archive, into, **options)
    left = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p != archive)
    assert left == ["inner", "inner/into", "inner/into/mine.txt"]
    assert (into / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize("make", [make_zip, make_tar])
@pytest.mark.parametrize("name", NAMES)
def test_names_that_leave_the_folder_are_refused(make, name: str, tmp_path: Path) -> None:
    refused(make(tmp_path / "a", ("good.txt", b"1"), (name, b"2")), tmp_path, "in the name")


@pytest.mark.parametrize("name", ["a" * 300, "b/" * 600 + "c", "d/" * 30 + "e", "\udc80.png", "n\0ul.png"])
def test_names_that_no_system_takes_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="in the name"):
        safe_name(name)


def test_a_name_is_made_plain() -> None:
    assert safe_name("./a//b/./c.png") == PurePosixPath("a/b/c.png")
    assert safe_name("..a/b..png") == PurePosixPath("..a/b..png")


def test_a_nul_that_hides_the_rest_of_a_zip_name_is_refused(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", ("good.pngXevil", b"1"))
    path.write_bytes(path.read_bytes().replace(b"good.pngXevil", b"good.png\0evil"))
    refused(path, tmp_path, "control sign")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (tarfile.SYMTYPE, "symbolic link"),
        (tarfile.LNKTYPE, "hard link"),
        (tarfile.CHRTYPE, "device"),
        (tarfile.BLKTYPE, "device"),
        (tarfile.FIFOTYPE, "pipe"),
    ],
)
def test_links_and_devices_of_a_tar_are_refused(kind: bytes, words: str, tmp_path: Path) -> None:
    refused(make_tar(tmp_path / "a.tar", ("b", b""), type=kind, linkname="/etc/passwd"), tmp_path, words)


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
def test_links_and_devices_of_a_zip_are_refused(mode: int, tmp_path: Path) -> None:
    refused(make_zip(tmp_path / "a.zip", ("b", b"/etc/passwd"), mode=mode | 0o777), tmp_path, "expected files")


@pytest.mark.parametrize("make", [make_zip, make_tar])
@pytest.mark.parametrize(
    "names",
    [("a.txt", "a.txt"), ("a.txt", "A.TXT"), ("é.txt", "e\u0301.txt"), ("a", "a/b"), ("a/b", "a"), ("a/b", "A/c")],
)
def test_names_that_meet_are_refused(make, names: tuple[str, str], tmp_path: Path) -> None:
    refused(
        make(tmp_path / "a", *((name, b"1") for name in names)), tmp_path, "twice|capitals|both as|cannot be written"
    )


@pytest.mark.parametrize("make", [make_zip, lambda p, *m: make_tar(p, *m, kind="w:gz")])
def test_bombs_are_refused_by_the_bytes_that_come_out(make, tmp_path: Path) -> None:
    bomb = make(tmp_path / "a", ("zeros", bytes(3 << 20)))
    assert bomb.stat().st_size < 1 << 16
    refused(bomb, tmp_path, "times its size", limits=Limits(ratio_from=1 << 20))
    refused(bomb, tmp_path, "more than 1000 bytes", limits=Limits(total=1000))


def test_a_tar_that_claims_little_before_a_member_that_is_passed_over(tmp_path: Path) -> None:
    bomb = make_tar(tmp_path / "a", ("zeros", bytes(3 << 20)), ("b.txt", b"1"), kind="w:gz")
    only_b = {"select": lambda name: name if name.name == "b.txt" else None}
    refused(bomb, tmp_path, "times its size", limits=Limits(ratio_from=1 << 20), **only_b)


def test_a_header_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 1 << 26
    (tmp_path / "a.tgz").write_bytes(gzip.compress(info.tobuf() + bytes(1 << 26), 1))
    refused(tmp_path / "a.tgz", tmp_path, "a header of")


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    many = make_tar(tmp_path / "a.tar", *((f"{i}.txt", b"") for i in range(20)))
    refused(many, tmp_path, "more than 10 files", limits=Limits(files=10))


def test_a_zip_that_lies_about_a_size_is_refused(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", ("b.txt", os.urandom(77)))
    data = path.read_bytes()
    path.write_bytes(data.replace(struct.pack("<L", 77), struct.pack("<L", 70)))
    refused(path, tmp_path, "damaged|bytes")


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", ("b.txt", b"1"))
    data = bytearray(path.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(data)
    refused(path, tmp_path, "encrypted")


@pytest.mark.parametrize("kind", ["w", "w:gz", "w:bz2", "w:xz", "zip"])
def test_an_archive_cut_off_anywhere_is_refused(kind: str, tmp_path: Path) -> None:
    members = [(f"{i}.bin", os.urandom(3000)) for i in range(4)]
    path = make_zip(tmp_path / "a", *members) if kind == "zip" else make_tar(tmp_path / "a", *members, kind=kind)
    whole = path.read_bytes()
    end = 4 * (512 + 3072) + 512 if kind == "w" else len(whole)  # zeros that fill the end of a tar may go
    for size in sorted({1, 100, 512, 4096, 5000, 8192, end // 2, end - 700, end - 1}):
        path.write_bytes(whole[: size if size < end else end - 1])
        refused(path, tmp_path, "cut off|damaged|no archive|announced|it is empty")


def test_a_tar_with_a_damaged_header_in_the_middle_is_refused(tmp_path: Path) -> None:
    path = make_tar(tmp_path / "a.tar", ("a", b"1" * 512), ("b", b"2" * 512), ("c", b"3" * 512))
    data = bytearray(path.read_bytes())
    data[1024:1030] = b"\xff" * 6
    path.write_bytes(data)
    with tarfile.open(path) as pack:
        assert len(pack.getnames()) == 1  # tarfile itself says nothing
    refused(path, tmp_path, "damaged after 1 members")


def test_a_changed_byte_is_refused_by_the_checksum_inside(tmp_path: Path) -> None:
    data = os.urandom(5000)
    for name, path in (
        ("zip", make_zip(tmp_path / "a.zip", ("b", data))),
        ("gz", make_tar(tmp_path / "a.tgz", ("b", data), kind="w:gz")),
    ):
        packed = bytearray(path.read_bytes())
        packed[len(packed) // 2] ^= 0x55
        path.write_bytes(packed)
        with pytest.raises(ValueError, match=r"damaged|CRC"):
            extract(path, tmp_path / name)
        assert not list((tmp_path / name).iterdir())


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "no archive"),
        (b"<!doctype html><html>", "no archive"),
        (b"Rar!\x1a\x07\x00 and more", "RAR archive; unpack it by hand"),
        (gzip.compress(b"no tar", mtime=0), "no archive"),
        (bz2.compress(b"no tar" * 500), "no archive"),
        (b"PK\x03\x04 and nothing", "no archive"),
    ],
)
def test_what_is_no_archive_is_refused(content: bytes, match: str, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    refused(tmp_path / "a.zip", tmp_path, match)


@pytest.mark.parametrize("link", ["a", "a/b", "a/b/c.txt"])
def test_nothing_is_written_through_a_link_on_disk(link: str, tmp_path: Path) -> None:
    outside, into = tmp_path / "outside", tmp_path / "into"
    outside.mkdir()
    (outside / "c.txt").write_text("theirs")
    (into / link).parent.mkdir(parents=True)
    (into / link).symlink_to(outside / "c.txt" if link.endswith("txt") else outside)
    with pytest.raises(ValueError, match=r"link|no plain file"):
        extract(make_zip(tmp_path / "a.zip", ("a/b/c.txt", b"evil")), into, replace=True)
    assert sorted(p.name for p in outside.rglob("*")) == ["c.txt"]
    assert (outside / "c.txt").read_text() == "theirs"


def test_files_that_are_there_and_differ_are_kept(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", ("a.txt", b"new"), ("b.txt", b"same"), ("c.txt", b"more"))
    into = tmp_path / "into"
    into.mkdir()
    (into / "a.txt").write_text("mine")
    (into / "b.txt").write_text("same")
    with pytest.raises(ValueError, match=r"1 name \(a.txt\).*force=true"):
        extract(path, into)
    assert {p.name: p.read_text() for p in into.iterdir()} == {"a.txt": "mine", "b.txt": "same"}
    assert [p.name for p in extract(path, into, replace=True)] == ["a.txt", "b.txt", "c.txt"]
    assert (into / "a.txt").read_text() == "new"


def test_what_is_passed_over_may_hold_links(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as pack:
        link = tarfile.TarInfo("bench/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        pack.addfile(link)
        info = tarfile.TarInfo("data/a.jpg")
        info.size = 3
        pack.addfile(info, io.BytesIO(b"jpg"))
    found = extract(path, tmp_path / "into", select=lambda name: name if name.suffix == ".jpg" else None)
    assert found == [tmp_path / "into/data/a.jpg"]
    with pytest.raises(ValueError, match=r"no file of those.*it holds 2 names \(bench/link, data/a.jpg\)"):
        extract(path, tmp_path / "other", select=lambda name: None)


@pytest.mark.parametrize("kind", ["w", "w:gz", "w:bz2", "w:xz", "zip"])
def test_a_whole_archive_is_unpacked_to_the_byte(kind: str, tmp_path: Path) -> None:
    members = [(f"set/{i % 3}/{i}.bin", os.urandom(i * 700)) for i in range(1, 30)]
    members.append(("set/" + "long" * 50 + ".png", b"long name"))
    path = (
        make_zip(tmp_path / "a", *members)
        if kind == "zip"
        else make_tar(tmp_path / "a", *members, kind=kind, mode=0o4777)
    )
    found = extract(path, tmp_path / "into")
    assert {str(p.relative_to(tmp_path / "into")): p.read_bytes() for p in found} == dict(members)
    assert all(p.stat().st_mode & 0o7111 == 0 for p in found)  # modes of the archive are not taken over
    assert sorted(p for p in (tmp_path / "into").rglob("*") if p.is_file()) == found
