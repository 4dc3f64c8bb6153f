"""What class a superpixel is likely to be: a multinomial logistic regression on random waves of its features.

Classifiers are kept as plain arrays. Training images are judged by one that did not see them (cross-fitting), test
images by one that saw all training images. A class that no training image shows keeps a small constant probability;
where the training images show a single class only, every superpixel gets that one, and proposals differ by diversity
alone.

Sources: Rahimi, Recht, "Random features for large-scale kernel machines", NIPS 2007; scikit-learn,
https://scikit-learn.org. Legend: S superpixels, K classes, D features, R waves, N sampled superpixels, L classes seen.
One runnable line: ``python -c "import numpy as np; from seglab.proposals.unary import Samples, fit;
x = np.eye(4, dtype='f'); y = np.arange(4) % 2; print(fit(Samples(x, y, np.ones(4)), classes=2).probabilities(x))"``.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

FLOOR = 2e-3
"""Least probability of a class: no superpixel is so sure that a neighbourhood could not say otherwise."""
LABELLED = 0.5
"""Share of a superpixel's pixels that must be labelled for it to be learnt from."""
MOST_ROWS = 60000
"""Superpixels that one classifier learns from at most; more are thinned out evenly."""
ROUNDS = 300
"""Steps of the solver at most."""
IGNORE = 255


@dataclass(frozen=True, eq=False)
class Samples:
    """Superpixels to learn from.

    Attributes:
        features_ND: float32.
        labels_N: int64, 0..K-1.
        weights_N: float64, how much each counts.
    """

    features_ND: np.ndarray
    labels_N: np.ndarray
    weights_N: np.ndarray

    def rows(self, chosen: np.ndarray) -> Samples:
        """Some of them."""
        return Samples(self.features_ND[chosen], self.labels_N[chosen], self.weights_N[chosen])

    @classmethod
    def joined(cls, parts: Sequence[Samples]) -> Samples:
        """Those of several images."""
        return cls(*(np.concatenate([getattr(p, k) for p in parts]) for k in ("features_ND", "labels_N", "weights_N")))


@dataclass(frozen=True, eq=False)
class Classifier:
    """A fitted classifier of superpixels.

    Attributes:
        mean_D: subtracted from the features.
        scale_D: divides them afterwards.
        waves_DR: directions and frequencies of the waves.
        phase_R: where they begin.
        weights_LP: of the classes that were seen; P = D + R.
        bias_L: of the same.
        seen_L: their numbers.
        classes: K.
    """

    mean_D: np.ndarray
    scale_D: np.ndarray
    waves_DR: np.ndarray
    phase_R: np.ndarray
    weights_LP: np.ndarray
    bias_L: np.ndarray
    seen_L: np.ndarray
    classes: int

    def probabilities(self, features_SD: np.ndarray) -> np.ndarray:
        """Probability of every class: float64 [S,K], at least :data:`FLOOR` each, adding up to 1."""
        floor = FLOOR if FLOOR * self.classes < 0.5 else 0.5 / self.classes
        scores_SL = self.lifted(features_SD) @ self.weights_LP.T + self.bias_L
        scores_SL = np.exp((scores_SL - scores_SL.max(1, keepdims=True)).astype(np.float64))
        found_SK = np.zeros((len(features_SD), self.classes))
        found_SK[:, self.seen_L] = scores_SL / scores_SL.sum(1, keepdims=True)
        return floor + (1 - floor * self.classes) * found_SK

    def lifted(self, features_SD: np.ndarray) -> np.ndarray:
        """Standardised features and their waves, float32 [S,P]."""
        return _lift((features_SD - self.mean_D) / self.scale_D, self.waves_DR, self.phase_R)

    def state(self) -> dict[str, np.ndarray]:
        """As plain arrays."""
        names = ("mean_D", "scale_D", "waves_DR", "phase_R", "weights_LP", "bias_L", "seen_L")
        return {**{name: getattr(self, name) for name in names}, "classes": np.int64(self.classes)}

    @classmethod
    def load(cls, state: Mapping[str, np.ndarray]) -> Classifier:
        """The classifier of :meth:`state`."""
        return cls(**{**state, "classes": int(state["classes"])})


def fit(samples: Samples, *, classes: int, waves: int = 600, strength: float = 1.0, seed: int = 0) -> Classifier:
    """Learn a classifier; the same samples give the same one.

    Args:
        samples: N superpixels.
        classes: K.
        waves: R, random waves of the features; 0 = the features themselves only.
        strength: how small the weights are kept; scikit-learn's C is N / (1000 strength).
        seed: draws the waves, and which superpixels are left out where there are too many.

    Raises:
        ValueError: there is no superpixel to learn from.
    """
    if not len(samples.labels_N):
        raise ValueError("proposals: no superpixel of a training image is labelled for half: nothing to learn from")
    draw = np.random.default_rng(np.random.SeedSequence([seed, 0x5EED]))
    if len(samples.labels_N) > MOST_ROWS:
        samples = samples.rows(np.sort(draw.permutation(len(samples.labels_N))[:MOST_ROWS]))
    mean_D = samples.features_ND.mean(0, dtype=np.float64).astype(np.float32)
    deviation_D = samples.features_ND.std(0, dtype=np.float64).astype(np.float32)
    scale_D = np.where(deviation_D > 1e-6, deviation_D, 1).astype(np.float32)
    size = len(mean_D)
    # The width of the kernel is the usual distance of two standardised superpixels.
    waves_DR = (draw.standard_normal((size, waves)) * np.sqrt(1 / size)).astype(np.float32)
    phase_R = draw.uniform(0, 2 * np.pi, waves).astype(np.float32)
    seen_L = np.unique(samples.labels_N)
    if len(seen_L) == 1:
        nothing = np.zeros((1, size + waves), np.float32)
        return Classifier(mean_D, scale_D, waves_DR, phase_R, nothing, np.zeros(1, np.float32), seen_L, classes)
    lifted_NP = _lift((samples.features_ND - mean_D) / scale_D, waves_DR, phase_R)
    weights_LP, bias_L = _regression(lifted_NP, samples, strength)
    return Classifier(mean_D, scale_D, waves_DR, phase_R, weights_LP, bias_L, seen_L, classes)


def _lift(standard_SD: np.ndarray, waves_DR: np.ndarray, phase_R: np.ndarray) -> np.ndarray:
    standard_SD = np.clip(standard_SD.astype(np.float32), -5, 5)  # no superpixel is so odd that it decides alone
    if not phase_R.size:
        return standard_SD * np.float32(len(standard_SD[0]) ** -0.5)
    waves_SR = np.sqrt(2 / phase_R.size, dtype=np.float32) * np.cos(standard_SD @ waves_DR + phase_R)
    return np.concatenate([standard_SD * np.float32(standard_SD.shape[1] ** -0.5), waves_SR], 1)


def _regression(lifted_NP: np.ndarray, samples: Samples, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Weights [L,P] and bias [L] of a multinomial logistic regression; of two classes, too, one row each."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    weights_N = samples.weights_N / samples.weights_N.mean()
    model = LogisticRegression(C=len(lifted_NP) / (1000 * strength), max_iter=ROUNDS, tol=1e-4)
    # On any number of threads sums would come out in another order, and the last digits with them.
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)  # the last steps change nothing that can be seen
        model.fit(lifted_NP, samples.labels_N, sample_weight=weights_N)
    weights, bias = model.coef_.astype(np.float32), model.intercept_.astype(np.float32)
    if len(weights) == 1:  # of two classes scikit-learn keeps the second only
        weights, bias = np.concatenate([0 * weights, weights]), np.concatenate([0 * bias, bias])
    return weights, bias


def label_counts(mask_HW: np.ndarray, labels_HW: np.ndarray, *, count: int, classes: int) -> np.ndarray:
    """Labelled pixels of every class in every superpixel.

    Args:
        mask_HW: 0..K-1, 255 = ignored.
        labels_HW: superpixels, 0..S-1.
        count: S.
        classes: K.

    Returns:
        int64 [S, K].
    """
    valid = mask_HW != IGNORE
    place = labels_HW[valid].astype(np.int64) * classes + mask_HW[valid]
    return np.bincount(place, minlength=count * classes).reshape(count, classes)


def sample(
    features_SD: np.ndarray, counts_SK: np.ndarray, area_S: np.ndarray, *, most: int, rng: np.random.Generator
) -> Samples:
    """Some superpixels of an image to learn from: of every class at most so many.

    Those of a class count together as the square root of how many there are: halfway between what is seen and all
    classes alike.

    Args:
        features_SD: of its superpixels.
        counts_SK: labelled pixels of every class.
        area_S: pixels of each superpixel.
        most: superpixels of a class.
        rng: draws them.
    """
    labels_S = np.where(counts_SK.sum(1) >= LABELLED * area_S, counts_SK.argmax(1), IGNORE)
    chosen, weights = [], []
    for label in np.unique(labels_S[labels_S != IGNORE]):
        there = np.flatnonzero(labels_S == label)
        some = np.sort(rng.permutation(there)[:most])
        chosen.append(some)
        weights.append(np.full(len(some), np.sqrt(len(there)) / len(some)))
    rows = np.concatenate(chosen) if chosen else np.zeros(0, np.int64)
    return Samples(features_SD[rows], labels_S[rows], np.concatenate(weights) if weights else np.zeros(0))


def unaries(probabilities_SK: np.ndarray, area_S: np.ndarray) -> np.ndarray:
    """Cost of every class at every superpixel, in nats: -log p times its area in mean superpixels; float64 [S,K]."""
    return -np.log(probabilities_SK) * (area_S / area_S.mean())[:, None]
