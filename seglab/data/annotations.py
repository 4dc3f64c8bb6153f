"""Segmentations of one image by several people.

Legend: A annotators, H W pixels. Example: ``Annotations(np.zeros((1, 4, 4), np.int32), None)``
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

IGNORED = -1
"""Region index of a pixel that does not score."""


class Annotations(NamedTuple):
    """What people drew of one image.

    Attributes:
        segments_AHW: int32, index of the region a pixel belongs to, 0..N-1 for each annotator; -1 = ignored pixel.
        boundaries_AHW: bool, the boundaries as drawn; None = those between the segments.
    """

    segments_AHW: np.ndarray
    boundaries_AHW: np.ndarray | None
