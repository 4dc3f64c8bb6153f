"""A map at the size of its mask.

Bilinear with pixel centres at half coordinates and without smoothing, as ``cv2.resize`` and
``torch.nn.functional.interpolate(align_corners=False)``; labels by the nearest pixel.
Example: ``from seglab.scoring.resize import resize_map; resize_map(map_HW, (321, 481))``
"""

from __future__ import annotations

import numpy as np


def resize_map(map_HW: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A map of another height and width.

    Args:
        map_HW: uint8 or float64 [H, W].
        size: height and width wanted, 1 or more.

    Returns:
        The same type; grey values are rounded to the nearest, halves up.
    """
    (y0, y1, fy), (x0, x1, fx) = (_places(n, m) for n, m in zip(map_HW.shape, size, strict=True))
    values_HW = map_HW.astype(np.float64)
    rows_HW = values_HW[y0] * (1 - fy)[:, None] + values_HW[y1] * fy[:, None]
    out_HW = rows_HW[:, x0] * (1 - fx) + rows_HW[:, x1] * fx
    return np.floor(out_HW + 0.5).astype(np.uint8) if map_HW.dtype == np.uint8 else out_HW.clip(0.0, 1.0)


def resize_labels(labels_HW: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A label map of another height and width: every pixel takes the label at its centre."""
    y, x = (((np.arange(m) + 0.5) * n / m).astype(np.int64) for n, m in zip(labels_HW.shape, size, strict=True))
    return labels_HW[y[:, None], x]


def _places(n: int, m: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The two neighbours of each new pixel and the weight of the second."""
    place = ((np.arange(m) + 0.5) * n / m - 0.5).clip(0, n - 1)
    low = np.floor(place).astype(np.int64)
    return low, np.minimum(low + 1, n - 1), place - low
