"""What makes two runs the same experiment: a hash over the settings that change the trained weights.

One runnable line: ``python -c "from seglab.config import compose; from seglab.identity import identity;
print(identity(compose('train')))"``.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from seglab.phases import canonical

SCHEMA = 1
"""Raised when code changes what a config means, so that old and new runs never share a folder."""

NOT_IDENTITY = frozenset({"hydra", "runtime", "eval", "proposals", "tracker", "launch", "name", "count", "typed"})
"""Top-level keys that do not change the trained weights."""

OPTIONAL = ("augment", "negatives")
"""Groups whose option ``none`` is empty: a run without them is the one it was before there were such groups."""

PHASES = "seglab.phases.Phases"
"""The schedule whose keys have an order."""

ARITHMETIC = ("precision", "sync_batchnorm")
"""Keys of ``runtime`` that do."""


def identity(cfg: DictConfig) -> str:
    """SHA-256 (hex) of everything in a config that changes the trained weights.

    Interpolations are resolved with the values of ``runtime`` masked, so the folder of the data on one machine does
    not matter, while a value spelled directly and one reached by interpolation count as equal. Prose (``about``) and
    ``test_sets`` are left out at every level; ``0`` and ``0.0`` are one number; of ``init.run`` the name counts, not
    the place. Of ``runtime`` only what changes the arithmetic is in. Phases of a schedule count by their order and the
    epochs they last, not by their names.
    """
    content = resolved(cfg)
    content |= {f"runtime.{key}": cfg.runtime[key] for key in ARITHMETIC if key in cfg.runtime}
    if content.get("init", {}).get("run"):
        content["init"]["run"] = Path(content["init"]["run"]).name
    text = json.dumps({"schema": SCHEMA, "config": _canonical(content)}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def resolved(cfg: DictConfig) -> dict[str, Any]:
    """The settings that count, as plain types, without anything that differs between machines."""
    masked = OmegaConf.create(OmegaConf.to_container(cfg, resolve=False))
    if "runtime" in masked:
        for key in masked.runtime:
            masked.runtime[key] = f"<runtime.{key}>"
    for key in NOT_IDENTITY - {"runtime", "eval", "proposals"}:  # the model asks the task how many channels it needs
        masked.pop(key, None)
    content = OmegaConf.to_container(masked, resolve=True)
    unused = [key for key in OPTIONAL if not content.get(key)]
    if not has_fold(content):
        unused.append("fold")
    if "schedule" in content:
        content["schedule"] = _in_order(content["schedule"])
    return _canonical({key: value for key, value in content.items() if key not in (*NOT_IDENTITY, *unused)})


def has_fold(cfg: Any) -> bool:
    """Whether a run leaves out a fold of its training images (``fold.of``), as configs before there were folds do not.

    Args:
        cfg: config or plain dict.
    """
    return bool((cfg.get("fold") or {}).get("of"))


def _in_order(schedule: Any) -> Any:
    """A schedule in phases by the order and the epochs these have, which its keys do not tell."""
    if not isinstance(schedule, dict) or schedule.get("_target_") != PHASES:
        return schedule
    try:
        return canonical(schedule)
    except (KeyError, ValueError):  # whoever builds the schedule says what is wrong with it
        return schedule


def _canonical(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _canonical(v) for k, v in value.items() if k not in ("about", "test_sets")}
    if isinstance(value, list):
        return [_canonical(v) for v in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
