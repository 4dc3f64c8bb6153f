"""A MATLAB file of BSDS500: segmentations of one photo by several people.

The cell array ``groundTruth`` has an entry an annotator, with ``Segmentation`` (labels from 1) and ``Boundaries`` (0 or
1). Source: Arbelaez, Maire, Fowlkes, Malik, "Contour Detection and Hierarchical Image Segmentation", TPAMI 2011.

One runnable line: ``python -c "from pathlib import Path; from seglab.audit.mat import look_at_mat;
print(look_at_mat(Path('2092.mat')))"``.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np

LARGEST = 1 << 26
"""Bytes that a file may have and may unpack to; those of BSDS500 stay below 8 MB."""

DEPTH = 16
"""Levels of cells and structures; those of BSDS500 have 3."""

ELEMENTS = 10_000
"""Pieces that a file may consist of; those of BSDS500 have fewer than 200."""

_HEADER = 128
_MATRIX = 14
_PACKED = 15

Answer = tuple[tuple[int, int], int, tuple[str, ...], str]


def look_at_mat(path: Path) -> Answer:
    """Size (width, height), number of annotators, what does not fit, and why it cannot be read (empty if it can).

    The file may come from anywhere: its size and nesting are looked at before it is given to SciPy, and every error of
    the reader is an answer, none is raised.
    """
    try:
        if problem := _refusal(path):
            return (0, 0), 0, (), problem
        from scipy.io import loadmat

        cells = loadmat(path, variable_names=["groundTruth"]).get("groundTruth")
        if cells is None:
            return (0, 0), 0, (), "no variable groundTruth"
        return _entries(cells)
    except Exception as error:  # scipy.io raises many kinds for a damaged file; every one is told
        return (0, 0), 0, (), f"{type(error).__name__}: {error}"


def _entries(cells: np.ndarray) -> Answer:
    size, problems = (0, 0), []
    entries = np.asarray(cells).ravel()
    for number, cell in enumerate(entries, 1):
        inner = np.asarray(cell).ravel()[0]
        parts = {key: np.asarray(inner[key]) for key in ("Segmentation", "Boundaries")}
        for key, part in parts.items():
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
    return size, len(entries), tuple(problems), ""


def _refusal(path: Path) -> str:
    """Why a file must not be given to SciPy; empty where it may be.

    SciPy unpacks without a limit and walks nested cells by recursion in C: a file of 400 kB can end the process.
    """
    with open(path, "rb") as file:
        whole = file.seek(0, 2)
        file.seek(0)
        if whole > LARGEST:
            return f"{whole} bytes: expected at most {LARGEST}"
        head, body = file.read(_HEADER), file.read()
    if len(head) < _HEADER:
        return f"{whole} bytes, too short for a MATLAB file"
    if head[124:128] not in (b"\x00\x01IM", b"\x01\x00MI"):
        return "no MATLAB 5 file"
    order = "<" if head[126:128] == b"IM" else ">"
    at, total = 0, 0
    while at < len(body):
        if at + 8 > len(body):
            return f"truncated ({whole} bytes)"
        kind, length = struct.unpack_from(f"{order}II", body, at)
        if at + 8 + length > len(body):
            return f"truncated ({whole} bytes)"
        content = body[at + 8 : at + 8 + length]
        if kind == _PACKED:
            content = zlib.decompressobj().decompress(content, LARGEST - total + 1)
        total += len(content)
        if total > LARGEST:
            return f"unpacks to more than {LARGEST} bytes"
        if problem := _nesting(content if kind == _PACKED else body[at : at + 8 + length], order):
            return problem
        at += 8 + length
    return ""


def _nesting(content: bytes, order: str) -> str:
    """What is wrong with the nesting of the elements in a piece of a file; empty if nothing is."""
    todo, looked = [(0, len(content), 0)], 0
    while todo:
        at, end, depth = todo.pop()
        while at + 8 <= end:
            looked += 1
            if looked > ELEMENTS or depth > DEPTH:
                return f"nested more than {DEPTH} deep, or more than {ELEMENTS} elements"
            kind, length = struct.unpack_from(f"{order}II", content, at)
            if kind >> 16:  # a small element: number of bytes and type in one word, the data in the next
                at += 8
                continue
            if kind == _MATRIX:
                todo.append((at + 8, min(end, at + 8 + length), depth + 1))
            at += 8 + length + (-length) % 8
    return ""
