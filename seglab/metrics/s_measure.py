"""S-measure: structural similarity of a map and a mask, object part and region part (Fan et al., ICCV 2017).

Legend: H W pixels, Q the four quarters about the object's centroid.
Example: ``s_measure(tally(map_HW, mask_HW, valid_HW, cut=centroid_cut(mask_HW)))``
"""

from __future__ import annotations

import numba
import numpy as np

from seglab.metrics.tally import Tally

EPS = np.finfo(np.float64).eps


def centroid_cut(mask_HW: np.ndarray, *, rounding: str = "half_up") -> tuple[int, int]:
    """Corner of the four quarters: the pixel at the centroid belongs to the upper left one.

    Args:
        mask_HW: bool [H, W]. Without object the middle of the image is taken (unused by the S-measure itself).
        rounding: of a centroid half-way between two pixels: ``half_up`` or ``half_even``.

    Returns:
        Rows above and columns left of the corner, 1 or more each.
    """
    height, width = mask_HW.shape
    total, *moments = _moments(np.ascontiguousarray(mask_HW))
    if total == 0:
        return (height + 1) // 2, (width + 1) // 2
    cuts = []
    for moment in moments:
        middle = (2 * moment + total) // (2 * total) if rounding == "half_up" else round(moment / total)
        cuts.append(middle + 1)
    return cuts[0], cuts[1]


@numba.njit(cache=True, nogil=True)
def _moments(mask_HW):
    """Object pixels, sum of their rows and sum of their columns, in whole numbers."""
    height, width = mask_HW.shape
    total, sum_y, sum_x = 0, 0, 0
    for y in range(height):
        in_row = 0
        for x in range(width):
            in_row += mask_HW[y, x]
            sum_x += x * mask_HW[y, x]
        total += in_row
        sum_y += y * in_row
    return total, sum_y, sum_x


def s_measure(counted: Tally, *, alpha: float = 0.5) -> float:
    """S-measure of one image.

    Args:
        counted: the image's moments, with the quarters of :func:`centroid_cut`.
        alpha: weight of the object part, in [0, 1].

    Returns:
        A number in [0, 1]. Mask without object: 1 - mean of the map; mask that is all object: mean of the map.
        A quarter without pixels has no weight.
    """
    back, front = counted.count_Q2.sum(0)
    pixels = back + front
    if front == 0 or back == 0:
        mean = counted.sum_Q2.sum() / pixels
        return float(1 - mean if front == 0 else mean)
    sum_2 = counted.sum_Q2.sum(0)
    share = front / pixels
    whole = share * _object_score(sum_2[1] / front, counted.spread_2[1], front)
    whole += (1 - share) * _object_score(1 - sum_2[0] / back, counted.spread_2[0], back)
    parts = sum(counted.count_Q2[q].sum() / pixels * _region_score(counted, q) for q in range(4))
    return float(max(0.0, alpha * whole + (1 - alpha) * parts))


def _object_score(mean: float, spread: float, n: int) -> float:
    deviation = np.sqrt(spread / (n - 1)) if n > 1 else 0.0
    return 2 * mean / (mean * mean + 1 + deviation + EPS)


def _region_score(counted: Tally, q: int) -> float:
    n0, n1 = counted.count_Q2[q]
    n = n0 + n1
    if n == 0:
        return 0.0
    x, y = counted.mean_Q[q], n1 / n
    var_x = counted.spread_Q[q] / (n - 1 + EPS)
    # With a binary y: sum (y - mean y)^2 = n1 (1 - mean y), and
    # sum (x - mean x)(y - mean y) = sum of x over the object - n1 mean x.
    var_y = n1 * (1 - y) / (n - 1 + EPS)
    cov = (counted.sum_Q2[q, 1] - n1 * x) / (n - 1 + EPS) if n0 and n1 and counted.spread_Q[q] else 0.0
    top = 4 * x * y * cov
    bottom = (x * x + y * y) * (var_x + var_y)
    if top != 0:
        return float(top / (bottom + EPS))
    return 1.0 if bottom == 0 else 0.0
