"""What every command shares: help page, composition, one message per mistake, exit codes.

Exit codes: 0 done, 1 failed (message on stderr), 75 stopped by a signal with the state saved (start again to go on).
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from omegaconf import DictConfig, open_dict
from omegaconf.errors import OmegaConfBaseException

from seglab.distributed import is_main

EXIT_FAILED = 1
EXIT_STOPPED = 75  # EX_TEMPFAIL of sysexits.h: a scheduler may start the same command again

log = logging.getLogger("seglab")


class Stopped(Exception):
    """A signal asked the run to stop; its state is saved."""


def run_command(command: str, task: Callable[[DictConfig], Path | None], prepare: Callable | None = None) -> None:
    """Run a command line: ``python -m seglab.<command> key=value ...``.

    Args:
        command: name of a YAML file at the top of ``conf/``.
        task: does the work for one composed config; the path it returns is printed on stdout.
        prepare: completes the arguments before Hydra sees them, ``list[str] -> list[str]``.

    Exits the process; never returns an error as a value.
    """
    arguments = sys.argv[1:]
    if any(a in ("--help", "-h") for a in arguments):
        from seglab.help import help_page

        sys.stdout.write(help_page(command))
        return
    setup_logging()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # With this flag Hydra raises its errors instead of printing a cut traceback, and we can word them.
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    try:
        if prepare:
            sys.argv[1:] = prepare(arguments)
        _hydra_main(command, task)
    except Stopped as stop:
        _exit(str(stop), EXIT_STOPPED)
    except KeyboardInterrupt:
        _exit("interrupted", 130)
    except Exception as error:
        _exit(_message(error, command), EXIT_FAILED)


def _hydra_main(command: str, task: Callable[[DictConfig], Path | None]) -> None:
    import hydra
    from hydra.core.hydra_config import HydraConfig

    from seglab.config import conf_dir, finalise

    def job(cfg: DictConfig) -> str | None:
        hydra_cfg = HydraConfig.get()
        with open_dict(cfg):
            cfg.pop("hydra", None)
        finalise(cfg, dict(hydra_cfg.runtime.choices), list(hydra_cfg.overrides.task))
        folder = task(cfg)
        if folder is not None and is_main():
            sys.stdout.write(f"{folder}\n")
            sys.stdout.flush()
        return str(folder) if folder else None

    hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=command)(job)()


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

        return explain(error, command)
    if isinstance(error, ValueError | FileNotFoundError) or type(error).__name__ == "OutOfMemoryError":
        return str(error)
    return "".join(traceback.format_exception(error)).rstrip()


def _exit(message: str, code: int) -> None:
    sys.stderr.write(f"seglab: {message}\n")
    sys.exit(code)
