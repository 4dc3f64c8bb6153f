"""Equal settings give one run folder, however they were spelled; other settings give another."""

from __future__ import annotations

import subprocess
import sys

import pytest

from seglab.config import compose
from seglab.drift import _flat, differences
from seglab.identity import identity, resolved
from seglab.run import Run


def folder(*overrides: str) -> str:
    return Run.for_config(compose("train", list(overrides))).path.name


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["noise.rate=0"], ["noise.rate=0.0"]),
        (["optim.lr=0.001"], ["optim.lr=1e-3"]),
        (["loss=cas"], []),
        (["seed=3"], ["seed=3", "noise.seed=3"]),
        ([], ["runtime.device=cpu", "runtime.workers=2", "runtime.data_root=elsewhere"]),
        ([], ["eval.resolution=original", "tracker=none"]),
        (["data=duts"], ["data=duts", "runtime.data_root=/data"]),
        (["loss=ce", "data=sod"], ["data=sod", "loss=ce"]),
        ([], ["data.test_sets=[self,ecssd]"]),
        ([], ["eval.sets=[ecssd]"]),
    ],
)
def test_same_settings_same_folder(one: list[str], other: list[str]) -> None:
    assert folder(*one) == folder(*other)


@pytest.mark.parametrize(
    "override",
    [
        "seed=1",
        "noise.rate=0.5",
        "loss=ce",
        "data.size=32",
        "optim.lr=0.01",
        "val=0.2",
        "batch_size=8",
        "noise.seed=9",
        "schedule.epochs=3",
        "accumulate=2",
        "model.channels=3",
        "loss.alpha=0.2",
        "runtime.precision=bf16",
        "runtime.sync_batchnorm=false",
    ],
)
def test_other_settings_other_folder(override: str) -> None:
    assert folder(override) != folder()


ANNEAL = ["loss=regularized", "schedule=anneal"]
TWO = ["~schedule.phases.anneal", "~schedule.phases.normal", "~schedule.phases.negative"]
FIRST, SECOND = "+schedule.phases.a={epochs:3,set:{sigma:0.1}}", "+schedule.phases.b={epochs:3}"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (ANNEAL, [*ANNEAL, "schedule.epochs=65"]),
        (["loss=regularized", "schedule=normal"], [*ANNEAL, "schedule.phases.anneal.epochs=0"]),
        (["loss=regularized", "schedule=normal"], [*ANNEAL, "~schedule.phases.anneal"]),
        (ANNEAL, [*ANNEAL, "~schedule.phases.negative"]),
        (ANNEAL, [*ANNEAL, "schedule.phases.anneal.fresh_optimizer=start"]),
        (ANNEAL, [*ANNEAL, "~schedule.phases.anneal.set.sigma.ends"]),
        ([*ANNEAL, "schedule.epochs=0"], ["loss=regularized", "schedule=normal", "schedule.epochs=0"]),
        ([*ANNEAL, *TWO, FIRST, SECOND], [*ANNEAL, *TWO, FIRST, SECOND.replace(".b=", ".z=")]),
    ],
)
def test_equal_phases_same_folder(one: list[str], other: list[str]) -> None:
    assert folder(*one) == folder(*other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([*ANNEAL, *TWO, FIRST, SECOND], [*ANNEAL, *TWO, SECOND, FIRST]),
        (ANNEAL, [*ANNEAL, "schedule.epochs=64"]),
        (ANNEAL, [*ANNEAL, "schedule.phases.anneal.fresh_optimizer=epoch"]),
        (ANNEAL, [*ANNEAL, "schedule.phases.normal.fresh_optimizer=never"]),
        (ANNEAL, [*ANNEAL, "schedule.phases.normal.negatives=true"]),
        (ANNEAL, [*ANNEAL, "schedule.phases.anneal.set.sigma.ends=both"]),
        (ANNEAL, [*ANNEAL, "schedule.snapshot_epochs=[3]"]),
    ],
)
def test_other_phases_other_folder(one: list[str], other: list[str]) -> None:
    assert folder(*one) != folder(*other)


def test_the_order_of_phases_is_seen_by_what_goes_on_from_a_checkpoint() -> None:
    both = [compose("train", [*ANNEAL, *TWO, *order]) for order in ((FIRST, SECOND), (SECOND, FIRST))]
    first, other = (_flat(resolved(cfg)) for cfg in both)
    assert "  - schedule.phases.1.set.sigma: 0.1" in differences(first, other)
    assert "  + schedule.phases.2.set.sigma: 0.1" in differences(first, other)


def test_phases_that_are_wrong_are_hashed_as_they_are() -> None:
    wrong = [*ANNEAL, "schedule.phases.anneal.epochs=-1"]
    assert folder(*wrong) == folder(*wrong) != folder(*ANNEAL)
    assert resolved(compose("train", wrong))["schedule"]["phases"]["anneal"]["epochs"] == -1


def test_identity_is_told_without_torch() -> None:
    code = "import sys, seglab.identity; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_prose_is_not_hashed() -> None:
    cfg = compose("train", ["data=duts"])
    before = identity(cfg)
    cfg.data.about.citation = "another wording"
    assert identity(cfg) == before


def test_one_experiment_under_two_names_keeps_its_first_folder(tmp_path) -> None:
    outputs = f"runtime.outputs={tmp_path}"
    first = Run.for_config(compose("train", ["loss=cas_released", outputs]))
    first.start(compose("train", ["loss=cas_released", outputs]))
    spelled = ["loss=cas", "loss.alpha=0.5", "loss.regions=foreground", outputs]
    released = compose("train", ["loss=cas_released"]).loss
    spelled += [f"loss.{key}={value}" for key, value in released.items() if not key.startswith("_")]
    assert Run.for_config(compose("train", spelled)).path == first.path


def test_the_place_of_the_first_run_does_not_matter(tmp_path) -> None:
    names = []
    for place in ("here", "there"):
        folder = tmp_path / place / "runs" / "a-run-0123456789"
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text("seed: 0\n")
        settings = ["init=run", f"runtime.outputs={tmp_path / place}"]
        names += [identity(compose("train", [*settings, f"init.run={w}"])) for w in (folder, folder.name, "0123456789")]
    assert len(set(names)) == 1


def test_folder_name_is_readable() -> None:
    name = folder("data=duts", "model=fcn_resnet101", "loss=ce", "noise.rate=0.5", "seed=2")
    assert name.startswith("duts-fcn_resnet101-ce-q0.5-s2-")
    assert len(name.rsplit("-", 1)[1]) == 10
