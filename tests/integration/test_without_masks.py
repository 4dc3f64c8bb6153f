"""Training without masks end to end: masks are unread, phases resume exactly, negatives and processes agree."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from seglab.cli import Stopped
from seglab.config import compose
from seglab.data.standin import write_standins
from seglab.stages import check_stages
from seglab.targets import instantiate
from seglab.train import train
from seglab.trainer import Trainer

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


@pytest.mark.parametrize("val", [0, 0.1])
def test_the_masks_of_the_training_images_are_not_read(tmp_path, settings, val: float) -> None:
    """Nor those of held-out images for the weights: they only measure."""
    write_standins(["people"], tmp_path / "data", train=12, test=4)
    settings = [*(s for s in settings if s != "val=0"), f"val={val}"]
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


def test_stopped_in_any_phase_it_ends_with_the_same_weights(settings, tmp_path, monkeypatch) -> None:
    """Three phases, the last with negatives: stopped at the end and after the first step of every epoch."""
    one = [
        *settings,
        "loss=regularized_negative",
        "data=shapes_single",
        "data.source.train=8",
        "data.source.test=4",
        "data.test_sets=[]",
        "runtime.audit=false",
        "augment=flip",
        "schedule=anneal",
        *(f"schedule.phases.{name}.epochs=2" for name in ("anneal", "normal", "negative")),
        "schedule.phases.anneal.fresh_optimizer=epoch",
        "schedule.phases.normal.fresh_optimizer=start",
        "schedule.phases.negative.fresh_optimizer=never",
        "schedule.snapshot_epochs=[2,4,6]",
    ]
    straight = train(compose("train", one))
    stops: list[tuple[int, int]] = []

    def stop_once(self) -> None:
        place = (self.epoch, self.step)
        if self.step < 2 and place not in stops:
            stops.append(place)
            self.save()
            raise Stopped("for the test")

    monkeypatch.setattr(Trainer, "stop_if_asked", stop_once)
    moved = [*(s for s in one if not s.startswith("runtime.outputs")), f"runtime.outputs={tmp_path / 'stopped'}"]
    cfg, again = compose("train", moved), None
    while again is None:
        with suppress(Stopped):
            again = train(cfg)
    assert sorted(stops) == [(epoch, step) for epoch in range(7) for step in (0, 1)][1:-1]
    assert again.name == straight.name
    assert same(weights(straight), weights(again))
    kept = sorted(path.name for path in (straight / "snapshots").iterdir())
    assert kept == ["0000004.safetensors", "0000008.safetensors", "0000016.safetensors"]
    assert sorted(path.name for path in (again / "snapshots").iterdir()) == kept
    assert all(same(*(load_file(run / "snapshots" / name) for run in (straight, again))) for name in kept)
    timed = ("seconds", "images_per_second", "peak_memory_mib")
    logs = [[{k: v for k, v in row.items() if k not in timed} for row in rows(run)] for run in (straight, again)]
    assert logs[0] == logs[1]


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


ANNEAL = ["loss=regularized", "schedule=anneal"]
NEGATIVE = ["loss=regularized_negative", "schedule=negative"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            ["loss=ce", "schedule=anneal", "eval.post.channel=1"],
            r"schedule\.phases\.anneal\.set\.sigma: no such setting of loss=ce; .*schedule=constant",
        ),
        ([*ANNEAL, "+schedule.phases.anneal.set.sgima=1"], r"anneal\.set\.sgima: no such .*, did you mean 'sigma'"),
        # Negative images: what is said can be followed without coming back to where one was.
        (
            ["loss=regularized", "schedule=negative"],
            r"^schedule\.phases\.negative\.negatives=true: loss=regularized gi",
        ),
        ([*ANNEAL, "negatives=other", "negatives.data=shapes"], r"^negatives: loss=regularized makes no use of nega"),
        (["loss=regularized", "schedule=negative", *OTHER[1:]], r"negatives=true: loss=regularized gives negative im"),
        ([*OTHER, "schedule=normal"], r"^loss=regularized_negative: no phase of this schedule uses negative images"),
        ([*NEGATIVE, "negatives=none"], r"^negatives=none: loss=regularized_negative needs negative images"),
        (
            [*NEGATIVE, "+schedule.phases.negative.set.negative=0"],
            r"^schedule\.phases\.negative\.negatives=true: loss=",
        ),
        # Settings of the loss, those of late epochs included.
        (["loss=regularized", "loss.sigma=0"], r"loss\.sigma=0"),
        (["loss=regularized", "loss.weights.sparse_crf=-1"], r"loss\.weights\.sparse_crf=-1"),
        (
            [*ANNEAL, "schedule.phases.anneal.set.sigma.to=-0.1"],
            r"^schedule\.phases\.anneal\.set\.sigma, epoch 5: loss\.sigma=.*above 0",
        ),
        (
            [*ANNEAL, "+schedule.phases.normal.set.volume=-1"],
            r"^schedule\.phases\.normal\.set\.volume, epoch 16: loss\.weights\.volume=-1\.0: expected a number, 0 or",
        ),
        (
            [*ANNEAL, "+schedule.phases.normal.set={sparse_crf:0,volume:0,small:0,position:0}"],
            r"^schedule\.phases\.normal\.set, epoch 16: loss\.weights=.*at least one above 0",
        ),
        (
            [*ANNEAL, "loss.weights.sparse_crf=0"],
            r"^loss\.weights\.sparse_crf=0, but schedule\.phases\.anneal\.set\.sparse_crf sets it to 1: expected .*, "
            r"or ~schedule\.phases\.anneal\.set\.sparse_crf",
        ),
        # What the loss cannot see.
        ([*ANNEAL, "noise.rate=0.5"], r"^noise\.rate=0\.5: loss=regularized reads no masks"),
        ([*ANNEAL, "augment=deeplab"], r"^augment\.scale=\[0\.5, 2(\.0)?\]: .*loss=regularized reads no masks"),
        # Batches in pieces.
        ([*ANNEAL, "accumulate=2", "loss.small_reduction=sum"], r"^accumulate=2: loss=regularized adds up .*=mean"),
        ([*ANNEAL, "accumulate=3"], r"^batch_size=4: expected a multiple of processes \* accumulate = 1 \* 3"),
        ([*OTHER, "schedule=negative", "accumulate=4"], r"^batch_size=4, negatives\.share=0\.5, accumulate=4: 2 pos"),
    ],
)
def test_what_does_not_fit_together_is_said_before_data_are_read(settings, changed, message, monkeypatch) -> None:
    monkeypatch.setattr("seglab.train.audited_data", lambda cfg: pytest.fail("the data were read"))
    one = [*settings, "data=shapes_single", "data.source.train=8", "data.source.test=4", *changed]
    with pytest.raises(ValueError, match=message):
        train(compose("train", one))


def test_data_without_negative_images_are_named(settings) -> None:
    with pytest.raises(ValueError, match=r"data=shapes has no negative images of its own"):
        train(compose("train", [*settings, "data=shapes", "data.source.train=8", *NEGATIVE]))


def test_what_is_asked_for_is_not_refused(settings) -> None:
    """The neighbours of what is refused, as far as they need no data."""
    for changed in (
        ["loss=ce", "noise.rate=0.5", "augment=deeplab"],
        [*ANNEAL, "augment=deeplab", "augment.scale=[1,2]"],
        [*ANNEAL, "accumulate=2"],
        [*ANNEAL, "loss.small_reduction=sum"],
        [*ANNEAL, "loss.small_reduction=sum", "loss.weights.small=0", "accumulate=2"],
        [*ANNEAL, "loss.weights.sparse_crf=0", "~schedule.phases.anneal.set.sparse_crf"],
        [*OTHER, "schedule=negative", "accumulate=2"],
        [*OTHER, "schedule=anneal", "schedule.phases.negative.epochs=3"],
        [*OTHER, "schedule=constant"],
        ["loss=regularized", "schedule=grow"],
    ):
        cfg = compose("train", [*settings, "data=shapes_single", *changed])
        loss = instantiate(cfg.loss)
        before = str(loss)
        check_stages(cfg, schedule=instantiate(cfg.schedule), loss=loss)
        assert str(loss) == before


def test_a_weight_that_holds_in_no_epoch_is_told(settings, caplog) -> None:
    caplog.set_level("INFO", "seglab.stages")
    told = ["loss.sigma=0.15 holds in no epoch", "loss.weights.sparse_crf=100 holds in no epoch"]
    for schedule, said in (("grow", told), ("anneal", [])):
        caplog.clear()
        cfg = compose("train", [*settings, "loss=regularized", f"schedule={schedule}"])
        check_stages(cfg, schedule=instantiate(cfg.schedule), loss=instantiate(cfg.loss))
        assert [record.getMessage().partition(":")[0] for record in caplog.records] == said


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


@pytest.mark.parametrize("kind", ["photos", "pairs"])
def test_negatives_from_a_folder_of_ones_own_are_audited_and_trained_on(settings, tmp_path, kind: str) -> None:
    folder = photos(tmp_path / "background")
    changes = [f"data.images={folder}"]
    if kind == "pairs":
        masks = tmp_path / "masks"
        masks.mkdir()
        for path in folder.iterdir():
            Image.fromarray(np.eye(32, 40, dtype=np.uint8) * 255).save(masks / path.name)
        changes += [f"data.masks={masks}", "data.source.split=train"]
    one = [*settings, "data=shapes_single", "data.source.train=8", "data.source.test=4", *NEGATIVE, "schedule.epochs=1"]
    other = ["negatives=other", f"negatives.data={kind}", f"negatives.overrides=[{','.join(changes)}]"]
    folder = train(compose("train", [*one, *other]))
    assert (folder / "DONE").exists()
    assert rows(folder)[0]["negative"] >= 0
