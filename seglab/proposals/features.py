"""What a superpixel looks like: second-order pooled colour, texture and place, and the same of what lies around it.

Every pixel has a short descriptor: colour (Lab), strengths of gradients and of a Laplacian at two scales, place. Of a
superpixel the outer products of these are averaged, and the matrix logarithm of that mean is its feature (O2P); then
come plain means, of the superpixel and of its neighbours in two rings.

Source: Carreira, Caseiro, Batista, Sminchisescu, "Semantic segmentation with second-order pooling", ECCV 2012; their
SIFT descriptors are replaced by filters, so that an image takes a fraction of a second.

Legend: H W pixels, S superpixels, E pairs of neighbours, C channels of a descriptor, D features. One runnable line:
``python -c "import numpy as np; from seglab.proposals.features import descriptors;
print(descriptors(np.zeros((8, 9, 3), np.uint8)).shape)"``.
"""

from __future__ import annotations

import numpy as np

SCALES = (1.0, 2.5)
"""Widths of the filters, pixels."""
REGULAR = 1e-3
"""Added to the diagonal of every mean outer product before the logarithm (O2P, section 3)."""
PLACE = 2
"""Channels at the end of a descriptor that say where a pixel is."""


def descriptors(image_HW3: np.ndarray) -> np.ndarray:
    """The descriptor of every pixel.

    Args:
        image_HW3: uint8, RGB.

    Returns:
        float32 [C, H, W], C = 14: lightness and the two colour axes of Lab in about -1..1; for each of two scales the
        strengths of the gradient across, down, of the Laplacian, and of the gradient of colour; the deviation of
        lightness round the pixel; place across and down, 0..1.
    """
    from scipy.ndimage import gaussian_filter, gaussian_laplace
    from skimage.color import rgb2lab

    lab_HW3 = (rgb2lab(image_HW3) / 100.0).astype(np.float32)
    light_HW = np.ascontiguousarray(lab_HW3[..., 0])
    found = [light_HW, lab_HW3[..., 1], lab_HW3[..., 2]]
    for scale in SCALES:
        across, down = ((0, 1), (1, 0))
        found += [scale * 4 * np.abs(gaussian_filter(light_HW, scale, order=order)) for order in (across, down)]
        found.append(scale**2 * 4 * np.abs(gaussian_laplace(light_HW, scale)))
        slopes = [gaussian_filter(lab_HW3[..., c], scale, order=order) for c in (1, 2) for order in (across, down)]
        found.append(scale * 4 * np.sqrt(sum(slope**2 for slope in slopes)))
    mean_HW, square_HW = (gaussian_filter(value, 2 * SCALES[-1]) for value in (light_HW, light_HW**2))
    found.append(4 * np.sqrt(np.maximum(square_HW - mean_HW**2, 0)))
    height, width = light_HW.shape
    found.append(np.broadcast_to((np.arange(width, dtype=np.float32) + 0.5) / width, light_HW.shape))
    found.append(np.broadcast_to((np.arange(height, dtype=np.float32)[:, None] + 0.5) / height, light_HW.shape))
    return np.stack(found).astype(np.float32)


def pooled(values_CHW: np.ndarray, labels_HW: np.ndarray, *, count: int) -> np.ndarray:
    """Mean of every channel over each superpixel.

    Args:
        values_CHW: any numbers.
        labels_HW: superpixels, 0..count-1, each with a pixel.
        count: S.

    Returns:
        float64 [S, C].
    """
    flat = labels_HW.ravel()
    area_S = np.maximum(np.bincount(flat, minlength=count), 1)
    sums = [np.bincount(flat, weights=channel.ravel(), minlength=count) for channel in values_CHW]
    return np.stack(sums, 1) / area_S[:, None]


def second_order(values_CHW: np.ndarray, labels_HW: np.ndarray, *, count: int) -> np.ndarray:
    """Logarithm of the mean outer product of the descriptors of each superpixel, its upper triangle.

    Args:
        values_CHW: descriptors.
        labels_HW: superpixels, 0..count-1, each with a pixel.
        count: S.

    Returns:
        float64 [S, C (C + 1) / 2]; entries off the diagonal times sqrt(2), so that lengths are those of matrices.
    """
    channels = len(values_CHW)
    rows, columns = np.triu_indices(channels)
    flat = [channel.ravel() for channel in values_CHW]
    labels = labels_HW.ravel()
    area_S = np.maximum(np.bincount(labels, minlength=count), 1)
    products = [flat[i] * flat[j] for i, j in zip(rows, columns, strict=True)]
    sums_TS = np.stack([np.bincount(labels, weights=product, minlength=count) for product in products])
    moments_SCC = np.zeros((count, channels, channels))
    moments_SCC[:, rows, columns] = moments_SCC[:, columns, rows] = (sums_TS / area_S).T
    moments_SCC += REGULAR * np.eye(channels)
    values_SC, vectors_SCC = np.linalg.eigh(moments_SCC)
    logarithm_SCC = (vectors_SCC * np.log(np.maximum(values_SC, REGULAR))[:, None]) @ vectors_SCC.transpose(0, 2, 1)
    return logarithm_SCC[:, rows, columns] * np.where(rows == columns, 1.0, np.sqrt(2.0))


def neighbour_means(values_SC: np.ndarray, edges_E2: np.ndarray, area_S: np.ndarray) -> np.ndarray:
    """Mean over the neighbours of every superpixel, weighted by their areas; its own value where it has none.

    Args:
        values_SC: of every superpixel.
        edges_E2: pairs of neighbours, each once.
        area_S: pixels of each.

    Returns:
        float64 [S, C].
    """
    count = len(values_SC)
    first_E, second_E = np.concatenate([edges_E2, edges_E2[:, ::-1]]).T.astype(np.int64)
    weight_E = area_S[second_E].astype(np.float64)
    total_S = np.bincount(first_E, weights=weight_E, minlength=count)
    sums = [np.bincount(first_E, weights=weight_E * column[second_E], minlength=count) for column in values_SC.T]
    means_SC = np.stack(sums, 1) / np.maximum(total_S, 1)[:, None]
    return np.where(total_S[:, None] > 0, means_SC, values_SC)


def superpixel_features(
    image_HW3: np.ndarray,
    labels_HW: np.ndarray,
    edges_E2: np.ndarray,
    *,
    probabilities_KHW: np.ndarray | None = None,
) -> np.ndarray:
    """The features of every superpixel of an image.

    Args:
        image_HW3: uint8, RGB.
        labels_HW: superpixels, 0..S-1, each with a pixel.
        edges_E2: pairs of neighbours, each once.
        probabilities_KHW: of a network, if one has a say: their logarithms join the features.

    Returns:
        float32 [S, D]: logarithms of second moments, means, means of the neighbours and of the neighbours' neighbours,
        relative area; with probabilities 2 K more.
    """
    count = int(labels_HW.max()) + 1
    area_S = np.bincount(labels_HW.ravel(), minlength=count)
    values_CHW = descriptors(image_HW3)
    means_SC = pooled(values_CHW, labels_HW, count=count)
    ring_SC = neighbour_means(means_SC, edges_E2, area_S)
    # Where the second ring lies says nothing new.
    wide_SC = neighbour_means(ring_SC[:, :-PLACE], edges_E2, area_S)
    relative_S1 = np.log(area_S * count / labels_HW.size)[:, None]
    parts = [second_order(values_CHW, labels_HW, count=count), means_SC, ring_SC, wide_SC, relative_S1]
    if probabilities_KHW is not None:
        shares_SK = np.log(pooled(probabilities_KHW, labels_HW, count=count) + 1e-3)
        parts += [shares_SK, neighbour_means(shares_SK, edges_E2, area_S)]
    return np.concatenate(parts, 1).astype(np.float32)
