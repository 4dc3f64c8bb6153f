"""A MATLAB file of BSDS500: segmentations of one photo by several people.

The cell array ``groundTruth`` has an entry an annotator, with ``Segmentation`` (labels from 1) and ``Boundaries`` (0 or
1). Source: Arbelaez, Maire, Fowlkes, Malik, "Contour Detection and Hierarchical Image Segmentation", TPAMI 2011.

Legend: A annotators, H W pixels.

One runnable line: ``python -c "from seglab.data.mat import read_bsds;
print(read_bsds('2092.mat').segments_AHW.shape)"``.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np

from seglab.data.annotations import Annotations
from seglab.data.region_labels import renumbered

LARGEST = 1 << 26
"""Bytes that a file may have and may unpack to; those of BSDS500 stay below 8 MB."""

DEPTH = 16
"""Levels of cells and structures; those of BSDS500 have 3."""

ELEMENTS = 10_000
"""Pieces that a file may consist of; those of BSDS500 have fewer than 200."""

FIELDS = ("Segmentation", "Boundaries")
"""Arrays of an annotator."""

_HEADER = 128
_MATRIX = 14
_PACKED = 15


def read_bsds(path: Path | str) -> Annotations:
    """All segmentations in a file, each with its regions numbered 0..N-1; labels in the file may have gaps.

    Where an annotator has no ``Boundaries``, they are those between its segments
    (:func:`seglab.metrics.boundaries.truth_boundaries`); where none of them has any, they are None.

    Raises:
        ValueError: no such file, no MATLAB file, a damaged or hostile one, no annotator, one without a segmentation,
            or segmentations that are no label maps of one size.
    """
    try:
        entries = read_entries(Path(path))
        if not entries:
            raise ValueError("groundTruth has no annotator")
        segments = [_segments(entry, number) for number, entry in enumerate(entries)]
        for number, labels in enumerate(segments):
            if labels.shape != segments[0].shape:
                raise ValueError(
                    f"the segmentation of annotator {number} is {_size(labels)}, that of annotator 0 is "
                    f"{_size(segments[0])} (width x height)"
                )
        drawn = [_boundaries(entry, number, segments[0].shape) for number, entry in enumerate(entries)]
    except ValueError as error:
        raise ValueError(
            f"annotations '{path}' cannot be used: {error}; expected a MATLAB file of BSDS500 with the cell array "
            "groundTruth, whose entries have Segmentation (labels from 1) and Boundaries (0, 1) of the photo's size"
        ) from error
    if all(one is None for one in drawn):
        return Annotations(np.stack(segments), None)
    if any(one is None for one in drawn):
        from seglab.metrics.boundaries import truth_boundaries

        drawn = [truth_boundaries(s[None])[0] if d is None else d for s, d in zip(segments, drawn, strict=True)]
    return Annotations(np.stack(segments), np.stack(drawn))


def count_annotators(path: Path) -> int:
    """Number of annotators in a file.

    Raises:
        ValueError: there is none, or the file cannot be read.
    """
    try:
        count = read_cells(path, "groundTruth")[1].size
        if not count:
            raise ValueError("groundTruth has no annotator")
    except ValueError as error:
        raise ValueError(f"annotations '{path}' cannot be used: {error}; expected a MATLAB file of BSDS500") from error
    return count


def read_entries(path: Path) -> list[dict[str, np.ndarray]]:
    """The arrays of every annotator as they are in the file, those of :data:`FIELDS` that are there.

    Raises:
        ValueError: why it cannot be read, without the name of the file.
    """
    return [_fields(cell, number) for number, cell in enumerate(read_cells(path, "groundTruth")[1].ravel())]


def read_cells(path: Path, *names: str) -> tuple[str, np.ndarray]:
    """The first variable of some names that a MATLAB file has; an array of objects where it is a cell array.

    The file may come from anywhere: its size and nesting are looked at before it is given to SciPy.

    Raises:
        ValueError: why it cannot be read, without the name of the file.
    """
    try:
        problem = _refusal(path)
    except OSError as error:
        raise ValueError(f"cannot be opened ({error.strerror})") from error
    except (struct.error, zlib.error) as error:
        raise ValueError(f"damaged ({error})") from error
    if problem:
        raise ValueError(problem)
    from scipy.io import loadmat

    try:
        variables = loadmat(path, variable_names=names)
    except Exception as error:  # scipy.io raises many kinds for a damaged file
        raise ValueError(f"damaged ({type(error).__name__}: {error})") from error
    for name in names:
        if name in variables:
            return name, np.asarray(variables[name])
    raise ValueError(f"no variable {' or '.join(names)}")


def _fields(cell: object, number: int) -> dict[str, np.ndarray]:
    inner = np.asarray(cell).ravel()
    names = inner.dtype.names or ()
    if not len(inner) or not names:
        raise ValueError(f"annotator {number} has no Segmentation")
    return {key: np.asarray(inner[0][key]) for key in FIELDS if key in names}


def _segments(entry: dict[str, np.ndarray], number: int) -> np.ndarray:
    """Labels int32 [H,W], 0..N-1."""
    labels = entry.get("Segmentation")
    if labels is None:
        raise ValueError(f"annotator {number} has no Segmentation")
    if labels.ndim != 2 or not labels.size or labels.dtype.kind not in "uif":
        raise ValueError(f"the segmentation of annotator {number} is {labels.dtype} of shape {labels.shape}")
    if labels.dtype.kind == "f" and not (np.isfinite(labels) & (labels == np.rint(labels))).all():
        raise ValueError(f"the segmentation of annotator {number} has labels that are no whole numbers")
    if labels.min() < 1:
        raise ValueError(f"the smallest label of annotator {number} is {labels.min()}, not 1 or more")
    return renumbered(labels)


def _boundaries(entry: dict[str, np.ndarray], number: int, shape: tuple[int, int]) -> np.ndarray | None:
    """Boundaries bool [H,W]; None where there are none."""
    drawn = entry.get("Boundaries")
    if drawn is None:
        return None
    if drawn.shape != shape:
        raise ValueError(f"the boundaries of annotator {number} have shape {drawn.shape}, its segmentation {shape}")
    if drawn.dtype.kind not in "uifb" or not np.isin(drawn, (0, 1)).all():
        raise ValueError(f"the boundaries of annotator {number} have values other than 0 and 1")
    return drawn.astype(bool)


def _size(array: np.ndarray) -> str:
    return f"{array.shape[1]}x{array.shape[0]}"


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
