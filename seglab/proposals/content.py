"""What the training part of a data set holds, so that proposals that were made of other images or masks are told.

``fit.json`` keeps a hash of the contents of all files. Since that takes seconds for thousands of photographs,
``stamp.json`` beside it keeps their sizes and times: only where these differ are the contents read again.

One runnable line: ``python -c "from seglab.proposals.content import content_of; print(content_of([]))"``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seglab.atomic import write_atomic

if TYPE_CHECKING:
    from seglab.data.sample import Item

log = logging.getLogger(__name__)

NAME = "stamp.json"


def content_of(items: Sequence[Item]) -> str:
    """SHA-256 (hex) over names, pixels and masks of images; it changes with any of their files."""
    found = hashlib.sha256()
    for item in items:
        found.update(item.id.encode("utf-8", "surrogateescape") + b"\0" + item.fingerprint())
    return found.hexdigest()


def is_unchanged(folder: Path, items: Sequence[Item], content: str | None) -> bool:
    """Whether images and masks are those that a folder of proposals was made of.

    Args:
        folder: of the proposals; ``stamp.json`` is written there where the contents had to be read.
        items: the training images as they are now.
        content: what :func:`content_of` said of them then; None = as ``stamp.json`` says, and true without that.

    Raises:
        ValueError: a file is missing.
    """
    kept = _kept(folder)
    if content is None:
        if "content" not in kept:
            return True
        content = kept["content"]
    now = stamp_of(items)
    if kept == {"content": content, "stamp": now}:
        return True
    if content_of(items) != content:
        return False
    try:
        keep_stamp(folder, content, now)
    except OSError as error:  # somebody else's folder: the contents are read each time
        log.debug("%s: no stamp of the data is kept: %s", folder, error)
    return True


def keep_stamp(folder: Path, content: str, stamp: str) -> None:
    """Write ``stamp.json``.

    Args:
        folder: of the proposals.
        content: of :func:`content_of`.
        stamp: of :func:`stamp_of`, taken before the contents were read.
    """
    write_atomic(folder / NAME, json.dumps({"content": content, "stamp": stamp}) + "\n")


def stamp_of(items: Sequence[Item]) -> str:
    """SHA-256 (hex) over names, options, and sizes and times of the files of images; no file is read.

    Raises:
        ValueError: a file is missing.
    """
    found = hashlib.sha256()
    for item in items:
        paths = list(dict.fromkeys(_paths(item)))
        # An item without files is made by its options, which its hash is quickly made of.
        told = [item.id, repr(item) if paths else item.fingerprint().hex()]
        for path in paths:
            try:
                state = path.stat()
            except OSError as error:
                raise ValueError(f"file '{path}' cannot be read ({error.strerror}): expected a whole file") from error
            told += [str(path), state.st_size, state.st_mtime_ns, state.st_ctime_ns]
        found.update(repr(told).encode("utf-8", "surrogateescape"))
    return found.hexdigest()


def _paths(value: Any) -> Iterator[Path]:
    """The files that an item names, those of items inside it included."""
    if isinstance(value, Path):
        yield value
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from _paths(getattr(value, field.name))
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _paths(one)


def _kept(folder: Path) -> dict[str, Any]:
    """``stamp.json``; empty where it is missing or damaged: then the contents are read."""
    try:
        kept = json.loads((folder / NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}
