"""Re-ranking over a training: the choice by the distance of Eq. 17 at every snapshot (Cogswell et al. 2014, figure 6).

Nothing is learned, so that no fold networks are needed; the proposals are looked at once, for all snapshots.

Legend: T snapshots, N images, K classes, G cells.
One runnable line: ``python -m seglab.evaluate run=<run of schedule=snapshots> eval=rerank_curve``.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from omegaconf import DictConfig

from seglab import checkpoint, distributed
from seglab.metrics.pooled import pooled_metrics
from seglab.models.init import fit_state
from seglab.rerank.coarse_outputs import own_outputs
from seglab.rerank.images import judge_all
from seglab.rerank.measure import items_of, look_for, stores_of
from seglab.rerank.metrics import Rerank
from seglab.run import Run
from seglab.snapshots import check_schedule, snapshots_of

if TYPE_CHECKING:
    from seglab.data.arrays import ArrayDataset
    from seglab.evaluator import Evaluator


class RerankCurve(Rerank):
    """``miou_kl`` and ``miou_naive`` at every snapshot; the metrics are those of the last one."""

    def check_training(self, cfg: DictConfig) -> None:
        """Refuse a training that keeps too few snapshots, before it starts.

        Raises:
            ValueError: saying which schedule keeps them; or what makes proposals is wrong.
        """
        from seglab.proposals.make import check_proposals

        if list(cfg.eval.sets):
            check_schedule(cfg, what="eval=rerank_curve")
            check_proposals(cfg)

    def settings_of(self, cfg: DictConfig, run: Run | None) -> dict[str, Any]:
        """What the numbers depend on besides the run."""
        return super().settings_of(cfg, None)

    def measure(self, evaluator: Evaluator, run: Run, dataset: ArrayDataset, name: str) -> None:
        """Re-rank a test set at every snapshot; every process must call it. The network is left as it was.

        Raises:
            ValueError: too few snapshots, or proposals that are missing or do not fit.
        """
        from seglab.data.build import data_of

        settings, cfg = self.rerank, evaluator.cfg
        found = snapshots_of(run, what="eval=rerank_curve")
        store = stores_of(cfg, cfg, name, training=False)["test"]
        probs_TNKGG = outputs_at(found, evaluator, run, dataset, name=name, grid=settings.grid)
        outcome = None
        if distributed.is_main():
            items = items_of(data_of(cfg, name), dataset, "test")
            look = look_for(cfg, replace(settings, folds=0), store=store, shared=False)
            outcome = CurveOutcome(np.array([step for step, _ in found]), len(self.classes), epsilon=look.epsilons[0])
            for place, image in judge_all(look, items, lambda n: probs_TNKGG[:, n], workers=cfg.runtime.workers):
                if image is not None:
                    outcome.add(place, image)
            outcome.finish()
        self.outcome = distributed.broadcast(outcome)


class CurveOutcome:
    """Adds up images, one matrix a snapshot.

    Args:
        steps: optimiser steps of the snapshots, int64 [T].
        classes: K.
        epsilon: of the distance, for the report.
    """

    def __init__(self, steps: np.ndarray, classes: int, *, epsilon: float) -> None:
        self.steps, self.rows = steps, []
        self.found: dict[str, Any] = {"epsilon": epsilon}
        self.matrices = {name: np.zeros((len(steps), classes, classes), np.int64) for name in ("kl", "naive")}

    def add(self, index: int, image: Any) -> None:
        """Count one image, a :class:`seglab.rerank.images.Judged` of all snapshots' outputs."""
        chosen_T = image.distance_TEM[:, 0].argmin(1)
        self.matrices["kl"] += image.counts_MKK[chosen_T]
        self.matrices["naive"] += image.upsampled["naive"]
        last = int(chosen_T[-1])
        self.rows.append({"index": int(index), "chosen_kl": last, "accuracy_kl": 100 * float(image.accuracy_M[last])})

    def finish(self) -> None:
        """Say how many images were looked at.

        Raises:
            ValueError: no image has a labelled pixel.
        """
        if not self.rows:
            raise ValueError(
                "no image was scored: expected a test set with at least one labelled pixel (data.test_sets)"
            )
        self.found["images"] = len(self.rows)

    def curves(self) -> dict[str, np.ndarray]:
        """``step``, ``miou_kl``, ``miou_naive`` in percent, [T] each."""
        of = {name: [pooled_metrics(m, beta2=1.0)["miou"] for m in self.matrices[name]] for name in self.matrices}
        return {"step": self.steps, **{f"miou_{name}": np.array(values) for name, values in of.items()}}

    def metrics(self) -> dict[str, float]:
        """``miou_kl`` and ``miou_naive`` of the last snapshot, in percent."""
        return {name: float(values[-1]) for name, values in self.curves().items() if name != "step"}


def outputs_at(
    found: list[tuple[int, Path]], evaluator: Evaluator, run: Run, dataset: ArrayDataset, *, name: str, grid: int
) -> np.ndarray:
    """Outputs of every snapshot, float32 [T, N, K, G, G]; every process must call it. The network is left as it was."""
    model = evaluator.model
    kept = {key: value.detach().clone() for key, value in model.state_dict().items()}
    outputs = []
    try:
        for number, (_, path) in enumerate(found, start=1):
            fit_state(model, checkpoint.load_weights(path), source=str(path))
            desc = f"{name}, snapshot {number}/{len(found)}"
            outputs.append(own_outputs(evaluator, run, dataset, name=name, grid=grid, weights=path, desc=desc))
    finally:
        model.load_state_dict(kept)
    return np.stack(outputs)
