"""Region numbers of a data set from sums over its images: ODS, OIS and best, as the BSDS benchmark adds them up.

Covering is pooled over the pixels of all images and annotators, PRI and VOI are means over the images. ODS is the one
scale that is best for the set, for each number by itself; OIS takes the best scale of each image; best, of covering
alone, the best region of all scales for each true region. Source: Arbelaez, Maire, Fowlkes, Malik, TPAMI 2011; the
formulas are in ``docs/metrics.md``. The contours' part is :mod:`seglab.metrics.boundary_summary`.

Legend: T scales; 3 = covered pixels (or covering), PRI, VOI.
Example: ``python -c "import numpy as np; from seglab.metrics.region_summary import best_scales;
print(best_scales(np.eye(3)))"``
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class RegionSums(NamedTuple):
    """Sums over the images of a set; sums of two sets added are those of both.

    Attributes:
        images: how many there are.
        area: pixels that score, summed over annotators and images.
        scales_3T: covered pixels, PRI and VOI at every scale, float64.
        ois_3: the same, each image at its own best scale, float64.
        best_cover: covered pixels where every true region takes its best region of all scales.
    """

    images: int
    area: float
    scales_3T: np.ndarray
    ois_3: np.ndarray
    best_cover: float


def best_scales(values_3T: np.ndarray) -> np.ndarray:
    """Index of the best scale of each, int64 [3]: largest covering, largest PRI, smallest VOI; the first of equals."""
    return np.array([values_3T[0].argmax(), values_3T[1].argmax(), values_3T[2].argmin()])


def set_values(sums: RegionSums) -> np.ndarray:
    """Covering, PRI and VOI of the set at every scale, float64 [3, T]."""
    return sums.scales_3T / np.array([sums.area, sums.images, sums.images], np.float64)[:, None]


def region_summary(sums: RegionSums) -> dict[str, float]:
    """Numbers of the set.

    Args:
        sums: of one image or more.

    Returns:
        ``covering_ods``, ``covering_ois``, ``covering_best``, ``pri_ods`` and ``pri_ois`` in 0..1, 1 is best;
        ``voi_ods`` and ``voi_ois`` in bits, 0 is best.
    """
    values_3T = set_values(sums)
    covering, pri, voi = values_3T[np.arange(3), best_scales(values_3T)].tolist()
    cover_ois, pri_ois, voi_ois = np.asarray(sums.ois_3).tolist()
    return {
        "covering_ods": covering,
        "covering_ois": float(cover_ois / sums.area),
        "covering_best": float(sums.best_cover / sums.area),
        "pri_ods": pri,
        "pri_ois": float(pri_ois / sums.images),
        "voi_ods": voi,
        "voi_ois": float(voi_ois / sums.images),
    }
