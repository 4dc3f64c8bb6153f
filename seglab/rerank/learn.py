"""What is learned from the training images: epsilon of the distance, image classifiers, ranking machines.

Nothing is judged by what saw it: the outputs of training images are those of fold networks, the classifiers' scores of
a training image come from classifiers of the other folds (for test images, from classifiers of all of them).

Epsilon is the one of Eq. 17 whose choices on the training images are the most accurate on the mean. Classifiers ask for
every class but 0, the background; where class 0 is none (the sky of CamVid), they ask for it, too.

Legend: N images, E epsilons, M proposals, K classes, D features, S scores.
One runnable line: ``python -m seglab.evaluate run=<run> eval=rerank``.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from seglab.rerank.classification import Classification, classification_features
from seglab.rerank.distance import EPSILONS
from seglab.rerank.images import Judged
from seglab.rerank.ranking_svm import RankingSvm
from seglab.rerank.settings import DEFAULT_EPSILON, RerankSettings, has_background

log = logging.getLogger(__name__)


@dataclass
class Learned:
    """What the test images are ranked by.

    Attributes:
        epsilon: of the distance.
        machines: name of a ranker -> its ranking machine and its groups of features.
        classification: classifiers of whole images, where a ranker looks at them.
        names: of the classes.
    """

    epsilon: float
    machines: dict[str, tuple[RankingSvm, tuple[str, ...]]] = field(default_factory=dict)
    classification: Classification | None = None
    names: tuple[str, ...] = ()

    def choices(self, image: Judged, settings: RerankSettings, *, image_F: np.ndarray | None) -> dict[str, int]:
        """What every ranker takes of the proposals of an image.

        Args:
            image: its distances and features are those of one epsilon, ``epsilon``, and of one network.
            settings: names the rankers.
            image_F: features of the image for the classifiers.
        """
        chosen = {name: int(image.distance_TEM[0, 0].argmin()) for name in settings.distances()}
        parts = self.groups(image, image_F)
        for name, (machine, groups) in self.machines.items():
            chosen[name] = int(machine.score(np.concatenate([parts[group] for group in groups], 1)).argmax())
        return {str(name): chosen[str(name)] for name in settings.rankers if str(name) in chosen}

    def groups(self, image: Judged, image_F: np.ndarray | None) -> dict[str, np.ndarray]:
        """The features of an image's proposals, [M, D] of every group."""
        parts = {}
        if image.network_EMD is not None:
            parts["network"] = image.network_EMD[0]
        if image.proposal_MD is not None:
            parts["proposal"] = image.proposal_MD
        if self.classification is not None:
            assert image_F is not None
            assert image.shares_MK is not None
            parts["classification"] = _agreement(self.classification, image, image_F, self.names)
        return parts

    def told(self) -> dict[str, Any]:
        """What was chosen, for the report."""
        return {"epsilon": self.epsilon, "C": {name: float(m.chosen_C) for name, (m, _) in self.machines.items()}}


class Learner:
    """Takes the training images one by one and learns at the end; keeps features and accuracies, no label maps.

    Args:
        settings: what is to be learned.
        epsilons: those the distances were found for.
    """

    def __init__(self, settings: RerankSettings, epsilons: Sequence[float]) -> None:
        self.settings, self.epsilons = settings, tuple(epsilons)
        self.accuracy: list[np.ndarray] = []
        self.by_epsilon: list[np.ndarray] = []  # of each image, accuracy of what every epsilon chooses
        self.images: list[Judged] = []
        self.fold: list[int] = []
        self.image_F: list[np.ndarray | None] = []

    def add(self, image: Judged, *, fold: int, image_F: np.ndarray | None) -> None:
        """Take one image: what is known of it, its fold and its features for the classifiers."""
        self.accuracy.append(image.accuracy_M)
        self.by_epsilon.append(image.accuracy_M[image.distance_TEM[0].argmin(1)])
        image.counts_MKK = image.distance_TEM = np.zeros(0)  # not needed any more
        self.images.append(image)
        self.fold.append(fold)
        self.image_F.append(image.image_F if image_F is None else image_F)

    def learn(self, names: Sequence[str]) -> Learned:
        """Learn everything.

        Args:
            names: of the classes.

        Raises:
            ValueError: no training image has a labelled pixel.
        """
        if not self.images:
            raise ValueError(
                "eval=rerank: no training image has a labelled pixel: expected some, or eval.rerank.folds=0"
            )
        means_E = np.mean(self.by_epsilon, 0)
        best = int(means_E.argmax())  # of equally good ones the first
        learned = Learned(self.epsilons[best], names=tuple(names))
        if len(self.epsilons) > 1:
            told = ", ".join(f"{e:g}: {100 * m:.2f}" for e, m in zip(self.epsilons, means_E, strict=True))
            log.info(
                "epsilon=%g, by the mean accuracy on %d training images (%s)", learned.epsilon, len(self.images), told
            )
        learners = self.settings.learners()
        if not learners:
            return learned
        parts = self._parts(best, names)
        for name, groups in learners.items():
            features = [np.concatenate([parts[g][n] for g in groups], 1) for n in range(len(self.images))]
            machine = RankingSvm(C=self.settings.C).fit(features, self.accuracy)
            learned.machines[name] = machine, groups
            log.info("%s: %d features, C=%g", name, features[0].shape[1], machine.chosen_C)
        if "classification" in self.settings.groups():
            learned.classification = self._classifier(range(len(self.images)), names)
        return learned

    def _parts(self, best: int, names: Sequence[str]) -> dict[str, list[np.ndarray]]:
        """Group -> features [M, D] of every image."""
        parts: dict[str, list[np.ndarray]] = {}
        for group in self.settings.groups():
            if group == "network":
                parts[group] = [image.network_EMD[best] for image in self.images]
            elif group == "proposal":
                parts[group] = [image.proposal_MD for image in self.images]
            else:
                parts[group] = self._cross_fitted(names)
        return parts

    def _cross_fitted(self, names: Sequence[str]) -> list[np.ndarray]:
        """Features by classifiers that did not see the image."""
        found: list[np.ndarray] = [np.zeros(0)] * len(self.images)
        for fold in sorted(set(self.fold)):
            others = [n for n, other in enumerate(self.fold) if other != fold]
            classifier = self._classifier(others or range(len(self.images)), names)
            for n in (n for n, other in enumerate(self.fold) if other == fold):
                found[n] = _agreement(classifier, self.images[n], self.image_F[n], names)
        return found

    def _classifier(self, rows: Sequence[int], names: Sequence[str]) -> Classification:
        features_NF = np.stack([self.image_F[n] for n in rows])
        shares_NK = after_background(np.stack([self.images[n].truth_K for n in rows]), names)
        every = names if has_background(names) else ["background", *names]
        return Classification().fit(features_NF, shares_NK, names=every)


def _agreement(classifier: Classification, image: Judged, image_F: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Features [M, S] of an image's proposals by what classifiers say of the image."""
    shares_MK = after_background(image.shares_MK, names)
    scores_S = classifier.scores(image_F[None])[0]
    return classification_features(scores_S, shares_MK, thresholds=classifier.thresholds).astype(np.float32)


def after_background(shares_NK: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Shares with the background first: an empty one goes before the others where class 0 is none.

    Args:
        shares_NK: share of each class.
        names: of the classes.

    Returns:
        [N, K] as they are, or [N, K + 1].
    """
    return shares_NK if has_background(names) else np.pad(shares_NK, ((0, 0), (1, 0)))


def epsilons_of(settings: RerankSettings) -> tuple[float, ...]:
    """What is tried: the epsilon that was set, several where it is chosen on training images."""
    if settings.epsilon is not None:
        return (float(settings.epsilon),)
    return EPSILONS if settings.needs_training_images else (DEFAULT_EPSILON,)
