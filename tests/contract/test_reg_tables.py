"""The rows of the regularized-loss paper are trained as it says, stage by stage."""

from __future__ import annotations

import functools

import pytest
from omegaconf import DictConfig

from seglab.config import compose
from seglab.tables.checks import KINDS
from seglab.tables.plan import Plan
from seglab.tables.spec import Row, load_table
from seglab.targets import instantiate

TABLES = [f"reg_t{n}" for n in range(1, 7)]
ROWS = [(table, row.name) for table in TABLES for row in load_table(table).rows if row.run]
STAGES = {"anneal": 65, "normal": 50, "negative": 200}


@functools.cache
def composed(run: tuple[str, ...]) -> DictConfig:
    return compose("train", list(run))


def row_of(table: str, name: str) -> Row:
    return load_table(table).row(name)


def stage(cfg: DictConfig) -> str:
    """Its stage by the name of its first phase; empty for a training with masks."""
    first = next((name for name in cfg.schedule.get("phases", {})), "")
    assert not first or instantiate(cfg.schedule).epochs == STAGES[first]
    return first


@pytest.mark.parametrize(("table", "name"), ROWS)
def test_settings_are_those_of_the_paper(table: str, name: str) -> None:
    cfg = composed(row_of(table, name).run)
    assert cfg.val == 0, "no mask chooses anything"
    assert cfg.optim.lr == 1e-3
    assert not cfg.noise.rate
    if "deeplab" in cfg.model._target_:
        assert (cfg.data.size, cfg.batch_size, cfg.schedule.epochs, cfg.init.weights) == (513, 10, 100, "imagenet")
        assert cfg.optim._target_ == "torch.optim.SGD"
        assert cfg.loss._target_ == "seglab.losses.ce.CE"
        return
    assert cfg.optim._target_ == "torch.optim.Adam"
    assert cfg.model.freeze_encoder is True
    assert cfg.batch_size == 16
    assert cfg.eval.post.channel == 1, "the object is known without a look at masks"
    small = table in TABLES[:3] or "128 px" in name
    assert cfg.data.size == (128 if small else 256)
    weights = cfg.loss.get("weights")
    assert (weights is None) == (name.endswith("-gt") or table == "reg_t1")
    if weights is not None:
        assert (weights.sparse_crf, weights.volume, weights.position, cfg.loss.sigma) == (100, 1, 1, 0.15)
        assert bool(weights.negative) == (stage(cfg) == "negative") == bool(cfg.negatives)


@pytest.mark.parametrize(("table", "name"), ROWS)
def test_a_row_without_annealing_starts_from_another(table: str, name: str) -> None:
    row = row_of(table, name)
    assert bool(row.starts_from) == (stage(composed(row.run)) in ("normal", "negative"))


def test_chains_go_from_pet_to_class_to_larger_images_to_negatives() -> None:
    plan = Plan(compose("table", ["tables=[reg_t5]"]))
    spec = plan.spec("reg_t5")
    (job,) = plan.cell_jobs("reg_t5", spec.row("ours_2"), spec.column("cow"))
    chain = [job]
    while chain[-1].start is not None:
        chain.append(chain[-1].start)
    found = [(one.cfg.data.name, one.cfg.data.size, stage(one.cfg)) for one in chain]
    cow = "voc_coseg/cow"
    assert found == [(cow, 256, "negative"), (cow, 256, "normal"), (cow, 128, "normal"), ("oxford_pet", 128, "anneal")]
    assert job.wanted == {}
    plan.row_jobs("reg_t5", spec.row("ours_2"))
    assert job.wanted == {"regularized_paper": [cow]}


def test_web_networks_are_scored_on_the_cosegmentation_photos_of_their_class() -> None:
    plan = Plan(compose("table", ["tables=[reg_t5]"]))
    spec = plan.spec("reg_t5")
    jobs = [job for job in plan.row_jobs("reg_t5", spec.row("ours_3")) if job.row == "ours_3"]
    assert len(jobs) == 20
    for job in jobs:
        category = job.cfg.data.category
        assert job.cfg.data.name == f"web/{category}"
        assert job.wanted == {"regularized_paper": [f"voc_coseg/{category}"]}


def test_networks_of_all_classes_come_before_the_labels_they_make() -> None:
    plan = Plan(compose("table", ["tables=[reg_t6]"]))
    row = plan.spec("reg_t6").row("ours_3*")
    *before, deeplab = plan.row_jobs("reg_t6", row)
    assert len(before) == 1 + 3 * 20, "Oxford-IIIT Pet, then three stages a class"
    assert list(deeplab.labels) == list(deeplab.cfg.data.classes[1:])
    assert dict(deeplab.cfg.data.source.runs) == {c: job.run.path.name for c, job in deeplab.labels.items()}
    assert {stage(job.cfg) for job in deeplab.labels.values()} == {"negative"}
    assert all(before.index(job.start) < before.index(job) for job in deeplab.labels.values())
    assert deeplab.wanted == {"voc_miou": ["voc_aug"]}


def test_tables_share_the_networks_of_the_pets_and_of_msra_b() -> None:
    plan = Plan(compose("table", ["tables=[reg_t2,reg_t3,reg_t4,reg_t5,reg_t6]"]))
    jobs = {t: [j for r in plan.spec(t).rows for j in plan.row_jobs(t, r)] for t in ("reg_t2", "reg_t3", "reg_t4")}
    pets = {id(job) for job in jobs["reg_t2"] if job.cfg.data.name == "oxford_pet"}
    assert {id(job) for job in jobs["reg_t3"] if job.cfg.data.name == "oxford_pet"} <= pets
    own = {id(job) for job in jobs["reg_t3"]}
    assert {id(job) for job in jobs["reg_t4"]} <= own
    msra_b = [job for job in jobs["reg_t4"] if job.cfg.data.name == "msra_b"]
    assert msra_b
    for job in msra_b:
        wanted = job.wanted["regularized_paper"]
        assert wanted == ["msra_b", "ecssd_split", "dut_omron_split", "ecssd", "dut_omron"]


@pytest.mark.parametrize("table", TABLES)
def test_tables_say_which_rows_are_not_shown(table: str) -> None:
    kinds = {row.kind for row in load_table(table).rows}
    assert kinds <= set(KINDS)
    assert ("start" in kinds) == (table in ("reg_t5", "reg_t6"))
