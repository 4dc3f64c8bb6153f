"""Which runs a table needs, where they lie, and how far they are."""

from __future__ import annotations

import fcntl
import json
import shutil
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from seglab.config import compose
from seglab.table import choose, complete
from seglab.tables.collect import collect
from seglab.tables.plan import Plan, in_order
from seglab.tables.scale import seeds_of
from seglab.tables.state import find_data, state_of

COLUMNS = [
    {"name": "MSRA-B F_beta", "set": "msra_b", "metric": "fbeta_adaptive", "better": "higher"},
    {"name": "MSRA-B MAE", "set": "msra_b", "metric": "mae", "better": "lower"},
    {"name": "ECSSD MAE", "set": "ecssd", "metric": "mae", "better": "lower"},
]
RUN = ["data=msra_b", "model=fcn_resnet101"]
ROWS = [
    {"name": "ce", "kind": "ours", "run": [*RUN, "loss=ce"], "values": [0.9, 0.1, 0.2]},
    {"name": "cas", "kind": "ours", "run": [*RUN, "loss=cas"]},
    {"name": "cas again", "kind": "extra", "run": [*RUN, "loss=cas", "loss.alpha=0.1"]},
    {"name": "pre", "kind": "ours", "run": [*RUN, "loss=cas"], "starts_from": "ce"},
    {"name": "mixed", "kind": "ours", "cells": ["ce", "cas", "cas"]},
    {"name": "pfan", "kind": "ours", "unavailable": "its network is not built yet", "values": [0.1, 0.2, 0.3]},
    {"name": "quoted", "kind": "published", "values": [0.5, None, 0.1]},
    {"name": "odd", "kind": "ours", "run": [*RUN, "loss=cass"]},
]


@pytest.fixture
def make(tmp_path: Path):
    def plan(*overrides: str, **top) -> tuple[Plan, str]:
        content = {"id": "t", "paper": "cas", "title": "T", "source": "s", "protocol": "p", "columns": COLUMNS}
        path = tmp_path / "t.yaml"
        OmegaConf.save(OmegaConf.create({**content, "rows": ROWS, **top}), path)
        places = [f"runtime.outputs={tmp_path / 'outputs'}", f"runtime.data_root={tmp_path}"]
        return Plan(compose("table", [f"tables=[{path}]", *places, *overrides])), str(path)

    return plan


def jobs_of(plan: Plan, table: str, row: str) -> list:
    return plan.row_jobs(table, plan.spec(table).row(row))


def finish(job, **metrics: float) -> None:
    job.run.start(job.cfg)
    for name in ("msra_b", "ecssd", "sod"):
        protocol = {k: v for k, v in OmegaConf.to_container(job.cfg.eval.protocol).items() if k != "_target_"}
        job.run.write_json(f"eval/{name}-cas.json", {"metrics": metrics, "protocol": protocol})
    job.run.write_json("env.json", {"git": {"commit": "abc", "dirty": True}, "device": "cpu", "seconds": 2.0})
    job.run.mark("DONE", "now")


def test_equal_rows_share_a_run_scored_on_the_sets_of_both(make) -> None:
    plan, table = make()
    (cas,), (again,) = jobs_of(plan, table, "cas"), jobs_of(plan, table, "cas again")
    assert cas is again
    assert cas.wanted == {"cas": ["msra_b", "ecssd"]}
    assert [list(cfg.eval.sets) for cfg in cas.configs()] == [["msra_b", "ecssd"]]
    assert cas.cfg.model._target_.endswith("fcn_resnet101")


def test_a_row_that_starts_from_another_brings_it_along(make) -> None:
    plan, table = make()
    ce, pre = jobs_of(plan, table, "pre")
    assert pre.start is ce
    assert pre.cfg.init.run == str(ce.run.path)
    assert pre.key != jobs_of(plan, table, "cas")[0].key
    assert [job.key for job in in_order([pre, ce, pre])] == [ce.key, pre.key]


def test_the_same_start_as_typed_by_hand_is_the_same_run(make) -> None:
    plan, table = make()
    ce, pre = jobs_of(plan, table, "pre")
    ce.run.start(ce.cfg)
    by_hand = compose("train", [*RUN, "loss=cas", "init=run", f"init.run={ce.run.path}"])
    by_hand.runtime.outputs = str(plan.outputs)
    from seglab.run import Run

    assert Run.for_config(by_hand).path.name == pre.key


def test_a_scale_replaces_data_and_networks(make) -> None:
    scales = {"small": {"data": {"msra_b": ["sod", "people"]}}}
    plan, table = make("scale=small", trained_on="column", scales=scales)
    assert [c.name for c in plan.columns(table)] == ["SOD F_beta", "People F_beta", "SOD MAE", "People MAE"]
    assert [c.paper_name for c in plan.columns(table)[:2]] == ["MSRA-B F_beta"] * 2
    jobs = jobs_of(plan, table, "ce")
    assert sorted((job.cfg.data.name, job.seed) for job in jobs) == [
        (d, s) for d in ("people", "sod") for s in (0, 1, 2)
    ]
    assert all(job.cfg.model._target_.endswith("unet_small") and job.cfg.data.size == 128 for job in jobs)
    assert {tuple(job.wanted["cas"]) for job in jobs if job.cfg.data.name == "sod"} == {("sod",)}


def test_generated_data_and_its_runs_lie_apart(make) -> None:
    plan, table = make("scale=smoke")
    (job,) = jobs_of(plan, table, "ce")
    assert job.run.path.parent == plan.cfg.runtime.outputs / Path("smoke/runs")
    assert job.cfg.runtime.data_root == str(plan.outputs / "data")


def test_what_is_typed_for_a_scale_changes_its_name(make) -> None:
    plan, table = make("scale=small", "scale.models.fcn_resnet101=fcn_resnet101", "runtime.precision=fp32")
    assert plan.scale(table).name == "small_changed"
    assert "scale.models.fcn_resnet101" in plan.scale(table).title
    job = jobs_of(plan, table, "ce")[0]
    assert job.cfg.model._target_.endswith("fcn_resnet101")
    assert job.cfg.runtime.precision == "fp32"
    named, table = make("scale=small", "scale.name=mine", "scale.seeds=[7]")
    assert named.scale(table).name == "mine"
    assert [job.seed for job in jobs_of(named, table, "ce")] == [7]


def test_states_are_read_from_the_folder(make) -> None:
    plan, table = make()
    (job,) = jobs_of(plan, table, "ce")
    assert state_of(job).name == "not run"
    job.run.start(job.cfg)
    (job.run.path / "last.pt").touch()
    (job.run.path / "log.jsonl").write_text("{}\n{}\n")
    assert state_of(job) == ("stopped", "epoch 2/30")
    with open(job.run.path / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert state_of(job) == ("running", "epoch 2/30")
    job.run.mark("FAILED", "Traceback\nValueError: loss not finite")
    assert state_of(job) == ("failed", "ValueError: loss not finite")
    finish(job, mae=0.1, fbeta_adaptive=0.5)
    assert state_of(job).name == "done"
    (job.run.path / "eval" / "ecssd-cas.json").unlink()
    assert state_of(job) == ("part", "not scored yet on ecssd")


def test_missing_data_is_told_and_the_sets_that_are_there_are_still_scored(make) -> None:
    plan, table = make()
    (job,) = jobs_of(plan, table, "ce")
    find_data(job)
    assert state_of(job).name == "data missing"
    assert "MSRA-B" in state_of(job).reason
    finish(job, mae=0.1, fbeta_adaptive=0.5)
    (job.run.path / "eval" / "ecssd-cas.json").unlink()
    job.missing.clear()
    find_data(job)
    assert list(job.missing) == ["ecssd"]
    assert state_of(job).name == "done"
    cell = collect(plan, table).cells["ce", "ECSSD MAE"]
    assert (cell.state, cell.ours) == ("data missing", ())
    assert "ECSSD" in cell.reason


def test_cells_hold_what_the_runs_say(make) -> None:
    plan, table = make("seeds=2")
    first, second = jobs_of(plan, table, "ce")
    finish(first, mae=0.1, fbeta_adaptive=0.5)
    half = collect(plan, table).cells["ce", "MSRA-B F_beta"]
    assert (half.state, half.ours, half.seeds) == ("part", (0.5,), (0,))
    finish(second, mae=0.3, fbeta_adaptive=0.7)
    for job in jobs_of(plan, table, "cas"):
        finish(job, mae=0.25, fbeta_adaptive=0.75)
    values = collect(plan, table, code="abc")
    cell = values.cells["ce", "MSRA-B F_beta"]
    assert cell.state == "done"
    assert cell.mean == pytest.approx(0.6)
    assert cell.deviation == pytest.approx(0.02**0.5)
    assert cell.difference == pytest.approx(-0.3)
    assert values.command == f"python -m seglab.table table={table} scale=paper seeds=2"
    assert values.cells["mixed", "MSRA-B F_beta"].ours == (0.5, 0.7)
    assert values.cells["mixed", "MSRA-B MAE"].ours == (0.25, 0.25)
    assert values.cells["pfan", "ECSSD MAE"].state == "not built"
    assert values.cells["quoted", "ECSSD MAE"].published == 0.1
    assert values.cells["odd", "ECSSD MAE"].state == "failed"
    assert "did you mean 'cas'" in values.cells["odd", "ECSSD MAE"].reason
    info = next(run for run in values.runs if run.id == first.key)
    assert (info.row, info.seed, info.commit, info.dirty, info.seconds) == ("ce", 0, "abc", True, 2.0)


def test_numbers_of_other_settings_do_not_enter_a_table(make) -> None:
    plan, table = make()
    (job,) = jobs_of(plan, table, "ce")
    finish(job, mae=0.1, fbeta_adaptive=0.5)
    path = job.run.path / "eval" / "msra_b-cas.json"
    content = json.loads(path.read_text())
    content["protocol"]["beta2"] = 1.0
    path.write_text(json.dumps(content))
    assert state_of(job).name == "failed"
    assert "protocol.beta2" in state_of(job).reason
    cell = collect(plan, table).cells["ce", "MSRA-B MAE"]
    assert (cell.ours, cell.state) == ((), "failed")


def test_a_metric_that_does_not_exist_marks_its_cells(make) -> None:
    plan, table = make()
    finish(jobs_of(plan, table, "ce")[0], mae=0.1)
    cells = collect(plan, table).cells
    assert cells["ce", "MSRA-B F_beta"].state == "failed"
    assert "metric 'fbeta_adaptive'" in cells["ce", "MSRA-B F_beta"].reason
    assert cells["ce", "MSRA-B MAE"].ours == (0.1,)


def test_data_present_in_part_train_and_score_what_they_can(make, tmp_path) -> None:
    from seglab.data.standin import write_standins

    write_standins(["duts", "ecssd"], tmp_path)
    shutil.rmtree(tmp_path / "DUTS-TE")
    columns = [{**COLUMNS[1], "set": "duts", "name": "DUTS-TE MAE"}, COLUMNS[2]]
    rows = [{"name": "ce", "kind": "ours", "run": ["data=duts", "model=fcn_resnet101", "loss=ce"]}]
    plan, table = make(columns=columns, rows=rows)
    (job,) = jobs_of(plan, table, "ce")
    find_data(job)
    assert state_of(job).name == "not run", "the training part is there"
    assert [list(cfg.eval.sets) for cfg in job.configs()] == [["ecssd"]]
    assert "DUTS-TE" in job.missing["duts"]


def test_other_settings_under_the_same_protocol_do_not_share_files(make) -> None:
    rows = [{"name": "a", "kind": "ours", "run": [*RUN, "loss=ce"]}]
    rows.append({"name": "b", "kind": "ours", "run": [*RUN, "loss=ce", "eval.post.channel=0"]})
    plan, table = make(rows=rows)
    (a,), (b,) = jobs_of(plan, table, "a"), jobs_of(plan, table, "b")
    assert a.run is not None
    assert state_of(b).name == "failed"
    assert "measured by other settings" in b.problem
    assert "eval.protocol.name=<name>" in b.problem


def test_one_run_is_measured_in_two_ways(make, tmp_path) -> None:
    plan, table = make(rows=[{"name": "a", "kind": "ours", "run": [*RUN, "loss=ce"]}], columns=COLUMNS[:2])
    way = ["eval/protocol=pysodmetrics", "eval.post.channel=0"]
    content = OmegaConf.to_container(OmegaConf.load(table)) | {
        "id": "u",
        "columns": [{**COLUMNS[2], "protocol": "pysodmetrics"}],
        "rows": [{"name": "b", "kind": "ours", "run": [*RUN, "loss=ce", *way]}],
    }
    other_table = str(tmp_path / "u.yaml")
    OmegaConf.save(content, other_table)
    (a,), (b,) = jobs_of(plan, table, "a"), jobs_of(plan, other_table, "b")
    assert a is b, "one folder, one job, one lock"
    one, other = a.configs()
    assert (one.eval.protocol.name, one.eval.post.channel, list(one.eval.sets)) == ("cas", "auto", ["msra_b"])
    assert (other.eval.protocol.name, other.eval.post.channel) == ("pysodmetrics", 0)
    assert list(other.eval.sets) == ["ecssd"]
    assert plan.row_config(table, plan.spec(table).row("a"), a).eval.post.channel == "auto"
    assert plan.row_config(other_table, plan.spec(other_table).row("b"), b).eval.post.channel == 0
    finish(a, mae=0.1, fbeta_adaptive=0.5)
    assert state_of(a) == ("part", "not scored yet on ecssd")
    protocol = {k: v for k, v in OmegaConf.to_container(other.eval.protocol).items() if k != "_target_"}
    numbers = {"metrics": {"mae": 0.3}, "protocol": protocol, "read_out": OmegaConf.to_container(other.eval.post)}
    a.run.write_json("eval/ecssd-pysodmetrics.json", numbers)
    assert state_of(a).name == "done"
    assert collect(plan, other_table).cells["b", "ECSSD MAE"].ours == (0.3,)
    a.run.write_json("eval/ecssd-pysodmetrics.json", {**numbers, "read_out": {"channel": "auto"}})
    assert "read_out" in state_of(a).reason, "numbers of the other way do not count"


def test_the_deeplab_runs_of_two_tables_are_one_job() -> None:
    plan = Plan(compose("table", ["tables=[cas_supp_t2,cas_t6]"]))
    (saliency,) = jobs_of(plan, "cas_supp_t2", "DeepLab-CE (ours)")
    (texture,) = jobs_of(plan, "cas_t6", "DeepLab-d-CE")
    assert saliency is texture
    assert {protocol: len(sets) for protocol, sets in saliency.wanted.items()} == {"cas": 7, "bsds": 1}
    posts = [cfg.eval.post._target_.rsplit(".")[-1] for cfg in saliency.configs()]
    assert posts == ["Channel", "Argmax"]
    assert [list(cfg.eval.sets) for cfg in saliency.configs()][1] == ["texture"]


def test_a_stand_in_goes_before_a_heading_that_names_no_data_set(make) -> None:
    columns = [{**COLUMNS[0], "name": "Rand Index ODS"}, {**COLUMNS[1], "name": "MSRA-B MAE"}]
    plan, table = make("scale=small", columns=columns, rows=[ROWS[1]])
    assert [c.name for c in plan.columns(table)] == ["SOD Rand Index ODS", "SOD MAE"]
    assert plan.columns(table)[0].paper_name == "Rand Index ODS"


def test_a_figure_is_drawn_on_the_stand_in_of_its_data_set(make) -> None:
    figure = {"_target_": "seglab.report.figures.region_maps.region_maps", "name": "f"}
    figures = [{**figure, "data": "msra_b"}, {**figure, "name": "g", "data": "hku_is"}, {**figure, "name": "h"}]
    plan, table = make("scale=small", figures=figures)
    assert [node.get("data") for node in plan.figures(table)] == ["sod", "", None]
    assert "sod" in plan.sets()
    plan, table = make(figures=figures)
    assert [node.get("data") for node in plan.figures(table)] == ["msra_b", "hku_is", None]


def test_numbers_at_the_original_resolution_are_found(make) -> None:
    plan, table = make(rows=[{"name": "a", "kind": "ours", "run": [*RUN, "loss=ce", "eval.resolution=original"]}])
    (job,) = jobs_of(plan, table, "a")
    finish(job, mae=0.1, fbeta_adaptive=0.5)
    for path in list((job.run.path / "eval").glob("*-cas.json")):
        path.rename(path.with_name(path.name.replace("-cas", "-cas-original")))
    assert state_of(job).name == "done"
    assert collect(plan, table).cells["a", "ECSSD MAE"].ours == (0.1,)


def test_a_score_that_failed_tells_why(make) -> None:
    plan, table = make()
    (job,) = jobs_of(plan, table, "ce")
    finish(job, mae=0.1, fbeta_adaptive=0.5)
    (job.run.path / "eval" / "ecssd-cas.json").unlink()
    job.outcome = ("failed", "0004.jpg cannot be read")
    cell = collect(plan, table).cells["ce", "ECSSD MAE"]
    assert (cell.state, cell.reason) == ("failed", "0004.jpg cannot be read")


def test_each_cell_names_the_runs_behind_it(make) -> None:
    plan, table = make()
    for name in ("ce", "cas", "pre"):
        for job in jobs_of(plan, table, name):
            finish(job, mae=0.1, fbeta_adaptive=0.5)
    values = collect(plan, table)
    ce, pre = jobs_of(plan, table, "pre")
    assert values.cells["pre", "ECSSD MAE"].runs == (pre.key,)
    assert values.cells["mixed", "MSRA-B F_beta"].runs == (ce.key,)
    assert {run.id: run.row for run in values.runs if run.row.startswith("pre")} == {
        ce.key: "pre (its start)",
        pre.key: "pre",
    }


def test_the_names_of_scales_and_tables_are_not_taken_twice(make, tmp_path) -> None:
    plan, table = make("scale=small", "scale.name=paper")
    with pytest.raises(ValueError, match=r"scale\.name=paper: that is another scale"):
        plan.scale(table)
    copy = tmp_path / "copy.yaml"
    copy.write_text(Path(table).read_text())
    plan.spec(table)
    with pytest.raises(ValueError, match="has the id 't', too"):
        plan.spec(str(copy))


def test_seeds_are_a_number_or_a_list() -> None:
    assert seeds_of(3) == (0, 1, 2)
    assert seeds_of([4, 2, 4]) == (4, 2)
    for wrong in (0, -1, True, [], [-1], "all", 1.5):
        with pytest.raises(ValueError, match="seeds="):
            seeds_of(wrong)


def test_rows_are_chosen_by_part_of_their_names(make) -> None:
    plan, table = make("only=CA*in")
    assert [row.name for row in choose(plan.cfg, plan)[table]] == ["cas again"]
    rows = [{"name": "Loss [7] 50 %", "kind": "ours", "run": [*RUN, "loss=ce"]}]
    for pattern in ("only='loss [7]'", "only=50", "only=[nothing,Loss]"):
        plan, table = make(pattern, rows=rows)
        if "nothing" not in pattern:
            assert choose(plan.cfg, plan)[table], pattern
    plan, _ = make("only=nosuch")
    with pytest.raises(ValueError, match="only=nosuch: no such row"):
        choose(plan.cfg, plan)


def test_tables_are_a_value_not_a_group() -> None:
    assert complete(["table=a,b", "scale=small"]) == ["scale=small", "tables=[a,b]"]
    with pytest.raises(ValueError, match="table is missing"):
        complete(["scale=small"])
