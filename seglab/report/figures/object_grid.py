"""Images, true masks and what the networks of some rows make of them: regularized loss, figures 3 and 4.

Maps of one object are drawn white on black, maps of classes in the colours of PASCAL VOC.
Example, in a table's YAML: ``figures: [{_target_: seglab.report.figures.object_grid.object_grid, name: objects}]``
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seglab.report.figures.canvas import picture_height, pictures, write_figure
from seglab.report.figures.context import FigureContext
from seglab.report.figures.networks import load_network, picture, scored_images, spread, trained_rows
from seglab.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from seglab.data.arrays import ArrayDataset
    from seglab.evaluator import Evaluator

log = logging.getLogger(__name__)

WORDS = 0.2
"""Inches for the words below a picture."""


@dataclass(frozen=True)
class Line:
    """One image of the grid.

    Attributes:
        title: on its left.
        pictures: image, true mask, and a result for each row, all of one size.
        words: below each picture.
        classes: numbers of the classes in its maps.
        ignores: whether its mask has ignored pixels.
    """

    title: str
    pictures: list[np.ndarray]
    words: list[str]
    classes: frozenset[int] = frozenset()
    ignores: bool = False


def object_grid(
    context: FigureContext,
    *,
    name: str,
    rows: Sequence[str] | None = None,
    count: int = 2,
    sets: int = 4,
    images: Sequence[str] | None = None,
) -> list[Path]:
    """A line of pictures for some test images of every data set that all of the rows have a network for.

    Args:
        context: of every row the first finished run for a data set is shown.
        name: end of the files' names.
        rows: names of rows, a column each; None = all that have a finished run.
        count: images at the most of a data set, at equal distances in its test part.
        sets: data sets at the most, at equal distances among those of the table's columns.
        images: names of the images to show in place of these.

    Returns:
        The files written; none where no run is finished.

    Raises:
        ValueError: no such row, no data set that all rows were trained for, no such image, or missing files.
    """
    names = trained_rows(context, rows, name)
    if not names:
        log.info("figure %s: no finished run, nothing is drawn", name)
        return []
    shown = common_sets(context, names, name)
    shown = [shown[i] for i in spread(len(shown), sets)]
    lines, classes = [], {}
    for data, runs in shown:
        found, known = lines_of(context, data, dict(zip(names, runs, strict=True)), count=count, images=images)
        lines += found
        classes.update(known)
    if not lines:
        raise ValueError(
            f"figures: {name}: images={list(images or ())}: no test image of {shown[0][0]} has such a name"
        )
    columns = ["image", "true mask", *names]
    which = "chosen by name" if images else "at equal distances in their list"
    ignored = "; ignored pixels violet" if any(line.ignores for line in lines) and not classes else ""
    note = (
        f"test images of {', '.join(data for data, _ in shown)}, {which}{ignored}; below: "
        + ("mean IoU of the classes in mask or map" if classes else "Jaccard index of the object")
        + ", percent; first finished seed"
    )
    there = sorted(set().union(*(line.classes for line in lines)))
    return write_figure(
        context,
        lambda figure: paint(figure, lines, columns=columns, classes={k: classes[k] for k in there if k in classes}),
        name=name,
        height=picture_height(
            sum(heights(lines)), len(columns), beside=1.1 + WORDS * len(lines) + 0.25 * bool(classes)
        ),
        note=note,
    )


def common_sets(context: FigureContext, names: Sequence[str], figure: str) -> list[tuple[str, list[Run]]]:
    """Data sets that all rows have a finished run for, each with these runs, see :func:`run_for`.

    Raises:
        ValueError: there is no such data set.
    """
    own: list[dict[str, Run]] = []
    for name in names:
        trained: dict[str, Run] = {}
        for run in context.runs[name]:
            trained.setdefault(str(run.config().data.name), run)
        own.append(trained)
    wanted = list(dict.fromkeys(column.set for column in context.values.columns if not column.mean_of))
    found = []
    for data in wanted or list(own[0]):
        runs = [run_for(data, of_row) for of_row in own]
        if all(run is not None for run in runs):
            found.append((data, runs))
    if not found:
        there = "; ".join(f"'{n}' on {', '.join(of_row)}" for n, of_row in zip(names, own, strict=True))
        raise ValueError(f"figures: {figure}: no data set that all rows have a finished run for: {there}")
    return found


def run_for(data: str, trained: Mapping[str, Run]) -> Run | None:
    """The run of a row for a data set: trained on it, or on the same category of another set, or the only one."""
    alike = [run for name, run in trained.items() if "/" in data and name.endswith(f"/{data.partition('/')[2]}")]
    alone = list(trained.values()) if len(trained) == 1 else []
    return next(iter([*([trained[data]] if data in trained else []), *alike, *alone]), None)


def lines_of(
    context: FigureContext, data: str, runs: Mapping[str, Run], *, count: int, images: Sequence[str] | None
) -> tuple[list[Line], dict[int, str]]:
    """The lines of one data set, and number -> name of its classes (empty for one object).

    Raises:
        ValueError: files are missing, or the rows' networks give maps of different kinds.
    """
    from seglab.data.palette import in_class_colours
    from seglab.data.sample import IGNORE
    from seglab.evaluator import kind_of
    from seglab.samples import maps_of

    found, kinds = [], set()
    for row, run in runs.items():
        evaluator = load_network(replace(context, runs={row: (run,)}), row, as_asked=True)
        kinds.add(kind_of(evaluator.post))
        dataset = scored_images(evaluator, data)
        places = chosen(dataset, count, images)
        found.append([as_labels(m, evaluator) for m in maps_of(evaluator, dataset, places)] if places else [])
    if kinds not in ({"maps"}, {"classes"}):
        raise ValueError(f"rows {', '.join(runs)}: their read-outs give {', '.join(sorted(kinds))}: expected one kind")
    semantic = kinds == {"classes"}
    lines = []
    for place, i in enumerate(places):
        mask, maps = dataset.mask(i), [of_row[place] for of_row in found]
        drawn = [in_class_colours(m) for m in (mask, *maps)] if semantic else [mask, *maps]
        scores = [f"{100 * agreement(m, mask, semantic=semantic):.0f} %" for m in maps]
        there = frozenset(int(k) for m in (mask, *maps) for k in np.unique(m)) if semantic else frozenset()
        shown = [picture(dataset, i), *drawn]
        ignores = bool((mask == IGNORE).any())
        lines.append(Line(f"{data} {dataset.ids[i]}", shown, ["", "", *scores], there, ignores))
    names = list(evaluator.cfg.data.classes) if semantic else []
    return lines, {**dict(enumerate(names)), **({IGNORE: "ignored"} if semantic else {})}


def chosen(dataset: ArrayDataset, count: int, images: Sequence[str] | None) -> list[int]:
    """Positions of the images to show: those named that are there, or ``count`` at equal distances."""
    if images is None:
        return spread(len(dataset), count)
    ids = [str(name) for name in dataset.ids]
    return [ids.index(str(name)) for name in images if str(name) in ids]


def as_labels(found: np.ndarray, evaluator: Evaluator) -> np.ndarray:
    """A map as whole numbers: a saliency map is cut where its protocol cuts it, else at a half."""
    if np.issubdtype(found.dtype, np.floating):
        return (found > evaluator.cfg.eval.protocol.get("fixed", 0.5)).astype(np.uint8)
    return found.astype(np.uint8)


def agreement(map_HW: np.ndarray, mask_HW: np.ndarray, *, semantic: bool) -> float:
    """Jaccard index of the object, or the mean over the classes in mask or map, in 0..1; ignored pixels do not count.

    Where neither has an object, it is 1.
    """
    from seglab.data.sample import IGNORE

    valid_HW = mask_HW != IGNORE
    found_P, true_P = map_HW[valid_HW], mask_HW[valid_HW]
    labels = np.union1d(found_P, true_P) if semantic else [1]
    shares = []
    for label in labels:
        either = ((found_P == label) | (true_P == label)).sum()
        shares.append(((found_P == label) & (true_P == label)).sum() / either if either else 1.0)
    return float(np.mean(shares)) if len(shares) else 1.0


def heights(lines: Sequence[Line]) -> list[float]:
    """Height of each line's pictures as a share of their width, 1 at the most."""
    return [min(1.0, line.pictures[0].shape[0] / line.pictures[0].shape[1]) for line in lines]


def paint(figure: Figure, lines: Sequence[Line], *, columns: Sequence[str], classes: Mapping[int, str]) -> None:
    """Fill a figure with pictures, the words below each, and a legend of the classes."""
    from matplotlib.patches import Patch

    from seglab.data.palette import class_palette

    grid = [line.pictures for line in lines]
    pictures(figure, grid, columns=columns, rows=[line.title for line in lines], heights=heights(lines))
    for axes, words in zip(figure.axes, (words for line in lines for words in line.words), strict=True):
        axes.set_xlabel(words, fontsize=7.5, labelpad=2, color="#4D4D4D")
    if classes:
        colours = class_palette() / 255
        patches = [Patch(facecolor=colours[k], edgecolor="#4D4D4D", label=name) for k, name in classes.items()]
        figure.legend(handles=patches, loc="outside upper center", ncols=min(8, len(patches)), handlelength=1.2)
