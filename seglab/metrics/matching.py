"""One-to-one matching of boundary pixels that lie no farther apart than a limit: as many pairs as possible.

Contour benchmark of BSDS (Martin, Fowlkes, Malik, TPAMI 2004; EQUATIONS 1.4 of the CAS paper's tables). Near pairs are
joined first, then augmenting paths, found one at a time and breadth first, raise the number of pairs to the largest
possible (Berge, PNAS 1957: there are no more pairs to be had if and only if no such path is left). The benchmark's
program also makes the sum of distances smallest; among the matchings with the largest number of pairs ours need not be
that one. The number of pairs is the same; which pixels of the larger side stay single can differ. There is no
randomness: equal maps give equal pairs.

Legend: H W pixels, P found pixels, Q true pixels, O offsets within reach.
Example: ``from seglab.metrics.matching import match; match(found_HW, truth_HW, reach2=18)``
"""

from __future__ import annotations

import math
from fractions import Fraction

import numba
import numpy as np


def squared_reach(shape: tuple[int, int], max_distance: float) -> int:
    """The largest squared distance, in pixels, of two boundary pixels that may be matched.

    Args:
        shape: height and width of the image in pixels.
        max_distance: limit in units of the image diagonal sqrt(H^2 + W^2), 0 or more and below 1. It is taken as the
            decimal number it is written as, so that a pair exactly at the limit is inside on every machine.

    Returns:
        floor((max_distance * diagonal)^2); two pixels may be matched if dy^2 + dx^2 is not above it.

    Raises:
        ValueError: the limit is not a number in [0, 1).
    """
    if isinstance(max_distance, bool) or not isinstance(max_distance, int | float) or not 0 <= max_distance < 1:
        raise ValueError(f"max_distance={max_distance}: expected a share of the image diagonal, 0 or more and below 1")
    height, width = shape
    return math.floor(Fraction(repr(float(max_distance))) ** 2 * (height**2 + width**2))


def match(found_HW: np.ndarray, truth_HW: np.ndarray, *, reach2: int) -> np.ndarray:
    """Match the pixels of two boundary maps.

    Args:
        found_HW: bool [H, W], boundary pixels of the prediction.
        truth_HW: bool [H, W], those of one annotator.
        reach2: largest squared distance in pixels, from :func:`squared_reach`.

    Returns:
        int32 [H, W]: for every found pixel the flat index y * W + x of its partner, -1 without one and elsewhere.

    Raises:
        ValueError: the maps differ in size.
    """
    if found_HW.shape != truth_HW.shape or found_HW.ndim != 2:
        raise ValueError(f"boundary maps of {found_HW.shape} and {truth_HW.shape} pixels: expected two of one size")
    plane = Plane(found_HW.shape, reach2)
    found, truth = plane.points(found_HW), plane.points(truth_HW)
    partner_P = plane.match(found, truth)
    pairs_HW = np.full(found_HW.shape, -1, np.int32)
    truth_flat = np.flatnonzero(truth_HW)
    pairs_HW[found_HW] = np.where(partner_P >= 0, truth_flat[partner_P], -1) if truth_flat.size else -1
    return pairs_HW


class Plane:
    """The pixel grid of one image with a rim as wide as the reach: neighbours need no test for the border.

    Args:
        shape: height and width of the image in pixels.
        reach2: largest squared distance in pixels.
    """

    def __init__(self, shape: tuple[int, int], reach2: int) -> None:
        self.rim = math.isqrt(reach2)
        self.shape = (shape[0] + 2 * self.rim, shape[1] + 2 * self.rim)
        dy_O, dx_O = np.mgrid[-self.rim : self.rim + 1, -self.rim : self.rim + 1].reshape(2, -1)
        square_O = dy_O**2 + dx_O**2
        # Nearest first; at equal distance by row, then by column, of the offset.
        order = np.argsort(square_O, kind="stable")[: int((square_O <= reach2).sum())]
        self.steps_O = (dy_O * self.shape[1] + dx_O)[order].astype(np.int32)

    def points(self, map_HW: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The pixels of a boundary map, ready to be matched any number of times.

        Args:
            map_HW: bool [H, W].

        Returns:
            Places in the rimmed grid in order of rows, int32 [P], and the rimmed grid itself, flat int32: the index of
            the pixel in that list, -1 where there is none.
        """
        grid = np.full(self.shape, -1, np.int32)
        inner = grid[self.rim : self.shape[0] - self.rim, self.rim : self.shape[1] - self.rim]
        inner[map_HW] = np.arange(int(np.count_nonzero(map_HW)), dtype=np.int32)
        flat = grid.ravel()
        return np.flatnonzero(flat >= 0).astype(np.int32), flat

    def match(self, found: tuple[np.ndarray, np.ndarray], truth: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """Match two lists of pixels.

        Args:
            found: from :meth:`points`.
            truth: from :meth:`points`.

        Returns:
            int32 [P]: index of the true pixel that a found pixel is matched to, -1 without one.
        """
        partner_P = np.full(found[0].size, -1, np.int32)
        partner_Q = np.full(truth[0].size, -1, np.int32)
        free_P, free_Q = _join_near(found[0], truth[1], self.steps_O, partner_P, partner_Q)
        # A search starts at a single pixel; it may start on either side, and the side with fewer is quicker.
        if free_P <= free_Q:
            _augment(found[0], truth[1], self.steps_O, partner_P, partner_Q, free_Q)
        else:
            _augment(truth[0], found[1], self.steps_O, partner_Q, partner_P, free_P)
        return partner_P


@numba.njit(cache=True, nogil=True)
def _join_near(place_P, grid, steps_O, partner_P, partner_Q):
    """Join single pixels in order of their distance; returns how many of either side stay single."""
    single = np.arange(place_P.size)
    left, pairs = place_P.size, 0
    for o in range(steps_O.size):
        step, kept = steps_O[o], 0
        for i in range(left):
            p = single[i]
            q = grid[place_P[p] + step]
            if q >= 0 and partner_Q[q] < 0:
                partner_P[p], partner_Q[q] = q, p
                pairs += 1
            else:
                single[kept] = p
                kept += 1
        left = kept
    return left, partner_Q.size - pairs


@numba.njit(cache=True, nogil=True)
def _augment(place_P, grid, steps_O, partner_P, partner_Q, free_Q):
    """From every single pixel of P search, breadth first, a path of pairs that ends at a single pixel of Q."""
    seen_Q = np.zeros(partner_Q.size, np.bool_)
    from_Q = np.empty(partner_Q.size, np.int32)  # the pixel of P from which a pixel of Q was reached
    reached = np.empty(partner_Q.size, np.int32)
    queue = np.empty(partner_Q.size + 1, np.int32)
    for start in range(place_P.size):
        if partner_P[start] >= 0:
            continue
        if free_Q == 0:
            return
        queue[0], head, tail, count, end = start, 0, 1, 0, -1
        while head < tail and end < 0:
            p = queue[head]
            head += 1
            for o in range(steps_O.size):
                q = grid[place_P[p] + steps_O[o]]
                if q < 0 or seen_Q[q]:
                    continue
                seen_Q[q], from_Q[q], reached[count] = True, p, q
                count += 1
                if partner_Q[q] < 0:
                    end = q
                    break
                queue[tail] = partner_Q[q]
                tail += 1
        if end < 0:
            continue  # nothing reached here can ever lead to a single pixel, so it stays marked as seen
        free_Q -= 1
        while end >= 0:
            p = from_Q[end]
            before = partner_P[p]
            partner_P[p], partner_Q[end] = end, p
            end = before
        for i in range(count):
            seen_Q[reached[i]] = False
