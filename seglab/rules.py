"""Values of a config that belong to no constructor: what they may be.

One runnable line: ``python -c "from seglab.rules import RULES; print(RULES['noise.rate'][1])"``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from omegaconf import DictConfig, OmegaConf

ABSENT = object()


def check_values(cfg: DictConfig) -> None:
    """Check the values that belong to no constructor.

    Raises:
        ValueError: naming the key, its value and what is expected.
    """
    for key, (fits, expected) in RULES.items():
        value = OmegaConf.select(cfg, key, default=ABSENT)
        never = key in NEVER_NULL or (key == "schedule.epochs" and OmegaConf.select(cfg, "schedule.phases") is None)
        if value is not ABSENT and (value is not None or never) and not fits(value):
            raise ValueError(f"{key}={value}: expected {expected}")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _whole(low: int) -> tuple[Callable[[Any], bool], str]:
    return lambda v: _is_whole(v) and v >= low, f"a whole number, {low} or more"


def _number(fits: Callable[[float], bool], expected: str) -> tuple[Callable[[Any], bool], str]:
    return lambda v: isinstance(v, int | float) and not isinstance(v, bool) and fits(v), expected


def _text() -> tuple[Callable[[Any], bool], str]:
    return lambda v: isinstance(v, str) and "\0" not in v, "text"


def _texts() -> tuple[Callable[[Any], bool], str]:
    return lambda v: OmegaConf.is_list(v) and all(isinstance(one, str) for one in v), "a list of overrides of data"


def _one_of(*offered: str | bool) -> tuple[Callable[[Any], bool], str]:
    return lambda v: v in offered, f"one of {', '.join(map(str, offered))}"


NEVER_NULL = (
    *("seed", "batch_size", "accumulate", "val", "fold.of", "fold.number", "folds", "noise.rate"),
    *("data.size", "runtime.outputs"),
)
"""Keys for which null says nothing."""
RULES = {
    "seed": _whole(0),
    "batch_size": _whole(1),
    "accumulate": _whole(1),
    "fold.of": (lambda v: v == 0 or (_is_whole(v) and v >= 2), "0 (all training images), or 2 folds or more"),
    "fold.number": _whole(0),
    "folds": _whole(2),
    "val": _number(lambda v: 0 <= v < 1, "a share of the training images, 0 <= val < 1"),
    "schedule.epochs": _whole(0),
    "schedule.power": _number(lambda v: v > 0, "a number above 0"),
    "negatives.share": _number(lambda v: 0 < v < 1, "a share of every batch, 0 < share < 1"),
    "negatives.overrides": _texts(),
    "augment.p": _number(lambda v: 0 <= v <= 1, "a probability, 0..1"),
    "augment.flip": _number(lambda v: 0 <= v <= 1, "a probability, 0..1"),
    "augment.blur": _number(lambda v: 0 <= v <= 1, "a probability, 0..1"),
    "noise.rate": _number(lambda v: 0 <= v <= 1, "a share of the training masks (ambiguous: pixels), 0 <= rate <= 1"),
    "count": _whole(1),
    "render": _one_of(True, False),
    "json": _one_of(True, False),
    "status": _one_of(True, False),
    "data.size": _whole(1),
    "model.channels": _whole(2),
    "optim.lr": _number(lambda v: v > 0, "a number above 0"),
    "eval.resolution": _one_of("network", "original"),
    "eval.batch_size": _whole(1),
    "eval.every": _whole(1),
    "eval.samples": _whole(0),
    "runtime.data_root": _text(),
    "runtime.outputs": _text(),
    "runtime.precision": _one_of("fp32", "bf16", "fp16"),
    "runtime.sync_batchnorm": _one_of(True, False),
    "runtime.audit": _one_of(True, False),
    "runtime.allow_drift": _one_of(True, False),
    "runtime.workers": _whole(0),
    "runtime.threads": _whole(1),
    "runtime.save_minutes": _number(lambda v: v >= 0, "a number of minutes, 0 or more"),
}
