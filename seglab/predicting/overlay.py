"""A photo with its object tinted and outlined, with the boundaries of its regions, or in its classes' colours.

One runnable line: ``python -c "import numpy as np; from seglab.predicting.overlay import overlay;
print(overlay(np.zeros((9, 9, 3), np.uint8), np.eye(9, dtype=bool)).shape)"``.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from seglab.data.palette import in_class_colours

TINT = (255, 0, 140)
"""Colour of the object's area; rare in photos."""

STRENGTH = 0.4
"""Share of the tint in the object's area."""

CLASS_STRENGTH = 0.55
"""Share of a class's colour in its area."""

_INNER, _OUTER = (255, 255, 0), (0, 0, 0)


def overlay(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Tint the object and draw its outline: a light line inside, a dark one outside, so one shows on any background.

    Args:
        image: uint8 [H,W,3].
        mask: bool [H,W], True for the object.

    Returns:
        uint8 [H,W,3]; the photo unchanged where nothing is marked.
    """
    if not mask.any():
        return image.copy()
    photo = Image.fromarray(image)
    # Pillow's arithmetic: no floats of the size of the photo.
    tinted = Image.blend(photo, Image.new("RGB", photo.size, TINT), STRENGTH)
    result = np.array(Image.composite(tinted, photo, Image.fromarray(mask)))
    width = max(1, round(min(mask.shape) / 250))
    # At the border of the photo nothing is drawn: an object that is cut there has no outline there.
    result[mask & _grown(~mask, width)] = _INNER
    result[_grown(mask, width) & ~mask] = _OUTER
    return result


def outlines(image: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Draw the boundaries between regions: a light line with a dark one on either side.

    Args:
        image: uint8 [H,W,3].
        labels: whole numbers [H,W].

    Returns:
        uint8 [H,W,3].
    """
    edge = np.zeros(labels.shape, dtype=bool)
    edge[:-1] |= labels[:-1] != labels[1:]
    edge[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    width = max(1, round(min(labels.shape) / 400))
    line = _grown(edge, width - 1) if width > 1 else edge
    result = image.copy()
    result[_grown(line, width)] = _OUTER
    result[line] = _INNER
    return result


def coloured(image: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Tint every class in its colour and draw a light line between classes; class 0 keeps the photo's colours.

    Args:
        image: uint8 [H,W,3].
        classes: uint8 [H,W].

    Returns:
        uint8 [H,W,3].
    """
    photo = Image.fromarray(image)
    tinted = Image.blend(photo, Image.fromarray(in_class_colours(classes)), CLASS_STRENGTH)
    result = np.array(Image.composite(tinted, photo, Image.fromarray(classes > 0)))
    edge = np.zeros(classes.shape, dtype=bool)
    edge[:-1] |= classes[:-1] != classes[1:]
    edge[:, :-1] |= classes[:, :-1] != classes[:, 1:]
    width = max(1, round(min(classes.shape) / 400))
    result[_grown(edge, width - 1) if width > 1 else edge] = (255, 255, 255)
    return result


def _grown(mask: np.ndarray, width: int) -> np.ndarray:
    """The mask and all pixels at most ``width`` rows and columns from it, bool [H,W]."""
    for ahead, behind in (((slice(s, None),), (slice(None, -s),)) for s in _steps(width, len(mask))):
        mask = _either_side(mask, ahead, behind)
    every = slice(None)
    for ahead, behind in (((every, slice(s, None)), (every, slice(None, -s))) for s in _steps(width, mask.shape[1])):
        mask = _either_side(mask, ahead, behind)
    return mask


def _steps(width: int, length: int) -> list[int]:
    """Shifts whose sums give every distance up to ``width``, without leaving the image: 1, 2, 4 and so on."""
    steps, reached = [], 0
    width = min(width, length - 1)
    while reached < width:
        steps.append(min(reached + 1, width - reached))
        reached += steps[-1]
    return steps


def _either_side(mask: np.ndarray, ahead: tuple, behind: tuple) -> np.ndarray:
    grown = mask.copy()
    grown[ahead] |= mask[behind]
    grown[behind] |= mask[ahead]
    return grown
