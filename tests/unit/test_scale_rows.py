"""A scale changes single rows of a table, by name or pattern."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from seglab.config import compose
from seglab.tables.plan import Plan

TABLE = {
    "id": "mine",
    "paper": "p",
    "title": "T",
    "source": "s",
    "protocol": "p",
    "columns": [{"name": "A", "set": "shapes", "metric": "mae", "better": "lower"}],
    "rows": [
        {"name": "ce-a", "kind": "ours", "run": ["data=shapes", "loss=ce", "batch_size=2"]},
        {"name": "ce-b", "kind": "ours", "run": ["data=shapes", "loss=ce", "batch_size=4"]},
        {"name": "cas", "kind": "ours", "run": ["data=shapes", "loss=cas"]},
    ],
}


def plan(tmp_path: Path, rows: dict[str, list[str]]) -> tuple[Plan, str]:
    path = tmp_path / "mine.yaml"
    small = {"data": {"shapes": ["shapes"]}, "overrides": ["schedule.epochs=3"], "rows": rows, "seeds": [0]}
    OmegaConf.save(OmegaConf.create({**TABLE, "scales": {"small": small}}), path)
    cfg = compose("table", [f"tables=['{path}']", "scale=small", f"runtime.outputs={tmp_path}"])
    return Plan(cfg), str(path)


def epochs(made: Plan, table: str) -> dict[str, int]:
    rows = made.spec(table).rows
    return {row.name: made.row_jobs(table, row)[0].cfg.schedule.epochs for row in rows}


def test_a_row_is_changed_by_its_name_and_by_a_pattern_the_later_wins(tmp_path) -> None:
    made, table = plan(tmp_path, {"ce-*": ["schedule.epochs=5"], "ce-b": ["schedule.epochs=7"]})
    assert epochs(made, table) == {"ce-a": 5, "ce-b": 7, "cas": 3}


def test_an_option_of_a_row_can_be_another_one_at_a_scale(tmp_path) -> None:
    made, table = plan(tmp_path, {"cas": ["schedule=poly", "optim=sgd"]})
    job = made.row_jobs(table, made.spec(table).row("cas"))[0]
    assert job.cfg.schedule.power == 0.9
    assert job.cfg.optim.momentum == 0.9


def test_a_row_that_is_not_there_is_told(tmp_path) -> None:
    made, table = plan(tmp_path, {"cee-a": ["schedule.epochs=5"]})
    with pytest.raises(ValueError, match=r"table mine: scales.small.rows: no row 'cee-a', did you mean 'ce-a'"):
        made.scale(table)
