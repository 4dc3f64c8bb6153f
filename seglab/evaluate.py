"""Score a finished run again: ``python -m seglab.evaluate run=<folder or id> [data=ecssd] [eval.resolution=original]``.

Without ``data`` the run's own test sets are scored. The read-out stays the one chosen at training time on held-out
images. The last line on stdout is the run folder.
"""

from __future__ import annotations

import copy
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from seglab import distributed
from seglab.cli import run_command
from seglab.run import Run
from seglab.targets import check_targets
from seglab.words import quoted

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
        ValueError: no such run, not trained yet, no test set, or data missing.
    """
    from seglab.data.build import test_sets
    from seglab.train import setup_torch

    run = Run.find(cfg.run, cfg.runtime.outputs)
    trained = run.config()
    whole = merged(trained, cfg)
    if not test_sets(whole):
        raise ValueError(
            f"run={cfg.run}: there is no test set to score on, data.test_sets of data={whole.data.name} is empty: "
            "expected data.test_sets=[self], or names of others, e.g. data.test_sets=[ecssd]"
        )
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
    from seglab.data.build import training_data
    from seglab.evaluator import Evaluator
    from seglab.models.init import load_run_weights
    from seglab.train import build_model

    weights = checkpoint.load_weights(run.path / "model.safetensors")
    cfg = copy.deepcopy(cfg)
    for node, keys in ((cfg.init, ("weights", "file", "run")), (cfg.model, ("weights", "weights_file"))):
        for key in keys:
            if key in node:
                node[key] = None  # the weights come from the run, nothing is fetched or read elsewhere
    model = build_model(cfg, device).eval()
    load_run_weights(model, weights)
    evaluator = Evaluator(cfg, model, device)
    own = run.config()
    if own.eval.post._target_ == cfg.eval.post._target_:
        evaluator.post.load(run.read_json("post.json"))
    if evaluator.post.needs_fit:  # another read-out than that of the training: fitted on the same images
        own.runtime = cfg.runtime
        evaluator.fit(training_data(own).val, trained=own)
    return evaluator


def merged(trained: DictConfig, cfg: DictConfig) -> DictConfig:
    """The run's config with what was typed now: the run's own settings hold unless others were typed.

    Raises:
        ValueError: another task than the run's.
    """
    anew = "eval" in cfg.typed  # eval=texture, for example: read out and scored as another task
    if cfg.eval.task != trained.eval.task and not anew:
        raise ValueError(
            f"data={choice(cfg)}: its task is {cfg.eval.task}, that of the run is {trained.eval.task}; a network can "
            "be read out for another task where that makes sense, but the option must be typed, e.g. eval=texture"
        )
    now, whole = raw(cfg), raw(trained)
    # What the network gives is a matter of the run, and not said in configs of older ones.
    output = {key: whole["eval"].get(key, now["eval"][key]) for key in ("channels", "descriptor")}
    if "channels" in trained.model:  # a model of one's own may have no such argument
        output["channels"] = trained.model.channels
    whole["eval"] = (now["eval"] if anew else whole["eval"]) | output
    if anew or "proposals" not in whole or "proposals" in cfg.typed:
        whole["proposals"] = now.get("proposals")
    precision = whole["runtime"]["precision"]
    whole["runtime"] = now["runtime"]
    if "runtime.precision" not in cfg.typed:
        whole["runtime"]["precision"] = precision
    if choice(cfg) != choice(trained):
        whole["data"], whole["eval"]["sets"] = now["data"], now["eval"]["sets"]
    for key in cfg.typed:
        # A group such as eval/protocol is typed with a slash and lies where its name says.
        path = key.split("@")[0].replace("/", ".").split(".")
        if path[0] in ("eval", "data", "proposals") and len(path) > 1:
            _put(whole, path, _get(now, path))
    result = OmegaConf.create(whole)
    check_targets(result)  # a run folder may come from elsewhere
    return result


def raw(cfg: DictConfig) -> dict[str, Any]:
    """A config as plain types, its interpolations as they are written."""
    return OmegaConf.to_container(cfg, resolve=False)


def _get(node: dict[str, Any], path: list[str]) -> Any:
    for key in path:
        node = node[key]
    return node


def _put(node: dict[str, Any], path: list[str], value: Any) -> None:
    for key in path[:-1]:
        node = node.setdefault(key, {})
    node[path[-1]] = value


def choice(cfg: DictConfig) -> str:
    """The YAML file of ``conf/data`` a config was composed with: the first part of its name."""
    return cfg.name.split("-")[0]


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
    if "," in given["run"]:
        raise ValueError(f"run={given['run']}: one run at a time; sweep the other keys, or call the command again")
    trained = Run.find(given["run"], given.get("runtime.outputs", "outputs")).config()
    added = []
    if "data" not in given:
        added.append(f"data={choice(trained)}")
    elif "data.size" not in given:
        added.append(f"data.size={trained.data.size}")
    typed_folders = any(key.startswith("data.images") or key.startswith("data.source.images") for key in given)
    if typed_folders and not any(key in given for key in SPLITS):
        added.append("data.source.split=test")  # somebody's folder, to be scored whole
    return [*(quoted(a) if a.startswith("run=") else a for a in arguments), *added]


SPLITS = ("data.source.split", "data.split", "data.source.test_list", "data.test_list")


if __name__ == "__main__":
    sys.exit(run_command("evaluate", evaluate, prepare=complete))
