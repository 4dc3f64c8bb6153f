"""Two processes that train together, forked from a server that has imported torch already: seconds less than torchrun.

What torchrun itself does (ending the others, its report) is looked at in ``test_faults_process.py``.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

PRELOADED = ["seglab.trainer", "seglab.evaluator", "seglab.data.noise", "hydra", "torch._dynamo", "torchvision"]
"""Modules whose import takes most of the time of a short training."""
SECONDS = 240
"""How long two processes may take before the test fails."""


class Ended(NamedTuple):
    """What became of the processes: exit codes, the log of each, and what the first one's function returned."""

    codes: list[int | None]
    logs: list[str]
    result: str


def in_two_processes(work: Callable[..., object], *arguments: object, folder: Path, **environment: str) -> Ended:
    """Call ``work(*arguments)``, a function of a module, in two processes with the variables that torchrun sets."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    known = {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"rank{rank}.log" for rank in range(2)]
    processes = [
        context.Process(target=_begin, args=({**known, **environment, "RANK": str(rank)}, file, work, arguments))
        for rank, file in enumerate(files)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(SECONDS)
        if process.exitcode is None:
            process.kill()
            process.join()
    logs = [file.read_text() if file.exists() else "" for file in files]
    result = files[0].with_suffix(".result")
    return Ended([process.exitcode for process in processes], logs, result.read_text() if result.exists() else "")


def _begin(environment: dict[str, str], file: Path, work: Callable[..., object], arguments: tuple[object, ...]) -> None:
    os.environ.update(environment)
    logging.basicConfig(filename=file, level=logging.INFO, force=True)
    result = file.with_suffix(".result")
    result.unlink(missing_ok=True)
    try:
        result.write_text(str(work(*arguments)))
    except Exception:
        logging.exception("rank %s failed", environment["RANK"])
        raise SystemExit(1) from None


def trained(settings: list[str]) -> Path:
    """Train in this process as one of several; the run folder."""
    from seglab.config import compose
    from seglab.train import train

    return train(compose("train", settings))
