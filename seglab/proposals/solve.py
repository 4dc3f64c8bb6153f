"""One image from pixels to proposals: superpixels, features, unary terms, diverse labellings of one energy.

Scales: areas are in mean superpixels and boundaries in their sides, so that settings mean the same for any size of
image. ``smoothness`` is what a boundary as long as a superpixel's side costs between equal colours, in nats;
``diversity`` is what every superpixel costs that is labelled as in an earlier proposal.

Legend: H W pixels, S superpixels, K classes, D features, M proposals. One runnable line: ``python -c "import numpy as
np; from seglab.proposals.recipe import Recipe; from seglab.proposals.solve import look;
print(look(np.zeros((64, 64, 3), np.uint8), Recipe(superpixels=16)).features_SD.shape)"``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seglab.proposals.divmbest import Solutions, div_m_best
from seglab.proposals.energy import Energy
from seglab.proposals.expansion import alpha_expansion
from seglab.proposals.features import superpixel_features
from seglab.proposals.graph import Graph, contrast_weights, region_graph
from seglab.proposals.mean_field import mean_field
from seglab.proposals.recipe import Recipe
from seglab.proposals.superpixels import superpixels
from seglab.proposals.unary import unaries


@dataclass(frozen=True, eq=False)
class Look:
    """An image as the model sees it.

    Attributes:
        graph: its superpixels.
        features_SD: their features.
    """

    graph: Graph
    features_SD: np.ndarray


def look(image_HW3: np.ndarray, recipe: Recipe, *, probabilities_KHW: np.ndarray | None = None) -> Look:
    """Superpixels and features of an image.

    Args:
        image_HW3: uint8, RGB.
        recipe: ``conf/proposals``.
        probabilities_KHW: of a network, where one has a say.

    Raises:
        ValueError: the image is too small to be divided.
    """
    labels_HW = superpixels(image_HW3, count=recipe.superpixels, compactness=recipe.compactness)
    graph = region_graph(labels_HW, image_HW3)
    features = superpixel_features(image_HW3, labels_HW, graph.edges_E2, probabilities_KHW=probabilities_KHW)
    return Look(graph, features)


def energy_of(graph: Graph, probabilities_SK: np.ndarray, recipe: Recipe, *, smoothness: float) -> Energy:
    """The energy of an image's labellings, in nats.

    Args:
        graph: its superpixels.
        probabilities_SK: of every class.
        recipe: ``conf/proposals``.
        smoothness: price of a boundary.
    """
    side = float(np.sqrt(graph.area_S.mean()))
    weight_E = smoothness / side * contrast_weights(graph, beta=recipe.beta, floor=recipe.floor)
    return Energy(unaries(probabilities_SK, graph.area_S), graph.edges_E2, weight_E)


def best_of(energy: Energy, recipe: Recipe, start_S: np.ndarray | None = None) -> np.ndarray:
    """A labelling of low energy by the recipe's inference, int64 [S]."""
    if recipe.inference == "meanfield":
        return mean_field(energy, iterations=recipe.iterations, damping=recipe.damping)[0]
    return alpha_expansion(energy, start_S=start_S, sweeps=recipe.iterations)


def solve(
    graph: Graph, probabilities_SK: np.ndarray, recipe: Recipe, *, smoothness: float, diversity: float
) -> Solutions:
    """The diverse labellings of an image, best first.

    There are fewer than ``count`` where the image has no more labellings, as with one superpixel.
    """
    energy = energy_of(graph, probabilities_SK, recipe, smoothness=smoothness)
    number, classes = probabilities_SK.shape
    count = min(recipe.count, classes**number) if number < 20 else recipe.count
    return div_m_best(
        energy,
        count=count,
        diversity=diversity,
        area_S=graph.area_S / graph.area_S.mean(),
        solve=lambda one, start_S: best_of(one, recipe, start_S),
    )
