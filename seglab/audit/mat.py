"""A MATLAB file of BSDS500, looked at once: what fits and what does not; see :mod:`seglab.data.mat` for the format.

One runnable line: ``python -c "from pathlib import Path; from seglab.audit.mat import look_at_mat;
print(look_at_mat(Path('2092.mat')))"``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from seglab.data.mat import FIELDS, read_entries

Answer = tuple[tuple[int, int], int, tuple[str, ...], tuple[str, ...], str]


def look_at_mat(path: Path) -> Answer:
    """Size (width, height), number of annotators, what does not fit, what is absent and not needed, and an error.

    The error is why the file cannot be read, empty if it can. ``Boundaries`` may be absent, see
    :func:`seglab.data.mat.read_bsds`.

    The file may come from anywhere: every error of the reader is an answer, none is raised.
    """
    try:
        return _entries(read_entries(path))
    except Exception as error:  # values may be of any kind; whatever cannot be compared is told
        why = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        return (0, 0), 0, (), (), why


def _entries(entries: Sequence[Mapping[str, np.ndarray]]) -> Answer:
    size, problems, absent = (0, 0), [], []
    for number, parts in enumerate(entries, 1):
        for key in FIELDS:
            part = parts.get(key)
            if part is None:
                (absent if key == "Boundaries" else problems).append(f"annotator {number}: no {key}")
                continue
            if part.ndim != 2 or not part.size:
                problems.append(f"annotator {number}: {key} has shape {part.shape}")
                continue
            height, width = part.shape
            if size == (0, 0):
                size = (width, height)
            elif size != (width, height):
                problems.append(f"annotator {number}: {key} is {width}x{height}, not {size[0]}x{size[1]}")
            low, high = part.min(), part.max()
            if key == "Segmentation" and low < 1:
                problems.append(f"annotator {number}: smallest label is {low}")
            if key == "Boundaries" and (low < 0 or high > 1):
                problems.append(f"annotator {number}: boundaries {low}..{high}")
    if not len(entries):
        problems.append("no annotator")
    return size, len(entries), tuple(problems), tuple(absent), ""
