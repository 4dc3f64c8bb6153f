"""Counter-based random integers: the same numbers on every machine, whatever NumPy's version.

SplitMix64 (Steele, Lea, Flood, OOPSLA 2014) applied to a key and a counter. Only 64-bit integer additions, shifts
and products are used, so nothing depends on a maths library or on the order in which numbers are drawn elsewhere.

One runnable line: ``python -c "from seglab.data.rng import permutation; print(permutation(5, 0))"``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")

_GOLDEN = 0x9E3779B97F4A7C15
_WORD = 0xFFFFFFFFFFFFFFFF


def _mix(z: int) -> int:
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _WORD
    return z ^ (z >> 31)


def key_of(*parts: int | str) -> int:
    """A 64-bit key from integers and words, e.g. ``key_of(seed, "order", epoch)``."""
    key = 0
    for part in parts:
        numbers = part.encode() if isinstance(part, str) else (part & _WORD,)
        for number in (len(numbers), *numbers):
            key = _mix((key + _GOLDEN * (number + 1)) & _WORD)
    return key


def integers(n: int, *key: int | str) -> np.ndarray:
    """``n`` uniform 64-bit integers (uint64 [n]) of a key; a shorter draw is a prefix of a longer one."""
    z = np.uint64(key_of(*key)) + np.arange(1, n + 1, dtype=np.uint64) * np.uint64(_GOLDEN)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def permutation(n: int, *key: int | str) -> np.ndarray:
    """A permutation of 0..n-1 (int64 [n]) chosen by a key."""
    return np.argsort(integers(n, *key), kind="stable")


class Dice:
    """A stream of small random integers for drawing a scene.

    Args:
        key: integers and words that name the stream.
    """

    def __init__(self, *key: int | str) -> None:
        self._key = key_of(*key)
        self._count = 0

    def between(self, low: int, high: int) -> int:
        """An integer, ``low <= value <= high``."""
        self._count += 1
        return low + _mix((self._key + _GOLDEN * self._count) & _WORD) % (high - low + 1)

    def chance(self, percent: int) -> bool:
        """True in ``percent`` of 100 draws."""
        return self.between(0, 99) < percent

    def pick(self, choices: Sequence[T] | np.ndarray) -> T:
        """One of a sequence."""
        return choices[self.between(0, len(choices) - 1)]

    def grid(self, *shape: int) -> np.ndarray:
        """An int32 array of uniform bytes, 0..255."""
        self._count += 1
        size = int(np.prod(shape))
        return (integers(size, self._key, self._count) >> np.uint64(56)).astype(np.int32).reshape(shape)
