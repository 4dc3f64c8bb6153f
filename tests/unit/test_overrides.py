"""Overrides that are mistyped or mean something else to Hydra: one message before data are read, and ids stay text."""

from __future__ import annotations

import pytest
from omegaconf.errors import MissingMandatoryValue

from seglab.config import compose, as_hydra_reads
from seglab.explain import explain


def test_the_protocol_of_another_command_is_checked_too() -> None:
    with pytest.raises(ValueError, match="write eval/protocol=pysodmetrics"):
        compose("evaluate", ["run=x", "data=shapes", "eval.protocol=pysodmetrics"])


def test_no_passes_are_a_schedule_too() -> None:
    assert compose("train", ["schedule.epochs=0"]).schedule.epochs == 0


@pytest.mark.parametrize(
    "override",
    [
        "~tracker",
        "~tracker=tensorboard",
        "~eval/protocol",
        "~eval",
        "~loss",
        "~seed",
        "~eval.metrics",
        "~loss._target_",
    ],
)
def test_what_is_read_cannot_be_left_out(override: str) -> None:
    key = override[1:].partition("=")[0]
    with pytest.raises(ValueError, match=f"~{key}: '{key}' cannot be left out"):
        compose("train", [override])


def test_what_nobody_needs_can_be_left_out() -> None:
    compose("train", ["experiment=cas_t1_resnet_cas", "~experiment"])
    assert "weight_decay" not in compose("train", ["optim=sgd", "~optim.weight_decay"]).optim
    compose("prepare", ["data=ecssd", "~eval"])


@pytest.mark.parametrize("key", ["hydraulic", "hydra-x"])
def test_only_the_settings_of_hydra_are_taken_for_them(key: str) -> None:
    with pytest.raises(ValueError, match=f"unknown key '{key}'"):
        compose("train", [f"{key}=1"])


@pytest.mark.parametrize("key", ["hydra", "hydra.job.name", "hydra/launcher", "+hydra.x", "~hydra", "hydra@x"])
def test_the_settings_of_hydra_are_refused(key: str) -> None:
    with pytest.raises(ValueError, match="belong on the command line"):
        compose("train", [f"{key}=1"])


@pytest.mark.parametrize(
    ("command", "override", "said"),
    [
        ("train", "epochs=3", "did you mean 'schedule.epochs'?"),
        ("train", "epoch=3", "did you mean 'schedule.epochs'?"),
        ("train", "optim.epochs=3", "did you mean 'schedule.epochs'?"),
        ("train", "train.epochs=3", "did you mean 'schedule.epochs'?"),
        ("preview", "lr=3", "did you mean 'optim.lr'?"),
        ("train", "size=3", "did you mean 'data.size' or "),
        ("train", "eval.protocol.nme=3", "did you mean 'eval.protocol.name'?"),
        ("predict", "what.map=false", "did you mean 'what.maps'?"),
        ("predict", "accumulate=2", "; known here: batch_size, existing, "),
        ("table", "accumulate=2", "; known here: launch, only, render, runtime, scale, seeds, status, table ("),
        ("doctor", "data.size=2", "; known here: json, runtime ("),
    ],
)
def test_only_what_a_command_reads_is_named(command: str, override: str, said: str) -> None:
    with pytest.raises(ValueError, match="unknown key") as error:
        compose(command, [override])
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("data", "override", "said"),
    [
        ("saliency_all", "data.source.sets={sod: train}", "write ++data.source.sets.sod=... to add it"),
        ("saliency_all", "data.source.sets.sod=train", "data.source.sets.<name>=null to leave one out"),
        ("duts", "data.source.sets={sod: train}", "it belongs to data=saliency_all"),
        ("duts", "data.source.sets.sod=train", "'data.source.sets' here: it belongs to data=saliency_all"),
        ("duts", "++data.source.sets.sod=train", "unknown key 'data.source.sets.sod'"),
        ("saliency_all", "optim={lrr: 1}", "unknown key 'optim.lrr', did you mean 'optim.lr'?"),
    ],
)
def test_a_name_in_a_mapping_that_is_not_there(data: str, override: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"data\.source\.sets|optim") as error:
        compose("train", [f"data={data}", override])
    assert said in str(error.value)


def test_joined_sets_are_changed_one_by_one() -> None:
    change = ["++data.source.sets.sod=train", "data.source.sets.duts=null", "++data.source.sets.ecssd=train"]
    sets = compose("train", ["data=saliency_all", *change]).data.source.sets
    assert (sets.sod, sets.duts, sets.ecssd, sets.msra_b) == ("train", None, "train", "train")


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("init.run=12e4567890", "init.run='12e4567890'"),
        ("run=1234567890", "run='1234567890'"),
        ("+init.run=0e12345678,a1b2c3d4e5,5e00000000", "+init.run='0e12345678',a1b2c3d4e5,'5e00000000'"),
        ("init.run='a,12,b'", "init.run='a,12,b'"),
        ("init.run=outputs/runs/x-12", "init.run=outputs/runs/x-12"),
        ("init.run=/a=12", "init.run=/a=12"),
        ("seed=12", "seed=12"),
        ("rerun=12", "rerun=12"),
        ("-m", "-m"),
    ],
)
def test_ids_that_look_like_numbers_are_text(given: str, read: str) -> None:
    assert as_hydra_reads([given]) == [read]


def test_an_id_that_looks_like_a_number_is_found(tmp_path) -> None:
    for short in ("12e4567890", "0e12345678", "1234567890"):
        folder = tmp_path / "runs" / f"shapes-unet_small-cas-s0-{short}"
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text("seed: 0\n")
        cfg = compose("train", ["init=run", f"init.run={short}", f"runtime.outputs={tmp_path}"])
        assert cfg.init.run == str(folder)


def test_a_run_to_start_from_that_is_not_named() -> None:
    with pytest.raises(ValueError, match=r"init\.run=None: expected a finished run"):
        compose("train", ["init=run", "init.run=null"])
    cfg = compose("train", ["init=run"])  # complete only where it is trained
    with pytest.raises(MissingMandatoryValue) as error:
        str(cfg.init.run)
    assert explain(error.value, "train") == "init.run is missing: expected the finished run: its id or its folder"


def test_a_category_can_be_part_of_the_name_of_the_data() -> None:
    assert compose("train", ["data=voc_coseg/cow"]).data.name == "voc_coseg/cow"
    typed = compose("train", ["data=voc_coseg", "data.category=cow"])
    assert compose("train", ["data=voc_coseg/cow"]) == typed
