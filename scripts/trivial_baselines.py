"""What segmentations that learn nothing reach on a test set: the numbers a network trained without masks has to beat.

    SEGLAB_DATA=<folder of the data> python scripts/trivial_baselines.py data=people data.size=128

Objects in photographs tend to lie in the middle, so a box there is a strong baseline: a network that has learnt only
where objects lie gains nothing over it. One confusion matrix over all pixels of the test part at the network's size
(eval=object), in percent. "Fitted" rows read the masks of the training part and choose what fits them best (F-beta);
they are what place alone can give. The others read no mask.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator

import numpy as np
from omegaconf import DictConfig

from seglab.config import compose
from seglab.data.sample import IGNORE
from seglab.metrics.pooled import pooled_metrics

METRICS = {"fbeta": "F-beta", "jaccard": "Jaccard", "precision": "precision", "recall": "recall"}
SIDES = np.arange(0.2, 1.01, 0.05)
"""Heights and widths of the fitted boxes and ellipses, shares of the picture's."""
HALF = float(np.sqrt(0.5)), float(np.sqrt(0.5))
"""Box of half the picture, the share of object that the volume term asks for."""
BORDER = 16
"""The border strip of the colour baselines is 1/16 of the side wide."""
COLOURS = (2, 4, 10)
"""Clusters of k-means."""
PLACE = 50.0
"""A step over the whole picture counts as much as this difference of colour (Lab)."""


def box(size: int, sides: tuple[float, float]) -> np.ndarray:
    """A box in the middle: bool [size,size].

    Args:
        size: side of the picture, pixels.
        sides: height and width, shares of the picture's.
    """
    y, x = _from_middle(size)
    return (np.abs(y) <= sides[0] / 2) & (np.abs(x) <= sides[1] / 2)


def ellipse(size: int, sides: tuple[float, float]) -> np.ndarray:
    """An ellipse in the middle, with the axes of :func:`box`: bool [size,size]."""
    y, x = _from_middle(size)
    return (2 * y / sides[0]) ** 2 + (2 * x / sides[1]) ** 2 <= 1


def _from_middle(size: int) -> tuple[np.ndarray, np.ndarray]:
    place = (np.arange(size) + 0.5) / size - 0.5
    return place[:, None], place[None, :]


def otsu(image_HW3: np.ndarray) -> np.ndarray:
    """Brightness on one side of Otsu's threshold: the side that holds less than half of the border; bool [H,W]."""
    from skimage.filters import threshold_otsu

    grey = image_HW3.mean(2)
    if grey.min() == grey.max():
        return np.ones(grey.shape, bool)
    bright = grey > threshold_otsu(grey)
    return ~bright if bright[border(grey.shape)].mean() > 0.5 else bright


def k_means(image_HW3: np.ndarray, *, clusters: int, seed: int = 0) -> np.ndarray:
    """Clusters of colour (Lab) and place that the border holds less than half as much of as the inside; bool [H,W]."""
    from scipy.cluster.vq import kmeans2
    from skimage.color import rgb2lab

    lab_HW3 = rgb2lab(image_HW3)
    y, x = np.indices(lab_HW3.shape[:2]) / np.array(lab_HW3.shape[:2]).reshape(2, 1, 1) * PLACE
    features = np.concatenate([lab_HW3, y[..., None], x[..., None]], axis=2).reshape(-1, 5)
    _, labels = kmeans2(features, clusters, minit="++", seed=seed, missing="warn")
    labels = labels.reshape(lab_HW3.shape[:2])
    strip = border(labels.shape)
    outside, inside = (np.bincount(labels[where], minlength=clusters) / where.sum() for where in (strip, ~strip))
    return (outside < inside / 2)[labels]


def border(shape: tuple[int, int]) -> np.ndarray:
    """The strip along the border: bool [H,W]."""
    width = max(1, min(shape) // BORDER)
    strip = np.ones(shape, bool)
    strip[width:-width, width:-width] = False
    return strip


def by_image(images_N3HW: np.ndarray, cut: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """A method of single images on all of them: bool [N,H,W]."""
    return np.stack([cut(image.transpose(1, 2, 0)) for image in images_N3HW])


def scores(found_NHW: np.ndarray, masks_NHW: np.ndarray) -> dict[str, float]:
    """One confusion matrix over all pixels: percent by metric.

    Args:
        found_NHW: bool, object; one map [1,H,W] serves for all images.
        masks_NHW: 0 background, 1 object, 255 ignored.
    """
    matrix = np.array([[((masks_NHW == m) & (found_NHW == f)).sum() for f in (False, True)] for m in (0, 1)])
    return pooled_metrics(matrix, beta2=0.3)


def fitted(shape: Callable[[int, tuple[float, float]], np.ndarray], masks_NHW: np.ndarray) -> tuple[float, float]:
    """Height and width in the middle that fit masks best, by F-beta."""
    size = masks_NHW.shape[-1]
    share_HW, counted_HW = (masks_NHW == 1).sum(0), (masks_NHW != IGNORE).sum(0)

    def f_beta(sides: tuple[float, float]) -> float:
        inside = shape(size, sides)
        # F = 1.3 TP / (0.3 positives + found), the counts summed over the images
        return 1.3 * share_HW[inside].sum() / (0.3 * share_HW.sum() + counted_HW[inside].sum())

    return max(((float(h), float(w)) for h in SIDES for w in SIDES), key=f_beta)


def baselines(cfg: DictConfig, *, fit: bool = True) -> Iterator[tuple[str, dict[str, float]]]:
    """Name and scores of every baseline on the test parts of ``eval.sets``'s first.

    Args:
        cfg: finalised config of ``seglab.train``; its ``data`` and ``runtime`` are read.
        fit: also the rows that read masks of the training part, where it has any.

    Raises:
        ValueError: the masks are not of one object, or the data are missing.
    """
    from seglab.data.build import load_part, test_data, test_sets

    dataset = test_data(cfg, test_sets(cfg)[0])
    images, masks = np.asarray(dataset.images), np.asarray(dataset.masks)
    odd = np.setdiff1d(np.unique(masks), [0, 1, IGNORE])
    if odd.size or len(masks) != len(images):
        raise ValueError(f"data={cfg.data.name}: masks with labels {odd[:5].tolist()}; expected one object (0, 1, 255)")
    size = images.shape[-1]
    yield "all object", scores(np.ones((1, size, size), bool), masks)
    for name, shape in (("box", box), ("ellipse", ellipse)):
        yield f"{name} in the middle, half as high and wide", scores(shape(size, (0.5, 0.5))[None], masks)
    yield "box in the middle, half the area", scores(box(size, HALF)[None], masks)
    yield "Otsu on brightness", scores(by_image(images, otsu), masks)
    for count in COLOURS:
        found = by_image(images, lambda image, count=count: k_means(image, clusters=count))
        yield f"k-means on colour and place, {count} clusters", scores(found, masks)
    training = np.asarray(load_part(cfg.data, cfg.runtime, "train").masks) if fit else np.full((1, 1, 1), IGNORE)
    if (training != IGNORE).any():
        for name, shape in (("box", box), ("ellipse", ellipse)):
            sides = fitted(shape, training)
            title = f"{name} in the middle, fitted to the training masks ({sides[0]:.2f} x {sides[1]:.2f})"
            yield title, scores(shape(size, sides)[None], masks)
        yield "mean training mask above its best threshold", scores(mean_mask(training)[None], masks)


def mean_mask(masks_NHW: np.ndarray) -> np.ndarray:
    """Where the share of object over the training masks is above the threshold that fits them best; bool [H,W]."""
    share_HW, counted_HW = (masks_NHW == 1).sum(0), np.maximum((masks_NHW != IGNORE).sum(0), 1)
    mean_HW = share_HW / counted_HW

    def f_beta(threshold: float) -> float:
        inside = mean_HW > threshold
        return 1.3 * share_HW[inside].sum() / (0.3 * share_HW.sum() + counted_HW[inside].sum())

    return mean_HW > max(np.arange(0.05, 0.95, 0.05), key=f_beta)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="+", help="data=<name> and other settings of seglab.train")
    arguments = parser.parse_args()
    try:
        cfg = compose("train", arguments.overrides)
        sys.stdout.write(f"| {cfg.data.name}, {cfg.data.size} px | {' | '.join(METRICS.values())} |\n")
        sys.stdout.write("|---|" + "---:|" * len(METRICS) + "\n")
        for name, values in baselines(cfg):
            sys.stdout.write(f"| {name} | {' | '.join(f'{values[m]:.1f}' for m in METRICS)} |\n")
            sys.stdout.flush()
    except ValueError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
