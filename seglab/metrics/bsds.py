"""The two halves of the BSDS benchmark as protocols: regions (covering, PRI, VOI) and boundaries (F, AP).

Arbelaez, Maire, Fowlkes, Malik, "Contour Detection and Hierarchical Image Segmentation", TPAMI 2011. Every formula is
written down in ``docs/metrics.md``.
Example: ``python -c "from seglab.metrics.bsds import Boundaries; print(Boundaries(name='bsds').to_dict())"``
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

MAPS = ("auto", "soft", "binary", "labels")
"""What files of boundary maps can hold; ``auto`` looks at them."""

TRUTHS = ("auto", "lines", "labels")
"""What files of true boundaries can hold; ``auto`` looks at them."""

IGNORE = "null, or a value from 0 to 65535"
DISTANCE = "a number in (0, 1), a share of the diagonal"


@dataclass(frozen=True, kw_only=True)
class Regions:
    """How label maps are scored against the segmentations that people drew; it is stored beside every number.

    Args:
        name: how tables and files call this protocol.
        ignore: value of a pixel of a truth image (not of a ``.mat`` file) that does not score; None = every pixel does.
        thresholds: n thresholds k / (n + 1), k = 1..n, of ultrametric contour maps, each a scale; 1 to 254.
        note: free text.

    Raises:
        ValueError: a value is outside its range; the message names ``protocol.<key>``.
    """

    name: str
    ignore: int | None = None
    thresholds: int = 99
    note: str = ""

    def __post_init__(self) -> None:
        """Check every value once."""
        check_values(
            self,
            prefix="protocol",
            name=(isinstance(self.name, str) and bool(self.name), "a name"),
            ignore=(self.ignore is None or _whole(self.ignore, 0, 65535), IGNORE),
            thresholds=(_whole(self.thresholds, 1, 254), "a whole number from 1 to 254"),
            note=(isinstance(self.note, str), "text"),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain types for a report."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Boundaries:
    """How boundary maps are scored against the boundaries that people drew; it is stored beside every number.

    Args:
        name: how tables and files call this protocol.
        maps: ``soft`` (grades, cut at every threshold), ``binary`` (as they are), ``labels`` (the lines between
            regions; one or several scales), or ``auto``: by what the files hold, refused where that is not plain.
        truth: ``lines`` (as drawn), ``labels`` (the lines between regions), or ``auto``: ``.mat`` files as drawn, an
            image of more than two values as labels, one of two as lines, refused where it has areas.
        ignore: value of a truth image of labels (not of a ``.mat`` file) that does not score; None = every pixel does.
        thresholds: n thresholds k / (n + 1), k = 1..n, of soft maps and contour maps; 1 to 254.
        max_distance: farthest that two boundary pixels may lie apart and match, as a share of the image's diagonal,
            in (0, 1).
        thin: thin every cut map to lines one pixel wide before it is matched.
        note: free text.

    Raises:
        ValueError: a value is outside its range; the message names ``protocol.<key>``.
    """

    name: str
    maps: str = "auto"
    truth: str = "auto"
    ignore: int | None = None
    thresholds: int = 99
    max_distance: float = 0.0075
    thin: bool = True
    note: str = ""

    def __post_init__(self) -> None:
        """Check every value once."""
        check_values(
            self,
            prefix="protocol",
            name=(isinstance(self.name, str) and bool(self.name), "a name"),
            maps=(self.maps in MAPS, f"one of {', '.join(MAPS)}"),
            truth=(self.truth in TRUTHS, f"one of {', '.join(TRUTHS)}"),
            ignore=(self.ignore is None or _whole(self.ignore, 0, 65535), IGNORE),
            thresholds=(_whole(self.thresholds, 1, 254), "a whole number from 1 to 254"),
            max_distance=(is_share(self.max_distance), DISTANCE),
            thin=(isinstance(self.thin, bool), "true or false"),
            note=(isinstance(self.note, str), "text"),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain types for a report."""
        return asdict(self)


def is_number(value: object) -> bool:
    """Whether a value is a finite number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def is_share(value: object) -> bool:
    """Whether a value is a number in (0, 1), such as a share of the diagonal."""
    return is_number(value) and 0 < value < 1


def check_values(protocol: object, *, prefix: str, **keys: tuple[bool, str]) -> None:
    """Refuse the first value of a protocol that does not fit.

    Args:
        protocol: has the keys as attributes.
        prefix: what stands before a key where it is set, ``protocol`` or ``eval.protocol``.
        **keys: for each whether it fits, and what is expected.

    Raises:
        ValueError: one does not fit; the message names ``<prefix>.<key>``.
    """
    for key, (fits, wanted) in keys.items():
        if not fits:
            raise ValueError(f"{prefix}.{key}={getattr(protocol, key)}: expected {wanted}")


def _whole(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
