"""Look over an installation: ``python -m seglab.doctor`` prints one page to read, or to paste into a bug report.

Versions, devices, write rights, disk space, data sets, runs, environment; what is wrong comes first, with its remedy.
The exit code is 1 where no run could work. Nothing is changed, nothing is sent anywhere.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from seglab.checkup import datasets, machine, page, software, storage, surroundings
from seglab.checkup.fact import Fact, gather, gather_apart

if TYPE_CHECKING:
    from omegaconf import DictConfig

STARTED_WITH = dict(os.environ)
"""The environment before anything of ours adds to it."""


def doctor(cfg: DictConfig) -> None:
    """Print the page.

    Args:
        cfg: finalised config of ``conf/doctor.yaml``.

    Raises:
        ValueError: something is broken that every run needs; the page says what.
    """
    show(examine(str(cfg.runtime.outputs), str(cfg.runtime.data_root), STARTED_WITH), as_json=cfg.json)


def examine(outputs: str, data_root: str, environment: Mapping[str, str]) -> dict[str, list[Fact]]:
    """Everything there is to say, by heading; never raises.

    Args:
        outputs: ``runtime.outputs``.
        data_root: ``runtime.data_root``.
        environment: the variables the command was started with.
    """
    return {
        "Software": gather("software", software.facts),
        "Machine": gather("machine", machine.facts),
        "Devices": [
            *gather_apart("torch", "seglab.checkup.device"),
            *gather_apart("numba", "seglab.checkup.kernel"),
        ],
        "Outputs": gather("outputs", lambda: storage.facts(outputs)),
        "Data": gather("data", lambda: datasets.facts(data_root, environment)),
        "Surroundings": gather("surroundings", lambda: surroundings.facts(environment)),
    }


def show(parts: dict[str, list[Fact]], *, as_json: bool = False) -> None:
    """Write the page to stdout.

    Raises:
        ValueError: something is broken.
    """
    sys.stdout.write(page.as_json(parts) if as_json else page.page(parts))
    sys.stdout.flush()
    broken = [fact.name for facts in parts.values() for fact in facts if fact.level == "broken"]
    if broken:
        raise ValueError(f"broken: {', '.join(broken)}; the page says what to do")


def main() -> None:
    """The command line; where Hydra is absent, the page says so, with default settings."""
    try:
        from seglab.cli import run_command
    except ImportError:
        try:
            show(examine("outputs", STARTED_WITH.get("SEGLAB_DATA", "data"), STARTED_WITH))
        except ValueError as error:
            sys.stderr.write(f"seglab: {error}\n")
            sys.exit(1)
        return
    run_command("doctor", doctor, resumable=False)


if __name__ == "__main__":
    main()
