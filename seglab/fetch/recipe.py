"""How a published data set is fetched: ``conf/download/<name>.yaml``, checked as a whole.

One runnable line: ``python -c "from seglab.fetch.recipe import load_recipe; print(load_recipe('duts').title)"``.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path, PurePosixPath
from typing import Any

from omegaconf import OmegaConf

from seglab.fetch.checksum import is_digest
from seglab.words import nearest

LITTER = ("._*", ".DS_Store", "Thumbs.db", "desktop.ini")
"""Files that file managers leave in archives."""
SET_KEYS = ("name", "about", "files", "expect")
ABOUT_KEYS = ("title", "homepage", "licence", "citation", "layout", "by_hand")


@dataclass(frozen=True)
class RemoteFile:
    """One file of a data set and where its content goes.

    Args:
        key: its name in the recipe.
        urls: addresses of the same file, tried in this order.
        sha256: checksum; None = unknown.
        md5: the same.
        bytes: size; None = unknown.
        unpack: False = the file itself is wanted, it is no archive.
        into: folder below ``runtime.data_root``.
        strip: folders of the archive that are taken off the front of a name, where they are there.
        keep: patterns of what is taken, matched from the right; empty = everything.
        drop: patterns of what is left out.
        by_type: suffix to folder, e.g. ``{jpg: image}``: sorts files, folders of the archive are not kept.
        expect: pattern below ``runtime.data_root`` to the number of files that should be there.
    """

    key: str
    urls: tuple[str, ...]
    sha256: str | None = None
    md5: str | None = None
    bytes: int | None = None
    unpack: bool = True
    into: str = "."
    strip: str = ""
    keep: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    by_type: tuple[tuple[str, str], ...] = ()
    expect: tuple[tuple[str, int], ...] = ()

    @property
    def name(self) -> str:
        """File name of the download: that of the first address."""
        return re.sub(r"[^\w.-]", "_", self.urls[0].split("?")[0].rstrip("/").rsplit("/", 1)[-1]) or self.key

    def target(self, member: PurePosixPath) -> PurePosixPath | None:
        """Where a member of the archive goes, relative to ``runtime.data_root``; None = it is not taken."""
        if "__MACOSX" in member.parts or any(fnmatch.fnmatch(member.name, pattern) for pattern in LITTER):
            return None
        front = PurePosixPath(self.strip)
        if self.strip and member.is_relative_to(front) and member != front:
            member = member.relative_to(front)
        if self.keep and not any(member.match(pattern) for pattern in self.keep):
            return None
        if any(member.match(pattern) for pattern in self.drop):
            return None
        if self.by_type:
            folder = dict(self.by_type).get(member.suffix.lower().lstrip("."))
            return PurePosixPath(self.into, folder, member.name) if folder is not None else None
        return PurePosixPath(self.into, member)


@dataclass(frozen=True)
class Recipe:
    """A published data set: prose for people, files to fetch, and what should be there in the end."""

    name: str
    title: str
    homepage: str
    licence: str
    citation: str
    layout: str
    by_hand: str
    files: tuple[RemoteFile, ...]
    expect: tuple[tuple[str, int], ...]

    @property
    def bytes(self) -> int | None:
        """Size of all downloads; None where one is unknown."""
        sizes = [file.bytes for file in self.files]
        return sum(sizes) if sizes and None not in sizes else None


def recipe_names() -> list[str]:
    """Names of ``conf/download``."""
    return sorted(path.stem for path in _folder().glob("*.yaml") if not path.stem.startswith("_"))


def load_recipe(name: str) -> Recipe:
    """A recipe as it stands in ``conf/download``.

    Raises:
        ValueError: there is none of this name, or it is not as it should be.
    """
    if name not in recipe_names():
        raise ValueError(f"download={name}: no such data set{nearest(name, recipe_names())}")
    return recipe_from(OmegaConf.to_container(OmegaConf.load(_folder() / f"{name}.yaml")))


def _folder() -> Path:
    from seglab.config import conf_dir

    return conf_dir() / "download"


def recipe_from(node: Mapping[str, Any]) -> Recipe:
    """A recipe from plain types.

    Args:
        node: what a YAML of ``conf/download`` holds, perhaps changed on the command line.

    Raises:
        ValueError: naming the key, its value and what is expected.
    """
    _only(node, SET_KEYS, "download")
    about = {key: " ".join(str(value).split()) for key, value in (node.get("about") or {}).items()}
    _only(about, ABOUT_KEYS, "download.about")
    if missing := [key for key in ("title", "homepage", "licence", "citation", "layout") if not about.get(key)]:
        raise ValueError(f"download.about.{missing[0]} is not set: expected a text")
    files = tuple(_file(key, value) for key, value in (node.get("files") or {}).items())
    if not files and not about.get("by_hand"):
        raise ValueError("download.files is empty: expected files, or download.about.by_hand to say where to get them")
    expect = _expect(node.get("expect"), "download.expect")
    expect += tuple(item for file in files for item in file.expect)
    if not expect:
        raise ValueError("download.expect is empty: expected patterns of files with their number")
    return Recipe(
        name=str(node["name"]),
        by_hand=about.pop("by_hand", ""),
        files=files,
        expect=expect,
        **about,
    )


def _file(key: str, node: Mapping[str, Any]) -> RemoteFile:
    where = f"download.files.{key}"
    known = tuple(field.name for field in fields(RemoteFile) if field.name != "key")
    _only(node, known, where)
    values = {name: value for name, value in node.items() if value is not None}
    urls = values.get("urls") or []
    urls = [urls] if isinstance(urls, str) else list(urls)
    if not urls or not all(str(url).lower().startswith(("http://", "https://")) for url in urls):
        raise ValueError(f"{where}.urls={urls}: expected addresses that start with http:// or https://")
    for kind in ("sha256", "md5"):
        if kind in values and not is_digest(str(values[kind]), kind):
            raise ValueError(f"{where}.{kind}={values[kind]}: expected hexadecimal digits, {64 if kind > 'n' else 32}")
    size = values.get("bytes")
    if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < 1):
        raise ValueError(f"{where}.bytes={size}: expected a whole number above 0")
    for name in ("into", "strip"):
        _below(values.get(name, "."), f"{where}.{name}")
    by_type = {str(k).lower(): str(v) for k, v in (values.get("by_type") or {}).items()}
    for suffix, folder in by_type.items():
        _below(folder, f"{where}.by_type.{suffix}")
    values |= {
        "urls": tuple(map(str, urls)),
        "keep": tuple(map(str, values.get("keep", ()))),
        "drop": tuple(map(str, values.get("drop", ()))),
        "by_type": tuple(by_type.items()),
        "expect": _expect(values.get("expect"), f"{where}.expect"),
    }
    return RemoteFile(key=key, **values)


def _expect(node: Any, where: str) -> tuple[tuple[str, int], ...]:
    for pattern, count in (node or {}).items():
        _below(pattern, where)
        if not isinstance(count, int) or count < 1:
            raise ValueError(f"{where}: {pattern}={count}: expected a number of files")
    return tuple((node or {}).items())


def _below(path: Any, where: str) -> None:
    if not isinstance(path, str) or path.startswith("/") or ".." in PurePosixPath(path).parts or "\\" in path:
        raise ValueError(f"{where}={path}: expected a path below runtime.data_root")


def _only(node: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in node:
        if key not in known:
            raise ValueError(f"unknown key '{where}.{key}'{nearest(str(key), list(known), where)}")
