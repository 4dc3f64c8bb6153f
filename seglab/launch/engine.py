"""Do a list of works: in this process, in local processes, on Slurm (``launch=inline|local|slurm``).

Sources: submitit, https://github.com/facebookincubator/submitit. torch is not imported here; the workers do that.
One runnable line: ``python -m seglab.table table=cas_t3 scale=smoke launch=local launch.slots=2``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from seglab.cli import Stopped
from seglab.launch.board import Board, OnChange
from seglab.launch.work import Outcome, Work, work
from seglab.words import nearest

POLL_S = 0.2


def run_all(
    works: Sequence[Work], launch: DictConfig, *, outputs: Path | str, on_change: OnChange
) -> dict[str, Outcome]:
    """Bring every work to an outcome; one that fails never stops the others.

    A run folder that another process holds is waited for, then looked at again. After a kill of this process the same
    call goes on: local workers finish the run they are at and are waited for, Slurm jobs are attached to.

    Args:
        works: what to do, in the order wanted.
        launch: config of one YAML file in ``conf/launch``.
        outputs: folder in which ``jobs/`` is made, for logs and records.
        on_change: called when a work starts (None) and when it ends.

    Returns:
        Outcome of each work by its key.

    Raises:
        ValueError: a setting in ``launch`` is wrong, or the engine cannot be used on this machine.
        seglab.cli.Stopped: a signal asked for it; what was trained is saved.
    """
    check_launch(launch)
    board = Board(
        works,
        retries=launch.get("retries", 0),
        max_timeouts=launch.get("max_timeouts", 0),
        on_change=on_change,
    )
    if not works:
        return {}
    root = Path(outputs) / "jobs"
    if launch.name != "inline":
        root.mkdir(parents=True, exist_ok=True, mode=0o700)  # what lies in it is unpickled by the workers
    if launch.name == "inline":
        run_inline(board)
    elif launch.name == "local":
        from seglab.launch.local import run_local

        run_local(board, launch, root)
    else:
        from seglab.launch.slurm import run_slurm

        run_slurm(board, launch, root)
    return {item.key: board.outcomes[item.key] for item in works}


def run_inline(board: Board) -> None:
    """One work after the other, in this process.

    Raises:
        seglab.cli.Stopped: a signal asked for it; the state is saved.
    """
    while not board.finished:
        item = board.take()
        if item is None:
            time.sleep(POLL_S)
            continue
        board.start(item)
        try:
            outcome = work(item)
        except Stopped as stop:
            board.end(item, Outcome(item.key, "stopped", str(stop)))
            raise
        board.end(item, outcome)


def check_launch(launch: DictConfig) -> None:
    """Check the settings of an engine.

    Raises:
        ValueError: naming the key, its value and what is expected.
    """
    if launch.get("name") not in ("inline", "local", "slurm"):
        raise ValueError(f"launch.name={launch.get('name')}: expected inline, local or slurm")
    known = [*RULES, *FREE, "name"]
    for key in launch:
        if key not in known:
            raise ValueError(f"unknown key 'launch.{key}'{nearest(str(key), known, 'launch')}")
        fits, expected = RULES.get(key, (lambda _: True, ""))
        if not fits(launch[key]):
            raise ValueError(f"launch.{key}={launch[key]}: expected {expected}")


def _whole(low: int, *, or_null: bool = False) -> tuple[Callable[[Any], bool], str]:
    def fits(value: Any) -> bool:
        return (value is None and or_null) or (isinstance(value, int) and not isinstance(value, bool) and value >= low)

    return fits, f"a whole number, {low} or more{', or null' * or_null}"


def _positive(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool) and value > 0)


RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "slots": _whole(1),
    "slots_per_gpu": _whole(1),
    "retries": _whole(0),
    "max_timeouts": _whole(0),
    "runs_per_job": _whole(1, or_null=True),
    "threads": _whole(1, or_null=True),
    "signal_delay_s": _whole(1),
    "timeout_min": (_positive, "minutes, more than 0, or null"),
    "poll_s": (lambda v: v is not None and _positive(v), "seconds, more than 0"),
    "time": _whole(1),
    "gpus": (
        lambda v: v is None or v == "auto" or OmegaConf.is_list(v) or (isinstance(v, int) and v >= 0),
        "auto, null or a list such as [0,1] (local), a number a job (slurm)",
    ),
    "cpus": _whole(1, or_null=True),
    "array_parallelism": _whole(1),
}
FREE = ("partition", "account", "qos", "constraint", "mem", "setup", "extra")
"""Keys whose values only Slurm can judge."""
