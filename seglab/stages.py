"""What a schedule, a loss, the training images and the negative ones have to agree on, and the batches that follow.

One runnable line: ``python -m seglab.train loss=regularized schedule=anneal data=shapes_single``.
"""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf
from torch import nn

from seglab import distributed, hooks
from seglab.data.augment import DeepLabAugment
from seglab.data.loader import EpochBatches
from seglab.phases import Phases
from seglab.targets import instantiate
from seglab.words import nearest

log = logging.getLogger(__name__)


class Stages:
    """The epochs of a training: what the loss is set to, which images make the batches, when weights are kept.

    Args:
        cfg: finalised config of ``seglab.train`` that :func:`check_stages` has nothing against.
        schedule: see :mod:`seglab.schedule`.
        loss: may be ``schedulable`` and have a use for negatives (``wants_negatives``).
        images: number of training images.
        negatives: number of negative images, 0 where there are none.

    Raises:
        ValueError: ``batch_size`` does not fit.
    """

    def __init__(self, cfg: DictConfig, *, schedule: Any, loss: nn.Module, images: int, negatives: int = 0) -> None:
        self.schedule, self.loss = schedule, loss
        self.mixed = [epoch.mixed for epoch in epochs_of(schedule, loss)]
        self._batches = {m: _batches(cfg, images=images, negatives=negatives, mixed=m) for m in sorted(set(self.mixed))}
        self._steps = [self.batches(epoch).steps for epoch in range(schedule.epochs)]
        self.kept = schedule.snapshots(self._steps)
        hooks.tell_epochs(loss, schedule.epochs)

    def batches(self, epoch: int) -> EpochBatches:
        """The batches of an epoch."""
        return self._batches[self.mixed[epoch]]

    def set(self, epoch: int) -> None:
        """Bring the loss to the settings of an epoch, and tell it which one begins, where it asks for either."""
        _set(self.loss, self.schedule.settings(epoch))
        hooks.start_epoch(self.loss, epoch)

    def number(self, epoch: int, step: int) -> int:
        """The number of an optimiser step over the whole training, both arguments counted from 0."""
        return sum(self._steps[:epoch]) + step


class Epoch(NamedTuple):
    """What one epoch is for the loss.

    Attributes:
        mixed: its batches hold negative images.
        wanted: the loss gives negative images a weight.
        sums: the loss grows with the number of images in a batch.
    """

    mixed: bool
    wanted: bool
    sums: bool


def epochs_of(schedule: Any, loss: nn.Module) -> list[Epoch]:
    """What every epoch is for the loss, which is left as it is configured."""
    found = []
    for epoch in range(schedule.epochs):
        _set(loss, schedule.settings(epoch))
        wanted, asked = bool(getattr(loss, "wants_negatives", False)), schedule.negatives(epoch)
        found.append(Epoch(wanted if asked is None else asked, wanted, bool(getattr(loss, "sums_over_batch", False))))
    _set(loss, {})
    return found


def check_stages(cfg: DictConfig, *, schedule: Any, loss: nn.Module) -> None:
    """Refuse what does not fit together, as far as the config tells: before any data are read.

    Args:
        cfg: finalised config of ``seglab.train``.
        schedule: see :mod:`seglab.schedule`.
        loss: as for :class:`Stages`.

    Raises:
        ValueError: the schedule sets what the loss does not have, or to a value that it does not take; negative images
            are missing or of no use; masks are changed that are not read; pixels are moved that are remembered; or a
            batch cannot be worked off in pieces.
    """
    _check_masks(cfg, loss)
    hooks.check_pixels_stay(cfg, loss)
    _check_settings(cfg, schedule, loss)
    epochs = epochs_of(schedule, loss)
    _check_negatives(cfg, schedule, loss, epochs)
    if cfg.accumulate > 1 and any(epoch.sums for epoch in epochs):
        raise ValueError(
            f"accumulate={cfg.accumulate}: loss={choice(cfg)} adds up over the images of a batch, of which a piece has "
            f"1/{cfg.accumulate}: expected accumulate=1, or loss.small_reduction=mean"
        )
    for mixed in sorted({epoch.mixed for epoch in epochs}):
        # What does not depend on how many images there are.
        _batches(cfg, images=cfg.batch_size, negatives=1, mixed=mixed)


def _batches(cfg: DictConfig, *, images: int, negatives: int, mixed: bool) -> EpochBatches:
    return EpochBatches(
        images,
        batch_size=cfg.batch_size,
        seed=cfg.seed,
        rank=distributed.rank(),
        world=distributed.world(),
        accumulate=cfg.accumulate,
        negatives=negatives,
        share=cfg.negatives.share if mixed else 0.0,
    )


def _set(loss: nn.Module, settings: dict[str, float]) -> None:
    if hasattr(loss, "set"):
        loss.set(**settings)


def _check_masks(cfg: DictConfig, loss: nn.Module) -> None:
    """Refuse to change or to fill masks for a loss that reads none."""
    if getattr(loss, "reads_masks", True):
        return
    if rate := OmegaConf.select(cfg, "noise.rate", default=0):
        raise ValueError(
            f"noise.rate={rate}: loss={choice(cfg)} reads no masks, so that changing them does nothing: expected "
            "noise.rate=0"
        )
    augment = instantiate(cfg.augment) if cfg.get("augment") else None
    if isinstance(augment, DeepLabAugment) and augment.scale[0] < 1:
        raise ValueError(
            f"augment.scale={list(augment.scale)}: shrunken images are filled up, which only their masks tell, and "
            f"loss={choice(cfg)} reads no masks: expected augment=flip, or factors of 1 and above"
        )


def _check_settings(cfg: DictConfig, schedule: Any, loss: nn.Module) -> None:
    """Set the loss to every epoch's settings once, and back."""
    offered, always = getattr(loss, "schedulable", ()), None
    for epoch in range(schedule.epochs):
        settings, phase = schedule.settings(epoch), _phase(schedule, epoch)
        for name, value in settings.items():
            key = _key(cfg, name)
            if name not in offered:
                guess = nearest(name, list(offered)) if offered else "; it has none: use schedule=constant"
                raise ValueError(f"{phase}.set.{name}: no such setting of loss={choice(cfg)}{guess}")
            if value > 0 and OmegaConf.select(cfg, key) == 0:
                raise ValueError(
                    f"{key}=0, but {phase}.set.{name} sets it to {value:g}: expected {key} above 0, or "
                    f"~{phase}.set.{name}, which leaves it at 0"
                )
        try:
            _set(loss, settings)
        except ValueError as error:
            wrong = [f".{name}" for name, value in settings.items() if not _takes(loss, name, value)]
            raise ValueError(f"{phase}.set{''.join(wrong[:1])}, epoch {epoch + 1}: {error}") from error
        always = set(settings) if always is None else always & set(settings)
    _set(loss, {})
    for name in sorted(always or ()):
        key = _key(cfg, name)
        log.info("%s=%s holds in no epoch: every phase of the schedule sets it", key, OmegaConf.select(cfg, key))


def _takes(loss: nn.Module, name: str, value: float) -> bool:
    try:
        _set(loss, {name: value})
    except ValueError:
        return False
    return True


def _key(cfg: DictConfig, name: str) -> str:
    """Where a setting of the loss is configured: a weight, or a key of its own."""
    return f"loss.weights.{name}" if name in (cfg.loss.get("weights") or {}) else f"loss.{name}"


def _phase(schedule: Any, epoch: int) -> str:
    """What a message calls the phase of an epoch."""
    return f"schedule.phases.{schedule.where(epoch)[1].name}" if isinstance(schedule, Phases) else "schedule"


def _check_negatives(cfg: DictConfig, schedule: Any, loss: nn.Module, epochs: list[Epoch]) -> None:
    wanted = any(epoch.wanted for epoch in epochs) if epochs else getattr(loss, "wants_negatives", False)
    used, given = any(epoch.mixed for epoch in epochs), bool(cfg.get("negatives"))
    for number, epoch in enumerate(epochs):
        if epoch.mixed and not epoch.wanted:
            raise ValueError(
                f"{_phase(schedule, number)}.negatives=true: loss={choice(cfg)} gives negative images no weight there: "
                "expected loss=regularized_negative (loss.weights.negative above 0), or schedule=normal"
            )
    if used and not given:
        raise ValueError(
            f"negatives=none: loss={choice(cfg)} needs negative images: expected negatives=own (the data's other "
            "classes) or negatives=other negatives.data=<a data set without the object>"
        )
    if wanted and not used and epochs:
        raise ValueError(
            f"loss={choice(cfg)}: no phase of this schedule uses negative images: expected "
            "schedule.phases.negative.epochs=200, schedule=negative, or loss=regularized with negatives=none"
        )
    if given and not wanted:
        raise ValueError(
            f"negatives: loss={choice(cfg)} makes no use of negative images: expected negatives=none, or "
            "loss=regularized_negative with schedule=negative"
        )


def choice(cfg: DictConfig) -> str:
    """The file of ``conf/loss`` a config was composed with: the last part of its name."""
    return str(cfg.name).rsplit("-", 1)[-1]
