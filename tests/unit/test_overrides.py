"""Overrides that are mistyped or mean something else to Hydra: one message before data are read, and ids stay text."""

from __future__ import annotations

import pytest
from omegaconf.errors import MissingMandatoryValue

from seglab.config import as_hydra_reads, compose
from seglab.explain import explain
from seglab.phases import Ramp
from seglab.targets import instantiate


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
        ("saliency_all", "data.source.sets={sod: train}", "write +data.source.sets.sod=... to add it"),
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
    change = ["data.source.sets.duts=null", "++data.source.sets.ecssd=train"]
    for plus in ("+", "++"):
        sets = compose("train", ["data=saliency_all", f"{plus}data.source.sets.sod=train", *change]).data.source.sets
        assert (sets.sod, sets.duts, sets.ecssd, sets.msra_b) == ("train", None, "train", "train")


PHASE = "schedule.phases"


@pytest.mark.parametrize("plus", ["+", "++"])
def test_phases_and_their_settings_are_added_and_left_out(plus: str) -> None:
    ramp = "{from:1,to:40,curve:geometric}"
    change = [f"{plus}{PHASE}.normal.set.sigma=0.1", f"{plus}{PHASE}.normal.set.sparse_crf={ramp}"]
    change += [f"{plus}{PHASE}.anneal.set.sigma.curve=geometric", f"{plus}{PHASE}.new={{epochs:3}}"]
    change += [f"{plus}{PHASE}.new.negatives=true", f"~{PHASE}.anneal.set.sparse_crf", f"~{PHASE}.negative"]
    schedule = instantiate(compose("train", ["loss=regularized", "schedule=anneal", *change]).schedule)
    assert [(phase.name, phase.epochs, phase.negatives) for phase in schedule.phases] == [
        ("anneal", 15, False),
        ("normal", 50, False),
        ("new", 3, True),
    ]
    assert schedule.phases[0].set == {"sigma": Ramp(0.05, 0.15, curve="geometric")}
    assert schedule.phases[1].set == {"sigma": 0.1, "sparse_crf": Ramp(1, 40, curve="geometric")}


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (f"{PHASE}.normal.set.sigma=0.1", f"write +{PHASE}.normal.set.sigma=... to add it, and ~{PHASE}.normal.set.<n"),
        (f"{PHASE}.normal.set={{sigma: 0.1}}", f"write +{PHASE}.normal.set.sigma=... to add it"),
        (
            f"{PHASE}.anneal.set.sigma.curve=geometric",
            f"(known: ends, from, to); write +{PHASE}.anneal.set.sigma.curve",
        ),
        (f"{PHASE}.new.epochs=3", f"'{PHASE}.new' is not there yet (known: anneal, grow, negative, normal); write +"),
        (f"{PHASE}.grow.epochs=3", f"'{PHASE}.grow' is not there yet (schedule=grow has it); write +"),
        (f"{PHASE}.anneal.epoch=3", f"unknown key '{PHASE}.anneal.epoch', did you mean '{PHASE}.anneal.epochs'?"),
        (f"+{PHASE}.anneal.epoch=3", f"unknown key '{PHASE}.anneal.epoch', did you mean '{PHASE}.anneal.epochs'?"),
        (f"~{PHASE}.anneal.epochs", "cannot be left out"),
        (f"~{PHASE}", "cannot be left out"),
    ],
)
def test_what_is_wrong_about_a_phase_is_said(override: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"schedule\.phases") as error:
        compose("train", ["loss=regularized", "schedule=anneal", override])
    assert said in str(error.value)


def test_phases_are_added_to_a_schedule_in_phases_only() -> None:
    with pytest.raises(ValueError, match=f"unknown key '{PHASE}.a.set.sigma'"):
        compose("train", ["schedule=constant", f"+{PHASE}.a.set.sigma=1"])


def test_overrides_of_another_data_set_are_typed_as_they_are() -> None:
    given = ["negatives=other", "negatives.data=photos", "negatives.overrides=[data.images=a b, data.source.x=1]"]
    assert list(compose("train", given).negatives.overrides) == ["data.images=a b", "data.source.x=1"]
    quoted = "negatives.overrides=['data.images=a,b']"
    assert list(compose("train", [*given[:2], quoted]).negatives.overrides) == ["data.images=a,b"]
    with pytest.raises(ValueError, match=r"negatives\.overrides=data\.images: expected a list of overrides of data"):
        compose("train", [*given[:2], "negatives.overrides=data.images"])


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
