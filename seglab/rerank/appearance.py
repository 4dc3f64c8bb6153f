"""Colours, places and boundaries of the classes of a proposal, as features.

Everything about a class is 0 where the proposal does not have it; ``there`` tells that apart. Legend: M proposals, K
classes, R pieces of the image and E pairs of touching ones (:mod:`seglab.rerank.overlay`).
One runnable line: ``shapes_MD, area_MK, within_M = appearance(overlay(labels_MHW, lab(image_HW3), classes=21),
classes=21)``.
"""

from __future__ import annotations

import numpy as np

from seglab.rerank.overlay import Overlay

SHAPES = (
    *("area", "there", "row", "column", "height", "width"),
    *("spread", "contrast", "lightness", "green_red", "blue_yellow"),
)
PER_CLASS = (*SHAPES, "segments", "boundary", "boundary_contrast")
BOUNDARY = ("boundary", "gradient_on", "gradient_off", "gradient_ratio")
LEAST = 1e-3
"""Added to both gradients of a ratio: a tenth of a step of CIE Lab, which nobody sees."""


def lab(image_HW3: np.ndarray) -> np.ndarray:
    """CIE Lab / 100 of a uint8 image: float32 [3,H,W]."""
    from skimage.color import rgb2lab

    return np.ascontiguousarray(rgb2lab(image_HW3.astype(np.float32) / 255).transpose(2, 0, 1), np.float32) / 100


def appearance(pieces: Overlay, *, classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Size, place and colour of every class.

    Args:
        pieces: of the image, with its colours.
        classes: K.

    Returns:
        float64 [M, 11 K], by SHAPES, all classes of one before the next: share of the pixels; 1 or 0; mean row and
        column (-0.5..0.5 from the middle); their standard deviations (shares of the side); variance of the colour,
        summed over the channels; distance of the mean colour from that of the rest of the image; the mean colour. Then
        the shares [M,K] again, and [M] the variance of the colour within classes, over all pixels.
    """
    sums_9MK = np.array(
        [[np.bincount(y_R, weights=w_R, minlength=classes) for y_R in pieces.labels_MR] for w_R in pieces.moments_9R]
    )
    count_MK, total_9 = sums_9MK[0], pieces.moments_9R.sum(1)
    there_MK, rest_MK = count_MK > 0, total_9[0] - count_MK
    row_MK, row2_MK, column_MK, column2_MK, *mean_3MK, square_MK = sums_9MK[1:] / np.maximum(count_MK, 1)
    mean_3MK = np.array(mean_3MK)
    height_MK = np.sqrt(np.maximum(row2_MK - row_MK**2, 0.0))
    width_MK = np.sqrt(np.maximum(column2_MK - column_MK**2, 0.0))
    spread_MK = np.maximum(square_MK - (mean_3MK**2).sum(0), 0.0)
    rest_3MK = (total_9[5:8, None, None] - sums_9MK[5:8]) / np.maximum(rest_MK, 1)
    contrast_MK = np.sqrt(((mean_3MK - rest_3MK) ** 2).sum(0)) * (there_MK & (rest_MK > 0))
    area_MK = count_MK / total_9[0]
    shapes = (area_MK, there_MK, row_MK, column_MK, height_MK, width_MK, spread_MK, contrast_MK, *mean_3MK)
    return np.concatenate(shapes, 1).astype(np.float64), area_MK, (area_MK * spread_MK).sum(1)


def boundaries(pieces: Overlay, *, classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How the boundaries of every proposal run; a boundary lies between two neighbours with different labels.

    Args:
        pieces: of the image; the gradient of a pair of neighbours is the distance of their colours.
        classes: K.

    Returns:
        float64 [M,4], by BOUNDARY: share of the pairs of neighbours; mean gradient on boundaries, and elsewhere (that
        of the whole image where there are none), and the first over the second; [M, 2 K]: share of the pairs with the
        class on one side, and their mean gradient less that of the image; [M, K (K - 1) / 2]: share of the pairs with
        one class on each side, for two classes at a time, row by row.
    """
    M = len(pieces.labels_MR)
    pairs, whole = max(pieces.pairs, 1), pieces.gradient
    image_mean = whole / pairs
    scalars_M4 = np.zeros((M, len(BOUNDARY)))
    count_MKK, gradient_MKK = np.zeros((M, classes, classes)), np.zeros((M, classes, classes))
    for m, labels_R in enumerate(pieces.labels_MR):
        one_E, other_E = labels_R[pieces.one_E], labels_R[pieces.other_E]
        on = np.flatnonzero(one_E != other_E)
        place = one_E[on] * classes + other_E[on]
        count_KK = np.bincount(place, weights=pieces.length_E[on], minlength=classes**2).reshape(classes, classes)
        sum_KK = np.bincount(place, weights=pieces.gradient_E[on], minlength=classes**2).reshape(classes, classes)
        count_MKK[m], gradient_MKK[m] = count_KK + count_KK.T, sum_KK + sum_KK.T
        length, along = count_KK.sum(), sum_KK.sum()
        mean_on = along / length if length else image_mean
        mean_off = max(whole - along, 0.0) / (pairs - length) if length < pairs else image_mean
        scalars_M4[m] = length / pairs, mean_on, mean_off, (mean_on + LEAST) / (mean_off + LEAST)
    count_MK, gradient_MK = count_MKK.sum(2), gradient_MKK.sum(2)
    contrast_MK = np.where(count_MK > 0, gradient_MK / np.maximum(count_MK, 1) - image_mean, 0.0)
    first, second = np.triu_indices(classes, 1)
    return scalars_M4, np.concatenate([count_MK / pairs, contrast_MK], 1), count_MKK[:, first, second] / pairs


def segments(pieces: Overlay, *, classes: int) -> np.ndarray:
    """Connected parts of every class, neighbours being the four at the sides: float64 [M,K]."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    M, R = pieces.labels_MR.shape
    # One graph of all proposals: piece r of proposal m is node m R + r.
    m, e = np.nonzero(pieces.labels_MR[:, pieces.one_E] == pieces.labels_MR[:, pieces.other_E])
    edges = np.ones(len(m), np.int8), (m * R + pieces.one_E[e], m * R + pieces.other_E[e])
    count, part = connected_components(coo_array(edges, (M * R, M * R)), directed=False)
    whose = np.zeros(count, np.int64)
    whose[part] = (pieces.labels_MR + np.arange(M)[:, None] * classes).ravel()
    return np.bincount(whose, minlength=M * classes).reshape(M, classes).astype(np.float64)
