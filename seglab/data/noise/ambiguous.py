"""Ambiguous pixels: the label of every pixel may be wrong, near boundaries more often than far from them.

Every labelled pixel x has a draw u(x), uniform in 0..1, and a distance d(x) to the nearest boundary of the mask. Its
label is wrong with probability

    p(x) = min(ceiling, c * exp(-d(x) / w)),    w = width * longer side,

that is, where u(x) < p(x). The constant c is set for each mask such that exactly ``round(rate * N)`` of its N labelled
pixels are wrong, as far as ``ceiling`` permits: no more than about a share ``ceiling`` of them can be. The wrong pixels
of a lower rate are among those of a higher one. With ``grain`` above 0 the draws of near pixels are alike, so that
errors come in blobs: u is the normal distribution function of white noise blurred by a Gaussian of deviation grain *
longer side. A wrong pixel of two classes has the other one; of more, and of regions, the label on the other side of the
nearest boundary; where there is no boundary (or width is 0) another label of the mask, drawn for each mask and label.

One runnable line: ``python -c "import numpy as np; from seglab.data.noise import Ambiguous;
print(Ambiguous(rate=0.2).change(np.eye(8, dtype=np.uint8), id='a'))"``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage
from scipy.special import ndtr

from seglab.data.noise.base import Noise, number
from seglab.data.noise.draw import order, white
from seglab.data.noise.parts import filled
from seglab.data.sample import IGNORE


class Ambiguous(Noise):
    """Wrong labels in a share ``rate`` of the pixels of every training mask.

    Args:
        rate: share of the labelled pixels of each mask, 0..1; met to the pixel below about ``ceiling``.
        width: how fast errors become rare away from a boundary, as a share of the mask's longer side, 0..1: over this
            distance their probability falls to 37 %. 0 or null: everywhere alike.
        grain: size of the blobs that errors come in, as a share of the longer side, 0..1; 0 = every pixel by itself.
        ceiling: largest probability of a wrong label, above 0 up to 1; 0.5: at worst the label of a pixel says nothing.
        seed: which pixels.

    Raises:
        ValueError: a value outside its range.
    """

    type = "ambiguous"
    share_of = "the pixels of every training mask"

    def __init__(
        self,
        *,
        rate: float = 0.0,
        width: float | None = 0.1,
        grain: float = 0.02,
        ceiling: float = 0.5,
        seed: int = 0,
    ) -> None:
        super().__init__(rate=rate, seed=seed)
        self.width = number("width", width, "a share of the image's side, 0..1, or null", 0, 1, null=True)
        self.grain = number("grain", grain, "a share of the image's side, 0..1", 0, 1)
        self.ceiling = number("ceiling", ceiling, "a probability, 0 < ceiling <= 1", 0, 1, above=True)

    def options(self) -> dict[str, Any]:
        """``width``, ``grain`` and ``ceiling``."""
        return {"width": self.width, "grain": self.grain, "ceiling": self.ceiling}

    def choose(self, n: int) -> np.ndarray:
        """All ``n`` images, none at rate 0: bool [n]."""
        return np.full(n, self.rate > 0)

    def change(self, mask_HW: np.ndarray, *, id: str, classes: int = 2, background: int | None = None) -> np.ndarray:
        """The mask with wrong pixels; see :meth:`seglab.data.noise.base.Noise.change`."""
        known_HW = mask_HW != IGNORE
        count = round(self.rate * int(known_HW.sum()))
        if not count:
            return mask_HW.copy()
        labels_HW = filled(mask_HW)
        other_HW, distance_HW = self._other(labels_HW, id, classes)
        if other_HW is None:
            return mask_HW.copy()
        # Wrong where u < ceiling and u < c exp(-d/w), that is log u + d/w < log c: c is the count-th smallest of these.
        u_HW = self._draws(mask_HW.shape, id)
        late_HW = np.log(u_HW)
        if self.width and distance_HW is not None:
            late_HW += distance_HW / (self.width * max(mask_HW.shape))
        free = np.flatnonzero(known_HW & (u_HW < self.ceiling))
        count = min(count, len(free))
        wrong = free[np.argpartition(late_HW.ravel()[free], count - 1)[:count]] if count else free[:0]
        new = mask_HW.ravel().copy()
        new[wrong] = other_HW.ravel()[wrong]
        return new.reshape(mask_HW.shape)

    def _draws(self, shape: tuple[int, ...], id: str) -> np.ndarray:
        """Uniform draws, float64 [H,W]; alike over the grain."""
        u_HW = white(shape, self.seed, self.type, id, "pixels")
        deviation = self.grain * max(shape)
        if deviation < 0.3:  # less than a pixel
            return u_HW
        field_HW = ndimage.gaussian_filter(u_HW - 0.5, deviation, mode="wrap", truncate=3)
        field_HW -= field_HW.mean()
        return np.maximum(ndtr(field_HW / max(field_HW.std(), 1e-12)), 1e-300)

    def _other(self, labels_HW: np.ndarray, id: str, classes: int) -> tuple[np.ndarray | None, np.ndarray | None]:
        """The label a wrong pixel has, None where there is none; and the distance to the nearest boundary, pixels."""
        edge_HW, across_HW = _edges(labels_HW)
        near = edge_HW.any() and self.width > 0
        if classes == 2:
            other_HW = np.where(labels_HW > 1, labels_HW, 1 - labels_HW)
            return other_HW, ndimage.distance_transform_edt(~edge_HW) if near else None
        if near:
            distance_HW, (y_HW, x_HW) = ndimage.distance_transform_edt(~edge_HW, return_indices=True)
            at_HW = labels_HW[y_HW, x_HW]
            return np.where(at_HW == labels_HW, across_HW[y_HW, x_HW], at_HW), distance_HW
        there = np.unique(labels_HW) if edge_HW.any() or not classes else np.arange(classes)
        if len(there) < 2:
            return None, None
        circle = there[order(len(there), self.seed, self.type, id, "labels")]
        new = np.arange(256, dtype=np.uint8)
        new[circle] = np.roll(circle, 1)
        return new[labels_HW], None


def _edges(labels_HW: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels beside one of another label: bool [H,W]; and that label, uint8 [H,W]."""
    edge_HW, across_HW = np.zeros(labels_HW.shape, dtype=bool), labels_HW.copy()
    for axis in (0, 1):
        first, second = (slice(None),) * axis + (slice(-1),), (slice(None),) * axis + (slice(1, None),)
        for here, there in ((first, second), (second, first)):
            differ = labels_HW[here] != labels_HW[there]
            edge_HW[here] |= differ
            across_HW[here] = np.where(differ, labels_HW[there], across_HW[here])
    return edge_HW, across_HW
