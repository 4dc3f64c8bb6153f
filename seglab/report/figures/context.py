"""What a figure is drawn from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from seglab.run import Run
from seglab.tables.values import TableValues

if TYPE_CHECKING:
    from omegaconf import DictConfig


@dataclass(frozen=True)
class FigureContext:
    """Handed to every function in this folder as its first argument; the other arguments come from the table's YAML.

    Attributes:
        values: the table's rows, columns and numbers at one scale.
        configs: row name -> finalised config of ``seglab.train`` for its first seed, for rows that are trained.
        runs: row name -> its finished runs, in the order of the seeds; rows without a finished run are absent.
        stem: path of the file to write, without suffix; ``.png`` and ``.svg`` are added.
        runtime: ``data_root`` and ``outputs`` of this scale, and the rest of ``runtime``; None = as on a command line.
    """

    values: TableValues
    configs: Mapping[str, DictConfig]
    runs: Mapping[str, tuple[Run, ...]]
    stem: Path
    runtime: DictConfig | None = None
