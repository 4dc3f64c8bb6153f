"""Regions as colours that neighbours in number do not share.

One runnable line: ``python -c "import numpy as np; from seglab.data.palette import in_colours;
print(in_colours(np.eye(3, dtype=int)))"``.
"""

from __future__ import annotations

import colorsys

import numpy as np

GOLDEN = 0.6180339887
"""Steps of this length round the circle of hues never come near each other soon."""
VOID = (40, 40, 40)
"""Colour of an ignored pixel."""


def in_colours(labels_HW: np.ndarray, *, ignored: int = -1) -> np.ndarray:
    """A label map as a picture.

    Args:
        labels_HW: whole numbers, 0 or more; the same number has the same colour in every picture.
        ignored: number of pixels that belong to no region.

    Returns:
        uint8 [H, W, 3], RGB.
    """
    there, place_HW = np.unique(labels_HW, return_inverse=True)
    colours = np.array([VOID if label == ignored else _colour(int(label)) for label in there], np.uint8)
    return colours[place_HW.reshape(labels_HW.shape)]


def _colour(label: int) -> tuple[int, int, int]:
    value = (0.95, 0.72, 0.85)[label % 3]
    return tuple(round(255 * part) for part in colorsys.hsv_to_rgb((0.55 + label * GOLDEN) % 1, 0.6, value))
