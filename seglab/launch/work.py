"""What an engine is given and gives back, and how one piece of work is done, whichever process does it.

A work is a run to train and to score, or a share of a data set's proposals to make.

One runnable line: ``python -c "from seglab.launch.work import is_locked; print(is_locked('outputs/runs/none'))"``.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from omegaconf import OmegaConf

from seglab import interpolations as interpolations  # registered before any config is read
from seglab.faults import MachineFault
from seglab.lock import is_held

log = logging.getLogger(__name__)

BUSY = "busy"
"""State of a work that another process holds; it never leaves the engine, which looks again later."""

LOCKED = "another process is working on this run"


@dataclass(frozen=True)
class Work:
    """One run to train and to score, or one share of proposals to make.

    Args:
        key: name of the run folder, unique among the works of one call.
        folder: the run folder; of proposals one that only this share locks.
        configs: YAML text of finalised configs of ``seglab.train``, all of one identity: the first trains and scores,
            the others only score by other protocols. Of proposals see :mod:`seglab.proposals.works`.
        after: keys of works that must be done before; a key that is not among the works counts as done.
        kind: ``train`` or ``proposals``.
    """

    key: str
    folder: str
    configs: tuple[str, ...]
    after: tuple[str, ...] = ()
    kind: str = "train"


@dataclass(frozen=True)
class Outcome:
    """How a work ended.

    Args:
        key: key of the work.
        state: ``done``, ``failed`` or ``stopped``.
        reason: one line, empty where it is done.
        transient: whether another try may help.
    """

    key: str
    state: str
    reason: str = ""
    transient: bool = False


def work(item: Work, *, again: bool = False) -> Outcome:
    """Do one work in this process.

    Args:
        item: what to do.
        again: it was begun before; ``runtime.rerun`` must not throw away what that attempt reached.

    Returns:
        ``done``, ``failed``, or :data:`BUSY` where another process holds the run folder.

    Raises:
        seglab.cli.Stopped: a signal asked for it; the state is saved.
    """
    if is_locked(item.folder):
        return Outcome(item.key, BUSY, LOCKED)
    try:
        _do(item, again=again)
    except (ValueError, OSError) as error:
        if LOCKED in str(error):  # it was taken between the look and the training
            return Outcome(item.key, BUSY, LOCKED)
        return Outcome(item.key, "failed", one_line(error), transient=isinstance(error, MachineFault))
    except Exception as error:
        where = "see the log" if item.kind == "proposals" else f"see {item.folder}/FAILED"
        if item.kind == "proposals":
            log.exception("%s", item.key)  # a run writes it into its folder
        return Outcome(item.key, "failed", f"{one_line(error)} ({where})", transient=True)
    return Outcome(item.key, "done")


def _do(item: Work, *, again: bool) -> None:
    if item.kind == "proposals":
        from seglab.proposals.make import make_part

        for text in item.configs:
            make_part(text)
        return
    from seglab.train import train

    for number, text in enumerate(item.configs):
        cfg = OmegaConf.create(text)
        if (number or again) and OmegaConf.select(cfg, "runtime.rerun"):
            cfg.runtime.rerun = False
        train(cfg)


def one_line(error: BaseException) -> str:
    """An error's message on one line; with its class where it is not one that we worded."""
    text = " ".join(str(error).split())
    if type(error).__name__ == "OutOfMemoryError":
        return f"out of memory: {text}"
    return text if isinstance(error, ValueError | OSError) and text else f"{type(error).__name__}: {text}"


def is_locked(folder: str | Path) -> bool:
    """Whether some process works on a run folder right now; the folder is left as it is."""
    return is_held(Path(folder) / ".lock")
