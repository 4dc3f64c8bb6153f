"""What a schedule, a loss and the negative images have to agree on, and the batches of each epoch that follow.

One runnable line: ``python -m seglab.train loss=regularized schedule=anneal data=shapes_single``.
"""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig
from torch import nn

from seglab import distributed
from seglab.data.loader import EpochBatches


class Stages:
    """The epochs of a training: what the loss is set to, which images make the batches, when weights are kept.

    Args:
        cfg: finalised config of ``seglab.train``.
        schedule: see :mod:`seglab.schedule`.
        loss: may be ``schedulable`` and have a use for negatives (``wants_negatives``).
        images: number of training images.
        negatives: number of negative images, 0 where there are none.

    Raises:
        ValueError: the schedule sets what the loss does not have, or negatives are missing or of no use; or
            ``batch_size`` does not fit.
    """

    def __init__(self, cfg: DictConfig, *, schedule: Any, loss: nn.Module, images: int, negatives: int = 0) -> None:
        self.schedule, self.loss = schedule, loss
        self.mixed = [bool(negatives) and self._negatives(epoch) for epoch in range(schedule.epochs)]
        self._check(cfg, negatives)
        self._batches = {
            with_negatives: EpochBatches(
                images,
                batch_size=cfg.batch_size,
                seed=cfg.seed,
                rank=distributed.rank(),
                world=distributed.world(),
                accumulate=cfg.accumulate,
                negatives=negatives,
                share=cfg.negatives.share if with_negatives else 0.0,
            )
            for with_negatives in sorted({False, *self.mixed})
        }
        self._steps = [self.batches(epoch).steps for epoch in range(schedule.epochs)]
        self.kept = schedule.snapshots(self._steps)

    def batches(self, epoch: int) -> EpochBatches:
        """The batches of an epoch."""
        return self._batches[self.mixed[epoch]]

    def set(self, epoch: int) -> None:
        """Bring the loss to the settings of an epoch; a loss that nothing is scheduled for is left alone."""
        if hasattr(self.loss, "set"):
            self.loss.set(**self.schedule.settings(epoch))

    def number(self, epoch: int, step: int) -> int:
        """The number of an optimiser step over the whole training, both arguments counted from 0."""
        return sum(self._steps[:epoch]) + step

    def _negatives(self, epoch: int) -> bool:
        asked = self.schedule.negatives(epoch)
        return getattr(self.loss, "wants_negatives", False) if asked is None else asked

    def _check(self, cfg: DictConfig, negatives: int) -> None:
        offered = getattr(self.loss, "schedulable", ())
        epochs = range(self.schedule.epochs)
        for name in sorted({name for epoch in epochs for name in self.schedule.settings(epoch)}):
            if name not in offered:
                has = f"this loss has {', '.join(offered)}" if offered else "this loss has none; use schedule=constant"
                raise ValueError(f"schedule.phases: set.{name}: no such setting of loss={choice(cfg)}; {has}")
        wanted = getattr(self.loss, "wants_negatives", False)
        used = any(self._negatives(epoch) for epoch in epochs)
        if negatives and not wanted:
            raise ValueError(
                f"negatives: loss={choice(cfg)} makes no use of negative images: expected negatives=none, or "
                "loss=regularized_negative (loss.weights.negative above 0)"
            )
        if used and not negatives:
            raise ValueError(
                f"negatives=none: loss={choice(cfg)} needs negative images: expected negatives=own (the data's other "
                "classes) or negatives=other negatives.data=<a data set without the object>"
            )
        if wanted and not used and len(epochs):
            raise ValueError(
                f"loss={choice(cfg)}: no phase of this schedule uses negative images: expected "
                "schedule.phases.negative.epochs=200, schedule=negative, or loss=regularized"
            )
        if used and not wanted:
            raise ValueError(
                f"schedule.phases: a phase has negatives, and loss={choice(cfg)} gives them no weight: expected "
                "loss=regularized_negative (loss.weights.negative above 0)"
            )


def choice(cfg: DictConfig) -> str:
    """The file of ``conf/loss`` a config was composed with: the last part of its name."""
    return str(cfg.name).rsplit("-", 1)[-1]
