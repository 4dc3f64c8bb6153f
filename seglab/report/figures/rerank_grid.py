"""Proposals of some images and which of them rankers choose, beside what the coarse network says: as figures 3 to 5.

For every image a line with photo, true classes and the network's coarse map, and below it its proposals; frames mark
the choices. Source: Cogswell et al. 2014. Needs a run scored with ``eval=rerank``. Legend: H W pixels, M proposals,
K classes, G cells.

Example, in a table's YAML: ``figures: [{_target_: seglab.report.figures.rerank_grid.rerank_grid, name: g, row: SVM}]``
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seglab.report.figures.canvas import COLOURS, WIDTH, to_colour, write_figure
from seglab.report.figures.context import FigureContext
from seglab.report.figures.networks import load_network, scored_images, spread, trained_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from seglab.run import Run

log = logging.getLogger(__name__)

ACROSS = 5
"""Pictures beside each other."""
CHOOSERS = {"oracle": ("oracle", COLOURS[2]), "kl": ("KL", COLOURS[0]), "svm": ("SVM", COLOURS[1])}
"""Who chooses -> word and colour of the frame."""


@dataclass(frozen=True, eq=False)
class Shown:
    """One image of the figure.

    Attributes:
        id: its name.
        image_HW3: uint8.
        mask_HW: uint8, true classes, 255 = ignored.
        probs_KGG: what the network says.
        labels_MHW: uint8, its proposals.
        accuracy_M: of each, percent.
        chosen: who chooses -> position of the proposal.
    """

    id: str
    image_HW3: np.ndarray
    mask_HW: np.ndarray
    probs_KGG: np.ndarray
    labels_MHW: np.ndarray
    accuracy_M: np.ndarray
    chosen: Mapping[str, int]


def rerank_grid(
    context: FigureContext,
    *,
    name: str,
    row: str,
    count: int = 2,
    proposals: int = 10,
    data: str | None = None,
    images: Sequence[str] | None = None,
) -> list[Path]:
    """Photo, true classes, coarse map, the probability of one class, and proposals with their accuracies.

    Args:
        context: the first finished run of the row that is scored on the set is shown.
        name: end of the files' names.
        row: name of the row.
        count: images at the most, at equal distances among those where the distance does not take the first proposal.
        proposals: proposals at the most; those that are chosen are always there.
        data: name of the data set; None = the one that the run is scored on first.
        images: names of the images to show in place of these.

    Returns:
        The files written; none where no run is finished.

    Raises:
        ValueError: no such row or image, a run that was not scored with eval=rerank, or files that are missing.
    """
    if not trained_rows(context, [row], name):
        log.info("figure %s: no finished run, nothing is drawn", name)
        return []
    found, classes, data = collect(context, row, name, count=count, data=data, images=images)

    def draw(figure: Figure) -> None:
        paint(figure, found, classes, most=proposals)

    lines = sum(1 + -(-min(proposals, len(one.labels_MHW)) // ACROSS) for one in found)
    shape = np.mean([one.image_HW3.shape[0] / one.image_HW3.shape[1] for one in found])
    note = (
        f"test images of {data}, row '{row}', first finished run; below a proposal: its rank and its accuracy, the "
        "mean IoU of the classes in mask or proposal, percent; frames: who chooses it"
    )
    height = min(16.0, lines * ((WIDTH - 0.6) / ACROSS * min(1.1, shape) + 0.3) + 1.0)
    return write_figure(context, draw, name=name, height=height, note=note)


def collect(
    context: FigureContext, row: str, figure: str, *, count: int, data: str | None, images: Sequence[str] | None
) -> tuple[list[Shown], list[str], str]:
    """The images to show, names of the classes, and name of the data set.

    Raises:
        ValueError: as :func:`rerank_grid`.
    """
    from seglab.proposals.store import Store
    from seglab.rerank.accuracy import accuracy
    from seglab.rerank.coarse_outputs import own_outputs
    from seglab.rerank.measure import stores_of

    evaluator = load_network(context, row, as_asked=True)
    run, cfg = context.runs[row][0], evaluator.cfg
    dataset = scored_images(evaluator, data)
    data = data or first_set(evaluator)
    choices = choices_of(run, data)
    ids = [str(one) for one in dataset.ids]
    places = picked(ids, choices, count=count, images=images, figure=figure)
    settings = cfg.eval.rerank
    probs_NKGG = own_outputs(evaluator, run, dataset, name=data, grid=settings.grid)
    store = Store(stores_of(cfg, cfg, data, training=False)["test"])
    classes, shown = [str(one) for one in cfg.data.classes], []
    for i in places:
        image_HW3, mask_HW = dataset.original(i)
        maps = store.read(ids[i], part="test", size=image_HW3.shape[:2], classes=len(classes), image=image_HW3)
        maps = maps if settings.count is None else maps.first(settings.count)
        percent_M = 100 * accuracy(maps.labels_MHW, mask_HW, classes=len(classes))
        shown.append(Shown(ids[i], image_HW3, mask_HW, probs_NKGG[i], maps.labels_MHW, percent_M, choices[ids[i]]))
    return shown, classes, data


def first_set(evaluator: object) -> str:
    """Name of the set that a network is scored on first."""
    from seglab.report.figures.networks import scored_set

    return scored_set(evaluator)


def choices_of(run: Run, data: str) -> dict[str, dict[str, int]]:
    """Image -> who chooses -> position of the proposal, from the rows that ``eval=rerank`` wrote.

    Raises:
        ValueError: the run was not scored with eval=rerank on this set.
    """
    import pandas as pd

    from seglab.data.names import file_name

    stem = f"{file_name(data)}-rerank_miou"
    paths = [p for p in (run.path / "eval").glob(f"{stem}*.csv") if not p.name.endswith("-curves.csv")]
    if not paths:
        raise ValueError(f"{run.path / 'eval'}: no {stem}*.csv: expected a run scored on {data} with eval=rerank")
    table = pd.read_csv(max(paths, key=lambda path: (path.stat().st_mtime_ns, path.name)), dtype={"id": str})
    who = {one: f"chosen_{one}" for one in CHOOSERS if f"chosen_{one}" in table.columns}
    table = table.dropna(subset=list(who.values()))  # images without a labelled pixel
    return {line["id"]: {one: int(line[key]) for one, key in who.items()} for line in table.to_dict("records")}


def picked(
    ids: Sequence[str],
    choices: Mapping[str, Mapping[str, int]],
    *,
    count: int,
    images: Sequence[str] | None,
    figure: str,
) -> list[int]:
    """Positions of the images to show.

    Raises:
        ValueError: a named image is not there.
    """
    if images is not None:
        if gone := [str(one) for one in images if str(one) not in choices or str(one) not in ids]:
            raise ValueError(f"figures: {figure}: images={gone[0]}: no scored test image has such a name")
        return [ids.index(str(one)) for one in images]
    there = [i for i, one in enumerate(ids) if one in choices]
    telling = [i for i in there if choices[ids[i]].get("kl", 0) != 0] or there
    return [telling[k] for k in spread(len(telling), count)]


def ordered(one: Shown, most: int) -> list[int]:
    """Which proposals are shown, by rank: the first ones, and those that are chosen in place of the last of these."""
    chosen = {k for k in one.chosen.values() if k >= most}
    first = [k for k in range(min(most, len(one.labels_MHW)))]
    unchosen = [k for k in first if k not in one.chosen.values()]
    return sorted({*first, *chosen} - set(unchosen[len(unchosen) - len(chosen) :] if chosen else ()))


def paint(figure: Figure, found: Sequence[Shown], classes: Sequence[str], *, most: int) -> None:
    """Fill an empty figure: a line of the image, then its proposals, image by image; legends on top."""
    from seglab.data.palette import in_class_colours

    boxes = figure.subfigures(len(found), 1, squeeze=False, height_ratios=[_lines(one, most) for one in found])[:, 0]
    used: set[int] = set()
    for box, one in zip(boxes, found, strict=True):
        panels = box.subplots(_lines(one, most), ACROSS, squeeze=False)
        for axes in panels.flat:
            axes.set_axis_off()
        coarse_GG = one.probs_KGG.argmax(0)
        telling = int(np.argmax(np.append([-1.0], one.probs_KGG[1:].max((1, 2)))))
        used |= set(np.unique(one.mask_HW)) | set(np.unique(coarse_GG)) | set(np.unique(one.labels_MHW))
        size = one.image_HW3.shape[:2]
        first = (
            (one.image_HW3, str(one.id)),
            (in_class_colours(one.mask_HW), "true classes"),
            (_enlarged(in_class_colours(coarse_GG), size), f"network, {'x'.join(map(str, coarse_GG.shape))} cells"),
            (_enlarged(to_colour(one.probs_KGG[telling].astype(float)), size), f"probability of {classes[telling]}"),
        )
        for axes, (picture, words) in zip(panels[0], first, strict=False):
            _show(axes, picture, words)
        _bar(panels[0, -1])
        for axes, m in zip(panels[1:].flat, ordered(one, most), strict=False):
            names = [CHOOSERS[who][0] for who in CHOOSERS if one.chosen.get(who) == m]
            words = f"{m + 1}: {one.accuracy_M[m]:.1f} %" + (f"  {', '.join(names)}" if names else "")
            _show(axes, in_class_colours(one.labels_MHW[m]), words)
            _frames(axes, [CHOOSERS[who][1] for who in CHOOSERS if one.chosen.get(who) == m], size)
    _legend(figure, sorted(int(k) for k in used), classes, found)


def _lines(one: Shown, most: int) -> int:
    return 1 + -(-min(most, len(one.labels_MHW)) // ACROSS)


def _show(axes: Axes, picture: np.ndarray, words: str) -> None:
    axes.set_axis_on()
    axes.imshow(picture, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.set_xlabel(words, fontsize=8.5, labelpad=3)
    axes.spines[:].set(visible=True, color="#B0B0B0", linewidth=0.6)


def _frames(axes: Axes, colours: Sequence[str], size: tuple[int, int]) -> None:
    """One frame inside the other, a colour each."""
    from matplotlib.patches import Rectangle

    step = 0.022 * max(size)
    for number, colour in enumerate(colours):
        inset = (number + 0.5) * step - 0.5
        corner = (inset, inset)
        width, height = size[1] - 1 - 2 * inset, size[0] - 1 - 2 * inset
        axes.add_patch(Rectangle(corner, width, height, fill=False, edgecolor=colour, linewidth=3.2))


def _bar(axes: Axes) -> None:
    """What the greys of a probability mean."""
    axes.set_axis_on()
    ramp = np.repeat(np.linspace(0, 1, 101)[None], 6, axis=0)
    axes.imshow(to_colour(ramp), extent=(0, 1, 0, 0.08), interpolation="nearest")
    axes.set(xticks=[0, 0.5, 1], yticks=[])
    axes.set_xlabel("probability", fontsize=8.5)
    axes.tick_params(labelsize=8)


def _enlarged(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A picture of cells at the size of the photo, by the rule of the cells."""
    from seglab.coarse import cell_index

    return picture[cell_index(size[0], picture.shape[0])][:, cell_index(size[1], picture.shape[1])]


def _legend(figure: Figure, used: Sequence[int], classes: Sequence[str], found: Sequence[Shown]) -> None:
    from matplotlib.patches import Patch

    from seglab.data.palette import class_palette
    from seglab.data.sample import IGNORE

    colours = class_palette() / 255
    words = {**dict(enumerate(classes)), IGNORE: "ignored"}
    patches = [Patch(facecolor=colours[k], edgecolor="#4D4D4D", label=words[k]) for k in used]
    who = [one for one in CHOOSERS if any(one in shown.chosen for shown in found)]
    patches += [Patch(fill=False, edgecolor=CHOOSERS[one][1], linewidth=2.5, label=CHOOSERS[one][0]) for one in who]
    figure.legend(handles=patches, loc="outside upper center", ncols=min(8, len(patches)), handlelength=1.2)
