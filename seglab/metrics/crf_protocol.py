"""Protocol of the correlation of CRF losses with the F-measure: every number it depends on.

Example: ``python -m seglab.evaluate run=<run> eval=correlation eval.protocol.sigma=0.1 eval.protocol.name=sigma01``
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

SCALES = ("standardised", "unit")
DIAGONALS = ("distance", "plain")
METHODS = ("exact", "landmarks")


@dataclass(frozen=True, kw_only=True)
class CrfProtocol:
    """How the two losses and the F-measure of hard predictions are measured; it is stored beside every number.

    Args:
        name: how tables and files call this protocol.
        sigma: deviation of colour in the weights of the sparse CRF, in units of ``scale``, above 0.
        scale: colours of the sparse CRF: ``standardised`` by ImageNet's mean and deviation, as the released code of the
            regularized-loss paper, or ``unit``, 0..1.
        neighbours: 4 or 8, of a pixel in the sparse CRF.
        diagonal: of 8 neighbours: ``distance`` weighs the diagonal ones by 1/sqrt(2), ``plain`` as the others.
        sigma_colour: deviation of colour in the dense CRF, grey levels 0..255, above 0.
        sigma_space: deviation of position in the dense CRF, pixels of a picture of ``space_at`` pixels a side, above 0.
        space_at: that side, pixels; at another size the deviation is the same share of the side.
        size: side in pixels at which all is measured; None = the size of the network's input.
        method: ``exact``: all pairs of pixels; ``landmarks``: approximated, for large images.
        landmarks: how many.
        first_step: snapshots of earlier optimiser steps are left out, 0 or more.
        fixed: a map's pixel is object above this, in [0, 1); 0.5 is the argmax of two channels.
        beta2: weight of precision in F, above 0.
        note: free text.

    Raises:
        ValueError: a value is outside its range; the message names ``eval.protocol.<key>``.
    """

    name: str
    sigma: float = 0.15
    scale: str = "standardised"
    neighbours: int = 4
    diagonal: str = "distance"
    sigma_colour: float = 15.0
    sigma_space: float = 50.0
    space_at: int = 256
    size: int | None = None
    method: str = "exact"
    landmarks: int = 256
    first_step: int = 0
    fixed: float = 0.5
    beta2: float = 0.3
    note: str = ""

    def __post_init__(self) -> None:
        """Check every value once."""
        for key, fits, wanted in (
            ("name", isinstance(self.name, str) and bool(self.name), "a name"),
            ("sigma", _positive(self.sigma), "a number above 0"),
            ("scale", self.scale in SCALES, f"one of {', '.join(SCALES)}"),
            ("neighbours", self.neighbours in (4, 8), "4 or 8"),
            ("diagonal", self.diagonal in DIAGONALS, f"one of {', '.join(DIAGONALS)}"),
            ("sigma_colour", _positive(self.sigma_colour), "grey levels, above 0"),
            ("sigma_space", _positive(self.sigma_space), "pixels, above 0"),
            ("space_at", _whole(self.space_at, 1), "a whole number of pixels, 1 or more"),
            ("size", self.size is None or _whole(self.size, 8), "null, or a whole number of pixels, 8 or more"),
            ("method", self.method in METHODS, f"one of {', '.join(METHODS)}"),
            ("landmarks", _whole(self.landmarks, 1), "a whole number, 1 or more"),
            ("first_step", _whole(self.first_step, 0), "an optimiser step, 0 or more"),
            ("fixed", self.fixed == 0 or (_positive(self.fixed) and self.fixed < 1), "a number in [0, 1)"),
            ("beta2", _positive(self.beta2), "a number above 0"),
            ("note", isinstance(self.note, str), "text"),
        ):
            if not fits:
                raise ValueError(f"eval.protocol.{key}={getattr(self, key)}: expected {wanted}")

    def to_dict(self) -> dict[str, Any]:
        """Plain types, to be stored beside the numbers."""
        return asdict(self)


def _positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0


def _whole(value: object, low: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= low
