"""The rows of the paper on re-ranking are trained and read as it says, and share their runs."""

from __future__ import annotations

import functools

import pytest
from omegaconf import DictConfig, OmegaConf

from seglab.config import compose, conf_dir
from seglab.identity import identity
from seglab.tables.scale import scale_for
from seglab.tables.spec import load_table, parse_table

TABLES = ("segnet_t1", "segnet_t2", "segnet_ablation", "segnet_fig_6")
TRAINED = [(table, row.name) for table in TABLES for row in load_table(table).rows if row.run]
LOSSES = {"ce": "CESoft", "uoi": "UOI", "uoi_ce": "UoICE", "start": "CESoft"}
READ = {
    "Naive Upsampling": "miou_naive",
    "Superpixel Upsampling": "miou_superpixel",
    "SegNet-UOI-CE-combination": "miou_kl",
    "+SVM re-ranker": "miou_svm",
    "1-best proposal": "miou_first",
}


@functools.cache
def composed(run: tuple[str, ...]) -> DictConfig:
    return compose("train", list(run))


@pytest.mark.parametrize(("table", "name"), TRAINED)
def test_settings_are_those_of_the_paper_and_of_our_reading(table: str, name: str) -> None:
    row = load_table(table).row(name)
    cfg, experiment = composed(row.run), row.run[0].removeprefix("experiment=segnet_t2_")
    assert (cfg.data.name, cfg.data.size, cfg.val, cfg.noise.rate) == ("voc_aug", 227, 0, 0)
    assert (cfg.model.frozen, cfg.model.hidden, cfg.model.dropout) == (True, 128, 0.5)
    steps = 10582 // cfg.batch_size * cfg.schedule.epochs
    assert abs(steps - 4000) <= 40, "4000 iterations"
    assert cfg.loss._target_.rpartition(".")[2].lower() == LOSSES[experiment].lower()
    assert bool(row.starts_from) == (experiment != "start")
    if experiment == "uoi_ce":
        assert dict(cfg.loss.weights) == {"uoi": 0.7, "ce_soft": 0.3}


def test_networks_of_all_losses_are_measured_alike() -> None:
    rows = load_table("segnet_t2").rows
    ways = {(c.eval.rerank.epsilon, c.eval.rerank.background) for c in (composed(row.run) for row in rows)}
    assert len(ways) == 1
    folds = {row.name: composed(row.run).eval.rerank.folds for row in rows}
    assert (folds["SegNet-CE"], folds["SegNet-UOI"], folds["+SVM re-ranker"]) == (0, 0, 10)


def test_four_trainings_make_all_tables_and_figures() -> None:
    assert len({identity(composed(load_table(table).row(name).run)) for table, name in TRAINED}) == 4


def test_rows_of_one_run_are_read_by_metrics_of_their_own() -> None:
    spec = load_table("segnet_t2")
    assert {name: spec.row(name).metric or spec.columns[0].metric for name in READ} == READ
    rankers = composed(spec.row("+SVM re-ranker").run).eval.rerank.rankers
    groups = {"1": "network", "2": "classification", "3": "proposal"}
    for row in load_table("segnet_ablation").rows:
        if row.run and row.metric and row.metric.startswith("miou_svm"):
            features = rankers[row.metric.removeprefix("miou_")]
            assert sorted(features) == sorted(groups[part.strip("()")] for part in row.name.split("+"))


def test_columns_of_table_1_are_the_classes_of_voc() -> None:
    spec = load_table("segnet_t1")
    classes = composed(spec.row("SegNets").run).data.classes
    assert [c.metric for c in spec.columns] == [*(f"iou_svm_{name}" for name in classes), "miou_svm"]
    assert load_table("segnet_t1").row("1-best proposal").metric_words == {"svm": "first"}


def test_table_1_keeps_its_average_where_other_data_stand_in() -> None:
    spec = load_table("segnet_t1")
    cfg = compose("table", ["tables=[segnet_t1]", "scale=small"])
    found = scale_for(cfg, spec).columns(spec)
    assert [(c.paper_name, c.set) for c in found] == [("Average", "camvid_semantic"), ("Average", "collage")]
    assert len(scale_for(compose("table", ["tables=[segnet_t1]", "scale=smoke"]), spec).columns(spec)) == 22


def test_the_printed_average_is_the_mean_of_the_classes() -> None:
    for row in load_table("segnet_t1").rows:
        if row.values:
            assert sum(row.values[:-1]) / 21 == pytest.approx(row.values[-1], abs=0.06), row.name


def test_a_row_of_other_rows_cells_is_measured_as_they_are() -> None:
    content = OmegaConf.to_container(OmegaConf.load(conf_dir() / "table" / "segnet_ablation.yaml"), resolve=False)
    row = next(row for row in content["rows"] if row["name"] == "(1), first statement")
    assert row["metric"] == next(r for r in content["rows"] if r["name"] == "(1)")["metric"]
    del row["metric"]
    with pytest.raises(ValueError, match=r"metric=miou_svm_network, expected the same here"):
        parse_table(content, "segnet_ablation")
