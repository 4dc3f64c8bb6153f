"""What every command shares: help page, composition, one message per mistake, exit codes.

Exit codes: 0 done, 1 failed (message on stderr), 75 stopped by a signal with the state saved (start again to go on),
130 interrupted by Ctrl-C.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from omegaconf import DictConfig, open_dict
from omegaconf.errors import OmegaConfBaseException

from seglab.atomic import os_message
from seglab.distributed import is_main, rank, report_failure, world

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130
EXIT_STOPPED = 75  # EX_TEMPFAIL of sysexits.h: a scheduler may start the same command again
LAUNCHERS = "joblib, submitit_local and submitit_slurm come with: pip install 'seglab[launchers]'"

log = logging.getLogger("seglab")


class Stopped(BaseException):
    """A signal asked the run to stop; what is saved is whole. No ``Exception``, so a sweep stops with its run.

    Args:
        message: for the user.
        number: of the signal, where it is known.
    """

    def __init__(self, message: str, number: int | None = None) -> None:
        super().__init__(message)
        self.number = number


def run_command(
    command: str,
    task: Callable[[DictConfig], Path | None],
    prepare: Callable | None = None,
    *,
    resumable: bool = True,
) -> None:
    """Run a command line: ``python -m seglab.<command> key=value ...``.

    Args:
        command: name of a YAML file at the top of ``conf/``.
        task: does the work for one composed config; the path it returns is printed on stdout.
        prepare: completes the arguments before Hydra sees them, ``list[str] -> list[str]``.
        resumable: whether the command goes on where it was stopped; else a signal ends it with 128 + its number.

    Exits the process; never returns an error as a value.
    """
    arguments = sys.argv[1:]
    if any(a in ("--help", "-h") for a in arguments):
        from seglab.help import help_page

        sys.stdout.write(help_page(command))
        return
    setup_logging()
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, _stop)
    # With this flag Hydra raises its errors instead of printing a cut traceback, and we can word them.
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    try:
        from seglab.config import as_hydra_reads

        sys.argv[1:] = as_hydra_reads(prepare(arguments) if prepare else arguments)
        _hydra_main(command, task)
    except Stopped as stop:
        if resumable:
            _exit(str(stop), EXIT_STOPPED)
        _exit("stopped; what it was making is not kept", 128 + (stop.number or signal.SIGTERM))
    except KeyboardInterrupt:
        _exit("interrupted", EXIT_INTERRUPTED)
    except Exception as error:
        report_failure(error)
        _exit(_message(error, command), EXIT_FAILED)


def _hydra_main(command: str, task: Callable[[DictConfig], Path | None]) -> None:
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from seglab.config import conf_dir, finalise
    from seglab.faults import explained
    from seglab.launch.sweep import Desk, in_other_processes

    failures: list[tuple[str, Exception]] = []
    desk = Desk()

    def job(cfg: DictConfig) -> str | None:
        hydra_cfg = HydraConfig.get()
        with open_dict(cfg):
            cfg.pop("hydra", None)
        overrides = list(hydra_cfg.overrides.task)

        def run() -> Path | None:
            finalise(cfg, dict(hydra_cfg.runtime.choices), overrides)
            return task(cfg)

        if hydra_cfg.mode is RunMode.MULTIRUN and in_other_processes(hydra_cfg):
            return desk.work(hydra_cfg, run, lambda error: _message(error, command))
        try:
            folder = run()
        except Exception as error:
            # A sweep goes on with its other runs; the messages are ours to word, so Hydra need not see the error.
            failures.append((" ".join(overrides), explained(error, cfg)))
            return None
        _show(folder)
        return str(folder) if folder else None

    if any(a in ("-m", "--multirun") or a.startswith("hydra.mode=") for a in sys.argv):
        # Among the other overrides: Hydra wants them in one piece, and flags may follow.
        place = next((i for i, a in enumerate(sys.argv) if i and "=" in a and not a.startswith("-")), len(sys.argv))
        sys.argv[place:place] = desk.override()
    broken = None
    with desk.stopping():
        try:
            hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=command)(job)()
        except Exception as error:
            if not desk.elsewhere:
                raise
            broken = error
        if desk.elsewhere:
            lines, failures = desk.results(broken)
            for line in lines:
                _show(line)
    for overrides, error in failures[:-1]:
        sys.stderr.write(f"seglab: {overrides}\nseglab: {_message(error, command)}\n")
    if failures:
        raise failures[-1][1]


def _show(result: Path | str | None) -> None:
    if result is not None and is_main():
        sys.stdout.write(f"{result}\n")
        sys.stdout.flush()


def setup_logging() -> None:
    """One logger to stderr; stdout is kept for results."""
    root = logging.getLogger()
    if root.handlers:
        return
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname).1s %(message)s", datefmt="%H:%M:%S"))
    root.addHandler(handler)
    root.setLevel(logging.INFO if is_main() else logging.ERROR)


def _message(error: Exception, command: str) -> str:
    """Users' mistakes in one message; anything else with its traceback, because it is ours."""
    from hydra.errors import HydraException

    if isinstance(error, HydraException | OmegaConfBaseException):
        from seglab.explain import explain

        if found := re.search(r"Could not find 'hydra/launcher/([\w.-]+)'", str(error)):
            return f"hydra/launcher={found[1]}: no such launcher; " + LAUNCHERS
        return explain(error, command)
    if type(error).__name__ == "OutOfMemoryError":
        return f"out of memory: {error}. Try a smaller batch_size or data.size, accumulate=2, or runtime.precision=bf16"
    if isinstance(error, OSError) and error.errno is not None:
        return os_message(error)
    if isinstance(error, ValueError | OSError):
        return str(error)
    return "".join(traceback.format_exception(error)).rstrip()


def _stop(number: int, _frame: object) -> None:
    raise Stopped(f"stopped by {signal.Signals(number).name}; start the same command to go on", number)


def _exit(message: str, code: int) -> None:
    where = f" (rank {rank()})" if world() > 1 else ""
    sys.stderr.write(f"seglab{where}: {message}\n")
    sys.exit(code)
