"""One HTML page of all tables, figures and runs: ``python -m seglab.report``.

The page is one file that loads nothing: tables that can be sorted, the claims of the papers checked, misprints,
figures, pictures of runs side by side, and a page for every run. The last line on stdout is the file.
"""

from __future__ import annotations

import logging
import re
import sys
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from seglab.cli import run_command

log = logging.getLogger(__name__)

RUNS = ("all", "tables", "none")


def report(cfg: DictConfig) -> Path:
    """Make the page.

    Args:
        cfg: finalised config of ``conf/report.yaml``.

    Returns:
        The file.

    Raises:
        ValueError: a key has a value that it cannot have, there is no outputs folder, or no table of a name.
    """
    from seglab.report.page.collect import collect_page
    from seglab.report.page.write import write_page

    check(cfg)
    tables = OmegaConf.to_container(cfg.tables) if OmegaConf.is_list(cfg.tables) else str(cfg.tables).split(",")
    found = collect_page(Path(cfg.runtime.outputs), tables=[str(name) for name in tables])
    if found.empty:
        log.warning("%s is empty: the page says what can be done", cfg.runtime.outputs)
    file = Path(cfg.output)
    if file.suffix.lower() not in (".html", ".htm"):
        file = file / "index.html"
    return write_page(found, file, title=cfg.title, runs=cfg.runs, limit=cfg.limit)


def check(cfg: DictConfig) -> None:
    """Check what is asked for.

    Raises:
        ValueError: naming the key, its value and what is expected.
    """
    if cfg.runs not in RUNS:
        raise ValueError(f"runs={cfg.runs}: expected one of {', '.join(RUNS)}")
    if not isinstance(cfg.limit, int | float) or isinstance(cfg.limit, bool) or not 0 < cfg.limit < float("inf"):
        raise ValueError(f"limit={cfg.limit}: expected a number of MB above 0")
    for key in ("output", "title"):
        if not isinstance(cfg[key], str) or not cfg[key].strip() or "\0" in cfg[key]:
            raise ValueError(f"{key}={cfg[key]}: expected text")


def complete(arguments: list[str]) -> list[str]:
    """``table=cas_t3,cas_t7`` is a list of tables here, not an option of a group nor a sweep."""
    found = [a for a in arguments if re.match(r"tables?=", a)]
    if not found:
        return arguments
    names = found[-1].split("=", 1)[1].strip("[]")
    return [*(a for a in arguments if a not in found), f"tables=[{names}]"]


def main() -> None:
    """The command line."""
    sys.exit(run_command("report", report, prepare=complete, resumable=False))


if __name__ == "__main__":
    main()
