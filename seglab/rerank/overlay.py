"""All proposals of an image laid over each other: the pieces in which none of them has a boundary.

Whatever adds up over pixels, or over pairs of neighbouring pixels, is counted once for the pieces and then taken from
them for every proposal; with proposals made of superpixels that is some hundred pieces in place of M times H W pixels.
Legend: M proposals, K classes, H W pixels, R pieces, E pairs of touching pieces.
One runnable line: ``python -c "import numpy as np; from seglab.rerank.overlay import overlay;
print(overlay(np.array([[[0, 1, 1]], [[0, 0, 1]]]), np.zeros((3, 1, 3)), classes=2).labels_MR)"``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MOMENTS = ("pixels", "row", "row2", "column", "column2", "colour_0", "colour_1", "colour_2", "colour2")


@dataclass(frozen=True, eq=False)
class Overlay:
    """Pieces of an image and what is counted in each.

    Attributes:
        labels_MR: int64, label of each piece in every proposal.
        moments_9R: float64, sums over the pixels of each piece, by MOMENTS: 1, place along the sides (-0.5..0.5 from
            the middle) and its square, colour, and the squares of the colour summed over the channels.
        one_E, other_E: int64, two pieces that touch, each pair of pieces once.
        length_E: float64, pairs of neighbouring pixels (at the sides) between the two.
        gradient_E: float64, sum over these of the distance of the two pixels' colours.
        pairs: pairs of neighbouring pixels of the whole image, within pieces, too.
        gradient: sum over these of the distance of the two pixels' colours.
    """

    labels_MR: np.ndarray
    moments_9R: np.ndarray
    one_E: np.ndarray
    other_E: np.ndarray
    length_E: np.ndarray
    gradient_E: np.ndarray
    pairs: int
    gradient: float


def overlay(labels_MHW: np.ndarray, colours_3HW: np.ndarray, *, classes: int) -> Overlay:
    """Lay the proposals of an image over each other.

    Args:
        labels_MHW: whole numbers [M,H,W], 0..K-1, M of at least 1.
        colours_3HW: colours of the image.
        classes: K.
    """
    from skimage.measure import label

    piece_HW, count = label(_codes(labels_MHW, classes), background=-1, return_num=True, connectivity=1)
    piece_HW = piece_HW.astype(np.int64) - 1
    first_R = np.zeros(count, np.int64)
    first_R[piece_HW.ravel()] = np.arange(piece_HW.size)  # any pixel of a piece will do
    labels_MR = labels_MHW.reshape(len(labels_MHW), -1)[:, first_R].astype(np.int64)

    H, W = piece_HW.shape
    row_P = np.repeat((np.arange(H) + 0.5) / H - 0.5, W)
    column_P = np.tile((np.arange(W) + 0.5) / W - 0.5, H)
    colours_3P = colours_3HW.reshape(3, -1).astype(np.float64)
    weights = (np.ones(H * W), row_P, row_P**2, column_P, column_P**2, *colours_3P, (colours_3P**2).sum(0))
    moments_9R = np.stack([np.bincount(piece_HW.ravel(), weights=w, minlength=count) for w in weights])

    right_HW = np.sqrt((np.diff(colours_3HW, axis=2) ** 2).sum(0))
    down_HW = np.sqrt((np.diff(colours_3HW, axis=1) ** 2).sum(0))
    gradient_Q = np.concatenate([right_HW.ravel(), down_HW.ravel()]).astype(np.float64)
    one_Q = np.concatenate([piece_HW[:, :-1].ravel(), piece_HW[:-1].ravel()])
    other_Q = np.concatenate([piece_HW[:, 1:].ravel(), piece_HW[1:].ravel()])
    on = np.flatnonzero(one_Q != other_Q)
    low, high = np.minimum(one_Q[on], other_Q[on]), np.maximum(one_Q[on], other_Q[on])
    code_E, place = np.unique(low * count + high, return_inverse=True)
    return Overlay(
        labels_MR,
        moments_9R,
        code_E // count,
        code_E % count,
        np.bincount(place, minlength=len(code_E)).astype(np.float64),
        np.bincount(place, weights=gradient_Q[on], minlength=len(code_E)),
        len(gradient_Q),
        float(gradient_Q.sum()),
    )


def _codes(labels_MHW: np.ndarray, classes: int) -> np.ndarray:
    """A number for each combination of labels that occurs: int64 [H,W], 0 or more."""
    codes_HW, end = np.zeros(labels_MHW.shape[1:], np.int64), 1
    for labels_HW in labels_MHW:
        if end * classes >= 2**62:  # number anew those that occur
            values, codes_HW = np.unique(codes_HW, return_inverse=True)
            codes_HW, end = codes_HW.reshape(labels_HW.shape), len(values)
        codes_HW = codes_HW * classes + labels_HW
        end *= classes
    return codes_HW
