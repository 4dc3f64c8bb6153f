"""Files of the BSDS benchmark: label maps, cell arrays of segmentations, boundary maps, and what people drew.

Legend: T scales, A annotators, H W pixels.
Example: ``python -c "from pathlib import Path; from seglab.scoring.region_files import read_mat;
print(len(read_mat(Path('2092.mat'))))"``
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from seglab.data.annotations import Annotations
from seglab.data.files import SUFFIXES
from seglab.data.mat import read_bsds, read_cells
from seglab.data.region_labels import renumbered
from seglab.metrics.boundaries import thin, truth_boundaries
from seglab.scoring.faults import Fault
from seglab.scoring.images import grey_values, open_image, read_labels, refuse_palette, values_in
from seglab.scoring.measured import MapFile, Reads, width_height

READS = Reads(truth=(*SUFFIXES, ".mat"), maps=(*SUFFIXES, ".mat"), scales=True)

LOSSY = (".jpg", ".jpeg")
FEW = 64
"""A map with no more values than this may hold clusters, which can lie scattered: nothing can be told from it."""
PIECES, PIXELS = 4, 4
"""Connected pieces a label that a label map has at most, and pixels a piece that it has at least, on average: regions
and superpixels have 1 to 2.5 and 18 or more; soft maps of 8 bits have 7 to 480 pieces a value, of 16 bits 1 pixel."""

WIDE = 12
"""Pixels that a drawing of boundaries has for one of its thinned lines, at most: those of BSDS have 1, widened to 5
pixels up to 9; their areas have 16 and more, ragged masks 11 and more."""
SQUARE = 33
"""Pixels of the side of a square that no drawing fills: those of BSDS, widened to 5 pixels, fill none above 25."""

NARROW = 3
"""Pixels that the areas of a label map have for one of their thinned lines, at least, beside its commonest value."""
VOID, CLASSES = 255, 128
"""A largest label of truth, and what all others lie below, where it is taken to be void."""


class Drawn(NamedTuple):
    """Boundaries that people drew.

    Attributes:
        boundaries_AHW: bool, one map an annotator.
        ignored_HW: bool, pixels that every annotator leaves out; None = there are none.
    """

    boundaries_AHW: np.ndarray
    ignored_HW: np.ndarray | None = None


def read_label_maps(file: MapFile, *, thresholds: int, strict: bool) -> tuple[str, list[tuple[Path, np.ndarray]]]:
    """Label maps [H, W] of an image, one a scale, each with the file it is from; and what they were, in words.

    Args:
        file: image files, one a scale, or one MATLAB file as for :func:`read_mat`.
        thresholds: n, where a contour map is cut at k / (n + 1), k = 1..n.
        strict: refuse what looks like a soft map.

    Raises:
        Fault: unreadable, in colour, no label map, or scales of different sizes.
    """
    what, maps = "label maps", []
    for path in file if isinstance(file, tuple) else (file,):
        if path.suffix.lower() == ".mat":
            found = read_mat(path)
            if isinstance(found, np.ndarray):
                what, found = "contour maps (ucm2)", cut_contours(found, thresholds)
            maps += [(path, labels_HW) for labels_HW in found]
        else:
            maps.append((path, _label_image(path, strict=strict)))
            if strict:
                _refuse_drawing(*maps[-1])
    for path, labels_HW in maps:
        if labels_HW.shape != maps[0][1].shape:
            sizes = f"{width_height(labels_HW.shape)}, that of {maps[0][0]} {width_height(maps[0][1].shape)}"
            raise Fault("size", f"{path}: scale of {sizes} (width x height)")
    return what, maps


def _label_image(path: Path, *, strict: bool) -> np.ndarray:
    if path.suffix.lower() in LOSSY:
        raise Fault("lossy", f"{path}: JPEG")
    labels_HW = read_labels(path)
    if strict and not looks_like_regions(labels_HW):
        raise Fault("soft", f"{path}: {len(np.unique(labels_HW))} values that change from pixel to pixel")
    return labels_HW


def _refuse_drawing(path: Path, labels_HW: np.ndarray, ignored_HW: np.ndarray | None = None) -> None:
    """Lines on one ground are no regions. A few specks are let through, whatever their shape; so are ignored pixels."""
    there, counts = np.unique(labels_HW if ignored_HW is None else labels_HW[~ignored_HW], return_counts=True)
    ground, marked = there[counts.argmax()], int(counts.sum() - counts.max())
    if not marked or 2 * marked > counts.sum():
        return
    lines = int(thin((labels_HW != ground) & (True if ignored_HW is None else ~ignored_HW)).sum())
    if NARROW * lines >= marked and 2 * lines >= min(labels_HW.shape):
        raise Fault("drawing", f"{path}: {marked} pixels beside the value {ground}, {lines} of them left when thinned")


def read_mat(path: Path) -> list[np.ndarray] | np.ndarray:
    """What the benchmark's users have in a MATLAB file: segmentations, or a contour map.

    Returns:
        The label maps [H, W] of the cell array ``segs``, one a scale; or ``ucm2``, an ultrametric contour map of double
        size, float64 [2H+1, 2W+1] in 0..1.

    Raises:
        Fault: no such file, or what is in it is neither.
    """
    try:
        name, array = read_cells(path, "segs", "ucm2")
    except ValueError as error:
        raise Fault("mat", f"{path}: {error}") from error
    if name == "ucm2":
        numbers = array.ndim == 2 and min(array.shape) >= 3 and array.dtype.kind in "uifb"
        if not numbers or array.shape[0] % 2 == 0 or array.shape[1] % 2 == 0:
            raise Fault("mat", f"{path}: ucm2 is {array.dtype} of shape {array.shape}, not of double size [2H+1, 2W+1]")
        if not (array.min() >= 0 and array.max() <= 1):
            raise Fault("mat", f"{path}: ucm2 has values from {array.min()} to {array.max()}, not within 0 and 1")
        return array.astype(np.float64)
    maps = []
    for number, cell in enumerate(array.ravel() if array.dtype == object else [array], 1):
        labels = np.asarray(cell)
        if labels.ndim != 2 or not labels.size or labels.dtype.kind not in "uifb":
            raise Fault("mat", f"{path}: segs{{{number}}} is {labels.dtype} of shape {labels.shape}")
        if labels.dtype.kind == "f" and not (np.isfinite(labels) & (labels == np.rint(labels))).all():
            raise Fault("mat", f"{path}: segs{{{number}}} has labels that are no whole numbers")
        maps.append(renumbered(labels))
    if not maps:
        raise Fault("mat", f"{path}: segs has no segmentation")
    return maps


def cut_contours(ucm2: np.ndarray, thresholds: int) -> list[np.ndarray]:
    """Regions [H, W] of a contour map of double size: what hangs together, by corners too, at or below each threshold.

    Args:
        ucm2: float64 [2H+1, 2W+1] in 0..1; pixels lie at odd places, contours between them.
        thresholds: n; thresholds are k / (n + 1), k = 1..n.
    """
    from skimage.measure import label

    cuts = (ucm2 <= k / (thresholds + 1) for k in range(1, thresholds + 1))
    return [label(cut, connectivity=2)[1::2, 1::2] for cut in cuts]


def read_annotations(path: Path, *, ignore: int | None = None, strict: bool = True) -> Annotations:
    """What people drew, as regions: a MATLAB file of BSDS, or a label image of one annotator.

    Args:
        path: the file.
        ignore: value of a label image whose pixels do not score; None = all do.
        strict: refuse what looks like a soft map, a line drawing, or void that would count as a region.

    Raises:
        Fault: unreadable, or not what is expected.
    """
    if path.suffix.lower() == ".mat":
        try:
            return read_bsds(path)
        except ValueError as error:
            raise Fault("mat", str(error)) from error
    labels_HW = _label_image(path, strict=strict)
    ignored_HW = None if ignore is None else labels_HW == ignore
    if ignored_HW is not None and ignored_HW.all():
        raise Fault("nothing", f"{path}: every pixel has the value {ignore}")
    if strict:
        _refuse_drawing(path, labels_HW, ignored_HW)
        there = np.unique(labels_HW)
        if ignore is None and len(there) > 2 and there[-1] == VOID and there[-2] < CLASSES:
            raise Fault("void", f"{path}: labels up to {there[-2]}, and {VOID}")
    return Annotations(renumbered(labels_HW, ignored_HW=ignored_HW)[None], None)


def read_boundaries(path: Path, *, truth: str = "auto", ignore: int | None = None, strict: bool = True) -> Drawn:
    """What people drew, as boundaries.

    Args:
        path: a MATLAB file of BSDS, a line drawing, or a label image.
        truth: ``lines``, ``labels`` (the boundaries between the regions, also of a MATLAB file), or ``auto``: a MATLAB
            file as drawn, an image of more than two values as labels, any other as lines.
        ignore: value of a label image whose pixels do not score; None = all do.
        strict: refuse what looks like another kind.

    Raises:
        Fault: unreadable, or not what is expected.
    """
    matlab = path.suffix.lower() == ".mat"
    if not matlab and (truth == "lines" or (truth == "auto" and len(np.unique(read_labels(path))) <= 2)):
        return Drawn(read_lines(path, strict=strict)[None])
    segments_AHW, drawn_AHW = read_annotations(path, ignore=ignore, strict=strict)
    ignored_HW = (segments_AHW < 0).all(0)
    if drawn_AHW is None or truth == "labels":
        drawn_AHW = truth_boundaries(segments_AHW)
    return Drawn(drawn_AHW, ignored_HW if ignored_HW.any() else None)


def read_lines(path: Path, *, strict: bool = True) -> np.ndarray:
    """A drawing of boundaries as bool [H, W], from an image of two values, 0 and another.

    Args:
        path: the file.
        strict: refuse areas.

    Raises:
        Fault: unreadable, in colour, of other values, or areas.
    """
    image = open_image(path)
    refuse_palette(image, path, kind="palette map")
    grey_HW = grey_values(image, path)
    there = np.unique(grey_HW)
    if len(there) > 2 or there[0] != 0:
        raise Fault("not lines", f"{path}: the values {values_in(there)}")
    if strict:
        check_lines(grey_HW > 0, path)
    return grey_HW > 0


def check_lines(drawn_HW: np.ndarray, path: Path) -> None:
    """Refuse areas where lines are expected: of a mask of two regions only the skeleton would be scored.

    Raises:
        Fault: the marked pixels are areas.
    """
    from scipy.ndimage import minimum_filter

    marked, lines = int(drawn_HW.sum()), int(thin(drawn_HW).sum())
    if marked > WIDE * lines or minimum_filter(drawn_HW, SQUARE, mode="constant").any():
        raise Fault("areas", f"{path}: {marked} pixels marked, {lines} of them left when thinned")


def looks_like_regions(values_HW: np.ndarray) -> bool:
    """Whether a map has few values, or areas of one value: what label maps have and soft maps have not."""
    there, counts = np.unique(values_HW, return_counts=True)
    if len(there) <= FEW:
        return True
    from skimage.measure import label

    pieces = label(values_HW.astype(np.int64), connectivity=1, background=-1, return_num=True)[1]
    beside = values_HW.size - counts.max()  # a background, of thin lines too, is large
    return bool(pieces <= PIECES * len(there) and beside >= PIXELS * (pieces - 1))
