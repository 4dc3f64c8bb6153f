"""What an engine is given and gives back, and how one piece of work is done, whichever process does it.

One runnable line: ``python -c "from seglab.launch.work import is_locked; print(is_locked('outputs/runs/none'))"``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from omegaconf import OmegaConf

from seglab.faults import MachineFault
from seglab.lock import is_held

BUSY = "busy"
"""State of a work that another process holds; it never leaves the engine, which looks again later."""

LOCKED = "another process is working on this run"


@dataclass(frozen=True)
class Work:
    """One run to train and to score.

    Args:
        key: name of the run folder, unique among the works of one call.
        folder: the run folder.
        configs: YAML text of finalised configs of ``seglab.train``, all of one identity: the first trains and scores,
            the others only score by other protocols.
        after: keys of works that must be done before; a key that is not among the works counts as done.
    """

    key: str
    folder: str
    configs: tuple[str, ...]
    after: tuple[str, ...] = ()


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
    """Train and score one run in this process.

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
        from seglab.train import train

        for number, text in enumerate(item.configs):
            cfg = OmegaConf.create(text)
            if (number or again) and OmegaConf.select(cfg, "runtime.rerun"):
                cfg.runtime.rerun = False
            train(cfg)
    except (ValueError, OSError) as error:
        if LOCKED in str(error):  # it was taken between the look and the training
            return Outcome(item.key, BUSY, LOCKED)
        return Outcome(item.key, "failed", one_line(error), transient=isinstance(error, MachineFault))
    except Exception as error:
        return Outcome(item.key, "failed", f"{one_line(error)} (see {item.folder}/FAILED)", transient=True)
    return Outcome(item.key, "done")


def one_line(error: BaseException) -> str:
    """An error's message on one line; with its class where it is not one that we worded."""
    text = " ".join(str(error).split())
    if type(error).__name__ == "OutOfMemoryError":
        return f"out of memory: {text}"
    return text if isinstance(error, ValueError | OSError) and text else f"{type(error).__name__}: {text}"


def is_locked(folder: str | Path) -> bool:
    """Whether some process works on a run folder right now; the folder is left as it is."""
    return is_held(Path(folder) / ".lock")
