"""Fetch one file: resumed where it stopped, from one of several addresses, checked before it gets its name.

Bytes go into ``<name>.part``; ``<name>.part.json`` says where they came from, so that another process, or this one
after a power cut, asks only for the rest, and only if the server still has the same file. A file with a wrong checksum
is put aside as ``<name>.wrong``.

One runnable line: ``python -c "from pathlib import Path; from seglab.fetch.download import download;
print(download(['https://example.org/a.zip'], Path('a.zip')))"``.
"""

from __future__ import annotations

import errno
import http.client
import json
import logging
import os
import shutil
import socket
import ssl
import urllib.error
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from seglab.fetch.checksum import mismatch
from seglab.fetch.http import Refused, ask, is_page, range_start, total_bytes
from seglab.fetch.task import Patience, Task
from seglab.run import write_atomic

log = logging.getLogger(__name__)

BLOCK = 1 << 18
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO)
SPARE = 64 << 20
"""Bytes left free on the disk."""


@dataclass(frozen=True)
class Fetched:
    """A file that was fetched: the address it came from ('' = it was there), its size in bytes and SHA-256."""

    url: str
    bytes: int
    sha256: str


def download(
    urls: Sequence[str],
    path: Path,
    *,
    sha256: str | None = None,
    md5: str | None = None,
    size: int | None = None,
    patience: Patience | None = None,
    progress: bool = False,
) -> Fetched:
    """Fetch a file from the first address that gives it.

    Args:
        urls: addresses of the same file, tried in this order.
        path: where it goes; a whole one that is there is checked and kept.
        sha256: checksum expected, 64 hexadecimal digits.
        md5: the same, 32 digits.
        size: bytes expected.
        patience: time-outs and repetitions.
        progress: show a bar.

    Raises:
        ValueError: no address gave the file; one message with the reason of each, and what to do.
    """
    task = Task(path, sha256, md5, size, patience or Patience(), progress)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_file():
        try:
            return Fetched("", path.stat().st_size, _verify(task, path))
        except Refused as error:
            log.warning("%s was there already: %s", path.name, error)
    for url in urls:
        try:
            return _from_address(task, url)
        except Refused as error:
            task.faults.append(f"{url}: {error}")
            log.warning("%s: %s", url, error)
    have = f"; {task.have} bytes are kept, the same command goes on" if task.have else ""
    raise ValueError(f"{path.name} could not be fetched{have}:\n  " + "\n  ".join(task.faults))


def _from_address(task: Task, url: str) -> Fetched:
    """Ask one address until the file is whole.

    Raises:
        Refused: it will not give it.
    """
    patience, barren, fault, best = task.patience, 0, "", task.have
    for _ in range(patience.attempts):
        try:
            _attempt(task, url)
            return _finish(task, url)
        except _Again as error:
            fault = str(error)
        except urllib.error.HTTPError as error:
            fault = f"HTTP {error.code} {error.reason}"
            error.close()
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, ssl.SSLCertVerificationError):
                raise Refused(f"its certificate is not valid ({reason.verify_message})") from error
            if isinstance(reason, socket.gaierror) and reason.errno == socket.EAI_NONAME:
                raise Refused("its host is not known; is there a network?") from error
            if getattr(error, "filename", None):
                raise  # of our disk
            if getattr(error, "errno", None) in DISK:
                raise OSError(error.errno, os.strerror(error.errno), str(task.part)) from error
            fault = f"{reason}" or type(error).__name__
        barren, best = (0, task.have) if task.have > best else (barren + 1, best)
        if barren > patience.retries:
            break
        pause = min(60.0, patience.pause * 2 ** max(barren - 1, 0))
        log.info("%s: %s; again in %.0f s, %d bytes are there", url, fault, pause, task.have)
        patience.sleep(pause)
    raise Refused(f"{fault} (given up)")


class _Again(Exception):
    """The attempt ended early; another one may bring the rest."""


def _attempt(task: Task, url: str) -> None:
    """One request; whatever it brings is added to the part."""
    headers, known = _resume(task, url)
    have = task.have
    if have and have == known.get("total"):
        return  # stopped between the last byte and the check
    try:
        answer = ask(url, timeout=task.patience.timeout, checked=task.checked, headers=headers)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        error.close()
        if error.headers.get("Content-Range", "") == f"bytes */{have}" and not known.get("total"):
            return  # there is nothing after what we have: it is whole
        task.drop()
        raise _Again("the server has less than was fetched; from the start") from error
    with answer:
        tag = answer.headers.get("ETag", "")
        other = known.get("url") == url and known.get("etag") and tag and tag != known["etag"]
        if have and (range_start(answer) != have or other):
            if answer.status == 206:
                task.drop()
                raise _Again("the file has changed since; from the start")
            have = 0
        total = total_bytes(answer, have)
        if have and known.get("total") and total != known["total"]:
            task.drop()
            raise _Again("the file has another size now; from the start")
        if task.size and total and total != task.size:
            raise Refused(f"offers {total} bytes, {task.size} are expected: another file")
        _check_disk(task, total, have)
        task.resumed = bool(have)
        dated = answer.headers.get("Last-Modified", "")
        origin = {"url": url, "etag": tag, "modified": dated, "total": total}
        _receive(task, url, answer, have, total, origin)


def _resume(task: Task, url: str) -> tuple[dict[str, str], dict[str, Any]]:
    """Headers that ask for the rest, if what is there can be trusted to be the beginning of the same file."""
    have, known = task.have, task.origin()
    if not have:
        return {}, {}
    headers = {"Range": f"bytes={have}-"}
    if known.get("url") == url:
        tag, dated = known.get("etag") or "", known.get("modified") or ""
        if tag and not tag.startswith("W/"):
            return {**headers, "If-Range": tag}, known
        if dated:
            return {**headers, "If-Range": dated}, known
        if known.get("total") or task.checked:
            return headers, known
    elif known and task.checked and known.get("total"):
        return headers, {"total": known["total"]}  # another address of the same file; the checksum will tell
    task.drop()
    return {}, {}


def _receive(
    task: Task, url: str, answer: http.client.HTTPResponse, have: int, total: int | None, origin: dict[str, Any]
) -> None:
    block = answer.read1(BLOCK)
    if not have and is_page(answer, block):
        raise Refused("sent a web page instead of the file; look at it in a browser")
    if not have:
        task.drop()
        write_atomic(task.note, json.dumps(origin))
    limit = task.size or total
    bar = tqdm(
        desc=task.path.name,
        total=total,
        initial=have,
        unit="B",
        unit_scale=True,
        disable=None if task.progress else True,
    )
    with bar, open(task.part, "ab" if have else "wb") as file:
        while block:
            file.write(block)
            have += len(block)
            bar.update(len(block))
            if limit and have > limit:
                file.flush()
                task.drop()
                raise Refused(f"sends more than the {limit} bytes that are expected")
            block = answer.read1(BLOCK)
        file.flush()
        os.fsync(file.fileno())
    if total is not None and have < total:
        raise _Again(f"cut off at {have} of {total} bytes")


def _check_disk(task: Task, total: int | None, have: int) -> None:
    free = shutil.disk_usage(task.path.parent).free
    if total and total - have + SPARE > free:
        needed = (total - have + SPARE) / 1e9
        raise OSError(
            errno.ENOSPC,
            f"not enough space for {task.path.name}: {needed:.2f} GB needed, {free / 1e9:.2f} GB free",
            str(task.part),
        )


def _finish(task: Task, url: str) -> Fetched:
    """Check the whole part and give it its name.

    Raises:
        Refused: the checksum is wrong; the file is put aside.
        _Again: the same of a resumed file, whose halves may not belong together.
    """
    try:
        digest = _verify(task, task.part)
    except Refused:
        if task.resumed:
            task.drop()
            raise _Again("the resumed file has a wrong checksum; from the start") from None
        task.note.unlink(missing_ok=True)
        raise
    size = task.have
    os.replace(task.part, task.path)
    task.note.unlink(missing_ok=True)
    return Fetched(url, size, digest)


def _verify(task: Task, path: Path) -> str:
    """SHA-256 of a file that is as it should be.

    Raises:
        Refused: it is not; a file that was fetched whole is put aside.
    """
    digest, fault = mismatch(path, sha256=task.sha256, md5=task.md5, size=task.size)
    if not fault:
        return digest
    if path != task.path and task.resumed:
        raise Refused(fault)
    wrong = task.path.with_name(f"{task.path.name}.wrong")
    os.replace(path, wrong)
    raise Refused(f"{fault}; put aside as '{wrong}'")
