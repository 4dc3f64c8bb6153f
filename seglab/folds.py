"""Train the fold networks of a run: ``python -m seglab.folds run=<folder or id> folds=10 launch=local launch.slots=2``.

A ranker learns from the training images which proposals to take, by what the network says about them; a network that
was trained on these very images would be too sure of itself. So the training part is cut into folds, and every fold is
judged by a network like the run's own, trained on the other folds (Cogswell et al. 2014, section 5). A run that goes on
from another run has fold networks that go on from that one's. Each is a run folder of its own; finished ones are kept.
Every run keeps in ``images.json`` which list of images it was trained on, so that nobody lets a fold network judge what
it saw because the list changed since; ``runtime.rerun=true`` trains the fold networks anew. The last line on stdout
is the folder of the run.
"""

from __future__ import annotations

import copy
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf, open_dict

from seglab.cli import run_command
from seglab.fold_lists import check_folds, check_overlap, set_runtime, start_folder, training_ids
from seglab.identity import has_fold, resolved
from seglab.launch.work import Outcome, Work
from seglab.run import Run
from seglab.words import quoted

log = logging.getLogger(__name__)

Configs = Callable[[str], DictConfig]
"""Folder of a run -> its config."""


def fold_config(cfg: DictConfig, *, number: int, of: int, configs: Configs | None = None) -> DictConfig:
    """The config of a run like another one, without one fold of its training images.

    Args:
        cfg: config of a run on all training images.
        number: the fold that is left out, 0..of-1.
        of: number of folds.
        configs: gives the config of the run that ``cfg`` starts from, None = it is read from its folder; where that run
            was trained on the same images, the new run starts from its fold run.

    Raises:
        ValueError: the run leaves a fold out already, or the run it starts from is gone.
    """
    if has_fold(cfg):
        raise ValueError(f"fold.of={cfg.fold.of}: this run leaves out a fold itself: expected one on all its images")
    new = copy.deepcopy(cfg)
    with open_dict(new):
        new.fold = {"of": of, "number": number}
        new.eval.sets, new.eval.samples = [], 0  # it serves the ranker; nobody looks at its own scores
    if new.init.get("run"):
        start = _start(cfg, configs)
        if _same_source(start, cfg):
            new.init.run = str(Run.for_config(fold_config(start, number=number, of=of, configs=configs)).path)
        elif configs is None:
            new.init.run = str(start_folder(cfg))
    return new


def _start(cfg: DictConfig, configs: Configs | None) -> DictConfig:
    """The config of the run that ``cfg`` starts from, with the places of ``cfg`` and the arithmetic of its own."""
    start = Run(start_folder(cfg)).config() if configs is None else configs(str(cfg.init.run))
    set_runtime(start, cfg.runtime)
    return start


def _same_source(start: DictConfig, cfg: DictConfig) -> bool:
    """Whether two runs were trained on the same images; the size these are resized or drawn to does not matter."""
    start = copy.deepcopy(start)
    with open_dict(start):
        start.data.size = cfg.data.size
    return resolved(start)["data"]["source"] == resolved(cfg)["data"]["source"]


def fold_run(run: Run, number: int, *, of: int, outputs: str | Path) -> Run:
    """The folder of a fold network, there or not.

    Args:
        run: the run on all training images.
        number: the fold it did not see.
        of: number of folds.
        outputs: folder below which runs lie (``runtime.outputs``).

    Raises:
        ValueError: the run leaves a fold out itself.
    """
    return Run.for_config(fold_config(_at(run.config(), outputs), number=number, of=of))


def _at(cfg: DictConfig, outputs: str | Path) -> DictConfig:
    with open_dict(cfg):
        cfg.runtime.outputs = str(outputs)
    return cfg


def fold_works(cfg: DictConfig, *, of: int, configs: Configs | None = None) -> list[Work]:
    """What the launch engine has to do for the fold networks of a run; those they start from come before them.

    Args:
        cfg: config of the run on all training images, with the ``runtime`` to work with.
        of: number of folds.
        configs: see :func:`fold_config`.
    """
    works: dict[str, Work] = {}
    for number in range(of):
        _add_work(works, cfg, number, of, configs)
    return list(works.values())


def _add_work(works: dict[str, Work], cfg: DictConfig, number: int, of: int, configs: Configs | None) -> str:
    new = fold_config(cfg, number=number, of=of, configs=configs)
    run, after = Run.for_config(new), ()
    if cfg.init.get("run") and _same_source(start := _start(cfg, configs), cfg):  # it starts from a fold network, too
        after = (_add_work(works, start, number, of, configs),)
    works[run.path.name] = Work(run.path.name, str(run.path), (OmegaConf.to_yaml(new),), after)
    return run.path.name


def folds(cfg: DictConfig) -> Path:
    """Train what is missing of the fold networks of a run.

    Args:
        cfg: finalised config of ``conf/folds.yaml``.

    Returns:
        The folder of the run.

    Raises:
        ValueError: no such run, one that is not finished, or a fold network failed; the others are trained. Or fold
            networks that are there may have seen what they are to judge.
        seglab.cli.Stopped: a signal stopped it; the same command goes on.
    """
    from seglab.launch.engine import run_all

    run = Run.find(cfg.run, cfg.runtime.outputs)
    if not run.done:
        raise ValueError(f"run={cfg.run}: it is not finished; train it first, with the command in its env.json")
    trained = run.config()
    set_runtime(trained, cfg.runtime)
    works = fold_works(_at(trained, run.path.resolve().parents[1]), of=cfg.folds)
    waiting = [work for work in works if cfg.runtime.rerun or not Run(Path(work.folder)).done]
    _check_images(run, trained, works, waiting)
    log.info("%d of %d fold networks are to be trained", len(waiting), len(works))

    def on_change(work: Work, outcome: Outcome | None) -> None:
        log.info("%s: %s", work.key, "start" if outcome is None else f"{outcome.state} {outcome.reason}".strip())

    outcomes = run_all(waiting, cfg.launch, outputs=trained.runtime.outputs, on_change=on_change)
    if failed := [outcome for outcome in outcomes.values() if outcome.state != "done"]:
        lines = "\n  ".join(f"{outcome.key}: {outcome.reason}" for outcome in failed)
        raise ValueError(f"{len(failed)} of {len(works)} fold networks are not trained:\n  {lines}")
    return run.path


def _check_images(run: Run, cfg: DictConfig, works: Sequence[Work], waiting: Sequence[Work]) -> None:
    """Refuse what no fold network may be trained beside, or start from, before any is trained."""
    try:
        ids = training_ids(cfg.data)
    except ValueError as error:
        if waiting:
            raise
        log.warning("run=%s: its training images are not compared with those of its folds: %s", run.path.name, error)
        return
    check_folds(run, [Run(Path(work.folder)) for work in works if work not in waiting], ids)
    while waiting and cfg.init.get("run"):
        start = _start(cfg, None)
        if not _same_source(start, cfg):
            return check_overlap(cfg, ids)
        cfg = start


def prepare(arguments: list[str]) -> list[str]:
    """Refuse a missing or a swept ``run`` in our own words, and take names of any signs.

    Raises:
        ValueError: ``run`` is missing, or several are given.
    """
    given = [a.partition("=")[2] for a in arguments if a.startswith("run=")]
    if not given or "," in given[-1]:
        raise ValueError("run: expected one run: python -m seglab.folds run=<run folder, name or id> folds=10")
    return [quoted(a) if a.startswith("run=") else a for a in arguments]


if __name__ == "__main__":
    sys.exit(run_command("folds", folds, prepare=prepare))
