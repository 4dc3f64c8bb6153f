"""How hard is data=shapes? F-beta of colour thresholds, the best of them chosen with the mask in hand.

    python scripts/shapes_difficulty.py --images 100 --size 64

F-beta (beta^2 = 0.3, CAS section 4.2) per image, averaged. `otsu`: Otsu's threshold on grey, the smaller side taken
as object. `best grey`, `best channel`: the best of all thresholds and signs on grey, or on any of R, G, B; no threshold
on one of these values can beat it. `all object`: everything marked. `mask`: the upper bound.
"""

from __future__ import annotations

import argparse

import numpy as np

from seglab.data.shapes import Shapes


def f_beta(found: np.ndarray, mask: np.ndarray) -> float:
    """F-beta of a bool map against a bool mask, beta^2 = 0.3; 0 without overlap."""
    hit = float((found & mask).sum())
    return 1.3 * hit / (0.3 * mask.sum() + found.sum()) if hit else 0.0


def best_threshold(values: np.ndarray, mask: np.ndarray) -> float:
    """Best F-beta over all 256 thresholds and both signs."""
    inside = np.bincount(values[mask], minlength=256)
    outside = np.bincount(values[~mask], minlength=256)
    best = 0.0
    for step in (1, -1):
        hits, others = np.cumsum(inside[::step]), np.cumsum(outside[::step])
        best = max(best, float((1.3 * hits / np.maximum(0.3 * mask.sum() + hits + others, 1)).max()))
    return best


def otsu(grey: np.ndarray) -> np.ndarray:
    """The smaller side of Otsu's threshold."""
    share = np.bincount(grey.ravel(), minlength=256) / grey.size
    below = np.cumsum(share)
    mean = np.cumsum(share * np.arange(256))
    between = (mean[-1] * below - mean) ** 2 / np.maximum(below * (1 - below), 1e-9)
    bright = grey > int(between.argmax())
    return bright if bright.mean() < 0.5 else ~bright


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--size", type=int, default=64)
    args = parser.parse_args()
    rows: dict[str, list[float]] = {k: [] for k in ("all object", "otsu", "best grey", "best channel", "mask")}
    share = []
    for item in Shapes(test=args.images, size=args.size).items("test"):
        image, mask = item.read()
        mask = mask == 1
        grey = (image.astype(np.int64) @ [299, 587, 114] // 1000).astype(np.uint8)
        rows["all object"].append(f_beta(np.ones_like(mask), mask))
        rows["otsu"].append(f_beta(otsu(grey), mask))
        rows["best grey"].append(best_threshold(grey, mask))
        rows["best channel"].append(max(best_threshold(image[..., c], mask) for c in range(3)))
        rows["mask"].append(f_beta(mask, mask))
        share.append(mask.mean())
    print(f"{args.images} test pictures of data=shapes, {args.size} px, object share {np.mean(share):.3f}")
    for name, values in rows.items():
        print(f"{name:>13}  F-beta {np.mean(values):.3f}")


if __name__ == "__main__":
    main()
