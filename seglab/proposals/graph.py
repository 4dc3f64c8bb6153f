"""The graph of an image's superpixels: which of them touch, along how many pixels, and how much their colours differ.

Two superpixels are joined by an edge where a pixel of one has a pixel of the other among its 4 neighbours. The weight
of an edge is that of the contrast-sensitive Potts model (Boykov, Jolly, ICCV 2001), see :func:`contrast_weights`.

Legend: H W pixels, S superpixels, E edges.
Example: ``region_graph(np.array([[0, 1]]), np.zeros((1, 2, 3), np.uint8)).edges_E2``
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Graph:
    """The superpixels of one image.

    Attributes:
        labels_HW: int32, the superpixel of every pixel, 0..S-1.
        area_S: int64, pixels of every superpixel, above 0.
        edges_E2: int32, pairs of touching superpixels, the smaller number first, ascending, each pair once.
        length_E: int64, length of their common boundary: pairs of neighbouring pixels on its two sides.
        colour_S3: float64, mean colour in Lab (L 0..100).
    """

    labels_HW: np.ndarray
    area_S: np.ndarray
    edges_E2: np.ndarray
    length_E: np.ndarray
    colour_S3: np.ndarray


def region_graph(labels_HW: np.ndarray, image_HW3: np.ndarray) -> Graph:
    """The graph of given superpixels.

    Args:
        labels_HW: whole numbers [H,W], 0..S-1, each of which occurs.
        image_HW3: uint8 [H,W,3], RGB.

    Raises:
        ValueError: labels and image differ in size, or a number of 0..S-1 does not occur.
    """
    from skimage.color import rgb2lab

    if labels_HW.ndim != 2 or not labels_HW.size or image_HW3.shape != (*labels_HW.shape, 3):
        raise ValueError(
            f"superpixels {list(labels_HW.shape)} of an image {list(image_HW3.shape)}: expected [H, W] and [H, W, 3]"
        )
    if not np.issubdtype(labels_HW.dtype, np.integer) or labels_HW.min() < 0:
        raise ValueError(f"superpixels {labels_HW.dtype} from {labels_HW.min()}: expected whole numbers from 0")
    labels_P = labels_HW.ravel().astype(np.int64)
    count = int(labels_P.max()) + 1
    area_S = np.bincount(labels_P, minlength=count) if count <= labels_P.size else np.zeros(1, np.int64)
    if not area_S.all():
        raise ValueError(f"superpixels 0 to {count - 1}: expected that every number occurs")
    lab_P3 = rgb2lab(image_HW3).reshape(-1, 3)
    colour_S3 = np.stack([np.bincount(labels_P, lab_P3[:, i], count) for i in range(3)], 1) / area_S[:, None]
    edges_E2, length_E = _boundaries(labels_P.reshape(labels_HW.shape), count)
    return Graph(labels_HW.astype(np.int32), area_S.astype(np.int64), edges_E2, length_E, colour_S3)


def contrast_weights(graph: Graph, *, beta: float | None, floor: float) -> np.ndarray:
    """Price of different labels on the two sides of every edge: contrast-sensitive Potts.

    ``w_st = length_st (floor + (1 - floor) exp(-beta |c_s - c_t|^2))`` with the mean colours c in Lab: a boundary
    between equal colours costs 1 a pixel, one between very different colours ``floor`` a pixel.

    Args:
        graph: superpixels of one image.
        beta: 0 or more; None: 1 / (2 mean of |c_s - c_t|^2 over the edges of the image), or 0 where all colours are
            equal (every weight is the length then).
        floor: 0..1.

    Returns:
        float64 [E], 0 or more; multiply by the strength of the smoothing.

    Raises:
        ValueError: ``proposals.beta`` or ``proposals.floor`` is outside its range.
    """
    if beta is not None and (isinstance(beta, bool) or not math.isfinite(beta) or beta < 0):
        raise ValueError(f"proposals.beta={beta}: expected null or a number, 0 or more")
    if isinstance(floor, bool) or not math.isfinite(floor) or not 0 <= floor <= 1:
        raise ValueError(f"proposals.floor={floor}: expected a number from 0 to 1")
    ends_E23 = graph.colour_S3[graph.edges_E2]
    square_E = ((ends_E23[:, 0] - ends_E23[:, 1]) ** 2).sum(1)
    if beta is None:
        # below this the differences are rounding errors of equal colours, which say nothing of contrast
        mean = float(square_E.mean()) if square_E.size else 0.0
        beta = 1 / (2 * mean) if mean > 1e-12 else 0.0
    return graph.length_E * (floor + (1 - floor) * np.exp(-beta * square_E))


def _boundaries(labels_HW: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Touching pairs, int32 [E,2], and the pixel pairs on their boundary, int64 [E]."""
    keys = []
    for one, other in ((labels_HW[:, :-1], labels_HW[:, 1:]), (labels_HW[:-1], labels_HW[1:])):
        differ = one != other
        one, other = one[differ], other[differ]
        keys.append(np.minimum(one, other) * count + np.maximum(one, other))
    key_E, length_E = np.unique(np.concatenate(keys), return_counts=True)
    return np.stack([key_E // count, key_E % count], 1).astype(np.int32), length_E.astype(np.int64)
