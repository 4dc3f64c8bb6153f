"""Fold networks of rows whose rankers learn: which there are, what they start from, and in which order all is done."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf, open_dict

from seglab.config import compose
from seglab.folds import fold_config
from seglab.launch.work import Work
from seglab.run import Run, result_stem
from seglab.table import as_work, train_what_is_missing
from seglab.tables.collect import collect
from seglab.tables.job import Job
from seglab.tables.plan import Plan, in_order
from seglab.tables.proposals import Proposals, proposals_status, proposals_wanted
from seglab.tables.state import find_data

COLUMN = {"set": "camvid_semantic", "better": "higher", "protocol": "rerank_miou"}
RUN = ["data=camvid_semantic", "model=segnet_alexnet", "model.trunk=small", "val=0", "eval=rerank", "noise.rate=0"]
START = {"name": "first", "kind": "start", "run": [*RUN, "loss=ce_soft"]}
GOES_ON = {"kind": "ours", "run": [*RUN, "loss=uoi_ce", "eval.rerank.folds=3"], "starts_from": "first"}
ROWS = [
    START,
    {"name": "ce", "kind": "ours", "run": [*RUN, "loss=ce_soft", "eval.rerank.folds=0"], "starts_from": "first"},
    {"name": "kl", **GOES_ON},
    {"name": "svm", **GOES_ON, "metric_words": {"kl": "svm"}},
]


@pytest.fixture
def make(tmp_path: Path):
    """A plan of a table whose networks go on from a first one."""

    def plan(rows: list[dict], *overrides: str) -> tuple[Plan, str]:
        path = tmp_path / "t.yaml"
        columns = [{"name": "mIoU", "metric": "miou_kl", **COLUMN}]
        content = {"id": "t", "paper": "p", "title": "T", "source": "s", "protocol": "p"}
        OmegaConf.save(OmegaConf.create({**content, "columns": columns, "rows": rows}), path)
        places = [f"runtime.outputs={tmp_path / 'outputs'}", f"runtime.data_root={tmp_path}"]
        return Plan(compose("table", [f"tables=['{path}']", *places, *overrides])), str(path)

    return plan


def jobs_of(plan: Plan, table: str, row: str) -> list[Job]:
    return plan.row_jobs(table, plan.spec(table).row(row))


def finish(job: Job, **metrics: float) -> None:
    job.run.start(job.cfg)
    for protocol in job.wanted:
        content = OmegaConf.to_container(job.cfg_for(protocol).eval.protocol, resolve=True)
        name = result_stem(job.cfg_for(protocol), "camvid_semantic")
        job.run.write_json(f"{name}.json", {"metrics": metrics, "protocol": content})
    job.run.mark("DONE", "now")


@pytest.fixture
def planned(make) -> tuple[Plan, str]:
    return make(ROWS)


def test_fold_networks_follow_from_the_row_and_go_on_from_those_of_its_start(planned) -> None:
    plan, table = planned
    jobs = jobs_of(plan, table, "svm")
    row = jobs[-1]
    assert [len(jobs), len(row.folds)] == [2 + 3 * 2, 3]
    assert list(row.folds) == [(0, 3), (1, 3), (2, 3)]
    for number, fold in enumerate(row.folds.values()):
        assert dict(fold.cfg.fold) == dict(fold.start.cfg.fold) == {"of": 3, "number": number}
        assert fold.cfg.init.run == str(fold.start.run.path)
        assert (fold.start.cfg.init.run, fold.start.start) == (None, None)
        assert jobs.index(fold.start) < jobs.index(fold) < jobs.index(row)
        assert fold.wanted == {}
        assert [list(cfg.eval.sets) for cfg in fold.configs()] == [[]]
    assert row.start is jobs[0]
    assert not row.start.folds, "nobody asks a ranker to learn from the start"
    assert len({job.key for job in jobs}) == len(jobs)


def test_the_evaluation_looks_for_the_very_same_folders(planned) -> None:
    plan, table = planned
    row = jobs_of(plan, table, "svm")[-1]
    row.start.run.start(row.start.cfg)
    row.run.start(row.cfg)
    for (number, of), fold in row.folds.items():
        assert Run.for_config(fold_config(row.run.config(), number=number, of=of)).path == fold.run.path


def test_rows_of_one_run_share_its_folds_and_rows_without_learners_have_none(planned) -> None:
    plan, table = planned
    svm, kl, ce = (jobs_of(plan, table, name)[-1] for name in ("svm", "kl", "ce"))
    assert svm is kl
    assert [job.row for job in jobs_of(plan, table, "ce")] == ["first", "ce"]
    assert not ce.folds
    assert [job.row for job in jobs_of(plan, table, "first")] == ["first"]


def test_a_row_that_starts_from_nothing_has_folds_that_start_from_nothing(make) -> None:
    plan, table = make([{"name": "a", "kind": "ours", "run": [*RUN, "loss=ce_soft", "eval.rerank.folds=2"]}])
    *folds, row = jobs_of(plan, table, "a")
    assert [fold.start for fold in folds] == [None, None]
    assert [fold.row for fold in folds] == ["a, without fold 1 of 2", "a, without fold 2 of 2"]
    with open_dict(row.cfg):
        assert row.needs == {f"its network, '{fold.row}',": fold for fold in folds}


def test_works_are_ordered_and_wait_for_folds_and_proposals(planned, monkeypatch) -> None:
    plan, table = planned
    jobs = [job for row in plan.spec(table).rows for job in jobs_of(plan, table, row.name)]
    todo = {job.key: job for job in in_order(jobs)}
    row = next(job for job in todo.values() if job.folds)
    work = as_work(row, todo, ["made"])
    assert work.after == ("made", row.start.key, *(fold.key for fold in row.folds.values()))
    for fold in row.folds.values():
        assert as_work(fold, todo).after == (fold.start.key,)
    assert as_work(row.start, todo).after == ()


def test_proposals_are_made_once_and_before_the_runs_that_choose_among_them(planned, monkeypatch) -> None:
    plan, table = planned
    jobs = [job for row in plan.spec(table).rows for job in jobs_of(plan, table, row.name)]
    asked: list[tuple[str, int]] = []

    def works_for(cfg, *, slots, parts):
        asked.append((cfg.data.name, parts))
        return [Work("test", "test", (), kind="proposals"), *([Work("train", "train", ())] if "train" in parts else [])]

    monkeypatch.setattr("seglab.proposals.works.works_for", works_for, raising=False)
    given: list[Work] = []

    def run_all(works, launch, *, outputs, on_change):
        given.extend(works)
        return {}

    monkeypatch.setattr("seglab.launch.engine.run_all", run_all)
    for job in in_order(jobs):
        job.missing.clear()
    train_what_is_missing(plan.cfg, plan, jobs)
    after = {work.key: work.after for work in given}
    scored = [job.key for job in in_order(jobs) if job.wanted]
    assert asked == [("camvid_semantic", ("test",)), ("camvid_semantic", ("train", "test"))]
    assert [work.key for work in given[:2]] == ["test", "train"]
    assert len(given) == 2 + len({job.key for job in in_order(jobs)}) == 2 + 3 + 6
    assert {key for key, keys in after.items() if "test" in keys} == set(scored)
    assert {key for key, keys in after.items() if "train" in keys} == {row.key for row in jobs if row.folds}
    assert len(scored) == 2


def test_a_run_that_has_its_numbers_asks_for_no_proposals(planned) -> None:
    plan, table = planned
    row = jobs_of(plan, table, "svm")[-1]
    assert [cfg.data.name for cfg in proposals_wanted(row)] == ["camvid_semantic"]
    finish(row, miou_kl=40.0, miou_svm=50.0)
    assert list(proposals_wanted(row)) == []
    assert Proposals(slots=1).before(row) == []
    cells = collect(plan, table).cells
    assert (cells["kl", "mIoU"].ours, cells["svm", "mIoU"].ours) == ((40.0,), (50.0,))


def test_proposals_that_cannot_be_made_fail_the_rows_that_need_them(planned, monkeypatch) -> None:
    plan, table = planned
    jobs = jobs_of(plan, table, "ce")

    def works_for(cfg, *, slots, parts):
        raise ValueError("proposals.count=0: expected more")

    monkeypatch.setattr("seglab.proposals.works.works_for", works_for, raising=False)
    monkeypatch.setattr("seglab.launch.engine.run_all", lambda works, *_, **__: {})
    train_what_is_missing(plan.cfg, plan, jobs)
    assert jobs[0].outcome is None
    assert jobs[1].outcome == ("failed", "proposals.count=0: expected more")


def test_missing_images_are_told_of_folds_as_of_their_run(planned) -> None:
    plan, table = planned
    jobs = jobs_of(plan, table, "svm")
    for job in jobs:
        find_data(job)
    assert all(job.untrainable for job in jobs)


def test_the_status_counts_images_with_proposals(planned, tmp_path) -> None:
    plan, table = planned
    folder = tmp_path / "CamVid-mini"
    for part, ids in (("train", "abc"), ("val", "de")):
        path = folder / "ImageSets/Segmentation" / f"{part}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(ids))
    for id in "abcde":
        for place in (f"JPEGImages/{id}.jpg", f"SegmentationClass/{id}.png"):
            (folder / place).parent.mkdir(exist_ok=True)
            (folder / place).touch()
    (line,) = proposals_status([*jobs_of(plan, table, "ce"), *jobs_of(plan, table, "svm")])
    assert line.startswith("proposals of camvid_semantic: 0 of 5 images in ")
    (line,) = proposals_status(jobs_of(plan, table, "ce"))
    assert line.startswith("proposals of camvid_semantic: 0 of 2 images in ")
