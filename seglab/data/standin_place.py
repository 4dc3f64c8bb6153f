"""Where a stand-in lies: folders that are written aside, moved into place whole, and never put over anything else.

Each folder has a marker file with what it is and the sizes of its files. One that holds anything else is never touched,
so real data cannot be overwritten.

One runnable line: ``python -c "from pathlib import Path; from seglab.data.standin_place import put;
put(Path('x'), ['A'], {'data': 'mine'}, lambda folder: (folder / 'A').mkdir())"``.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from seglab.data.pairs import STANDIN

log = logging.getLogger(__name__)


def put(root: Path, tops: Sequence[str], wanted: Mapping[str, Any], write: Callable[[Path], None]) -> list[Path]:
    """Write the folders of a stand-in aside and move them into place whole; nothing where they are there already.

    Args:
        root: ``runtime.data_root``.
        tops: names of the folders directly below it.
        wanted: what the stand-in is: ``data``, its name, and whatever its files depend on, plain types.
        write: writes all of them below a folder it is given.

    Returns:
        The folders.

    Raises:
        ValueError: a folder holds anything but a stand-in of this data set.
    """
    places = [root / top for top in tops]
    if all([_is_whole(place, wanted) for place in places]):  # a list: every folder is looked at before any is written
        return places
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".standin-", dir=root) as aside:
        write(Path(aside))
        for place in places:
            new = Path(aside) / place.name
            (new / STANDIN).write_text(json.dumps({**wanted, "files": _sizes(new)}) + "\n")
            _move(new, place, wanted)
    log.info("data=%s: generated images written to %s", wanted["data"], ", ".join(map(str, places)))
    return places


def _is_whole(place: Path, wanted: Mapping[str, Any]) -> bool:
    """Whether a folder is the wanted stand-in; False where there is none, or one with other settings or files gone.

    Raises:
        ValueError: it holds anything else.
    """
    if not os.path.lexists(place):
        return False
    refusal = f"stand-in of {wanted['data']}: '{place}' is in the way and is left alone"
    remedy = "expected no such folder, or a stand-in; name another runtime.data_root"
    if not (place / STANDIN).is_file():
        if not place.is_dir() or place.is_symlink() or any(place.iterdir()):
            raise ValueError(f"{refusal}: it has no {STANDIN}, so it may be real data: {remedy}")
        return False
    try:
        marker = json.loads((place / STANDIN).read_text())
        owner, listed = marker["data"], marker["files"]
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{refusal}: its {STANDIN} cannot be read ({error}): {remedy}") from error
    if owner != wanted["data"]:
        raise ValueError(f"{refusal}: it is a stand-in of {owner}: {remedy}")
    found = _sizes(place)
    if odd := sorted(path for path, size in found.items() if listed.get(path) != size):
        raise ValueError(f"{refusal}: '{odd[0]}' is not the file of its {STANDIN}: {remedy}")
    return marker == {**wanted, "files": found}


def _sizes(folder: Path) -> dict[str, int]:
    """Bytes of every file below a folder but its marker."""
    paths = (p for p in sorted(folder.rglob("*")) if p.is_symlink() or not p.is_dir())
    return {p.relative_to(folder).as_posix(): p.lstat().st_size for p in paths if p != folder / STANDIN}


def _move(new: Path, place: Path, wanted: Mapping[str, Any]) -> None:
    """Put a finished folder into its place; an older stand-in leaves it, one that is whole stays."""
    if _is_whole(place, wanted):
        return
    try:
        if (place / STANDIN).is_file():
            place.rename(new.with_name(f"{new.name}.old"))
        elif place.is_dir():
            place.rmdir()  # empty, or this fails
        new.rename(place)
    except OSError:
        if not _is_whole(place, wanted):  # else another process was faster
            raise
