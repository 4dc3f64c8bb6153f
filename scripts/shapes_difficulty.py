"""How hard are data=shapes and data=shapes_single? Colour thresholds and fixed boxes, the best chosen with the masks.

    python scripts/shapes_difficulty.py --images 100 --size 64
    python scripts/shapes_difficulty.py --images 100 --size 64 --single

F-beta (beta^2 = 0.3, CAS section 4.2) and Jaccard per image, averaged. `otsu`: Otsu's threshold on grey, the smaller
side taken as object. `best grey`, `best channel`: the best of all thresholds and signs on grey, or on any of R, G, B,
chosen by F-beta; no threshold on one of these values can beat it. `centre box`: the square round the middle whose side,
one for the whole set, has the best mean Jaccard. `all object`: everything marked. `mask`: the upper bound.
`sparse CRF`: 100 times the mean cost of a pair of neighbours that differ (regularized loss, Eqs. 2 and 3, sigma 0.15 on
the standardised image): what a training without masks minimises, of the mask and of the centre box.
"""

from __future__ import annotations

import argparse

import numpy as np

from seglab.data.shapes import Shapes


def f_beta(found: np.ndarray, mask: np.ndarray) -> float:
    """F-beta of a bool map against a bool mask, beta^2 = 0.3; 0 without overlap."""
    hit = float((found & mask).sum())
    return 1.3 * hit / (0.3 * mask.sum() + found.sum()) if hit else 0.0


def jaccard(found: np.ndarray, mask: np.ndarray) -> float:
    """Intersection over union of a bool map and a bool mask; 0 where both are empty."""
    return float((found & mask).sum() / max(1, (found | mask).sum()))


def best_threshold(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The bool map of the best F-beta over all 256 thresholds and both signs."""
    inside = np.bincount(values[mask], minlength=256)
    outside = np.bincount(values[~mask], minlength=256)
    best, chosen = -1.0, mask
    for step in (1, -1):
        hits, others = np.cumsum(inside[::step]), np.cumsum(outside[::step])
        scores = 1.3 * hits / np.maximum(0.3 * mask.sum() + hits + others, 1)
        if scores.max() > best:
            best, k = float(scores.max()), int(scores.argmax())
            chosen = values <= k if step == 1 else values >= 255 - k
    return chosen


def centre_box(size: int, side: int) -> np.ndarray:
    """A bool map of a square of ``side`` pixels round the middle."""
    box = np.zeros((size, size), dtype=bool)
    low = (size - side) // 2
    box[low : low + side, low : low + side] = True
    return box


def otsu(grey: np.ndarray) -> np.ndarray:
    """The smaller side of Otsu's threshold."""
    share = np.bincount(grey.ravel(), minlength=256) / grey.size
    below = np.cumsum(share)
    mean = np.cumsum(share * np.arange(256))
    between = (mean[-1] * below - mean) ** 2 / np.maximum(below * (1 - below), 1e-9)
    bright = grey > int(between.argmax())
    return bright if bright.mean() < 0.5 else ~bright


def sparse_crf(image: np.ndarray, found: np.ndarray, sigma: float = 0.15) -> float:
    """100 times the mean of w |x_p - x_q| over 4-connected pairs, the two directions averaged."""
    colours = (image / 255.0 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    cost = 0.0
    for axis in (0, 1):
        weights = np.exp(-(np.diff(colours, axis=axis) ** 2).sum(-1) / (2 * sigma**2))
        cost += float((weights * np.diff(found.astype(np.int8), axis=axis).astype(bool)).mean())
    return 50 * cost


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--single", action="store_true", help="data=shapes_single")
    args = parser.parse_args()
    rows: dict[str, list[tuple[float, float]]] = {}
    images, masks = [], []
    for item in Shapes(test=args.images, size=args.size, single=args.single).items("test"):
        image, mask = item.read()
        mask = mask == 1
        images.append(image)
        masks.append(mask)
        grey = (image.astype(np.int64) @ [299, 587, 114] // 1000).astype(np.uint8)
        channels = [best_threshold(image[..., c], mask) for c in range(3)]
        found = {
            "all object": np.ones_like(mask),
            "otsu": otsu(grey),
            "best grey": best_threshold(grey, mask),
            "best channel": max(channels, key=lambda one: f_beta(one, mask)),
            "mask": mask,
        }
        for name, one in found.items():
            rows.setdefault(name, []).append((f_beta(one, mask), jaccard(one, mask)))
    sides = range(2, args.size + 1, 2)
    boxes = {side: centre_box(args.size, side) for side in sides}
    side = max(sides, key=lambda s: np.mean([jaccard(boxes[s], mask) for mask in masks]))
    rows["centre box"] = [(f_beta(boxes[side], mask), jaccard(boxes[side], mask)) for mask in masks]
    costs = [(sparse_crf(i, m), sparse_crf(i, boxes[side])) for i, m in zip(images, masks, strict=True)]
    share = np.array([mask.mean() for mask in masks])
    name = "shapes_single" if args.single else "shapes"
    print(f"{args.images} test pictures of data={name}, {args.size} px")
    print(f"object share {share.mean():.3f} ({share.min():.3f} to {share.max():.3f}), centre box of side {side}")
    for name, values in rows.items():
        f, j = np.mean(values, axis=0)
        print(f"{name:>13}  F-beta {f:.3f}  Jaccard {j:.3f}")
    print("sparse CRF: mask {:.3f}, centre box {:.3f}".format(*np.mean(costs, axis=0)))


if __name__ == "__main__":
    main()
