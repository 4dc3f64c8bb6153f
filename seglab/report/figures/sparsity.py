"""How close to one-hot the outputs are: CAS supplement, figure 3 (v1, figure 2), with cross-entropy beside it.

Example, in a table's YAML: ``figures: [{_target_: seglab.report.figures.sparsity.sparsity, name: sparsity}]``
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seglab.report.figures.canvas import look_of, write_figure
from seglab.report.figures.context import FigureContext
from seglab.report.figures.networks import load_network, scored_images, scored_set, softmax_of, trained_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

log = logging.getLogger(__name__)

BINS = 50
NEAR = 0.95
"""A pixel whose larger channel is above this counts as one-hot in the legend."""


@dataclass(frozen=True)
class Channels:
    """What the softmax outputs of one network are like, over all pixels of a test set.

    Attributes:
        example: channels of the first image, float32 [M,H,W].
        deviation: largest distance of a pixel's sum of channels from 1.
        counts: pixels per bin of the larger channel, whole numbers [BINS], bins from 1/M to 1.
        near: share of pixels whose larger channel is above :data:`NEAR`.
    """

    example: np.ndarray
    deviation: float
    counts: np.ndarray
    near: float

    @property
    def edges(self) -> np.ndarray:
        """Of the bins: [BINS + 1]."""
        return np.linspace(1 / len(self.example), 1, BINS + 1)


def measure(images: Iterable[np.ndarray]) -> Channels:
    """Go through the outputs of a network once.

    Args:
        images: softmax channels of each image, float32 [M,H,W]; at least one.
    """
    example, deviation, counts, near, pixels = None, 0.0, np.zeros(BINS, dtype=np.int64), 0, 0
    for channels in images:
        example = channels if example is None else example
        deviation = max(deviation, float(np.abs(channels.sum(0, dtype=np.float64) - 1).max()))
        larger = channels.max(0)
        # Rounding may leave 1/M or 1 by the last digit.
        counts += np.histogram(np.clip(larger, 1 / len(channels), 1), bins=BINS, range=(1 / len(channels), 1))[0]
        near += int((larger > NEAR).sum())
        pixels += larger.size
    assert example is not None, "a test set without images"
    return Channels(example, deviation, counts, near / pixels)


def sparsity(
    context: FigureContext, *, name: str, rows: Sequence[str] | None = None, data: str | None = None
) -> list[Path]:
    """For every row the sum and the larger of its channels on a test image, and a histogram of the larger one.

    Args:
        context: the first finished run of every row is looked at.
        name: end of the files' names.
        rows: names of rows; None = all that have a finished run.
        data: name of the data set; None = the first that each network is scored on.

    Returns:
        The files written; none where no run is finished.

    Raises:
        ValueError: no such row or data set, or its files are missing.
    """
    found: dict[str, Channels] = {}
    sets: list[str] = []
    for row in trained_rows(context, rows, name):
        evaluator = load_network(context, row)
        dataset = scored_images(evaluator, data)
        found[row] = measure(softmax_of(evaluator, dataset, range(len(dataset))))
        sets.append(data or scored_set(evaluator))
    if not found:
        log.info("figure %s: no finished run, nothing is drawn", name)
        return []
    note = (
        f"left: first test image of {', '.join(dict.fromkeys(sets))}, black 0 to white 1; right: all pixels of all its "
        "test images; the larger channel is at least 1 / (number of channels)"
    )
    height = max(4.4, 1.0 + 2.0 * len(found))
    return write_figure(context, lambda figure: _paint(figure, found), name=name, height=height, note=note)


def _paint(figure: Figure, found: dict[str, Channels]) -> None:
    left, right = figure.subfigures(1, 2, width_ratios=(0.42, 0.58))
    panels = left.subplots(len(found), 2, squeeze=False)
    axes = right.subplots()
    look = look_of(list(found))
    for i, (row, channels) in enumerate(found.items()):
        sums, larger = channels.example.sum(0), channels.example.max(0)
        for panel, array, title in (
            (panels[i, 0], sums, f"sum of channels,\n|sum - 1| ≤ {channels.deviation:.1e}"),
            (panels[i, 1], larger, "larger channel"),
        ):
            panel.imshow(array, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            panel.set(xticks=[], yticks=[])
            panel.spines[:].set(visible=True, color="#808080")
            panel.set_title(title, fontsize=9)
        panels[i, 0].set_ylabel(row, fontsize=9.5, color=look[row]["color"], fontweight="bold")
        axes.stairs(
            channels.counts / channels.counts.sum(),
            channels.edges,
            color=look[row]["color"],
            linestyle=("-", "--", "-.", ":")[i % 4],
            linewidth=2,
            label=f"{row}: {100 * channels.near:.1f} % of pixels above {NEAR:g}",
        )
    axes.set(yscale="log", xlabel="larger channel (no unit)", ylabel=f"share of pixels in each of {BINS} bins (log)")
    axes.grid(True)
    right.legend(loc="outside upper center", ncols=1)
