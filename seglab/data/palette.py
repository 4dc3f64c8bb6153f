"""Regions as colours that neighbours in number do not share; classes in the colours of PASCAL VOC.

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
CLASSES = 256
"""Entries of the palette of classes; the last one is what is ignored."""


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


def class_palette() -> np.ndarray:
    """Colours of the classes 0 to 255, as the devkit of PASCAL VOC has them: background black, 255 a light border.

    Bits 0, 3, 6 of a class go to the highest bits of red, bits 1, 4, 7 to green, bits 2, 5 to blue.

    Returns:
        uint8 [256, 3], RGB.
    """
    classes = np.arange(CLASSES)
    colours = np.zeros((CLASSES, 3), np.uint8)
    for place in range(8):
        for channel in range(3):
            colours[:, channel] |= ((classes >> (3 * place + channel) & 1) << (7 - place)).astype(np.uint8)
    return colours


def in_class_colours(classes_HW: np.ndarray) -> np.ndarray:
    """A map of classes 0 to 255 as a picture uint8 [H, W, 3]: one class has one colour in every picture and file."""
    return class_palette()[np.asarray(classes_HW).astype(np.uint8)]
