"""What all kinds of label noise share: a rate, a seed, the choice of images, and the report for the run folder.

A noise changes training masks only, never those of validation or test. What happens to a mask follows from the seed
and the name of its image alone; pixels with label 255 keep it.

One runnable line: ``python -c "from seglab.data.noise import Drop; print(Drop(rate=0.3, seed=0).choose(10))"``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from seglab.data.noise.count import confusion, shares
from seglab.data.rng import permutation

if TYPE_CHECKING:
    from seglab.data.arrays import ArrayDataset


class Noise:
    """Base of all kinds of noise; a subclass has a ``type`` and :meth:`change`.

    Args:
        rate: share of the training images whose masks are changed, 0..1 (of pixels where a subclass says so).
        seed: which images, and what happens to them.

    Raises:
        ValueError: ``rate`` outside 0..1, or a ``seed`` that is no whole number.
    """

    type = ""
    share_of = "the training masks"

    def __init__(self, *, rate: float = 0.0, seed: int = 0) -> None:
        self.rate = number("rate", rate, f"a share of {self.share_of}, 0 <= rate <= 1", 0, 1)
        self.seed = _whole("seed", seed)

    def choose(self, n: int) -> np.ndarray:
        """Which of ``n`` training images are changed: bool [n].

        Exactly ``round(rate * n)``. The product is rounded on the decimal digits of ``rate`` and halves go to the even
        number, as Python's ``round`` does: 0.5 of 5 images are 2, of 7 images 4. For one seed those of a low rate are
        among those of a higher one, and every type of noise chooses the same images. Positions are drawn, not names:
        of another number of images, or of another order, others are chosen.
        """
        chosen = np.zeros(n, dtype=bool)
        chosen[permutation(n, self.seed, "flip")[: round(Fraction(str(self.rate)) * n)]] = True
        return chosen

    def change(self, mask_HW: np.ndarray, *, id: str, classes: int = 2, background: int | None = None) -> np.ndarray:
        """The mask a careless annotator would have drawn.

        Args:
            mask_HW: uint8 labels; 255 = ignored, which stays.
            id: name of the image; with the seed it decides everything.
            classes: 2 = background 0 and object 1; more = classes 0..classes-1; 0 = regions whose numbers are names.
            background: class that is no object; None = 0 where there are two classes, else none.

        Returns:
            uint8 [H,W]; equal to ``mask_HW`` where the noise cannot apply (no object, one region ...).
        """
        raise NotImplementedError

    def options(self) -> dict[str, Any]:
        """The type's own options, plain values; with type, rate and seed they name the changed masks."""
        return {}

    def report(
        self, ids: Sequence[str], chosen: np.ndarray, dataset: ArrayDataset, *, classes: int = 2
    ) -> dict[str, Any]:
        """What was done to the masks, for ``noise.json`` of the run folder.

        Args:
            ids: names of the training images, n of them.
            chosen: bool [n], from :meth:`choose`.
            dataset: the training images with this noise.
            classes: as for :meth:`change`.

        Returns:
            Plain types: ``type``, ``rate`` asked, ``seed``, the type's options, ``images``; of the images that were
            ``chosen`` the number, of those whose mask ``changed`` the number, ``changed_ids``, ``ids_sha256`` (of these
            ids, each followed by a newline) and ``achieved`` (their share); ``unchanged_ids``, the chosen ones to which
            the noise could not apply; and the numbers of :func:`seglab.data.noise.count.shares`.
        """
        marked = self._marked(chosen, dataset)
        names = [ids[i] for i in np.flatnonzero(marked)]
        counted = confusion(self._pairs(chosen, dataset))
        digest = hashlib.sha256("".join(f"{name}\n" for name in names).encode()).hexdigest()
        return {
            "type": self.type,
            "rate": self.rate,
            "achieved": len(names) / len(ids) if len(ids) else 0.0,
            "seed": self.seed,
            **self.options(),
            "images": len(ids),
            "chosen": int(chosen.sum()),
            "changed": len(names),
            "changed_ids": names,
            "unchanged_ids": [ids[i] for i in np.flatnonzero(chosen & ~marked)],
            "ids_sha256": digest,
            **shares(*counted, classes=classes),
        }

    def _marked(self, chosen: np.ndarray, dataset: ArrayDataset) -> np.ndarray:
        return dataset.marked

    def _pairs(self, chosen: np.ndarray, dataset: ArrayDataset) -> Iterator[tuple[np.ndarray, np.ndarray, bool]]:
        """True masks, training masks [A,H,W] and whether the image is changed, image by image."""
        for i, changed in enumerate(dataset.marked.tolist()):
            clean = dataset.clean_masks(i)
            yield clean, dataset.noisy_masks(i) if changed else clean, changed


def number(
    key: str, value: Any, expected: str, low: float, high: float, *, above: bool = False, null: bool = False
) -> float:
    """A number of the config in its range; null counts as 0 where that is allowed.

    Args:
        key: name below ``noise``, for the message.
        value: what the config says.
        expected: what is expected, for the message.
        low: smallest value.
        high: largest value.
        above: the smallest value itself is not allowed.
        null: whether null is.

    Raises:
        ValueError: no number, or outside the range.
    """
    if value is None and null:
        return 0.0
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not low <= value <= high or (above and value == low):
        raise ValueError(f"noise.{key}={value}: expected {expected}")
    return float(value)


def _whole(key: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"noise.{key}={value}: expected a whole number, 0 or more")
    return value


def one_of(key: str, value: Any, offered: Sequence[str]) -> str:
    """A word of the config.

    Args:
        key: name below ``noise``, for the message.
        value: what the config says.
        offered: the words.

    Raises:
        ValueError: none of them.
    """
    if value not in offered:
        raise ValueError(f"noise.{key}={value}: expected one of {', '.join(offered)}")
    return value
