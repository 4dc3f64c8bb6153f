"""IOU and UOI of a label map whose pixels are flipped one by one: Cogswell et al. 2014, figure 2.

The label map is a real one, of a data set's test part; nothing is trained. Example, in a table's YAML:
``figures: [{_target_: seglab.report.figures.iou_flips.iou_flips, name: flips, data: voc_aug, needs_runs: false}]``
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from omegaconf import DictConfig, open_dict

from seglab.atomic import write_atomic
from seglab.report.figures.canvas import COLOURS, MARK, legend, write_figure
from seglab.report.figures.context import FigureContext

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DRAWN = 2000
"""Points of a drawn line at the most."""
CURVES = ("flips", "iou", "bound", "uoi")
"""Columns of the CSV beside the picture."""


def iou_flips(
    context: FigureContext,
    *,
    name: str,
    data: str,
    image: str | None = None,
    share: float = 0.9,
    seed: int = 0,
) -> list[Path]:
    """Mean IOU with its bound, 1 / mean UOI, and mean UOI, against the number of flipped pixels; and the map.

    Args:
        context: of a table; it needs no rows.
        name: end of the files' names.
        data: data set of classes.
        image: name of the test image; None = the first of those with most classes.
        share: of the labelled pixels that are flipped, above 0 and at most 1.
        seed: of the flips.

    Returns:
        The pictures written; beside them lies a CSV of the curves.

    Raises:
        ValueError: no such data set or image, missing files, or a share outside its range.
    """
    from seglab.data.sample import IGNORE
    from seglab.metrics.flip_curve import flip_curve

    if not 0 < share <= 1:
        raise ValueError(f"figures: {name}: share={share}: expected a number above 0, at most 1")
    node = _data_node(context, data)
    classes = [str(one) for one in node.classes]
    title, labels_HW = label_map(node, image, figure=name)
    labelled = int((labels_HW != IGNORE).sum())
    found = flip_curve(labels_HW, classes=len(classes), flips=int(share * labelled), seed=seed)
    there = [k for k in range(len(classes)) if (labels_HW == k).any()]

    def paint(figure: Figure) -> None:
        panels = figure.subplots(1, 3, width_ratios=(3, 3, 2))
        draw_curves(panels[0], panels[1], found)
        _draw_map(panels[2], labels_HW, {k: classes[k] for k in there})
        legend(figure, columns=3)

    note = (
        f"label map of {data} {title}: {len(there)} classes, {labelled} labelled pixels; a flip gives a random pixel, "
        "each once, a random other class, so that false positives = false negatives = flips; means over the classes of "
        f"the map; seed {seed}"
    )
    write_curves(context.stem.with_name(f"{context.stem.name}-{name}.csv"), found)
    return write_figure(context, paint, name=name, height=4.3, note=note)


def label_map(node: DictConfig, image: str | None, *, figure: str) -> tuple[str, np.ndarray]:
    """Name and label map, uint8 [H,W], of a test image at its own size.

    Raises:
        ValueError: no such image, missing files, or no image with two classes.
    """
    from seglab.data.sample import IGNORE
    from seglab.targets import instantiate

    items = instantiate(node.source).items("test")
    if image is not None:
        items = [item for item in items if item.id == str(image)]
        if not items:
            raise ValueError(f"figures: {figure}: image={image}: no test image of {node.name} has such a name")
    best: tuple[int, str, np.ndarray] | None = None
    for item in items:
        labels_HW = item.read()[1]
        count = len(np.setdiff1d(np.unique(labels_HW), [IGNORE]))
        if best is None or count > best[0]:
            best = (count, str(item.id), labels_HW)
    if best is None or best[0] < 2:
        raise ValueError(f"figures: {figure}: no test image of {node.name} with two classes or more")
    return best[1], best[2]


def drawn_rows(found: Mapping[str, np.ndarray]) -> np.ndarray:
    """Numbers of flips that are drawn: at equal distances, up to where a class has no right pixel left."""
    finite = np.flatnonzero(np.isfinite(found["uoi"]))
    return np.unique(np.linspace(0, finite[-1], DRAWN).astype(int))


def write_curves(path: Path, found: Mapping[str, np.ndarray]) -> Path:
    """Write what is drawn as CSV, beside the picture: for whoever draws it in another way, the HTML report for one.

    Args:
        path: file to write; its folder is made.
        found: from :func:`seglab.metrics.flip_curve.flip_curve`.

    Returns:
        ``path``.
    """
    rows = drawn_rows(found)
    lines = [",".join(CURVES), *(",".join(f"{found[key][i]:.6g}" for key in CURVES) for i in rows)]
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_atomic(path, "\n".join(lines) + "\n")


def draw_curves(left: object, right: object, found: Mapping[str, np.ndarray]) -> None:
    """IOU with its bound into the left panel, UOI into the right one, up to where a class has no right pixel left."""
    rows = drawn_rows(found)
    x = found["flips"][rows] / 1000
    left.plot(x, found["iou"][rows], color=COLOURS[0], label="IOU")
    left.plot(
        x,
        found["bound"][rows],
        color=COLOURS[0],
        linestyle="--",
        linewidth=1.3,
        label="1 / mean UOI, below IOU (ΣIOU ≥ K² / ΣUOI: a bound)",
    )
    right.plot(x, found["uoi"][rows], color=MARK, label="UOI")
    left.set(ylabel="mean IOU (fraction)\n↑ higher is better", ylim=(0, 1.02))
    right.set(ylabel="mean UOI (no unit)\n↓ lower is better")
    right.set_ylim(bottom=0)
    for axes in (left, right):
        axes.set_xlabel("flipped pixels = false positives\n(thousand)")
        axes.grid(True)
        axes.set_xlim(left=0)


def _draw_map(axes: object, labels_HW: np.ndarray, classes: Mapping[int, str]) -> None:
    from matplotlib.patches import Patch

    from seglab.data.palette import class_palette, in_class_colours

    axes.imshow(in_class_colours(labels_HW), interpolation="nearest")
    axes.set(xticks=[], yticks=[], title="label map, before any flip")
    axes.spines[:].set(visible=True, color="#B0B0B0")
    colours = class_palette() / 255
    patches = [Patch(facecolor=colours[k], edgecolor="#4D4D4D", label=word) for k, word in classes.items()]
    axes.legend(handles=patches, loc="upper center", bbox_to_anchor=(0.5, -0.03), ncols=2, fontsize=8, handlelength=1.2)


def _data_node(context: FigureContext, data: str) -> DictConfig:
    from seglab.config import compose
    from seglab.data.names import data_overrides

    cfg = compose("evaluate", ["run=none", *data_overrides(data)])
    if context.runtime is not None:
        with open_dict(cfg):
            cfg.runtime = context.runtime
    if cfg.data.task != "semantic":
        raise ValueError(f"data={data}: its task is {cfg.data.task}: expected a data set of classes")
    return cfg.data
