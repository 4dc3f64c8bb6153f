"""Protocol of the region and contour metrics: every convention on which two programs can differ.

Example: ``SegmentationProtocol(name="bsds").max_distance``
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from seglab.metrics.bsds import DISTANCE, check_values, is_number, is_share

AP_IOUS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)


@dataclass(frozen=True, kw_only=True)
class SegmentationProtocol:
    """One complete reading of the region and contour metrics; it is stored beside every number.

    Args:
        name: how tables and files call this protocol.
        max_distance: how far apart a found and a true contour pixel may lie, as a share of the image diagonal, in
            (0, 1) (Arbelaez et al. 2011: 0.0075).
        thin: found contours are thinned to lines one pixel wide before they are matched.
        ap_ious: thresholds of IoU in (0, 1] over which ``ap`` is averaged, ascending; ``ap50`` is always at 0.5.
        note: free text on what else a reader must know, for example the averaging.

    Raises:
        ValueError: a value is outside its range; the message names ``eval.protocol.<key>``.
    """

    name: str
    max_distance: float = 0.0075
    thin: bool = True
    ap_ious: Sequence[float] = AP_IOUS
    note: str = ""

    def __post_init__(self) -> None:
        """Check every value once, so that no metric has to."""
        ious = self.ap_ious
        thresholds = not isinstance(ious, str) and isinstance(ious, Sequence) and bool(len(ious))
        thresholds = thresholds and all(is_number(t) and 0 < t <= 1 for t in ious)
        thresholds = thresholds and list(ious) == sorted(set(ious))
        check_values(
            self,
            prefix="eval.protocol",
            name=(isinstance(self.name, str) and bool(self.name), "a name"),
            note=(isinstance(self.note, str), "text"),
            max_distance=(is_share(self.max_distance), DISTANCE),
            thin=(isinstance(self.thin, bool), "true or false"),
            ap_ious=(thresholds, "a list of ascending numbers in (0, 1]"),
        )
        object.__setattr__(self, "ap_ious", tuple(float(t) for t in ious))

    def to_dict(self) -> dict[str, Any]:
        """Plain types, to be stored beside the numbers."""
        return {**asdict(self), "ap_ious": list(self.ap_ious)}
