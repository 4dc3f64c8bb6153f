"""Small and disconnected objects: CAS supplement, figure 5 (v1, figure 3). The images are chosen by rule.

Example, in a table's YAML: ``figures: [{_target_: seglab.report.figures.imbalance.imbalance, name: imbalance}]``
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from seglab.report.figures.canvas import picture_height, pictures, write_figure
from seglab.report.figures.context import FigureContext
from seglab.report.figures.networks import load_network, picture, scored_images, scored_set, trained_rows

log = logging.getLogger(__name__)

SPECK = 0.001
"""Parts below this share of the image are not counted: resizing a mask sheds single pixels."""


def imbalance(
    context: FigureContext, *, name: str, rows: Sequence[str] | None = None, count: int = 6, data: str | None = None
) -> list[Path]:
    """Image, mask and the map of every row's network, for the smallest and the most disconnected objects of a test set.

    Args:
        context: the first finished run of every row is shown.
        name: end of the files' names.
        rows: names of rows; None = all that have a finished run.
        count: images; half by each rule, the smallest get the odd one.
        data: name of the data set; None = the first that the first network is scored on.

    Returns:
        The files written; none where no run is finished.

    Raises:
        ValueError: no such row or data set, its files are missing, or no test image has an object.
    """
    from seglab.samples import maps_of

    names = trained_rows(context, rows, name)
    if not names:
        log.info("figure %s: no finished run, nothing is drawn", name)
        return []
    maps: list[list[np.ndarray]] = []
    chosen: list[tuple[int, str]] = []
    for row in names:
        evaluator = load_network(context, row)
        data = data or scored_set(evaluator)
        dataset = scored_images(evaluator, data)
        if not chosen:
            chosen = choose([dataset.mask(i) for i in range(len(dataset))], count=count)
            if not chosen:
                raise ValueError(f"figures: {name}: data={data}: expected a test image with an object, found none")
            given = [[picture(dataset, i), dataset.mask(i)] for i, _ in chosen]
        maps.append(maps_of(evaluator, dataset, [i for i, _ in chosen]))
    grid = [[*pair, *row_maps] for pair, row_maps in zip(given, zip(*maps, strict=True), strict=True)]
    note = (
        f"test images of {data} chosen by rule: least area of the object, then most parts (those below "
        f"{100 * SPECK:g} % of the image not counted); maps black 0 to white 1, first finished seed"
    )
    return write_figure(
        context,
        lambda figure: pictures(figure, grid, columns=["image", "mask", *names], rows=[text for _, text in chosen]),
        name=name,
        height=picture_height(len(grid), 2 + len(names)),
        note=note,
    )


def choose(masks: Sequence[np.ndarray], *, count: int = 6) -> list[tuple[int, str]]:
    """Positions of the masks with the smallest object and of those with most parts, and what was found.

    Args:
        masks: integer [H,W]; 0 is background, 255 ignored, everything else object. Masks without an object are not
            chosen.
        count: how many in all; no mask is taken twice, the earlier one wins where two are equal.

    Returns:
        ``(position, words)``: first by area, then by number of parts.
    """
    areas, parts = zip(*(object_of(mask) for mask in masks), strict=True) if masks else ((), ())
    able = [i for i in range(len(masks)) if areas[i] > 0]
    smallest = sorted(able, key=lambda i: (areas[i], i))[: (count + 1) // 2]
    rest = [i for i in able if i not in smallest]
    most = sorted(rest, key=lambda i: (-parts[i], i))[: count // 2]
    words = [(i, f"object {100 * areas[i]:.2g} % of the image") for i in smallest]
    return words + [(i, f"{parts[i]} part{'s' if parts[i] != 1 else ''}") for i in most]


def object_of(mask: np.ndarray) -> tuple[float, int]:
    """Share of the image that is object, and its parts; pixels that touch at a corner are connected."""
    from scipy import ndimage

    from seglab.data.sample import IGNORE

    mask = np.asarray(mask)
    inside = (mask != 0) & (mask != IGNORE)
    labels, number = ndimage.label(inside, structure=np.ones((3, 3)))
    sizes = np.bincount(labels.ravel(), minlength=number + 1)[1:]
    return float(inside.mean()), int((sizes >= SPECK * mask.size).sum())
