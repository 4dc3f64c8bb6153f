"""Numbers of a set under every ranker: one confusion matrix each, mean accuracies, and one row an image.

Legend: M proposals, K classes; matrices label by prediction. IoU as in :mod:`seglab.metrics.pooled`, everything in
percent. Accuracy of an image: mean IoU over the classes that are in its mask or in the chosen map
(:mod:`seglab.rerank.accuracy`); the oracle takes the proposal with the highest.

One runnable line: ``python -m seglab.evaluate run=<run> eval=rerank eval.rerank.folds=0``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from seglab.metrics.pooled import intersection_over_union, pooled_metrics
from seglab.rerank.accuracy import accuracy_of, oracle
from seglab.rerank.images import Judged
from seglab.rerank.settings import OURS


class Outcome:
    """Adds up images one by one; plain arrays, so that processes can send it.

    Args:
        classes: names of the classes.
        rankers: names of the rankers, in the order of the numbers.
        found: what was chosen or learned on the way, plain types for the report.
    """

    def __init__(self, classes: Sequence[str], rankers: Sequence[str], *, found: Mapping[str, Any]) -> None:
        self.classes, self.rankers = list(classes), list(rankers)
        self.found: dict[str, Any] = dict(found)
        K = len(self.classes)
        self.names = [*OURS, *self.rankers]
        self.matrices = {name: np.zeros((K, K)) for name in self.names}
        self.oracle_MKK = np.zeros((0, K, K), np.int64)
        self.rows: list[dict[str, float]] = []
        self._oracle: list[np.ndarray] = []  # of each image, its accuracy with the first 1, 2, ... proposals
        self._digest = hashlib.sha256()

    def add(self, index: int, image: Judged, choices: Mapping[str, int]) -> None:
        """Count one image.

        Args:
            index: its position in the data set.
            image: what is known of it; with the label maps made of the output.
            choices: ranker -> position of the proposal it chose.
        """
        best = oracle(image.accuracy_M)
        choices = {"first": 0, "oracle": best, **choices}
        made = {"naive": image.upsampled["naive"][0], "superpixel": image.upsampled["superpixel"]}
        values = {name: float(accuracy_of(matrix[None])[0]) for name, matrix in made.items()}
        values["random"] = float(image.accuracy_M.mean())
        for name, matrix in made.items():
            self.matrices[name] += matrix
        self.matrices["random"] += image.counts_MKK.mean(0)
        for name, chosen in choices.items():
            self.matrices[name] += image.counts_MKK[chosen]
            values[name] = float(image.accuracy_M[chosen])
        self._add_oracles(image)
        places = {f"chosen_{name}": int(choices[name]) for name in ("oracle", *self.rankers)}
        percent = {f"accuracy_{name}": 100 * values[name] for name in self.names}
        self.rows.append({"index": int(index), "proposals": len(image.accuracy_M), **places, **percent})
        self._digest.update(image.digest)

    def _add_oracles(self, image: Judged) -> None:
        """The most accurate of the first 1, 2, ... proposals; where there are no more, the last one stays."""
        M, K = len(image.accuracy_M), len(self.classes)
        if (more := M - len(self.oracle_MKK)) > 0:
            last_KK = self.oracle_MKK[-1] if len(self.oracle_MKK) else np.zeros((K, K), np.int64)
            self.oracle_MKK = np.concatenate([self.oracle_MKK, np.repeat(last_KK[None], more, 0)])
        bests = [oracle(image.accuracy_M[: m + 1]) for m in range(M)]
        for m in range(len(self.oracle_MKK)):
            self.oracle_MKK[m] += image.counts_MKK[bests[min(m, M - 1)]]
        self._oracle.append(image.accuracy_M[bests])

    def finish(self) -> Outcome:
        """Say what was looked at; returns itself.

        Raises:
            ValueError: no image has a labelled pixel.
        """
        if not self.rows:
            raise ValueError(
                "no image was scored: expected a test set with at least one labelled pixel (data.test_sets)"
            )
        self.found |= {"images": len(self.rows), "proposals_sha256": self._digest.hexdigest()}
        del self._digest  # cannot be sent
        return self

    def metrics(self) -> dict[str, float]:
        """``miou_<name>``, ``<name>_accuracy`` and ``iou_<name>_<class>``, in percent.

        A class in no mask and no map has NaN and is left out of the mean, as in
        :meth:`seglab.metrics.semantic.SemanticMetrics.compute`. Those of ``random`` are of the expected counts of a
        proposal drawn for every image.
        """
        values = {f"miou_{n}": pooled_metrics(self.matrices[n], beta2=1.0)["miou"] for n in self.names}
        for name in self.names:
            values[f"{name}_accuracy"] = float(np.mean([row[f"accuracy_{name}"] for row in self.rows]))
        for name in self.names:
            iou_K = 100 * intersection_over_union(self.matrices[name])
            values |= {f"iou_{name}_{one}": float(iou) for one, iou in zip(self.classes, iou_K, strict=True)}
        return values

    def curves(self) -> dict[str, np.ndarray]:
        """The oracle with the first ``m`` proposals: ``m``, ``miou_oracle``, ``accuracy_oracle`` (mean over images)."""
        most = len(self.oracle_MKK)
        accuracy_NM = np.stack([np.pad(one, (0, most - len(one)), mode="edge") for one in self._oracle])
        return {
            "m": np.arange(1, most + 1),
            "miou_oracle": np.array([pooled_metrics(matrix, beta2=1.0)["miou"] for matrix in self.oracle_MKK]),
            "accuracy_oracle": 100 * accuracy_NM.mean(0),
        }
