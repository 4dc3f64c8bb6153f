"""What a read-out of regions gives: label maps and how sure it is of each region.

Legend: B batch, T scales (segmentations of one image), R labels, H W pixels.
Example: ``RegionMaps(torch.zeros(1, 1, 4, 4).long(), torch.zeros(1, 1, 1))``
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class RegionMaps(NamedTuple):
    """Segmentations of a batch.

    Attributes:
        labels_BTHW: int64, 0..R-1; any label may be absent.
        confidence_BTR: float32, minus the variance of the descriptors over the region, summed over channels (our
            reading of the average precision of CAS table 5); -inf for an absent label.
    """

    labels_BTHW: Tensor
    confidence_BTR: Tensor
