"""Which list of images a run was trained on, so that no fold network judges what it or its start saw.

The folds follow from all names of the training images (:mod:`seglab.data.folds`); a list that changed since the fold
networks were trained has other folds. So every run keeps its list in ``images.json`` of its folder, which is compared
with today's before fold networks judge anything, and before a fold network starts from another run.

One runnable line: ``python -c "from seglab.config import compose; from seglab.fold_lists import training_ids;
print(len(training_ids(compose('train').data)))"``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf, open_dict

from seglab.data.folds import list_note
from seglab.data.names import names_of
from seglab.data.rng import key_of
from seglab.identity import ARITHMETIC, has_fold
from seglab.run import SHORT, Run
from seglab.targets import instantiate

log = logging.getLogger(__name__)

NOTE = "images.json"
"""File of a run folder: :func:`seglab.data.folds.list_note`."""

LOOKED_AT = 10
"""Images of one name in two data sets that are compared, to tell whether these hold the same photos."""


def training_ids(data: DictConfig) -> list[str]:
    """Names of all training images of a ``data`` node, as they are listed today.

    Raises:
        ValueError: files are missing.
    """
    return names_of(instantiate(data.source), "train")


def keep_list(run: Run, note: Mapping[str, Any]) -> None:
    """Write which list of images a run is trained on; a training that goes on keeps the list it began with.

    Args:
        run: the run folder.
        note: of :func:`seglab.data.folds.list_note`.
    """
    if _note(run) is None or not (run.path / "last.pt").is_file():
        run.write_json(NOTE, note)


def _note(run: Run) -> dict[str, Any] | None:
    try:
        found = run.read_json(NOTE)
    except ValueError as error:  # no JSON, or no text
        log.warning("'%s' is damaged (%s)", run.path / NOTE, error)
        return None
    return found if isinstance(found, dict) else None


def unfit(parts: Sequence[Run], ids: Sequence[str]) -> str | None:
    """Why fold networks may have seen the images that they are to judge; None where none of them did.

    Args:
        parts: fold networks that are trained.
        ids: names of all training images today.

    Raises:
        ValueError: there are fewer images than folds.
    """
    other = unseen = without = 0
    for part in parts:
        fold = part.config().fold
        note, found = list_note(ids, of=fold.of, number=fold.number), _note(part)
        if found != note:
            other += 1
            without += found is None
            unseen += len(set(note["left_out"]) - set((found or {}).get("left_out", ())))
    if not other:
        return None
    return (
        f"{other} of {len(parts)} fold networks were trained on another list of training images than the {len(ids)} of "
        f"today, and {unseen} images would be judged by networks that did not leave them out"
        + (f" ({without} networks keep no list, {NOTE})" if without else "")
    )


def check_folds(run: Run, parts: Sequence[Run], ids: Sequence[str]) -> None:
    """Refuse fold networks that may have seen what they are to judge; warn where only the run itself saw other images.

    Args:
        run: the run on all training images.
        parts: fold networks that are trained.
        ids: names of all training images today.

    Raises:
        ValueError: they were trained on another list of images.
    """
    name = run.path.name
    if why := unfit(parts, ids):
        of = parts[0].config().fold.of
        raise ValueError(
            f"run={name}: {why}: expected the images of that time (data.source), or new fold networks: python -m "
            f"seglab.folds run={name[-SHORT:]} folds={of} runtime.rerun=true"
        )
    own = _note(run)
    if own is not None and own.get("sha256") != list_note(ids, of=0, number=0)["sha256"]:
        log.warning(
            "run=%s: it was trained on another list of images (%s) than today's (%d), and its fold networks on today's",
            name, own.get("images"), len(ids),
        )  # fmt: skip


def start_folder(cfg: DictConfig) -> Path:
    """The folder of the run that a run starts from, also where both were moved together.

    Raises:
        ValueError: it is neither where it was nor beside the run.
    """
    there = Path(str(cfg.init.run))
    beside = Path(cfg.runtime.outputs) / "runs" / there.name
    for folder in (there, beside):
        if (folder / "config.yaml").is_file():
            return folder
    raise ValueError(f"init.run={there}: the run that this one starts from is gone: expected it there, or as {beside}")


def set_runtime(cfg: DictConfig, runtime: DictConfig) -> None:
    """Give a config another ``runtime``, but for what is part of the run's identity."""
    own = {key: cfg.runtime[key] for key in ARITHMETIC if key in cfg.runtime}
    with open_dict(cfg):
        cfg.runtime = OmegaConf.merge(runtime, own)


def check_start(cfg: DictConfig, note: Mapping[str, Any]) -> None:
    """Refuse a training that leaves out a fold and starts from a run that saw images of it.

    Args:
        cfg: config of the training.
        note: which images it leaves out, of :func:`seglab.data.folds.list_note`.

    Raises:
        ValueError: naming the start, and what to do.
    """
    if not (has_fold(cfg) and cfg.init.get("run")):
        return
    start = Run(start_folder(cfg))
    if not has_fold(start.config()):
        check_overlap(cfg, note["left_out"])
    elif _note(start) != note:
        raise ValueError(
            f"init.run={start.path.name}: it left out other images than fold {note['number']} of {note['of']} of the "
            f"{note['images']} training images of today: expected a start that saw none of these: python -m "
            "seglab.folds run=<the run itself> runtime.rerun=true trains all fold networks anew"
        )


def check_overlap(cfg: DictConfig, ids: Sequence[str]) -> None:
    """Refuse starts, and what these start from, that saw some of the images: by names, and some pictures of these.

    A start that is gone, or whose data cannot be listed, is told in a warning.

    Args:
        cfg: config of the run, or of one of its fold networks, with today's ``runtime``.
        ids: names of the training images that nobody may have seen.

    Raises:
        ValueError: naming the start, how many images both have, and what to do.
    """
    at = cfg
    while at.init.get("run"):
        try:
            start = Run(start_folder(at)).config()
        except ValueError as error:
            log.warning("%s; nobody knows whether it saw images that fold networks are to judge", error)
            return
        set_runtime(start, cfg.runtime)
        if count := _common(start, cfg, ids, where=str(at.init.run)):
            raise ValueError(
                f"init.run={Path(str(at.init.run)).name}: it was trained on another list, data={start.data.name} with "
                f"{count} of the training images of this run, so fold networks that start from it would judge what it "
                "saw: expected a start on the same data.source, or on other photos; eval.rerank.folds=0 leaves out the "
                "rankers that learn"
            )
        at = start


def _common(start: DictConfig, cfg: DictConfig, ids: Sequence[str], *, where: str) -> int:
    """How many images two data sets have in common, by their names; 0 where the pictures of these names differ."""
    try:
        common = sorted(set(ids) & set(training_ids(start.data)), key=lambda name: key_of("overlap", name))
        same = bool(common) and _same_pictures(start.data, cfg.data, common[:LOOKED_AT])
    except (ValueError, OSError) as error:
        log.warning(
            "init.run=%s: the training images of that run (data=%s) cannot be looked at (%s), so nobody knows whether "
            "it saw images that fold networks are to judge", where, start.data.name, error,
        )  # fmt: skip
        return 0
    return len(common) if same else 0


def _same_pictures(one: DictConfig, other: DictConfig, names: Sequence[str]) -> bool:
    """Whether training images of these names show the same in both data sets, any of them."""
    of_one, of_other = ({i.id: i for i in instantiate(data.source).items("train")} for data in (one, other))
    return any(np.array_equal(of_one[name].read()[0], of_other[name].read()[0]) for name in names if name in of_other)
