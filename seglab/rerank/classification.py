"""Image classifiers as features of a proposal: is the class there, and does it cover more than a certain share?

For every class but 0, the background, five linear support vector machines on features of the whole image: one for its
presence (its share of the labelled pixels is above 0) and one for each of four sizes t (positive where the share
reaches t), 20 + 80 scores for VOC. Source: Cogswell et al. 2014, section 4, "CNN Classification" (EQUATIONS 4.6).

Reading: "sorting images by percentage of C pixels then using the C-percent of the image at the 20th, 40th, 60th, and
80th percentile" sorts the images that contain the class. Most images of a set lack any given class, so over all of them
nearly all the sizes would be 0 and say nothing. The size is that of the image at the place ceil(n percentile / 100).

**From an image's scores to a proposal's features.** A ranking machine sees differences between proposals of one image,
in which anything that is the same for all of them cancels: the bare scores could not change any choice. So each score
is multiplied by whether the proposal agrees with what it says, 1 or 0: the class is in the proposal (first K - 1), the
proposal's share reaches t (the other 4 (K - 1)). A positive score then speaks for proposals with the class and a
negative one against them. (With -1 in place of 0 the differences would be twice these, no more.)

Legend: N images, F features of an image, K classes, S = 5 (K - 1) scores, M proposals.
One runnable line: ``c = Classification().fit(features_NF, shares_NK); f_MS = classification_features(c.scores(x_1F)[0],
shares_MK, thresholds=c.thresholds)``.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence

import numpy as np

log = logging.getLogger(__name__)

PERCENTILES = (20, 40, 60, 80)


class Classification:
    """Linear classifiers of presence and size for every class but 0, on features of the whole image.

    The scores are in the order of :func:`classification_feature_names`: presence of class 1..K-1, then the four sizes
    of class 1, of class 2, and so on.

    Args:
        C: weight of the errors; features are standardised first.
        seed: of the solver.

    Attributes:
        thresholds: float64 [K-1,4], sizes as shares of the labelled pixels, never falling; infinite for a class that no
            training image has.
    """

    def __init__(self, *, C: float = 0.01, seed: int = 0) -> None:
        if not C > 0:
            raise ValueError(f"C={C}: expected a number above 0")
        self.C, self.seed = float(C), int(seed)
        self.weight_SF = self.bias_S = self.mean_F = self.scale_F = self.thresholds = np.zeros(0)

    def fit(
        self, features_NF: np.ndarray, shares_NK: np.ndarray, *, names: Sequence[str] | None = None
    ) -> Classification:
        """Learn all machines.

        A class that every image or no image has, or a size with one answer only, cannot be learned: its score is 0 for
        every image. One line of the log names all of them.

        Args:
            features_NF: finite numbers, of networks whose classes do not enter.
            shares_NK: share of each class among the labelled pixels of the image, 0..1.
            names: of the K classes, for the log.

        Returns:
            Itself.

        Raises:
            ValueError: sizes differ, no image, fewer than 2 classes, or a value is not finite.
        """
        features_NF, shares_NK = np.asarray(features_NF, np.float64), np.asarray(shares_NK, np.float64)
        if features_NF.ndim != 2 or shares_NK.ndim != 2 or not len(features_NF) == len(shares_NK) > 0:
            raise ValueError(
                f"features {features_NF.shape}, shares {shares_NK.shape}: expected [N,F], [N,K], N above 0"
            )
        if shares_NK.shape[1] < 2 or not (np.isfinite(features_NF).all() and np.isfinite(shares_NK).all()):
            raise ValueError(f"{shares_NK.shape[1]} classes: expected 2 or more, and finite features and shares")
        self.thresholds = size_thresholds(shares_NK)
        self.mean_F, self.scale_F = features_NF.mean(0), features_NF.std(0)
        self.scale_F[self.scale_F < 1e-12] = 1.0
        standard_NF = (features_NF - self.mean_F) / self.scale_F
        answers_NS = answers(shares_NK, self.thresholds)
        self.weight_SF = np.zeros((answers_NS.shape[1], features_NF.shape[1]))
        self.bias_S = np.zeros(answers_NS.shape[1])
        settled_S = answers_NS.all(0) | ~answers_NS.any(0)
        for s in np.flatnonzero(~settled_S):
            self.weight_SF[s], self.bias_S[s] = self._machine(standard_NF, answers_NS[:, s])
        if settled_S.any():
            every = classification_feature_names(names or shares_NK.shape[1])
            told = ", ".join(every[s] for s in np.flatnonzero(settled_S))
            log.warning("classification: the same answer in all %d images, so score 0: %s", len(features_NF), told)
        return self

    def _machine(self, standard_NF: np.ndarray, answer_N: np.ndarray) -> tuple[np.ndarray, float]:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.svm import LinearSVC

        machine = LinearSVC(C=self.C, dual="auto", random_state=self.seed, max_iter=2000)
        with warnings.catch_warnings():
            # A machine that is nearly done ranks as well as one that is done; there are a hundred of them.
            warnings.simplefilter("ignore", ConvergenceWarning)
            machine.fit(standard_NF, answer_N)
        return machine.coef_[0], float(machine.intercept_[0])

    def scores(self, features_NF: np.ndarray) -> np.ndarray:
        """Scores of images.

        Args:
            features_NF: as in :meth:`fit`.

        Returns:
            float64 [N, 5 (K - 1)]; above 0 speaks for the class, or for so much of it.

        Raises:
            ValueError: another number of features than was learned on.
        """
        features_NF = np.asarray(features_NF, np.float64)
        if features_NF.ndim != 2 or features_NF.shape[1] != len(self.mean_F):
            raise ValueError(f"features {features_NF.shape}: expected [N,{len(self.mean_F)}], as in training")
        return (features_NF - self.mean_F) / self.scale_F @ self.weight_SF.T + self.bias_S

    def state(self) -> dict[str, np.ndarray]:
        """Everything learned, as plain arrays (for ``np.savez``)."""
        settings = np.array([self.C, self.seed], np.float64)
        return {
            "weight_SF": self.weight_SF,
            "bias_S": self.bias_S,
            "mean_F": self.mean_F,
            "scale_F": self.scale_F,
            "thresholds": self.thresholds,
            "settings": settings,
        }

    @classmethod
    def load(cls, state: Mapping[str, np.ndarray]) -> Classification:
        """The machines of :meth:`state`."""
        made = cls(C=float(state["settings"][0]), seed=int(state["settings"][1]))
        for name in ("weight_SF", "bias_S", "mean_F", "scale_F", "thresholds"):
            setattr(made, name, np.asarray(state[name], np.float64))
        return made


def size_thresholds(shares_NK: np.ndarray) -> np.ndarray:
    """Sizes of every class but 0: float64 [K-1,4], infinite for a class that no image has (reading above)."""
    thresholds = np.full((shares_NK.shape[1] - 1, len(PERCENTILES)), np.inf)
    for k, shares_N in enumerate(shares_NK.T[1:]):
        if (shares_N > 0).any():
            thresholds[k] = np.percentile(shares_N[shares_N > 0], PERCENTILES, method="inverted_cdf")
    return thresholds


def answers(shares_NK: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Which questions are answered with yes, for images or proposals: bool [N, 5 (K - 1)], in the order of the scores.

    Args:
        shares_NK: share of each class, 0..1.
        thresholds: [K-1,4].
    """
    reached_NK4 = shares_NK[:, 1:, None] >= thresholds
    return np.concatenate([shares_NK[:, 1:] > 0, reached_NK4.reshape(len(shares_NK), -1)], 1)


def classification_features(scores_S: np.ndarray, shares_MK: np.ndarray, *, thresholds: np.ndarray) -> np.ndarray:
    """Features of every proposal of one image: each score where the proposal agrees with its question, else 0.

    Args:
        scores_S: [5 (K - 1)], scores of the image.
        shares_MK: [M,K], share of each class among the pixels of the proposal, 0..1 (:func:`proposal_shares`).
        thresholds: [K-1,4], of the machines the scores come from.

    Returns:
        float64 [M, 5 (K - 1)].

    Raises:
        ValueError: sizes do not fit.
    """
    scores_S, shares_MK = np.asarray(scores_S, np.float64), np.asarray(shares_MK, np.float64)
    wanted = 5 * (shares_MK.shape[-1] - 1)
    if shares_MK.ndim != 2 or scores_S.shape != (wanted,) or thresholds.size != 4 * wanted // 5:
        raise ValueError(
            f"scores {scores_S.shape}, shares {shares_MK.shape}, sizes {thresholds.shape}: expected [5(K-1)], [M,K], "
            "[K-1,4]"
        )
    return np.where(answers(shares_MK, thresholds), scores_S, 0.0)


def proposal_shares(labels_MHW: np.ndarray, *, classes: int) -> np.ndarray:
    """Share of each class among the pixels of every proposal: float64 [M,K]; 255 = ignored."""
    counts_MK = np.stack([np.bincount(labels.ravel(), minlength=256)[:classes] for labels in labels_MHW])
    return counts_MK / np.maximum(counts_MK.sum(1, keepdims=True), 1)


def classification_feature_names(classes: int | Sequence[str]) -> list[str]:
    """Names of the scores, in order; ``classes`` is the number of classes, background included, or their names."""
    names = [str(k) for k in range(classes)] if isinstance(classes, int) else list(classes)
    return [f"has_{n}" for n in names[1:]] + [f"{n}_above_p{t}" for n in names[1:] for t in PERCENTILES]
