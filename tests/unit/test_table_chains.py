"""Rows made of other rows and runs: starts in other tables, categories, means, differences, label networks."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from seglab.config import compose
from seglab.report.layout import lay_out
from seglab.report.status import status_text
from seglab.table import check_table, train_what_is_missing, without_number
from seglab.tables.collect import collect, combined
from seglab.tables.plan import Plan
from seglab.tables.reference import RunsOf
from seglab.tables.scale import Scale
from seglab.tables.spec import parse_table
from seglab.tables.state import find_data, state_of
from seglab.tables.values import Cell

BASE = {"paper": "p", "title": "T", "source": "s", "protocol": "p"}
METRIC = {"metric": "jaccard", "better": "higher", "protocol": "regularized_paper"}
RUN = ["data=voc_coseg", "loss=ce", "eval=object", "eval/post=object"]
COW, CAT = ({"name": name, "set": f"voc_coseg/{name}", "factor": 0.01, **METRIC} for name in ("cow", "cat"))
MEAN = {"name": "mean", "set": "voc_coseg", "mean_of": ["*"], **METRIC}
PET = {"id": "pets", "columns": [{"name": "Pet", "set": "oxford_pet", **METRIC}], "trained_on": "column"}
LABELS = ["data=pseudo_labels_voc", "loss=ce", "data.classes=[none,cat,cow]", "data.source.photos=voc_coseg"]


@pytest.fixture
def make(tmp_path: Path):
    """A plan of the table ``classes``, which starts from the table ``pets``."""

    def plan(rows: list[dict], *overrides: str, pets: tuple = (), **top) -> tuple[Plan, str]:
        own = {"name": "pet", "kind": "ours", "run": ["data=oxford_pet", *RUN[1:]]}
        for content in (
            {**BASE, **PET, "rows": [own, *pets]},
            {**BASE, "id": "classes", "columns": [COW, CAT, MEAN], "trained_on": "column", "rows": rows, **top},
        ):
            OmegaConf.save(OmegaConf.create(content), tmp_path / f"{content['id']}.yaml")
        table = str(tmp_path / "classes.yaml")
        places = [f"runtime.outputs={tmp_path / 'outputs'}", f"runtime.data_root={tmp_path}"]
        return Plan(compose("table", [f"tables=['{table}']", *places, *overrides])), table

    return plan


def jobs_of(plan: Plan, table: str, row: str) -> list:
    return plan.row_jobs(table, plan.spec(table).row(row))


def finish(job, **jaccard: float) -> None:
    job.run.start(job.cfg)
    protocol = OmegaConf.to_container(job.cfg_for("regularized_paper").eval.protocol, resolve=True)
    for name, value in jaccard.items():
        content = {"metrics": {"jaccard": value, "fbeta": -value}, "protocol": protocol}
        job.run.write_json(f"eval/voc_coseg-{name}-regularized_paper.json", content)
    job.run.mark("DONE", "now")


SMALL = {"name": "small", "kind": "start", "run": [*RUN, "data.size=128"]}
LARGE = {"name": "large", "kind": "ours", "run": [*RUN, "data.size=256"], "starts_from": "small"}


def test_a_row_that_is_not_shown_is_trained_for_each_column_and_stays_out_of_the_table(make) -> None:
    plan, table = make([SMALL, LARGE])
    jobs = jobs_of(plan, table, "large")
    assert [(j.row, j.cfg.data.name, j.cfg.data.size) for j in jobs] == [
        ("small", "voc_coseg/cow", 128),
        ("large", "voc_coseg/cow", 256),
        ("small", "voc_coseg/cat", 128),
        ("large", "voc_coseg/cat", 256),
    ]
    assert len({j.key for j in jobs}) == 4
    assert jobs_of(plan, table, "small") == [jobs[0], jobs[2]]
    assert not jobs[0].wanted, "a start is scored on what it trains on, no more"
    values = collect(plan, table)
    assert [row.name for row in values.spec.rows] == ["large"]
    assert {row for row, _ in values.cells} == {"large"}
    assert len(lay_out(values).groups) == 1
    assert len(without_number(values, list(plan.spec(table).rows))) == 1
    rows = [(row, plan.row_jobs(table, row)) for row in plan.spec(table).rows]
    assert "small" in status_text("t", rows)


def test_a_start_in_another_table_is_one_run_for_all_columns(make) -> None:
    plan, table = make([], "seeds=2")
    pets = str(Path(table).with_name("pets.yaml"))
    rows = [{"name": "a", "kind": "ours", "run": RUN, "starts_from": f"{pets}:pet|Pet"}]
    plan, table = make(rows, "seeds=2")
    check_table(plan, table)
    jobs = jobs_of(plan, table, "a")
    assert [(j.row, j.seed) for j in jobs] == [("pet", 0), ("a", 0), ("pet", 1), ("a", 1), ("a", 0), ("a", 1)]
    assert jobs[1].start is jobs[4].start
    assert jobs[1].cfg.init.run == str(jobs[0].run.path)


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("{pets}:pet|Cat", r"starts_from: '.*': no column 'Cat' in pets"),
        ("{pets}:dog|Pet", r"starts_from: '.*': no row with runs 'dog' in pets"),
        ("nosuch:pet", "table=nosuch: no such table"),
    ],
)
def test_a_reference_to_what_does_not_exist_is_named(make, tmp_path, reference: str, words: str) -> None:
    text = reference.format(pets=tmp_path / "pets.yaml")
    plan, table = make([{"name": "a", "kind": "ours", "run": RUN, "starts_from": text}])
    with pytest.raises(ValueError, match=rf"table=classes: row 'a': .*{words}"):
        check_table(plan, table)


def test_tables_that_start_from_each_other_are_refused(make, tmp_path) -> None:
    pets, classes = tmp_path / "pets.yaml", tmp_path / "classes.yaml"
    back = {"name": "b", "kind": "ours", "run": ["data=oxford_pet"], "starts_from": f"{classes}:a|cow"}
    plan, table = make([{"name": "a", "kind": "ours", "run": RUN, "starts_from": f"{pets}:b|Pet"}], pets=(back,))
    with pytest.raises(ValueError, match="start from each other"):
        jobs_of(plan, table, "a")


def test_a_row_may_be_trained_on_the_columns_category_of_another_set(make) -> None:
    rows = [{"name": "web", "kind": "ours", "run": ["data=web", *RUN[1:]], "trained_on": "web/*"}]
    plan, table = make(rows)
    jobs = jobs_of(plan, table, "web")
    assert [(j.cfg.data.name, j.wanted["regularized_paper"]) for j in jobs] == [
        ("web/cow", ["voc_coseg/cow"]),
        ("web/cat", ["voc_coseg/cat"]),
    ]
    plan, table = make(rows, columns=[{"name": "DUTS", "set": "duts", **METRIC}])
    (job,) = jobs_of(plan, table, "web")
    assert "duts has no category" in state_of(job).reason


def test_stand_ins_of_categories_and_a_set_that_has_none(make) -> None:
    data = {"voc_coseg/cow": ["fabrics_single/denim"], "web/*": ["fabrics_single/*"]}
    rows = [LARGE | {"starts_from": None}, {"name": "web", "kind": "ours", "run": RUN, "trained_on": "web/*"}]
    plan, table = make(rows, "scale=small", "seeds=1", scales={"small": {"data": data, "overrides": []}})
    assert [(c.name, c.paper_name) for c in plan.columns(table)] == [("Fabrics denim", "cow"), ("mean", "mean")]
    (job,) = jobs_of(plan, table, "large")
    assert job.cfg.data.name == "fabrics_single/denim"
    (job,) = jobs_of(plan, table, "web")
    assert job.cfg.data.name == "fabrics_single/cow", "told as missing where it is read"
    plan, table = make(rows, "scale=small", scales={"small": {"data": {"sod": ["sod"]}}})
    assert plan.columns(table) == ()


def test_means_and_differences_are_taken_seed_by_seed(make) -> None:
    rows = [
        {"name": "a", "kind": "ours", "run": RUN, "values": [0.5, 0.7, 0.6]},
        {"name": "b", "kind": "ours", "run": [*RUN, "optim.lr=0.1"]},
        {"name": "gap", "kind": "ours", "difference": ["a", "b"], "values": [0.1, 0.3, 0.2]},
    ]
    plan, table = make(rows, "seeds=2")
    a, b = jobs_of(plan, table, "a"), jobs_of(plan, table, "b")
    assert {job.key for job in jobs_of(plan, table, "gap")} == {job.key for job in (*a, *b)}
    for job in a:
        finish(job, **{str(job.cfg.data.category): 50 + 10 * job.seed})
    for job in b:
        if job.seed == 0:
            finish(job, **{str(job.cfg.data.category): 20.0})
    cells = collect(plan, table).cells
    assert cells["a", "mean"].ours == pytest.approx((0.5, 0.6))
    assert (cells["a", "mean"].state, cells["a", "mean"].published) == ("done", 0.6)
    assert cells["gap", "cow"].ours == pytest.approx((0.3,))
    assert (cells["gap", "cow"].state, cells["gap", "cow"].seeds) == ("part", (0,))
    assert cells["gap", "mean"].difference == pytest.approx(0.1)
    assert set(cells["gap", "mean"].runs) == {j.key for j in (*a, *b) if j.seed == 0 or j in a}
    lines = lay_out(collect(plan, table)).groups[2]
    assert not any(cell.mark for line in lines for cell in line.cells), "a gap is no competitor"


def test_a_combined_cell_has_the_seeds_of_all_and_the_first_reason() -> None:
    done, none = Cell(ours=(1.0, 2.0), seeds=(0, 1), state="done"), Cell(state="failed", reason="why")
    cell = combined([done, none], lambda numbers: numbers[0] - numbers[1])
    assert (cell.ours, cell.state, cell.reason) == ((), "failed", "why")


def test_rows_read_one_run_by_metrics_of_their_own(make) -> None:
    rows = [{"name": "a", "kind": "ours", "run": RUN}, {"name": "f", "kind": "ours", "run": RUN, "metric": "fbeta"}]
    plan, table = make(rows)
    assert jobs_of(plan, table, "a") == jobs_of(plan, table, "f")
    for job in jobs_of(plan, table, "a"):
        finish(job, **{str(job.cfg.data.category): 40.0})
    cells = collect(plan, table).cells
    assert (cells["a", "cow"].ours, cells["f", "cow"].ours) == (pytest.approx((0.4,)), pytest.approx((-0.4,)))


CLASS = {"name": "class", "kind": "start", "run": RUN, "trained_on": "column"}
MIOU = [{"name": "mIoU", "set": "voc_aug", "metric": "miou", "better": "higher", "protocol": "voc_miou"}]
MAPS = {"name": "maps", "kind": "ours", "run": LABELS, "labels_from": "class"}


def test_label_networks_are_ordered_and_named_by_their_runs(make) -> None:
    plan, table = make([CLASS, MAPS], columns=MIOU, trained_on="row")
    cat, cow, maps = jobs_of(plan, table, "maps")
    assert [job.cfg.data.name for job in (cat, cow)] == ["voc_coseg/cat", "voc_coseg/cow"]
    assert dict(maps.cfg.data.source.runs) == {"cat": cat.key, "cow": cow.key}
    assert jobs_of(plan, table, "class") == [cat, cow]
    for job in (cat, cow, maps):
        find_data(job)
    assert state_of(maps).name == "data missing"
    assert "the network of cat, 'class', cannot be trained" in state_of(maps).reason


def test_a_class_network_that_failed_marks_the_cells_that_need_it(make) -> None:
    plan, table = make([CLASS, MAPS], columns=MIOU, trained_on="row")
    cat, cow, maps = jobs_of(plan, table, "maps")
    finish(cow)
    cat.outcome = ("failed", "loss not finite")
    cat.problem, cat.__dict__["run"] = "loss not finite", None
    train_what_is_missing(plan.cfg, plan, [maps])
    cell = collect(plan, table).cells["maps", "mIoU"]
    assert cell.state == "failed"
    assert "the network of cat, 'class'" in cell.reason
    assert "loss not finite" in cell.reason


def test_photos_of_another_set_bring_their_own_categories(make) -> None:
    data = {"voc_coseg/cat": ["fabrics_single/denim"], "voc_coseg/cow": ["fabrics_single/leaf"], "voc_aug": ["fabrics"]}
    scales = {"small": {"data": data, "overrides": []}}
    plan, table = make([CLASS, MAPS], "scale=small", "seeds=1", columns=MIOU, trained_on="row", scales=scales)
    denim, leaf, maps = jobs_of(plan, table, "maps")
    assert list(maps.cfg.data.classes) == ["none", "denim", "leaf"]
    assert maps.cfg.data.source.photos == "fabrics_single"
    assert dict(maps.cfg.data.source.runs) == {"denim": denim.key, "leaf": leaf.key}
    data["voc_coseg/cow"] = ["web/cow"]
    plan, table = make([CLASS, MAPS], "scale=small", "seeds=1", columns=MIOU, trained_on="row", scales=scales)
    (job,) = jobs_of(plan, table, "maps")
    assert "categories of one data set" in state_of(job).reason


def test_one_network_may_serve_all_categories_of_the_same_photos(make) -> None:
    scales = {"smoke": {"data": {"voc_coseg/*": ["voc_coseg/cow"], "voc_aug": ["voc_aug"]}}}
    plan, table = make([CLASS, MAPS], "scale=smoke", columns=MIOU, trained_on="row", scales=scales)
    network, maps = jobs_of(plan, table, "maps")
    assert dict(maps.cfg.data.source.runs) == {"cat": network.key, "cow": network.key}
    assert maps.cfg.data.source.photos == "voc_coseg"


def test_references_and_stand_ins_are_read() -> None:
    assert RunsOf.read("a") == RunsOf("a")
    assert RunsOf.read("t:a b|C") == RunsOf("a b", "t", "C")
    data = {"web/*": ["x/*", "y"], "web/cow": []}
    scale = Scale("small", "", data, None, (), (0,))
    assert [scale.stand_ins(name) for name in ("web/cat", "web/cow", "web", "z")] == [("x/cat", "y"), (), (), ()]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"kind": "start", "values": [1, 2, 3]}, "kind=start is trained and not shown"),
        (
            {"kind": "ours", "run": None, "cells": ["x", "x", "x"], "metric_words": {"mae": "f"}},
            "metric_words={'mae': 'f'}: the row is not trained",
        ),
        ({"kind": "ours", "trained_on": "web/cow"}, "trained_on=web/cow: expected row, column, or <data set>/"),
        ({"kind": "ours", "run": None, "difference": ["x"]}, "difference=.*expected two other rows, minuend first"),
        ({"kind": "ours", "run": None, "difference": ["x", "z"]}, "difference: 'z': no such row"),
        ({"kind": "ours", "labels_from": "z"}, "labels_from=z: no such row"),
    ],
)
def test_a_mistake_in_a_new_key_is_named(row: dict, words: str) -> None:
    rows = [{"name": "x", "kind": "ours", "run": RUN}, {"name": "y", "run": RUN, **row}]
    with pytest.raises(ValueError, match=f"t.yaml: row 'y': {words}"):
        parse_table({**BASE, "id": "t", "columns": [COW, CAT, MEAN], "rows": rows}, "t.yaml")


def test_a_mean_over_a_column_that_is_not_there_is_named() -> None:
    columns = [COW, {**MEAN, "mean_of": ["dog"]}]
    with pytest.raises(ValueError, match="column 'mean': mean_of: no column 'dog'"):
        parse_table({**BASE, "id": "t", "columns": columns, "rows": []}, "t.yaml")
