"""Whether a file is the one that was expected: size, SHA-256, MD5.

One runnable line: ``python -c "from pathlib import Path; from seglab.fetch.checksum import mismatch;
print(mismatch(Path('a.zip')))"``.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

DIGITS = {"sha256": 64, "md5": 32}


def mismatch(
    path: Path, *, sha256: str | None = None, md5: str | None = None, size: int | None = None
) -> tuple[str, str]:
    """Read a file once and compare.

    Args:
        path: the file.
        sha256: expected, hexadecimal digits; None is not compared.
        md5: the same.
        size: bytes expected.

    Returns:
        Its SHA-256, and what is wrong with actual and expected value (empty = nothing).
    """
    digests = {"sha256": hashlib.sha256()}
    if md5:
        digests["md5"] = hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            for digest in digests.values():
                digest.update(block)
    actual = {"bytes": str(path.stat().st_size), **{name: digest.hexdigest() for name, digest in digests.items()}}
    for name, value in (("bytes", size), ("sha256", sha256), ("md5", md5)):
        if value and str(value).lower() != actual[name]:
            return actual["sha256"], f"{name} {actual[name]}, expected {value}"
    return actual["sha256"], ""


def is_digest(text: str, kind: str) -> bool:
    """Whether a text is a ``sha256`` or ``md5`` in hexadecimal digits."""
    return bool(re.fullmatch(rf"[0-9a-fA-F]{{{DIGITS[kind]}}}", text))
