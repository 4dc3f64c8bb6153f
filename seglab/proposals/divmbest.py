"""DivMBest: several labellings of one energy that are good and differ from one another.

Source: Batra et al., "Diverse M-Best Solutions in Markov Random Fields", ECCV 2012,
as Cogswell et al. 2014 use it (EQUATIONS 4.5). The m-th labelling minimises the augmented energy

``A_m(y) = E(y) + lambda sum_(m' < m) agreement(y, y^m')``, ``agreement(y, y') = sum_s area_s [y_s = y'_s]``,

which is a maximum of score plus Hamming dissimilarity, and an energy of the same form: the agreement adds to the unary
costs alone. With areas in pixels, lambda is the price of one pixel that is labelled as before.

What the labellings are guaranteed to be, whatever the solver:

- Different. Where a labelling repeats, lambda is doubled for the rest of this image and the step is solved again. Where
  that cannot help, since no labelling agrees less with those before (as after K of them it may be) or the smallest
  superpixel weighs more than all of E, the best change of one superpixel of those before is taken.
- In order: ``A_m(y^m)`` never falls with m, as it never would with exact minima. Where a labelling has a lower
  augmented energy at an earlier step than the labelling found there, the solver had missed it: it takes that place and
  the steps after are solved again; after ``count`` such returns those found are put in order instead, at each place
  the one with the lowest augmented energy of those left.

Legend: M labellings, S superpixels, K classes, E edges.
Example: ``div_m_best(energy, count=10, diversity=0.1, area_S=graph.area_S, solve=solve)`` with
``solve = lambda energy, start_S: alpha_expansion(energy, start_S=start_S)``
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from seglab.proposals.energy import Energy

Solve = Callable[[Energy, "np.ndarray | None"], np.ndarray]
"""A solver: an energy and a labelling to start from (int64 [S], or None) to a labelling, int64 [S]."""


@dataclass(frozen=True, eq=False)
class Solutions:
    """Labellings in the order of their augmented energies.

    Attributes:
        labels_MS: int64, 0..K-1, no two rows equal.
        energy_M: float64, E of each, without the diversity; the first is the lowest that was found.
        augmented_M: float64, E and lambda times the agreement with the labellings before, never falling.
    """

    labels_MS: np.ndarray
    energy_M: np.ndarray
    augmented_M: np.ndarray


def div_m_best(energy: Energy, *, count: int, diversity: float, area_S: np.ndarray, solve: Solve) -> Solutions:
    """Find labellings that are good and differ.

    Args:
        energy: the energy of the image.
        count: labellings to find, M.
        diversity: lambda, above 0: energy for each unit of area that is labelled as in a labelling before.
        area_S: weight of every superpixel in the Hamming distance, above 0; its pixels, as a rule.
        solve: the solver. It starts from the best, at this step, of the labellings before and of the least unary costs.

    Raises:
        ValueError: ``proposals.count`` or ``proposals.diversity`` is outside its range, areas do not fit, or there are
            fewer labellings than asked for.
    """
    superpixels, classes = energy.unary_SK.shape
    if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 1:
        raise ValueError(f"proposals.count={count}: expected a whole number, 1 or more")
    if isinstance(diversity, bool) or not math.isfinite(diversity) or not diversity > 0:
        raise ValueError(f"proposals.diversity={diversity}: expected a number above 0")
    if classes**superpixels < count:
        raise ValueError(
            f"proposals.count={count}: expected at most {classes**superpixels}, the labellings that there are of "
            f"{superpixels} superpixels with {classes} classes"
        )
    area_S = np.asarray(area_S, dtype=np.float64)
    if area_S.shape != (superpixels,) or not np.isfinite(area_S).all() or not (area_S > 0).all():
        raise ValueError(f"areas {list(area_S.shape)}: expected {superpixels} finite numbers above 0")
    found = _Found(energy, area_S, float(diversity))
    returns = 0
    while len(found.labels) < count:
        found.append(_next(found, solve))
        place = found.place_of_last()
        if place == len(found.labels) - 1:
            continue
        if returns < count:
            found.keep_last_at(place)
        else:
            found.put_in_order()
        returns += 1
    return Solutions(np.stack(found.labels), np.array(found.energies), found.augmented())


@dataclass
class _Found:
    """The labellings so far, the diversity each step was solved with, and the one in force."""

    energy: Energy
    area_S: np.ndarray
    diversity: float
    labels: list[np.ndarray] = field(default_factory=list)
    energies: list[float] = field(default_factory=list)
    diversities: list[float] = field(default_factory=list)

    def append(self, labels_S: np.ndarray) -> None:
        self.labels.append(labels_S)
        self.energies.append(self.energy.of(labels_S))
        self.diversities.append(self.diversity)

    def most(self) -> float:
        """The diversity at which the smallest superpixel weighs more than all differences of E together."""
        span = np.ptp(self.energy.unary_SK, axis=1).sum() + self.energy.weight_E.sum()
        return float(span / self.area_S.min())

    def agreement(self, labels_S: np.ndarray) -> np.ndarray:
        """Area on which a labelling agrees with each of those found, float64 [M]."""
        # summed row by row, not by a matrix product: the same two labellings always give the same digits
        return np.where(np.stack(self.labels) == labels_S, self.area_S, 0.0).sum(1)

    def has(self, labels_S: np.ndarray) -> bool:
        return any(np.array_equal(labels_S, other_S) for other_S in self.labels)

    def agreeing_SK(self) -> np.ndarray:
        """Area by superpixel and class, times the labellings that have it: sums of it are sums of agreements."""
        counts_SK = np.zeros(self.energy.unary_SK.shape)
        for labels_S in self.labels:
            counts_SK[np.arange(len(labels_S)), labels_S] += self.area_S
        return counts_SK

    def augmented(self) -> np.ndarray:
        """A_m(y^m) of every labelling, float64 [M]."""
        return np.array([self.steps_of(m)[m] for m in range(len(self.labels))])

    def steps_of(self, m: int) -> np.ndarray:
        """The augmented energy of labelling m at every step 0..m, float64 [m+1]."""
        agreements = np.concatenate([[0.0], np.cumsum(self.agreement(self.labels[m])[:m])])
        return self.energies[m] + np.array(self.diversities[: m + 1]) * agreements

    def place_of_last(self) -> int:
        """The first step at which the last labelling is better than the one that stands there."""
        last = self.steps_of(len(self.labels) - 1)
        better = np.flatnonzero(last[:-1] < self.augmented()[:-1])
        return int(better[0]) if better.size else len(self.labels) - 1

    def keep_last_at(self, place: int) -> None:
        """Put the last labelling in the place of another; those after are dropped, the diversity is not lowered."""
        self.labels[place:] = self.labels[-1:]
        self.energies[place:] = self.energies[-1:]
        del self.diversities[place + 1 :]

    def put_in_order(self) -> None:
        """Give each place the labelling with the lowest augmented energy of those left; diversities keep theirs."""
        total_M, energy_M = np.zeros(len(self.labels)), np.array(self.energies)
        order: list[int] = []
        left = list(range(len(self.labels)))
        for diversity in self.diversities:
            values = energy_M[left] + diversity * total_M[left]
            order.append(left.pop(int(values.argmin())))
            total_M += self.agreement(self.labels[order[-1]])
        self.labels = [self.labels[m] for m in order]
        self.energies = [self.energies[m] for m in order]


def _next(found: _Found, solve: Solve) -> np.ndarray:
    """A labelling that is not among those found, int64 [S]."""
    agreeing_SK = found.agreeing_SK()
    superpixels = np.arange(len(agreeing_SK))
    least = agreeing_SK.min(1).sum()
    while True:
        augmented = replace(found.energy, unary_SK=found.energy.unary_SK + found.diversity * agreeing_SK)
        start_S = min([augmented.unary_SK.argmin(1), *found.labels], key=augmented.of) if found.labels else None
        labels_S = augmented.checked(solve(augmented, start_S))
        if not found.has(labels_S):
            return labels_S
        if agreeing_SK[superpixels, labels_S].sum() <= least * (1 + 1e-9) or found.diversity > found.most():
            return _neighbour(found, found.diversity * agreeing_SK)
        found.diversity *= 2


def _neighbour(found: _Found, price_SK: np.ndarray) -> np.ndarray:
    """The best labelling, at this step, that differs from one found in one superpixel and is not found itself."""
    unary_SK, (one_E, other_E) = found.energy.unary_SK + price_SK, found.energy.edges_E2.T
    augmented, weight_E = replace(found.energy, unary_SK=unary_SK), found.energy.weight_E
    superpixels, best, best_S = np.arange(len(unary_SK)), math.inf, None
    for labels_S in found.labels:
        # the price of every class of every superpixel, the others as they are
        saved_SK = np.zeros_like(unary_SK)
        np.add.at(saved_SK, (one_E, labels_S[other_E]), weight_E)
        np.add.at(saved_SK, (other_E, labels_S[one_E]), weight_E)
        price = unary_SK - saved_SK
        change_SK = price - price[superpixels, labels_S][:, None]
        change_SK[superpixels, labels_S] = math.inf
        value = augmented.of(labels_S)
        for flat in np.argsort(change_SK, axis=None):
            s, k = divmod(int(flat), unary_SK.shape[1])
            if value + change_SK[s, k] >= best:
                break
            changed_S = labels_S.copy()
            changed_S[s] = k
            if not found.has(changed_S):
                best, best_S = value + change_SK[s, k], changed_S
                break
    assert best_S is not None, "all labellings are found"
    return best_S
