"""Equal settings give one run folder, however they were spelled; other settings give another."""

from __future__ import annotations

import pytest

from seglab.config import compose
from seglab.identity import identity
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
