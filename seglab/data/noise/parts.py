"""The parts of a mask: connected pieces, which of them touch, and what lies around one.

Legend: H W pixels, P parts. One runnable line: ``python -c "import numpy as np;
from seglab.data.noise.parts import touching; print(touching(np.array([[0, 0, 1], [2, 2, 1]]), 3))"``.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from seglab.data.sample import IGNORE

EIGHT = np.ones((3, 3), dtype=bool)


def filled(mask_HW: np.ndarray) -> np.ndarray:
    """The mask with every ignored pixel given the label of the nearest labelled one.

    Masks of PASCAL VOC separate every object from its surroundings by a line of ignored pixels; filled, they touch.
    A mask without any label is returned as it is.
    """
    ignored_HW = mask_HW == IGNORE
    if not ignored_HW.any() or ignored_HW.all():
        return mask_HW
    _, (y_HW, x_HW) = ndimage.distance_transform_edt(ignored_HW, return_indices=True)
    return mask_HW[y_HW, x_HW]


def pieces(mask_HW: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Connected pieces of one label, touching at edges or corners.

    Args:
        mask_HW: labels.

    Returns:
        int [H,W], number 0..P-1 of the piece a pixel belongs to; and the label of each piece, [P].
    """
    pieces_HW, labels, found = np.zeros(mask_HW.shape, dtype=np.int64), [], 0
    for label in np.unique(mask_HW):
        of_label_HW, count = ndimage.label(mask_HW == label, structure=EIGHT)
        pieces_HW[of_label_HW > 0] = of_label_HW[of_label_HW > 0] + (found - 1)
        labels += [label] * count
        found += count
    return pieces_HW, np.array(labels, dtype=mask_HW.dtype)


def whole_labels(mask_HW: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As :func:`pieces` with one part for each label, connected or not."""
    labels, parts_HW = np.unique(mask_HW, return_inverse=True)
    return parts_HW.reshape(mask_HW.shape), labels


def touching(parts_HW: np.ndarray, count: int) -> np.ndarray:
    """Length of the border that parts share, in pixel edges: int64 [P,P], symmetric, 0 on the diagonal."""
    border = np.zeros(count * count, dtype=np.int64)
    for a, b in ((parts_HW[:, :-1], parts_HW[:, 1:]), (parts_HW[:-1], parts_HW[1:])):
        differ = a != b
        border += np.bincount(a[differ] * count + b[differ], minlength=count * count)
    border = border.reshape(count, count)
    return border + border.T


def around(part_HW: np.ndarray, mask_HW: np.ndarray, *, besides: np.ndarray | None = None) -> int | None:
    """The most frequent label right around a part, the lowest of several; None where nothing is around it.

    Args:
        part_HW: bool, the part.
        mask_HW: labels.
        besides: bool [H,W], pixels that do not count.
    """
    ring_HW = ndimage.binary_dilation(part_HW, structure=EIGHT) & ~part_HW
    if besides is not None:
        ring_HW &= ~besides
    return int(np.bincount(mask_HW[ring_HW]).argmax()) if ring_HW.any() else None
