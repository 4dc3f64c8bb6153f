"""Photos divided into regions, by people and by the networks of a table: CAS supplement, figures 9 to 11.

Legend: A annotators, H W pixels, R regions.
Example, in a table's YAML: ``figures: [{_target_: seglab.report.figures.region_maps.region_maps, name: regions}]``
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from seglab.report.figures.canvas import picture_height, pictures, write_figure
from seglab.report.figures.context import FigureContext
from seglab.report.figures.networks import load_network, scored_images, spread, trained_rows

log = logging.getLogger(__name__)

SIDE = 480
"""Longer side of a drawn label map, pixels; a panel has fewer, so no outline is lost."""
WORDS = 0.25
"""Inches for the words below a picture."""
LINE = (25, 25, 25)
"""Colour of an outline."""


def region_maps(
    context: FigureContext,
    *,
    name: str,
    rows: Sequence[str] | None = None,
    count: int = 6,
    data: str | None = None,
    annotations: int = 1,
) -> list[Path]:
    """Image, what people drew, and the regions of every row's network, read out as its table asks.

    Args:
        context: the first finished run of every row is shown.
        name: end of the files' names.
        rows: names of rows; None = all that have a finished run.
        count: images at the most, at equal distances in the test part.
        data: name of the data set; None = the one that the first row is trained on.
        annotations: how many people's regions are shown where there are so many, see :func:`choose`.

    Returns:
        The files written; none where no run is finished.

    Raises:
        ValueError: no such row or data set, its files are missing, or a row's read-out gives no regions.
    """
    from seglab.samples import maps_of

    names = trained_rows(context, rows, name)
    if not names:
        log.info("figure %s: no finished run, nothing is drawn", name)
        return []
    found: list[list[np.ndarray]] = []
    for row in names:
        evaluator = load_network(context, row, as_asked=True)
        data = data or evaluator.cfg.data.name
        dataset = scored_images(evaluator, data)
        shown = spread(len(dataset), count)
        found.append(maps_of(evaluator, dataset, shown))
        if np.issubdtype(found[-1][0].dtype, np.floating):
            raise ValueError(
                f"figures: {name}: row '{row}': its read-out {evaluator.cfg.eval.post._target_} gives no regions: "
                "expected eval/post=kmeans, meanshift or argmax"
            )
    images = [dataset.original(i)[0] for i in shown]
    drawn = choose([dataset.annotations(i, original=True).segments_AHW for i in shown], count=annotations)
    grid = [
        one_row(image, people_AHW, [of_row[i] for of_row in found])
        for i, (image, people_AHW) in enumerate(zip(images, drawn, strict=True))
    ]
    between = ["annotation"] * (len(drawn[0]) - 2)
    people = ["annotation"] if len(drawn[0]) == 1 else ["fewest regions drawn", *between, "most regions drawn"]
    columns = ["image", *people, *names]
    note = (
        f"test images of {data} at equal distances in their list; first finished seed. A region of a network has the "
        "colour of the drawn region that it is matched with one to one, by the pixels they share"
    )
    return write_figure(
        context,
        lambda figure: paint(figure, grid, columns=columns, titles=[dataset.ids[i] for i in shown]),
        name=name,
        height=picture_height(sum(heights(grid)), len(columns), beside=1.1 + WORDS * len(grid)),
        note=note,
    )


def one_row(image: np.ndarray, people_AHW: np.ndarray, found: Sequence[np.ndarray]) -> list[tuple[np.ndarray, str]]:
    """The pictures of one image, each with the words below it.

    Args:
        image: uint8 [H,W,3].
        people_AHW: int32, regions as drawn, -1 = ignored; colours follow the first.
        found: int [S,S] each, regions of the networks at their own size.
    """
    reference_HW = people_AHW[0]
    maps = [*people_AHW, *(nearest(labels, reference_HW.shape) for labels in found)]
    coloured = [reference_HW, *(matched(labels_HW, reference_HW) for labels_HW in maps[1:])]
    pictured = [(outlined(labels_HW), in_words(labels_HW)) for labels_HW in coloured]
    return [(image, ""), *pictured]


def paint(figure: Figure, grid: Sequence[Sequence[tuple[np.ndarray, str]]], *, columns: list, titles: list) -> None:
    """Fill a figure with pictures and the words below each."""
    shown = [[picture for picture, _ in line] for line in grid]
    pictures(figure, shown, columns=columns, rows=titles, heights=heights(grid))
    for axes, words in zip(figure.axes, (words for line in grid for _, words in line), strict=True):
        axes.set_xlabel(words, fontsize=7.5, labelpad=2, color="#4D4D4D")


def heights(grid: Sequence[Sequence[tuple[np.ndarray, str]]]) -> list[float]:
    """Height of each row's pictures as a share of their width, 1 at the most: upright photos are drawn narrower."""
    return [min(1.0, line[0][0].shape[0] / line[0][0].shape[1]) for line in grid]


def choose(drawn: Sequence[np.ndarray], *, count: int) -> list[np.ndarray]:
    """Some of the annotations of each image, as many of every image.

    Args:
        drawn: int32 [A,H,W] each, -1 = ignored.
        count: 1 takes the one with the median number of regions, 2 those with the fewest and the most, and so on at
            equal distances; fewer where an image has fewer.

    Returns:
        int32 [count,H,W] each.

    Raises:
        ValueError: ``count`` is not a whole number, 1 or more.
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ValueError(f"figures: annotations={count}: expected a whole number, 1 or more")
    count = min(count, *(len(people_AHW) for people_AHW in drawn))
    chosen = []
    for people_AHW in drawn:
        order = sorted(range(len(people_AHW)), key=lambda a, p=people_AHW: (number(p[a]), a))
        places = [(len(order) - 1) // 2] if count == 1 else np.linspace(0, len(order) - 1, count).round().astype(int)
        chosen.append(people_AHW[[order[place] for place in places]])
    return chosen


def matched(labels_HW: np.ndarray, reference_HW: np.ndarray) -> np.ndarray:
    """The same regions, numbered by those of another map that they share most pixels with.

    Args:
        labels_HW: int, -1 = ignored.
        reference_HW: int of the same size, -1 = ignored.

    Returns:
        int64 [H,W]; regions without a partner have numbers above those of ``reference_HW``, the largest first.
    """
    from scipy.optimize import linear_sum_assignment

    there_R, place_HW = np.unique(labels_HW, return_inverse=True)
    place_HW = place_HW.reshape(labels_HW.shape)
    others = int(reference_HW.max(initial=-1)) + 1
    column_HW = np.where(reference_HW < 0, others, reference_HW)  # what is ignored there is counted in the last column
    pairs_HW = place_HW * (others + 1) + column_HW
    shared = np.bincount(pairs_HW.ravel(), minlength=len(there_R) * (others + 1)).reshape(-1, others + 1)
    partner = {}
    for i, j in zip(*linear_sum_assignment(shared[:, :others], maximize=True), strict=True):
        if shared[i, j] and there_R[i] >= 0:
            partner[i] = j
    alone = sorted((i for i in range(len(there_R)) if i not in partner), key=lambda i: -shared[i].sum())
    partner |= {i: others + k for k, i in enumerate(alone)}
    numbers_R = np.array([-1 if label < 0 else partner[i] for i, label in enumerate(there_R)])
    return numbers_R[place_HW]


def outlined(labels_HW: np.ndarray) -> np.ndarray:
    """Regions in colours with thin outlines, uint8 [H,W,3], the longer side :data:`SIDE` pixels."""
    from seglab.data.palette import in_colours

    height, width = labels_HW.shape
    scale = SIDE / max(height, width)
    labels_HW = nearest(labels_HW, (max(1, round(height * scale)), max(1, round(width * scale))))
    edge_HW = np.zeros(labels_HW.shape, bool)
    across, along = labels_HW[1:] != labels_HW[:-1], labels_HW[:, 1:] != labels_HW[:, :-1]
    for side in (slice(1, None), slice(None, -1)):  # both pixels beside an edge: a line of two pixels
        edge_HW[side] |= across
        edge_HW[:, side] |= along
    colours = in_colours(labels_HW)
    colours[edge_HW] = LINE
    return colours


def nearest(labels_HW: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """A label map at another height and width, each pixel that of the nearest one; int32."""
    plane = Image.fromarray(np.asarray(labels_HW, np.int32))
    return np.asarray(plane.resize(size[::-1], Image.Resampling.NEAREST))


def number(labels_HW: np.ndarray) -> int:
    """How many regions a map has, ignored pixels aside."""
    return int((np.unique(labels_HW) >= 0).sum())


def in_words(labels_HW: np.ndarray) -> str:
    """``12 regions``."""
    regions = number(labels_HW)
    return f"{regions} region{'s' * (regions != 1)}"
