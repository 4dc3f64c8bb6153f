"""A training in phases, each with settings of the loss that are fixed or rise by the epoch.

The regularized-loss paper anneals the width of its edge weights for 15 epochs with the sparse CRF weighted by 1, goes
on for 50 with a weight of 100 and may add 200 with negative images; the other weights stay what they are (sections 3.3
and 3.4, Eq. 8; EQUATIONS 3.6). As every schedule, this is a pure function of the epoch, so that a run resumes anywhere.

One runnable line: ``python -m seglab.train loss=regularized schedule=anneal data=shapes_single``.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import accumulate
from typing import Any

from seglab.schedule import Constant
from seglab.words import nearest

log = logging.getLogger(__name__)

KEYS = ("epochs", "set", "fresh_optimizer", "negatives")
FRESH = ("never", "start", "epoch")
ENDS = ("upper", "both")
CURVES = ("linear", "geometric")


@dataclass(frozen=True)
class Ramp:
    """A setting that moves from one value to another during a phase.

    Attributes:
        start: value it comes from.
        end: value of the last epoch.
        ends: ``upper``: the start itself is not reached, as Eq. 8 has it (0.0567 to 0.15 in 15 epochs); ``both``: the
            first epoch has it, as the released code (0.05 to 0.15).
        curve: ``linear``: equal steps (Eq. 8); ``geometric``: equal factors, for weights that grow a hundredfold; ours.
    """

    start: float
    end: float
    ends: str = "upper"
    curve: str = "linear"

    def at(self, epoch: int, epochs: int) -> float:
        """Value during ``epoch`` (0-based) of ``epochs``."""
        both = self.ends == "both"
        share = (epoch / (epochs - 1) if epochs > 1 else 1.0) if both else (epoch + 1) / epochs
        if self.curve == "geometric":
            return self.start * (self.end / self.start) ** share
        return self.start + (self.end - self.start) * share


@dataclass(frozen=True)
class Phase:
    """One phase.

    Attributes:
        name: as in the config.
        epochs: passes over the training images.
        set: settings of the loss, each a number or a :class:`Ramp`.
        fresh_optimizer: a new optimiser ``never``, at the ``start`` of the phase or at every ``epoch`` of it.
        negatives: whether its batches hold negative images.
    """

    name: str
    epochs: int
    set: Mapping[str, float | Ramp] = field(default_factory=dict)
    fresh_optimizer: str = "never"
    negatives: bool = False


class Phases(Constant):
    """Phases one after the other, at a fixed learning rate.

    Args:
        epochs: None = the sum of the phases; a number stretches or shortens them all in proportion, every phase that
            has epochs keeping at least one where the number allows it.
        phases: name -> ``{epochs, set, fresh_optimizer, negatives}``; ``set`` gives settings of the loss a number or
            ``{from, to, ends, curve}``, see :class:`Ramp`.
        snapshot_epochs: epochs, counted from 1, after which the weights are kept; those beyond the training are not,
            with a warning.

    Raises:
        ValueError: a value is outside its range; the message names ``schedule.<key>``.
    """

    def __init__(
        self,
        epochs: int | None = None,
        *,
        phases: Mapping[str, Mapping[str, Any]],
        snapshot_epochs: Sequence[int] = (),
    ) -> None:
        if not isinstance(phases, Mapping):
            raise ValueError(f"schedule.phases={phases}: expected phases by their names, each with its epochs")
        if not phases:
            raise ValueError("schedule.phases is empty: expected one phase or more")
        read = [_phase(str(name), node) for name, node in phases.items()]
        lengths = [phase.epochs for phase in read]
        if epochs is not None:
            Constant(epochs)  # refuses what is no number of epochs
            lengths = stretched(lengths, epochs)
        super().__init__(sum(lengths))
        self.phases, self.lengths = read, lengths
        self.first = [end - length for end, length in zip(accumulate(lengths), lengths, strict=True)]
        listed = isinstance(snapshot_epochs, Sequence) and not isinstance(snapshot_epochs, str)
        if not listed or not all(_whole(epoch) and epoch >= 1 for epoch in snapshot_epochs):
            given = list(snapshot_epochs) if listed else snapshot_epochs
            raise ValueError(
                f"schedule.snapshot_epochs={given}: expected a list of epochs counted from 1, e.g. [1,5,15]"
            )
        self.snapshot_epochs = tuple(snapshot_epochs)

    def where(self, epoch: int) -> tuple[int, Phase]:
        """Number of the phase that ``epoch`` belongs to, and the phase."""
        for number, (first, length) in enumerate(zip(self.first, self.lengths, strict=True)):
            if first <= epoch < first + length:
                return number, self.phases[number]
        raise AssertionError(f"epoch {epoch} of {self.epochs}")

    def settings(self, epoch: int) -> dict[str, float]:
        """What the loss is set to during ``epoch``."""
        number, phase = self.where(epoch)
        inside, length = epoch - self.first[number], self.lengths[number]
        return {
            name: value.at(inside, length) if isinstance(value, Ramp) else float(value)
            for name, value in phase.set.items()
        }

    def fresh(self, epoch: int) -> bool:
        """Whether ``epoch`` starts with a new optimiser."""
        number, phase = self.where(epoch)
        return phase.fresh_optimizer == "epoch" or (phase.fresh_optimizer == "start" and epoch == self.first[number])

    def negatives(self, epoch: int) -> bool | None:
        """Whether the batches of ``epoch`` hold negative images."""
        return self.where(epoch)[1].negatives

    def snapshots(self, steps: Sequence[int]) -> frozenset[int]:
        """The last steps of the epochs asked for; those beyond the training are left out, as where it was shortened."""
        ends = list(accumulate(steps))
        if beyond := [epoch for epoch in self.snapshot_epochs if epoch > len(ends)]:
            log.warning("schedule.snapshot_epochs: the training has %d epochs, there is no %s", len(ends), beyond)
        return frozenset(ends[epoch - 1] for epoch in self.snapshot_epochs if epoch <= len(ends))


def stretched(lengths: Sequence[int], total: int) -> list[int]:
    """Numbers of epochs in the same proportion that add up to ``total``.

    Every length above 0 keeps at least 1 where ``total`` allows it; later phases come first where it does not.

    Raises:
        ValueError: every length is 0, and ``total`` is not.
    """
    whole = sum(lengths)
    if not whole and total:
        raise ValueError(
            f"schedule.epochs={total}: all phases have 0 epochs, which cannot be stretched: expected "
            "schedule.phases.<name>.epochs above 0, or schedule.epochs=null"
        )
    if not whole:
        return list(lengths)
    found = [0] * len(lengths)
    for i in [i for i in reversed(range(len(lengths))) if lengths[i]][:total]:
        found[i] = 1
    # What all of them have for certain, so that a long training is not dealt out one by one.
    found = [max(now, total * n // whole - len(lengths)) for n, now in zip(lengths, found, strict=True)]
    while sum(found) < total:  # the one farthest below its share gets the next epoch
        lacking = [total * length - now * whole for length, now in zip(lengths, found, strict=True)]
        found[max((i for i in range(len(found)) if lengths[i]), key=lacking.__getitem__)] += 1
    return found


def canonical(schedule: Mapping[str, Any]) -> dict[str, Any]:
    """A config of :class:`Phases` in the one form that all configs of the same training have.

    Phases are numbered in their order instead of named and have the epochs they last; those of 0 epochs are left out,
    as is what says nothing: ``epochs``, and a new optimiser at the very start of the training.

    Args:
        schedule: plain types, as in the config.

    Raises:
        ValueError: as :class:`Phases`.
    """
    made = Phases(
        schedule.get("epochs"), phases=schedule["phases"], snapshot_epochs=schedule.get("snapshot_epochs", ())
    )
    phases: dict[str, Any] = {}
    for phase, epochs in zip(made.phases, made.lengths, strict=True):
        if epochs:
            fresh = "never" if phase.fresh_optimizer == "start" and not phases else phase.fresh_optimizer
            settings = {name: asdict(v) if isinstance(v, Ramp) else v for name, v in phase.set.items()}
            own = {"epochs": epochs, "set": settings, "fresh_optimizer": fresh, "negatives": phase.negatives}
            phases[str(len(phases) + 1)] = own
    kept = {key: value for key, value in schedule.items() if key not in ("epochs", "phases")}
    return {**kept, "phases": phases, "snapshot_epochs": list(made.snapshot_epochs)}


def _phase(name: str, node: Mapping[str, Any]) -> Phase:
    where = f"schedule.phases.{name}"
    if not isinstance(node, Mapping):
        raise ValueError(f"{where}={node}: expected keys, e.g. epochs")
    for key in node:
        if key not in KEYS:
            raise ValueError(f"{where}: unknown key '{key}'{nearest(str(key), list(KEYS))}")
    epochs, fresh, negatives = node.get("epochs"), node.get("fresh_optimizer", "never"), node.get("negatives", False)
    if not _whole(epochs) or epochs < 0:
        raise ValueError(f"{where}.epochs={epochs}: expected a whole number, 0 or more")
    if fresh not in FRESH:
        raise ValueError(f"{where}.fresh_optimizer={fresh}: expected {', '.join(FRESH)}")
    if not isinstance(negatives, bool):
        raise ValueError(f"{where}.negatives={negatives}: expected true or false")
    settings = node.get("set") or {}
    if not isinstance(settings, Mapping):
        raise ValueError(f"{where}.set={settings}: expected settings of the loss, e.g. {{sigma: 0.15}}")
    return Phase(name, epochs, {str(k): _value(v, f"{where}.set.{k}") for k, v in settings.items()}, fresh, negatives)


def _value(value: Any, where: str) -> float | Ramp:
    if isinstance(value, Mapping):
        ends, curve = value.get("ends", "upper"), value.get("curve", "linear")
        if set(value) - {"ends", "curve"} != {"from", "to"} or not all(_number(value[k]) for k in ("from", "to")):
            raise ValueError(f"{where}={dict(value)}: expected a number, or from and to, two numbers")
        for key, given, offered in (("ends", ends, ENDS), ("curve", curve, CURVES)):
            if given not in offered:
                raise ValueError(f"{where}.{key}={given}: expected {' or '.join(offered)}")
        if curve == "geometric" and not (value["from"] > 0 and value["to"] > 0):
            raise ValueError(f"{where}={dict(value)}: expected numbers above 0 for curve=geometric")
        return Ramp(float(value["from"]), float(value["to"]), ends, curve)
    if not _number(value):
        raise ValueError(f"{where}={value}: expected a number, or {{from: 0.05, to: 0.15, ends: upper}}")
    return float(value)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
