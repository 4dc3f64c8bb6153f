"""What every kind of measuring gives: a row of numbers an image, and sums that add up over images in any parts.

Example: ``Measured(row=(0.5,), sums={"images": np.array([1])})``
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from seglab.data.files import SUFFIXES
from seglab.scoring.faults import Fault
from seglab.scoring.resize import resize_labels, resize_map

Sums = dict[str, np.ndarray]
MapFile = Path | tuple[Path, ...]
"""The file of a map, or one file a scale."""

STRETCH = 0.02
"""How far width over height of a map may differ from that of its mask: a side of 25 pixels rounded up or down."""


@dataclass(frozen=True, kw_only=True)
class Reads:
    """Which files a kind of measuring takes.

    Attributes:
        truth: suffixes of the files that maps are held against.
        maps: suffixes of the maps.
        scales: whether a folder of maps may hold one folder a scale.
    """

    truth: tuple[str, ...] = SUFFIXES
    maps: tuple[str, ...] = SUFFIXES
    scales: bool = False


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One image: its row, in the order of ``columns``, and what adds up over the images.

    Attributes:
        row: numbers of the image.
        sums: what adds up; its shapes depend on ``kind`` alone.
        kind: what the map was read as, in words; all maps of a method must agree in it. Empty where there is no choice.
    """

    row: tuple[float, ...]
    sums: Sums
    kind: str = ""


class Measure(Protocol):
    """A kind of measuring. Objects of it go to other processes.

    Attributes:
        reads: which files it takes.
        percent: whether its numbers are in percent.
    """

    reads: ClassVar[Reads]
    percent: ClassVar[bool]

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of an image's numbers."""

    def truth(self, path: Path) -> Any:
        """What the maps of an image are held against, read once for all methods.

        Raises:
            Fault: the file does not fit.
        """

    def has_object(self, truth: Any) -> bool:
        """Whether there is an object in it, where the measure needs one."""

    def pair(self, path: Any, truth: Any) -> Measured:
        """Measure the map of a file (of several, one a scale, where ``reads.scales``) against what was read.

        Raises:
            Fault: the file does not fit.
        """

    def summary(self, sums: Sums, means: Mapping[str, float]) -> dict[str, float]:
        """Metrics of the set, from the sums and the means of the columns."""

    def curves(self, sums: Sums) -> dict[str, np.ndarray]:
        """Numbers over thresholds or scales; empty where there are none."""


def fitted(
    map_HW: np.ndarray,
    size: tuple[int, int],
    path: Path,
    *,
    resize: str,
    labels: bool = False,
    same_shape: bool = False,
) -> np.ndarray:
    """A map at the size of its mask.

    Args:
        map_HW: the map.
        size: height and width of the mask.
        path: file of the map, for the message.
        resize: ``error`` or ``to_mask``.
        labels: take the nearest pixel, not a mixture.
        same_shape: refuse to resize where width over height differs by more than :data:`STRETCH`.

    Raises:
        Fault: the sizes differ and nothing may be resized.
    """
    if map_HW.shape == size:
        return map_HW
    if resize == "error":
        raise Fault("size", f"{path}: map {width_height(map_HW.shape)}, mask {width_height(size)} (width x height)")
    stretch = map_HW.shape[1] * size[0] / (map_HW.shape[0] * size[1])
    if same_shape and not 1 / (1 + STRETCH) <= stretch <= 1 + STRETCH:
        raise Fault("shape", f"{path}: map {width_height(map_HW.shape)}, mask {width_height(size)} (width x height)")
    return (resize_labels if labels else resize_map)(map_HW, size)


def width_height(shape: tuple[int, ...]) -> str:
    """A size in words."""
    return f"{shape[1]}x{shape[0]}"
