"""Score a finished run again: ``python -m seglab.evaluate run=<folder or id> [data=ecssd] [eval.resolution=original]``.

Without ``data`` the run's own test sets are scored. The read-out stays the one chosen at training time on held-out
images. The last line on stdout is the run folder.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from seglab import distributed
from seglab.cli import run_command
from seglab.config import compose
from seglab.run import Run

if TYPE_CHECKING:
    import torch

    from seglab.evaluator import Evaluator

log = logging.getLogger(__name__)


def evaluate(cfg: DictConfig) -> Path:
    """Score a run.

    Args:
        cfg: finalised config of ``conf/evaluate.yaml``; ``cfg.run`` names the run.

    Returns:
        The run folder; the numbers are in its ``eval/``.

    Raises:
        ValueError: no such run, not trained yet, or data missing.
    """
    from seglab.train import setup_torch

    run = Run.find(cfg.run, cfg.runtime.outputs)
    trained = run.config()
    whole = merged(trained, cfg)
    with distributed.process_group(device := setup_torch(whole)):
        trained_evaluator(run, whole, device).run(run)
    return run.path


def trained_evaluator(run: Run, cfg: DictConfig, device: torch.device) -> Evaluator:
    """A finished run's network with its read-out, ready to score.

    Args:
        run: the run folder.
        cfg: its config, perhaps with other data or another protocol.
        device: where to compute.

    Raises:
        ValueError: the run has no trained weights.
    """
    from seglab import checkpoint
    from seglab.evaluator import Evaluator
    from seglab.models.init import load_run_weights
    from seglab.train import build_model

    weights = checkpoint.load_weights(run.path / "model.safetensors")
    model = build_model(cfg, device)
    load_run_weights(model, weights)
    evaluator = Evaluator(cfg, model, device)
    evaluator.post.load(run.read_json("post.json"))
    return evaluator


def merged(trained: DictConfig, cfg: DictConfig) -> DictConfig:
    """The run's config with what was typed now: the run's own settings hold unless others were given."""
    default = raw(compose("evaluate", ["run=none", f"data={choice(cfg)}"]))
    typed, base = raw(cfg), raw(trained)
    if choice(cfg) != choice(trained):
        base["data"] = default["data"]
        base["eval"]["sets"] = default["eval"]["sets"]
    if cfg.eval.task != trained.eval.task:
        base["eval"] = default["eval"]
    for part in ("data", "eval"):
        base[part] = keep_typed(default[part], typed=typed[part], base=base[part])
    base["runtime"] = typed["runtime"]
    base["init"] = dict.fromkeys(base["init"])  # the weights come from the run, nothing is downloaded
    return OmegaConf.create(base)


def raw(cfg: DictConfig) -> dict[str, Any]:
    """A config as plain types, its interpolations as they are written."""
    return OmegaConf.to_container(cfg, resolve=False)


def choice(cfg: DictConfig) -> str:
    """The YAML file of ``conf/data`` a config was composed with: the first part of its name."""
    return cfg.name.split("-")[0]


def keep_typed(default: Any, *, typed: Any, base: Any) -> Any:
    """Three-way merge of plain values: ``typed`` where it differs from ``default``, else ``base``.

    Args:
        default: what the YAML files say.
        typed: the same with the overrides of this command line.
        base: what the run was made with.
    """
    if isinstance(typed, dict) and isinstance(default, dict) and isinstance(base, dict):
        return {k: keep_typed(default.get(k), typed=v, base=base.get(k, v)) for k, v in typed.items()}
    return base if typed == default else typed


def complete(arguments: list[str]) -> list[str]:
    """Take what the command line leaves open from the run: its data set, and the size of its images.

    Args:
        arguments: command line, e.g. ``["run=3974abf1ab", "data=ecssd"]``.

    Raises:
        ValueError: the run does not exist.
    """
    given = dict(a.split("=", 1) for a in arguments if "=" in a)
    if "run" not in given:
        raise ValueError("run is missing: python -m seglab.evaluate run=<run folder, name or id>")
    trained = Run.find(given["run"], given.get("runtime.outputs", "outputs")).config()
    if "data" not in given:
        return [f"data={choice(trained)}", *arguments]
    return arguments if "data.size" in given else [*arguments, f"data.size={trained.data.size}"]


if __name__ == "__main__":
    sys.exit(run_command("evaluate", evaluate, prepare=complete))
