"""Training without masks end to end: masks are unread, phases resume exactly, negatives and processes agree."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import REPO
from PIL import Image
from safetensors.torch import load_file

from seglab.config import compose
from seglab.data.standin import write_standins
from seglab.run import Run
from seglab.train import train

FAST = [
    "data.size=32",
    "batch_size=4",
    "val=0",
    "tracker=none",
    "runtime.device=cpu",
    "runtime.threads=1",
    "model.freeze_encoder=false",
]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    assert one.keys() == other.keys()
    return all(torch.equal(one[k], other[k]) for k in one)


def rows(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.fixture
def settings(tmp_path: Path) -> list[str]:
    """Overrides for a run of a few seconds on generated files, with the network of the embedded data set."""
    fast = [s for s in FAST if not s.startswith("model.")]
    return [*fast, f"runtime.outputs={tmp_path / 'outputs'}", f"runtime.data_root={tmp_path / 'data'}"]


def test_the_masks_of_the_training_images_are_not_read(tmp_path, settings) -> None:
    write_standins(["people"], tmp_path / "data", train=12, test=4)
    settings = [*settings, "data=people", "loss=regularized", "schedule=anneal", "schedule.epochs=4", "augment=flip"]
    true = train(compose("train", settings))
    noisy = tmp_path / "noisy"
    shutil.copytree(tmp_path / "data", noisy)
    names = (noisy / "PeopleSeg" / "train.txt").read_text().split()
    rng = np.random.default_rng(0)
    for name in names:
        path = noisy / "PeopleSeg" / "masks" / f"{name}.png"
        with Image.open(path) as mask:
            size = mask.size[::-1]
        Image.fromarray(rng.choice(np.array([0, 255], np.uint8), size)).save(path)
    moved = [s for s in settings if not s.startswith("runtime.outputs") and not s.startswith("runtime.data_root")]
    roots = [f"runtime.data_root={noisy}", f"runtime.outputs={tmp_path / 'other'}"]
    replaced = train(compose("train", [*moved, *roots]))
    assert replaced.name == true.name
    assert (true / "model.safetensors").read_bytes() == (replaced / "model.safetensors").read_bytes()


def test_a_loss_that_says_so_gets_no_masks_at_all(settings, monkeypatch) -> None:
    from seglab.losses.regularized import Regularized

    seen: list[set[str]] = []
    forward = Regularized.forward

    def watched(self, logits, batch):
        seen.append(set(batch))
        return forward(self, logits, batch)

    monkeypatch.setattr(Regularized, "forward", watched)
    train(compose("train", [*settings, "data=shapes_single", "data.source.train=8", "data.source.test=4", *LABEL_FREE]))
    assert seen
    assert all("mask" not in keys for keys in seen)


OTHER = ["loss=regularized_negative", "negatives=other", "negatives.data=shapes"]
LABEL_FREE = ["loss=regularized", "schedule=anneal", "schedule.epochs=3"]


def test_the_log_says_what_every_epoch_was_set_to(settings) -> None:
    one = [*settings, "data=shapes_single", "data.source.train=8", "data.source.test=4", *LABEL_FREE]
    found = rows(train(compose("train", one)))
    assert [row.get("set_sparse_crf") for row in found] == [1.0, None, None]
    assert [round(row.get("set_sigma", 0.15), 4) for row in found] == [0.15, 0.15, 0.15]
    assert {"sparse_crf", "volume", "position_border", "position_centre"} <= set(found[0])


@pytest.mark.parametrize("fresh", ["never", "start", "epoch"])
def test_stopped_in_any_phase_it_ends_with_the_same_weights(command, tmp_path, fresh: str) -> None:
    one = [
        *(s for s in FAST if not s.startswith("model.")),
        "data=shapes_single",
        "data.source.train=16",
        "data.source.test=4",
        "loss=regularized",
        "schedule=anneal",
        "schedule.epochs=12",
        f"schedule.phases.anneal.fresh_optimizer={fresh}",
        "schedule.snapshot_epochs=[1,3]",
    ]
    straight = Path(command("train", *one, "runtime.outputs=a").stdout.split()[-1])
    killed = [sys.executable, "-m", "seglab.train", *one, "runtime.outputs=b"]
    environment = {**os.environ, "PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1"}
    for wanted in (2, 5):  # in the annealing, in the normal stage
        with subprocess.Popen(killed, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL) as process:
            log = tmp_path / "b" / "runs" / straight.name / "log.jsonl"
            until = time.monotonic() + 120
            while time.monotonic() < until and (not log.exists() or log.read_text().count("\n") < wanted):
                time.sleep(0.02)
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 75
    again = Path(command("train", *one, "runtime.outputs=b").stdout.split()[-1])
    assert same(weights(tmp_path / straight), weights(tmp_path / again))
    kept = [sorted(p.name for p in (tmp_path / run / "snapshots").iterdir()) for run in (straight, again)]
    assert kept == [["0000004.safetensors", "0000012.safetensors"]] * 2
    assert same(*(load_file(tmp_path / run / "snapshots" / kept[0][1]) for run in (straight, again)))


def test_negatives_of_the_data_itself_and_of_another_set(tmp_path, settings) -> None:
    write_standins(["oxford_pet"], tmp_path / "data", train=24, test=6)
    one = [*settings, "data=oxford_pet", "data.category=cat", "loss=regularized_negative", "schedule=negative"]
    own = train(compose("train", [*one, "schedule.epochs=2"]))
    assert all(row["negative"] >= 0 for row in rows(own))
    assert any(row["negative"] > 0 for row in rows(own))
    other = [*one, "negatives=other", "negatives.data=shapes_single", "schedule.epochs=1"]
    assert not same(weights(own), weights(train(compose("train", other))))


def test_a_transfer_starts_from_the_weights_and_skips_the_annealing(settings) -> None:
    one = [*settings, "data=shapes_single", "data.source.train=8", "data.source.test=4", *LABEL_FREE]
    first = train(compose("train", one))
    kept = [s for s in one if not s.startswith("schedule")]
    second = [*kept, "schedule=normal", "init=run", f"init.run={first.name}"]
    untouched = train(compose("train", [*second, "schedule.epochs=0"]))
    assert same(weights(first), weights(untouched))
    assert "set_sigma" not in rows(train(compose("train", [*second, "schedule.epochs=1"])))[0]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            ["loss=ce", "schedule=anneal", "eval.post.channel=1"],
            r"set\.(sigma|sparse_crf): no such setting of loss=ce.*schedule=constant",
        ),
        ([*OTHER, "schedule=normal"], r"no phase of this schedule uses negative images"),
        (["loss=regularized", "schedule=negative"], r"loss=regularized gives them no weight|needs negative images"),
        (["loss=regularized_negative", "schedule=negative"], r"data=shapes_single has no negative images of its own"),
        (["loss=regularized_negative", "schedule=negative", "negatives=none"], r"negatives=none: .* needs negative"),
        (["loss=regularized", "negatives=other", "negatives.data=shapes"], r"makes no use of negative images"),
        (["loss=regularized", "loss.sigma=0"], r"loss\.sigma=0"),
        (["loss=regularized", "loss.weights.sparse_crf=-1"], r"loss\.weights\.sparse_crf=-1"),
    ],
)
def test_what_does_not_fit_together_is_said_before_training(settings, changed: list[str], message: str) -> None:
    one = [*settings, "data=shapes_single", "data.source.train=8", "data.source.test=4", *changed]
    with pytest.raises(ValueError, match=message):
        train(compose("train", one))
    assert not list(Path(Run.for_config(compose("train", one)).path).glob("*.pt"))


def photos(folder: Path) -> Path:
    folder.mkdir()
    for number in range(8):
        pixels = np.random.default_rng(number).integers(0, 255, (32, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def test_photos_without_any_mask_train_and_are_predicted(command, tmp_path) -> None:
    folder = photos(tmp_path / "photos")
    one = ["data=photos", f"data.images={folder}", "data.size=32", "batch_size=4", "runtime.outputs=out"]
    done = command("train", *one, "loss=regularized", "schedule=anneal", "schedule.epochs=2")
    assert done.returncode == 0, done.stderr
    assert "has no masks: none of its images is held out" in done.stderr
    run = done.stdout.split()[-1]
    assert json.loads((tmp_path / run / "noise.json").read_text())["images"] == 8
    predicted = command("predict", f"run={run}", f"input={folder}", "output=maps")
    assert predicted.returncode == 0, predicted.stderr
    assert len(list((tmp_path / "maps").rglob("*.png"))) >= 8
    refused = command("train", *one, "loss=ce")
    assert refused.returncode == 1
    assert "data=photos has no masks, and loss=ce learns from masks: expected loss=regularized" in refused.stderr
