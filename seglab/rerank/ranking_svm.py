"""A linear ranker of proposals that learns from which one was the most accurate: the ranking support vector machine.

minimise 1/2 |w|^2 + C sum over images n and their proposals m of l_n(m) max(0, 1 - w.(phi(m*_n) - phi(m)))^2,
where m*_n is the image's most accurate proposal and l_n(m) the accuracy lost by taking m instead, so that a costly
mistake weighs more: the constraints w.(phi(m*) - phi(m)) >= 1 - xi/l of EQUATIONS 4.6 (Cogswell et al. 2014, section 4,
after Yadollahpour et al. 2013). The highest w.phi(m) wins. It is a weighted linear machine on differences, without
intercept: scikit-learn's LinearSVC, half of the differences turned round so that there are two classes.

Deviation: 4.6 has one slack for all proposals of an image, the largest, to the first power. Here each proposal has its
own and they are added up; and they are squared (``loss="hinge"``: not), for which the solver reaches the minimum at
every C in the same few seconds.

Features are divided by how much they vary between the proposals of one image over the training set: only that enters a
choice. Legend: N images, M proposals of an image (may differ), D features, P pairs, R proposals of all images.
One runnable line: ``best = int(RankingSvm().fit(features, accuracies).score(features_MD).argmax())``.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

log = logging.getLogger(__name__)

CANDIDATES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2)
LOSSES = ("squared_hinge", "hinge")


class RankingSvm:
    """Linear ranker with loss-scaled constraints; no intercept, deterministic.

    Args:
        C: weight of the accuracy lost; None chooses it by cross-validation over images, by the mean accuracy of the
            chosen proposals (of equally good ones the smallest).
        candidates: values of C to choose from.
        folds: of the cross-validation, 2 or more; images are dealt to them by the seed.
        choose_on: images of the cross-validation at most, 2 or more, drawn by the seed; it solves as many problems as
            there are folds times candidates, and more images hardly change their order.
        loss: ``squared_hinge`` or ``hinge``, what is paid for a constraint that does not hold.
        max_values: pairs times features held at once, about 30 bytes each while learning; of a larger set, images are
            drawn by the seed until no more fit.
        seed: of folds, drawing and solver.

    Attributes:
        weight_D: w in the features' own units; zeros where nothing could be learned.
        chosen_C: the C in use, NaN where nothing could be learned.

    Raises:
        ValueError: an argument is outside its range.
    """

    def __init__(
        self,
        *,
        C: float | None = None,
        candidates: Sequence[float] = CANDIDATES,
        folds: int = 5,
        choose_on: int = 2000,
        loss: str = "squared_hinge",
        max_values: int = 100_000_000,
        seed: int = 0,
    ) -> None:
        if (C is not None and not C > 0) or not len(candidates) or not min(candidates) > 0:
            raise ValueError(f"C={C}, candidates={list(candidates)}: expected numbers above 0, or C=null")
        if min(folds, choose_on) < 2 or max_values < 1:
            raise ValueError(f"folds={folds}, choose_on={choose_on}, max_values={max_values}: expected 2, 2, 1 or more")
        if loss not in LOSSES:
            raise ValueError(f"loss={loss}: expected one of {', '.join(LOSSES)}")
        self.C, self.candidates, self.folds, self.loss = C, tuple(sorted(candidates)), folds, loss
        self.choose_on, self.max_values, self.seed = choose_on, max_values, seed
        self.weight_D, self.chosen_C = np.zeros(0), float("nan")

    def fit(self, features: Sequence[np.ndarray], accuracies: Sequence[np.ndarray]) -> RankingSvm:
        """Learn.

        Args:
            features: of each image [M_n,D], finite.
            accuracies: of each image [M_n]; an image with NaN is left out, one whose proposals are all equally good
                gives nothing. Where no image gives anything (one proposal each, say), every score is 0, so that the
                first proposal is chosen, and a line of the log says so.

        Returns:
            Itself.

        Raises:
            ValueError: lists or sizes differ, no image, or a feature is not finite.
        """
        dimensions = _check(features, accuracies)
        self.weight_D, self.chosen_C = np.zeros(dimensions), float("nan")
        usable = [n for n, acc_M in enumerate(accuracies) if np.ptp(acc_M) > 0]  # NaN is not
        if not usable:
            log.warning(
                "ranking machine: no image of %d has proposals of different accuracy, so nothing to learn: the first "
                "proposal is chosen",
                len(features),
            )
            return self
        usable = self._drawn(usable, accuracies, dimensions)
        table = _table([features[n] for n in usable], [accuracies[n] for n in usable])
        self.chosen_C = float(self.C) if self.C is not None else self._choose(table, len(usable))
        self.weight_D = self._solve(table, np.ones(len(usable), bool), self.chosen_C) / table.scale_D
        return self

    def score(self, features_MD: np.ndarray) -> np.ndarray:
        """Scores of the proposals of one image.

        Args:
            features_MD: as in :meth:`fit`.

        Returns:
            float64 [M]; the highest wins, the earlier one of two equal ones (``argmax``).

        Raises:
            ValueError: another number of features than was learned on.
        """
        features_MD = np.asarray(features_MD, np.float64)
        if features_MD.ndim != 2 or features_MD.shape[1] != len(self.weight_D):
            raise ValueError(f"features {features_MD.shape}: expected [M,{len(self.weight_D)}], as in training")
        return (features_MD * self.weight_D).sum(1)

    def state(self) -> dict[str, np.ndarray]:
        """Everything learned, as plain arrays (for ``np.savez``)."""
        return {"weight_D": self.weight_D, "chosen_C": np.array(self.chosen_C)}

    @classmethod
    def load(cls, state: Mapping[str, np.ndarray]) -> RankingSvm:
        """The ranker of :meth:`state`, to score with."""
        made = cls()
        made.weight_D, made.chosen_C = np.asarray(state["weight_D"], np.float64), float(state["chosen_C"])
        return made

    def _drawn(self, usable: list[int], accuracies: Sequence[np.ndarray], dimensions: int) -> list[int]:
        """As many of the images as may be held at once, at least one; in their old order."""
        order = np.random.default_rng(self.seed).permutation(usable)
        held = np.cumsum([len(accuracies[n]) * dimensions for n in order])
        count = max(1, int((held <= self.max_values).sum()))
        if count < len(usable):
            log.warning("ranking machine: %d of %d images drawn (max_values=%d)", count, len(usable), self.max_values)
        return sorted(int(n) for n in order[:count])

    def _choose(self, table: _Table, images: int) -> float:
        """The C whose choices on images left out are the most accurate ones."""
        drawn = min(images, self.choose_on)
        folds = min(self.folds, drawn)
        if folds < 2 or len(self.candidates) == 1:
            return float(self.candidates[len(self.candidates) // 2])
        fold_N = np.full(images, -1)
        fold_N[np.random.default_rng(self.seed).permutation(images)[:drawn]] = np.arange(drawn) % folds
        totals = np.zeros(len(self.candidates))
        for fold in range(folds):
            for c, C in enumerate(self.candidates):
                weight_D = self._solve(table, (fold_N >= 0) & (fold_N != fold), C)
                totals[c] += table.chosen_accuracy(weight_D, fold_N == fold)
        means = totals / drawn
        # Sums in another order differ in the last digits: equally good ones must still be equal.
        chosen = float(self.candidates[int((means >= means.max() - 1e-12).argmax())])
        told = ", ".join(f"{C:g}: {mean:.4f}" for C, mean in zip(self.candidates, means, strict=True))
        log.info("ranking machine: mean accuracy of the choices by C (%s), chosen %g", told, chosen)
        return chosen

    def _solve(self, table: _Table, chosen_N: np.ndarray, C: float) -> np.ndarray:
        """The weights for standardised features, learned on the marked images: float64 [D]."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.svm import LinearSVC

        differences_PD, lost_P = table.pairs(chosen_N)
        if len(lost_P) == 1:  # two classes need two
            differences_PD, lost_P = differences_PD.repeat(2, 0), lost_P.repeat(2) / 2
        side_P = np.where(np.arange(len(lost_P)) % 2, -1, 1)
        differences_PD *= side_P[:, None].astype(differences_PD.dtype)
        machine = LinearSVC(
            C=C,
            loss=self.loss,
            dual=self.loss == "hinge",
            fit_intercept=False,
            random_state=self.seed,
            max_iter=1000,
        )
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ConvergenceWarning)
            machine.fit(differences_PD, side_P, sample_weight=lost_P)
        if any(issubclass(warning.category, ConvergenceWarning) for warning in caught):
            log.info("ranking machine: C=%g, %d pairs: stopped after %d rounds", C, len(lost_P), 1000)
        return machine.coef_[0].astype(np.float64)


@dataclass(frozen=True)
class _Table:
    """All proposals under each other: standardised features, accuracy, image, and the image's most accurate one."""

    features_RD: np.ndarray
    accuracy_R: np.ndarray
    image_R: np.ndarray
    best_R: np.ndarray
    scale_D: np.ndarray

    def pairs(self, chosen_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Differences to the most accurate proposal [P,D] and accuracy lost [P], of the marked images."""
        lost_R = self.accuracy_R[self.best_R] - self.accuracy_R
        pairs_P = np.flatnonzero(chosen_N[self.image_R] & (lost_R > 0))
        return self.features_RD[self.best_R[pairs_P]] - self.features_RD[pairs_P], lost_R[pairs_P]

    def chosen_accuracy(self, weight_D: np.ndarray, chosen_N: np.ndarray) -> float:
        """Sum over the marked images of the accuracy of the proposal with the highest score."""
        score_R = self.features_RD @ weight_D.astype(np.float32)
        rows = np.split(np.arange(len(score_R)), np.flatnonzero(np.diff(self.image_R)) + 1)
        return sum(float(self.accuracy_R[r[score_R[r].argmax()]]) for r in rows if chosen_N[self.image_R[r[0]]])


def _check(features: Sequence[np.ndarray], accuracies: Sequence[np.ndarray]) -> int:
    """The number of features, everything else as expected."""
    if not len(features) == len(accuracies) > 0:
        raise ValueError(f"features of {len(features)}, accuracies of {len(accuracies)} images: expected as many, 1 up")
    dimensions = np.shape(features[0])[-1]
    for n, (features_MD, accuracy_M) in enumerate(zip(features, accuracies, strict=True)):
        wanted = (len(accuracy_M), dimensions)
        if not len(accuracy_M) or np.shape(features_MD) != wanted:
            raise ValueError(f"image {n}: features {np.shape(features_MD)}: expected {wanted}, M of at least 1")
        if not np.isfinite(features_MD).all():
            raise ValueError(f"image {n}: a feature is not finite")
    return dimensions


def _table(features: Sequence[np.ndarray], accuracies: Sequence[np.ndarray]) -> _Table:
    # Less the mean of their image, which no difference sees: large numbers then keep their digits in 32 bits.
    centred = [np.asarray(x_MD, np.float64) - np.mean(x_MD, 0, dtype=np.float64) for x_MD in features]
    rows = sum(len(x_MD) for x_MD in centred)
    scale_D = np.sqrt(sum((x_MD**2).sum(0) for x_MD in centred) / rows)
    largest_D = np.max([np.abs(x_MD).max(0) for x_MD in features], 0)
    scale_D[scale_D <= 1e-9 * largest_D] = 1.0  # the same in every proposal but for rounding
    scale_D[scale_D == 0] = 1.0
    features_RD = np.concatenate([(x_MD / scale_D).astype(np.float32) for x_MD in centred])
    counts_N = [len(x_MD) for x_MD in centred]
    first_N = np.cumsum([0, *counts_N[:-1]])
    best_N = first_N + [int(np.argmax(acc_M)) for acc_M in accuracies]
    return _Table(
        features_RD,
        np.concatenate([np.asarray(acc_M, np.float64) for acc_M in accuracies]),
        np.repeat(np.arange(len(centred)), counts_N),
        np.repeat(best_N, counts_N),
        scale_D,
    )
