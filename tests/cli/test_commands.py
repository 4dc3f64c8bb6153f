"""The command line as a person uses it, in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from conftest import REPO


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv=['train', '--help']; import runpy; runpy.run_module('seglab.train', run_name='__main__')"
    )
    heavy = "print([m for m in ('torch','torchvision','segmentation_models_pytorch','hydra') if m in sys.modules])"
    wrapped = f"import sys\ntry:\n    {code}\nexcept SystemExit:\n    pass\n{heavy}"
    result = subprocess.run([sys.executable, "-c", wrapped], capture_output=True, text=True, check=True, cwd=REPO)
    assert "loss.alpha" in result.stdout
    assert result.stdout.splitlines()[-1] == "[]"


def test_train_then_evaluate(command, tiny) -> None:
    result = command("train", *tiny, "noise.rate=0.5")
    assert result.returncode == 0, result.stderr
    folder = Path(result.stdout.splitlines()[-1])
    content = json.loads((folder / "eval" / "shapes-cas.json").read_text())
    assert 0 <= content["metrics"]["mae"] <= 1
    assert content["protocol"]["name"] == "cas"
    assert content["images"] == 8
    noise = json.loads((folder / "noise.json").read_text())
    assert (noise["images"], noise["flipped"], len(noise["flipped_ids"])) == (18, 9, 9)
    for name in ("config.yaml", "env.json", "log.jsonl", "train.log", "last.pt", "model.safetensors", "DONE"):
        assert (folder / name).exists(), name
    assert len((folder / "log.jsonl").read_text().splitlines()) == 2
    assert list((folder / "samples").glob("*.png"))
    assert len((folder / "eval" / "shapes-cas.csv").read_text().splitlines()) == 9

    outputs = [a for a in tiny if a.startswith("runtime")]
    before = (folder / "eval" / "shapes-cas.json").read_text()
    (folder / "eval" / "shapes-cas.json").unlink()
    again = command("evaluate", f"run={folder.name[-10:]}", *outputs)
    assert again.returncode == 0, again.stderr
    assert again.stdout.splitlines()[-1] == str(folder)
    assert json.loads((folder / "eval" / "shapes-cas.json").read_text()) == json.loads(before)

    other = command("evaluate", f"run={folder}", "eval.resolution=original", "eval/protocol=pysodmetrics", *outputs)
    assert other.returncode == 0, other.stderr
    assert (folder / "eval" / "shapes-pysodmetrics-original.json").exists()

    finished = command("train", *tiny, "noise.rate=0.50")
    assert finished.returncode == 0
    assert "done already" in finished.stderr
    assert finished.stdout.splitlines()[-1] == str(folder)


def test_evaluate_keeps_the_settings_of_the_run_but_for_what_is_typed(command, tiny) -> None:
    outputs = [a for a in tiny if a.startswith("runtime")]
    made = command("train", *tiny, "loss=discriminative", "eval/protocol=pysodmetrics")
    assert made.returncode == 0, made.stderr
    folder = Path(made.stdout.splitlines()[-1])
    own = folder / "eval" / "shapes-pysodmetrics.json"
    before = own.read_text()
    assert json.loads(before)["post"].keys() != {"channel"}

    again = command("evaluate", f"run={folder}", *outputs)
    assert again.returncode == 0, again.stderr
    assert own.read_text() == before
    # The typed protocol is the default of the files, and still it is what was typed.
    typed = command("evaluate", f"run={folder}", "eval/protocol=cas", *outputs)
    assert typed.returncode == 0, typed.stderr
    assert (folder / "eval" / "shapes-cas.json").exists()

    refused = command("evaluate", f"run={folder}", "data.size=64", *outputs)
    assert refused.returncode == 1
    assert "eval.protocol.name=" in refused.stderr
    assert own.read_text() == before
    named = command("evaluate", f"run={folder}", "data.size=64", "eval.protocol.name=large", *outputs)
    assert named.returncode == 0, named.stderr
    assert json.loads((folder / "eval" / "shapes-large.json").read_text())["size"] == 64

    sweep = command("evaluate", "-m", f"run={folder}", "eval/protocol=cas,sal_eval_toolbox", *outputs)
    assert sweep.returncode == 0, sweep.stderr
    assert (folder / "eval" / "shapes-sal_eval_toolbox.json").exists()


def test_a_finished_run_is_scored_where_it_was_not_yet(command, tiny) -> None:
    first = command("train", *tiny, "schedule.epochs=1")
    folder = Path(first.stdout.splitlines()[-1])
    second = command("train", *tiny, "schedule.epochs=1", "eval.resolution=original")
    assert second.stdout.splitlines()[-1] == str(folder)
    assert "done already" in second.stderr
    assert (folder / "eval" / "shapes-cas-original.json").exists()


def test_a_foreign_run_folder_cannot_call_what_is_not_allowed(command, tiny, tmp_path) -> None:
    first = command("train", *tiny, "schedule.epochs=1")
    folder = Path(first.stdout.splitlines()[-1])
    config = (folder / "config.yaml").read_text()
    target = "seglab.models.unet_small.unet_small"
    assert target in config
    (folder / "config.yaml").write_text(config.replace(target, "seglab.environment._git"))
    result = command("evaluate", f"run={folder}", *[a for a in tiny if a.startswith("runtime")])
    assert result.returncode == 1
    assert "not allowed" in result.stderr


def test_a_signal_stops_the_whole_sweep(tiny, tmp_path) -> None:
    settings = [*tiny, "schedule.epochs=500", "seed=0,1"]
    environment = {**os.environ, "PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-m", "seglab.train", "-m", *settings], cwd=tmp_path, env=environment)
    until = time.monotonic() + 120
    while not list((tmp_path / "outputs" / "runs").glob("*/last.pt")) and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 75
    assert len(list((tmp_path / "outputs" / "runs").iterdir())) == 1


def test_sweep_lands_in_the_folders_of_single_runs(command, tiny) -> None:
    short = [*tiny, "schedule.epochs=1"]
    sweep = command("train", "-m", *short, "noise.rate=0,0.5")
    assert sweep.returncode == 0, sweep.stderr
    folders = [line for line in sweep.stdout.splitlines() if "/runs/" in line]
    assert len(folders) == 2
    single = command("train", *short, "noise.rate=0.5")
    assert single.stdout.splitlines()[-1] == folders[1]
    assert "done already" in single.stderr


def test_preview_draws_a_grid(command, tiny) -> None:
    result = command("preview", *tiny, "noise.rate=0.5", "count=4")
    assert result.returncode == 0, result.stderr
    path = Path(result.stdout.splitlines()[-1])
    assert path.read_bytes().startswith(b"\x89PNG")
    assert "9 of 18 masks exchanged" in result.stderr


MISTAKES = {
    "loss.alhpa=0.2": "did you mean 'loss.alpha'",
    "+loss.alhpa=0.2": "did you mean 'loss.alpha'",
    "noise.rte=0.2": "did you mean 'noise.rate'",
    "los=ce": "did you mean 'loss'",
    "+runtime.dvice=cpu": "did you mean 'runtime.device'",
    "data.sze=3": "did you mean 'data.size'",
    "loss=cass": "did you mean 'cas'",
    "data=dut": "did you mean 'duts'",
    "noise.rate=1.5": "noise.rate=1.5",
    "noise.rate=-0.1": "noise.rate=-0.1",
    "loss.alpha=2": "loss.alpha=2",
    "batch_size=500": "batch_size=500",
    "val=1": "val=1",
    "seed=-3": "seed=-3",
    "schedule.epochs=-1": "schedule.epochs=-1",
    "runtime.precision=fp8": "runtime.precision=fp8",
    "runtime.device=tpu": "runtime.device=tpu",
    "loss._target_=os.system": "not allowed",
    "init=run init.run=nothing": "no such run",
    "init=coco": "init",
    "data=pairs data.source.train=3": "data=shapes_single",
    "experiment=cas_t1_resnetcas": "did you mean 'cas_t1_resnet_cas'",
    "++runtime.dvice=cpu": "did you mean 'runtime.device'",
    "+data.images=photos": "unknown key 'data.images'",
    "++data.images=photos": "unknown key 'data.images'",
    "++batchsize=4": "did you mean 'batch_size'",
    "eval.every=0": "eval.every=0",
    "eval.watch=[nope]": "eval.watch=nope",
    "eval.batch_size=0": "eval.batch_size=0",
    "optim.lr=abc": "optim.lr=abc",
    "runtime.threads=-1": "runtime.threads=-1",
    "loss.alpha=abc": "loss",
    "model.channels=1": "model.channels=1",
    "~noise": "'noise'",
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_give_one_message_and_fail(command, tiny, mistake: str) -> None:
    result = command("train", *tiny, *mistake.split())
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert MISTAKES[mistake] in result.stderr
    assert last.startswith("seglab: ")
    assert "epoch 1" not in result.stderr
    assert "Traceback" not in result.stderr


def test_missing_data_root_says_what_to_put_where(command, tiny, tmp_path) -> None:
    settings = [a for a in tiny if "data" not in a]
    result = command("train", *settings, "data=duts", f"runtime.data_root={tmp_path / 'nowhere'}")
    assert result.returncode == 1
    assert "DUTS-TR" in result.stderr
    assert "runtime.data_root" in result.stderr
    assert "Traceback" not in result.stderr
    test_set = command("train", *tiny, "eval.sets=[shapes,ecssd]", f"runtime.data_root={tmp_path / 'nowhere'}")
    assert test_set.returncode == 1
    assert "data=ecssd" in test_set.stderr
    assert "epoch 1" not in test_set.stderr


def test_wheel_runs_in_an_empty_folder(tmp_path) -> None:
    pytest.importorskip("hatchling")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path / "dist"), str(REPO)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    empty = tmp_path / "empty"
    empty.mkdir()
    arguments = [sys.executable, "-m", "seglab.train", "--cfg", "job", "data=duts", "loss=ce"]
    result = subprocess.run(
        arguments, cwd=empty, env={"PYTHONPATH": str(tmp_path / "site")}, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "DUTS-TR" in result.stdout
    where = "import seglab.config as c; print(c.conf_dir())"
    place = subprocess.run(
        [sys.executable, "-c", where],
        cwd=empty,
        env={"PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert place.stdout.strip() == str(tmp_path / "site" / "seglab" / "conf")
