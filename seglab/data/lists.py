"""A list of names: a text file with one stem a line.

One runnable line: ``python -c "from seglab.data.lists import read_list; print(len(read_list('train.txt')))"``.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from pathlib import Path

from seglab.data.files import SUFFIXES
from seglab.words import some

LONGEST = 1000
"""Signs that a line may have; no file system takes a name of more than 255."""
HIDDEN = ("Cc", "Cs")
"""Unicode categories of signs that no name has: control signs, which a message must not write to a terminal."""


def read_list(path: Path | str) -> list[str]:
    """The stems of a list, in its order; a known image suffix is taken off, empty lines are passed over.

    Args:
        path: text file, UTF-8; lines end as on Unix, Windows or an old Mac, and nowhere else: other signs that count as
            line ends in Unicode may be part of a name.

    Raises:
        ValueError: the list is empty, holds a name twice or a line that can be no name, or is no text.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"list '{path}' is not UTF-8 text ({error.reason} at byte {error.start})") from error
    lines = [line.strip() for line in text.split("\n")]  # reading as text made one of the three line ends
    for number, line in enumerate(lines, 1):
        if len(line) > LONGEST or any(unicodedata.category(sign) in HIDDEN for sign in line):
            shown = f"{line[:40]!a}{'...' if len(line) > 40 else ''}"
            raise ValueError(
                f"list '{path}', line {number}: {shown} is no file name: expected a stem of at most {LONGEST} visible "
                "signs a line"
            )
    stems = [line for line in lines if line]
    stems = [Path(s).stem if s.lower().endswith(SUFFIXES) else s for s in stems]
    if not stems:
        raise ValueError(f"list '{path}' is empty: expected one stem a line")
    if twice := sorted(stem for stem, count in Counter(stems).items() if count > 1):
        raise ValueError(f"{some(twice)} more than once in '{path}'")
    return stems
