"""Choose the smoothness and the diversity on training images, each judged by a classifier that did not see it.

A smoothness is a candidate where its best labelling has a mean IoU, over all tuning images together, at most
:data:`AS_GOOD` points below the highest. Of all pairs of a candidate and a diversity that one is taken whose proposals
hold the most accurate one (the oracle's accuracy: the mean IoU over the classes in mask or proposal, mean over the
images); where two are as good, the earlier one. All is counted on superpixels, exactly.

Legend: M proposals, S superpixels, K classes. One runnable line: ``python -c "import numpy as np; from
seglab.proposals.choose import confusions; print(confusions(np.eye(2, dtype=int), np.eye(2, dtype=int)))"``.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seglab.proposals.graph import Graph
from seglab.proposals.recipe import DIVERSITY, SMOOTHNESS, Recipe
from seglab.proposals.solve import best_of, energy_of, solve

log = logging.getLogger(__name__)

AS_GOOD = 0.5
"""Points of mean IoU that are no difference on a few images."""


@dataclass(frozen=True, eq=False)
class Judged:
    """An image to choose on.

    Attributes:
        graph: its superpixels.
        probabilities_SK: by a classifier that did not see it.
        counts_SK: labelled pixels of every class in every superpixel.
    """

    graph: Graph
    probabilities_SK: np.ndarray
    counts_SK: np.ndarray


def confusions(labels_MS: np.ndarray, counts_SK: np.ndarray) -> np.ndarray:
    """Pixels by label and by prediction, of every proposal: int64 [M, K, K].

    Args:
        labels_MS: the class of every superpixel.
        counts_SK: labelled pixels of every class in every superpixel.
    """
    classes = np.arange(counts_SK.shape[1])
    return np.einsum("sl,msp->mlp", counts_SK, (labels_MS[..., None] == classes).astype(np.int64))


def ious(confusions_KK: np.ndarray) -> np.ndarray:
    """IoU of every class, 0..1; NaN where it is neither in the label nor predicted. Leading axes are kept."""
    both = np.diagonal(confusions_KK, axis1=-2, axis2=-1)
    either = confusions_KK.sum(-1) + confusions_KK.sum(-2) - both
    return np.where(either > 0, both / np.maximum(either, 1), np.nan)


def mean_iou(confusions_KK: np.ndarray) -> np.ndarray:
    """Mean IoU over the classes that occur, 0..1; 0 where nothing is labelled."""
    values = ious(confusions_KK)
    there = ~np.isnan(values)
    return np.where(there, values, 0).sum(-1) / np.maximum(there.sum(-1), 1)


def choose(images: Sequence[Judged], recipe: Recipe) -> dict[str, Any]:
    """Smoothness and diversity, where the recipe leaves them open, with the numbers of every one that was tried.

    Args:
        images: to choose on, 1 or more.
        recipe: ``conf/proposals``.

    Returns:
        Plain types: ``smoothness``, ``diversity``, and ``tried`` of both.
    """
    tried: dict[str, list[dict[str, float]]] = {"smoothness": [], "diversity": []}
    smooth, diverse = [recipe.smoothness], [recipe.diversity]
    if recipe.smoothness is None:
        rows = tried["smoothness"] = [_smooth(images, recipe, value) for value in SMOOTHNESS]
        enough = max(row["miou_first"] for row in rows) - AS_GOOD
        smooth = [row["smoothness"] for row in rows if row["miou_first"] >= enough]
    if recipe.diversity is None:
        diverse = list(DIVERSITY)
    smoothness, diversity = smooth[0], diverse[0]
    if len(smooth) * len(diverse) > 1:
        rows = tried["diversity"] = [_diverse(images, recipe, one, other) for one in smooth for other in diverse]
        best = max(rows, key=lambda row: round(row["accuracy_oracle"], 6))
        smoothness, diversity = best["smoothness"], best["diversity"]
    log.info("chosen on %d training images: smoothness %g, diversity %g", len(images), smoothness, diversity)
    return {"smoothness": smoothness, "diversity": diversity, "images": len(images), "tried": tried}


def _smooth(images: Sequence[Judged], recipe: Recipe, smoothness: float) -> dict[str, float]:
    total_KK = 0
    for image in images:
        energy = energy_of(image.graph, image.probabilities_SK, recipe, smoothness=smoothness)
        total_KK = total_KK + confusions(best_of(energy, recipe)[None], image.counts_SK)[0]
    return {"smoothness": smoothness, "miou_first": 100 * float(mean_iou(total_KK))}


def _diverse(images: Sequence[Judged], recipe: Recipe, smoothness: float, diversity: float) -> dict[str, float]:
    first, best, total_KK = [], [], 0
    for image in images:
        found = solve(image.graph, image.probabilities_SK, recipe, smoothness=smoothness, diversity=diversity)
        tables_MKK = confusions(found.labels_MS, image.counts_SK)
        accuracy_M = mean_iou(tables_MKK)
        first.append(accuracy_M[0])
        best.append(accuracy_M.max())
        total_KK = total_KK + tables_MKK[accuracy_M.argmax()]
    return {
        "smoothness": smoothness,
        "diversity": diversity,
        "accuracy_first": 100 * float(np.mean(first)),
        "accuracy_oracle": 100 * float(np.mean(best)),
        "miou_oracle": 100 * float(mean_iou(total_KK)),
    }
