"""A loss that remembers: its state is part of the checkpoints, and a run that was killed anywhere ends the same."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from two_ranks import in_two_processes, trained

from seglab import checkpoint
from seglab.config import compose
from seglab.run import Run
from seglab.train import train
from seglab.trainer import Trainer

HERE = Path(__file__).resolve().parent
ESTIMATED = ["loss=forward_estimated", "noise.rate=0.3", "schedule.epochs=3"]
ELR = ["loss=elr", "loss.grid=2", "noise.rate=0.3", "schedule.epochs=3"]
BOTH = ["loss=cace", "loss._target_=dying_loss.Dying", "noise.rate=0.3"]
KEYS = {"epoch", "step", "sums", "skipped", "context", "model", "optimizer", "scaler"}


class Killed(BaseException):
    """Nothing in the package catches it."""


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def states_of(folder: Path) -> list[dict[str, torch.Tensor]]:
    """What each part of the loss remembers."""
    return [state for key, state in checkpoint.load(folder)["loss"].items() if key.endswith("_extra_state")]


def assert_same(one: Path, other: Path) -> None:
    """The same weights, to the bit, and the same state of the loss."""
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    for kept, wanted in zip(states_of(one), states_of(other), strict=True):
        assert kept.keys() == wanted.keys()
        assert kept
        assert all(torch.equal(kept[name], wanted[name]) for name in kept)


@pytest.fixture
def both(tiny, monkeypatch) -> list[str]:
    """A run whose loss is ELR and estimated forward correction together."""
    monkeypatch.setenv("SEGLAB_ALLOW", "dying_loss")
    monkeypatch.syspath_prepend(str(HERE))
    return [*tiny, *BOTH]


@pytest.mark.parametrize("accumulate", [1, 2])
def test_stopped_after_every_single_step(both, tmp_path, monkeypatch, accumulate) -> None:
    settings = [*both, f"accumulate={accumulate}", "batch_size=6", "runtime.save_minutes=0"]
    undisturbed = train(compose("train", [*settings, f"runtime.outputs={tmp_path / 'whole'}"]))
    plain, done = Trainer.save, {"steps": 0, "stopped": 0}

    def save_and_leave(self):
        plain(self)
        if self.epoch * 3 + self.step > done["steps"]:
            done["steps"], done["stopped"] = self.epoch * 3 + self.step, done["stopped"] + 1
            raise Killed

    monkeypatch.setattr(Trainer, "save", save_and_leave)
    folder = Run.for_config(cfg := compose("train", settings)).path
    for _ in range(50):
        try:
            train(cfg)
        except Killed:
            continue
        break
    assert done["stopped"] == 6, "two epochs of three steps"
    assert_same(folder, undisturbed)


def test_two_processes_killed_and_started_again(both, tmp_path) -> None:
    """The last of two processes dies by SIGKILL in the third step of the second epoch."""
    settings = [*both, "runtime.save_minutes=0"]
    elsewhere = [*settings, f"runtime.outputs={tmp_path / 'whole'}"]
    allow = {"SEGLAB_ALLOW": "dying_loss"}
    whole = in_two_processes(trained, elsewhere, folder=tmp_path / "whole_logs", **allow)
    assert whole.codes == [0, 0], whole.logs
    asked = tmp_path / "kill_at"
    asked.write_text("6")
    killed = in_two_processes(trained, settings, folder=tmp_path / "killed", KILL_AT=str(asked), **allow)
    assert killed.codes == [1, -signal.SIGKILL], killed.logs
    assert asked.read_text() == ""
    final = in_two_processes(trained, settings, folder=tmp_path / "final", KILL_AT=str(asked), **allow)
    assert final.codes == [0, 0], final.logs
    assert "going on from epoch 2, step 3" in final.logs[0]
    one, other = Path(whole.result), Path(final.result)
    assert one.name == other.name
    assert_same(one, other)
    states = states_of(one)
    assert {"targets", "matrix"} <= {name for state in states for name in state}


def test_two_processes_remember_what_one_does(both, tmp_path) -> None:
    """One epoch of one step: what any process has seen is in the state."""
    settings = [*both, "schedule.epochs=1", "batch_size=18", "optim=sgd"]
    single = train(compose("train", settings))
    elsewhere = [*settings, f"runtime.outputs={tmp_path / 'two'}"]
    double = in_two_processes(trained, elsewhere, folder=tmp_path / "logs", SEGLAB_ALLOW="dying_loss")
    assert double.codes == [0, 0], double.logs
    (elr, estimated), (elr_two, estimated_two) = states_of(single), states_of(Path(double.result))
    torch.testing.assert_close(elr_two["targets"], elr["targets"], rtol=1e-4, atol=1e-5)
    assert (elr["targets"].sum((1, 2, 3)) > 0).all(), "every image of the batch has a target"
    # Over the bins: rounding moves a pixel to the next one.
    torch.testing.assert_close(estimated_two["anchors"].sum(1), estimated["anchors"].sum(1), rtol=1e-6, atol=1e-3)


def test_a_loss_without_a_state_leaves_the_checkpoint_as_it_was(tiny) -> None:
    folder = train(compose("train", [*tiny, "loss=gce", "schedule.epochs=1"]))
    assert set(torch.load(folder / "last.pt", weights_only=True)) == KEYS


def test_a_checkpoint_from_before_losses_had_states_goes_on(tiny, caplog) -> None:
    """As one written by an earlier version: without the entry."""
    folder = train(compose("train", [*tiny, *ELR]))
    state = checkpoint.load(folder)
    del state["loss"]
    checkpoint.save(folder, state | {"epoch": 2, "step": 0, "sums": {}})
    (folder / "DONE").unlink()
    train(compose("train", [*tiny, *ELR]))
    assert "the loss begins anew" in caplog.text


def test_the_state_of_another_loss_is_told(tiny) -> None:
    folder = train(compose("train", [*tiny, *ELR]))
    checkpoint.save(folder, checkpoint.load(folder) | {"loss": {"weight": torch.ones(2)}, "epoch": 2, "step": 0})
    (folder / "DONE").unlink()
    with pytest.raises(ValueError, match=r"state of another loss .*runtime\.rerun=true"):
        train(compose("train", [*tiny, *ELR]))


@pytest.mark.parametrize("augment", ["flip", "deeplab"])
def test_pixels_that_move_are_refused_before_data_are_read(augment, tiny, monkeypatch) -> None:
    monkeypatch.setattr("seglab.train.audited_data", None)
    with pytest.raises(ValueError, match=r"^augment: .* loss=elr remembers every pixel .*: expected augment=none$"):
        train(compose("train", [*tiny, "loss=elr", f"augment={augment}"]))


def test_the_noise_that_was_made_is_told(tiny, caplog) -> None:
    """12 of 18 masks exchanged is 2/3, not the 0.7 that was asked for; the transition is that of the masks."""
    caplog.set_level("INFO")
    folder = train(compose("train", [*tiny, "loss=forward", "noise.rate=0.7", "schedule.epochs=1"]))
    report = json.loads((folder / "noise.json").read_text())
    first = (report.get("transition") or [[1 - report["achieved"], report["achieved"]]])[0]
    assert f"transition [[{first[0]:.3f}, {first[1]:.3f}]" in caplog.text


def test_the_estimated_transition_is_in_the_log_and_in_the_run(tiny, caplog) -> None:
    caplog.set_level("INFO")
    folder = train(compose("train", [*tiny, *ESTIMATED]))
    matrix = checkpoint.load(folder)["loss"]["_extra_state"]["matrix"]
    torch.testing.assert_close(matrix.sum(1), torch.ones(2, dtype=torch.float64))
    assert f"after 1 epochs: [[{matrix[0, 0]:.3f}, {matrix[0, 1]:.3f}]" in caplog.text


def test_without_noise_the_corrected_run_is_that_of_cross_entropy(tiny) -> None:
    one, two = (weights(train(compose("train", [*tiny, f"loss={loss}"]))) for loss in ("forward", "ce"))
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=1e-4, atol=1e-5)
