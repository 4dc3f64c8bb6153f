"""Columns with overrides of their own: a row is a loss, a column a kind and rate of noise."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from seglab.composed import Store, remembered
from seglab.config import compose, conf_dir
from seglab.report.blocks import blocks
from seglab.report.csvfile import csv_text
from seglab.report.figures.lines import _by_group
from seglab.report.markdown import markdown_text
from seglab.tables.claims import board
from seglab.tables.collect import collect
from seglab.tables.plan import Plan
from seglab.tables.spec import parse_table

RUN = ["data=msra_b", "model=fcn_resnet101"]
NOISE = ["noise=flip", "noise.rate=0.3"]


def column(name: str, metric: str = "mae", overrides=(), **more) -> dict:
    better = "lower" if metric == "mae" else "higher"
    return {
        "name": name, "set": "msra_b", "metric": metric, "better": better, "overrides": list(overrides), **more,
    }  # fmt: skip


COLUMNS = [
    column("clean F", "fbeta_adaptive", x=0.0),
    column("clean M", x=0.0),
    column("flip F", "fbeta_adaptive", NOISE, group="flip", x=0.3),
    column("flip M", overrides=NOISE, group="flip", x=0.3),
    column("half M", overrides=["noise.rate=0.5"], group="half", x=0.5),
]
ROWS = [
    {"name": "ce", "kind": "extra", "run": [*RUN, "loss=ce"]},
    {"name": "cas", "kind": "extra", "run": [*RUN, "loss=cas"]},
    {"name": "pre", "kind": "extra", "run": [*RUN, "loss=cas"], "starts_from": "ce"},
    {"name": "mixed", "kind": "extra", "cells": ["ce", "ce|half M", "cas", "cas", "cas"]},
]
CLAIM = {"text": "flips cost ce more than 0.2", "check": "[ce|flip M] - [ce|clean M] > 0.2"}
TABLE = {"id": "t", "paper": "ours", "title": "T", "source": "s", "protocol": "p", "columns": COLUMNS, "rows": ROWS}


@pytest.fixture
def make(tmp_path: Path):
    def plan(*overrides: str, **top) -> tuple[Plan, str]:
        path = tmp_path / "t.yaml"
        OmegaConf.save(OmegaConf.create({**TABLE, "claims": [CLAIM], **top}), path)
        places = [f"runtime.outputs={tmp_path / 'outputs'}", f"runtime.data_root={tmp_path}"]
        return Plan(compose("table", [f"tables=[{path}]", *places, *overrides])), str(path)

    return plan


def jobs_of(plan: Plan, table: str, row: str, name: str = "") -> list:
    row = plan.spec(table).row(row)
    if not name:
        return plan.row_jobs(table, row)
    return plan.cell_jobs(table, row, plan.spec(table).column(name))


def finish(job, **metrics: float) -> None:
    job.run.start(job.cfg)
    protocol = {k: v for k, v in OmegaConf.to_container(job.cfg.eval.protocol).items() if k != "_target_"}
    job.run.write_json("eval/msra_b-cas.json", {"metrics": metrics, "protocol": protocol})
    job.run.write_json("env.json", {"device": "cpu", "seconds": 2.0})
    job.run.mark("DONE", "now")


def test_columns_with_equal_overrides_share_a_run(make) -> None:
    plan, table = make()
    assert [float(job.cfg.noise.rate) for job in jobs_of(plan, table, "ce")] == [0.0, 0.3, 0.5]
    assert jobs_of(plan, table, "ce", "flip F") == jobs_of(plan, table, "ce", "flip M")
    assert jobs_of(plan, table, "ce", "clean M") != jobs_of(plan, table, "ce", "flip M")


def test_it_is_the_run_that_is_typed_by_hand(make) -> None:
    from seglab.identity import identity

    plan, table = make()
    (job,) = jobs_of(plan, table, "cas", "flip M")
    assert identity(job.cfg) == identity(compose("train", [*RUN, "loss=cas", "noise.rate=0.3"]))


def test_a_row_starts_from_the_run_of_the_same_column_and_a_cell_names_any(make) -> None:
    plan, table = make()
    (pre,) = jobs_of(plan, table, "pre", "flip M")
    assert pre.start is jobs_of(plan, table, "ce", "flip F")[0]
    assert jobs_of(plan, table, "mixed", "clean M") == jobs_of(plan, table, "ce", "half M")
    assert jobs_of(plan, table, "mixed", "flip M") == jobs_of(plan, table, "cas", "flip M")


@pytest.mark.parametrize("own", [{}, {"trained_on": "column"}])
def test_other_scales_keep_them_and_the_headings(make, own: dict) -> None:
    scales = {"small": {"data": {"msra_b": ["sod"]}}}
    more = [*COLUMNS, column("large M", overrides=["data.size=96"])]
    plan, table = make("scale=small", "seeds=1", scales=scales, columns=more, rows=ROWS[:3], **own)
    assert [c.name for c in plan.columns(table)] == [c["name"] for c in more]
    assert {c.set for c in plan.columns(table)} == {"sod"}
    jobs = jobs_of(plan, table, "ce")
    assert [(float(j.cfg.noise.rate), j.cfg.data.size, j.cfg.data.name) for j in jobs] == [
        (0.0, 128, "sod"), (0.3, 128, "sod"), (0.5, 128, "sod"), (0.0, 96, "sod"),
    ]  # fmt: skip


def test_cells_claims_and_files_tell_the_columns_apart(make, tmp_path: Path) -> None:
    plan, table = make()
    for name, mae in (("clean M", 0.1), ("flip M", 0.4)):
        finish(jobs_of(plan, table, "ce", name)[0], mae=mae, fbeta_adaptive=1 - mae)
    values = collect(plan, table)
    assert [values.cells["ce", c["name"]].mean for c in COLUMNS] == [0.9, 0.1, 0.6, 0.4, None]
    assert board(values)[0].ours.state == "holds"
    text = markdown_text(values, board(values), tmp_path, [])
    assert "## flip" in text
    assert "not in the paper" not in text
    assert "published" not in text.replace("nothing is published", "")
    assert "| ce | 2 |" in text
    assert ",noise=flip noise.rate=0.3,flip,0.3" in csv_text(values)


def test_blocks_are_groups_and_a_column_without_one_is_in_all(make) -> None:
    columns = parse_table(TABLE, "t").columns
    names = [(title, [columns[i].name for i in place]) for title, place in blocks(columns)]
    assert names == [("flip", ["clean F", "flip F", "clean M", "flip M"]), ("half", ["clean F", "clean M", "half M"])]


def test_a_figure_has_a_panel_a_group_with_x_from_the_columns(make) -> None:
    plan, table = make()
    finish(jobs_of(plan, table, "ce", "clean M")[0], mae=0.1)
    finish(jobs_of(plan, table, "ce", "half M")[0], mae=0.4)
    values = collect(plan, table)
    panels = _by_group(values, values.spec.rows, "mae", False)
    assert [panel.title for panel in panels] == ["flip", "half"]
    assert panels[1].points("ce", published=False) == [(0.0, 0.1, 0.0), (0.5, 0.4, 0.0)]
    assert not panels[0].points("cas", published=False)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["noise"], "'noise': expected <key>=<value>"),
        (["seed=3"], "expected another key; the table itself sets seed"),
        (["data=sod"], "the table itself sets data"),
        (["noise.rate=0.1", "noise.rate=0.3"], "noise.rate appears more than once"),
        ([0.3], "overrides=[0.3]: expected a list of text"),
    ],
)
def test_a_mistake_is_one_message(overrides: list, said: str) -> None:
    with pytest.raises(ValueError, match="x") as error:
        parse_table({**TABLE, "columns": [column("a", overrides=overrides)], "rows": []}, "x.yaml")
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_mean_takes_no_overrides_and_a_wrong_key_is_told_by_its_row(make) -> None:
    mean = column("m", overrides=NOISE, mean_of=["*"])
    with pytest.raises(ValueError, match="the column is a mean of others"):
        parse_table({**TABLE, "columns": [*COLUMNS, mean], "rows": []}, "x.yaml")
    plan, table = make(columns=[column("a", overrides=["noise.rat=0.3"])], rows=ROWS[:1], claims=[])
    (job,) = jobs_of(plan, table, "ce")
    assert job.run is None
    assert "noise.rat" in job.problem
    assert "noise.rat=0.3" in job.key


def test_a_remembered_config_is_the_composed_one(tmp_path: Path, monkeypatch) -> None:
    overrides = ["loss=magnet", "data=msra_b", "noise.rate=0.3"]
    path = tmp_path / "cache" / "composed.json"
    plain = compose("train", overrides)
    with remembered(path, conf_dir()):
        first = compose("train", overrides)
    monkeypatch.setattr("seglab.config.by_hydra", lambda *_: pytest.fail("composed again"))
    with remembered(path, conf_dir()):
        second = compose("train", overrides)
    assert plain == first == second
    assert OmegaConf.to_yaml(plain, resolve=True) == OmegaConf.to_yaml(second, resolve=True)
    assert OmegaConf.is_struct(second) == OmegaConf.is_struct(plain)
    (tmp_path / "conf").mkdir()
    assert Store(path, tmp_path / "conf").get("train", overrides) is None  # other YAML files
    path.write_text('{"made_of": ', encoding="utf-8")
    assert Store(path, conf_dir()).get("train", overrides) is None
