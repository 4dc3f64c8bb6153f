"""Disks that are full, read-only or damaged: a small mounted file system, and files that are really cut or changed."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
import torch

from seglab import checkpoint
from seglab.atomic import write_atomic
from seglab.config import compose
from seglab.run import Run
from seglab.train import train


def fill(disk: Path, leave: int = 0) -> Path:
    """Take all of a disk but some bytes."""
    space = os.statvfs(disk)
    ballast = disk / "ballast"
    with open(ballast, "wb") as file:
        file.write(bytes(max(0, space.f_bavail * space.f_frsize - leave)))
    return ballast


def test_a_full_disk_stops_the_run_and_keeps_the_last_good_state(small_disk, command, tiny) -> None:
    settings = [*tiny, f"runtime.outputs={small_disk}", "runtime.save_minutes=0", "schedule.epochs=3"]
    run = Run.for_config(compose("train", settings))
    first = command("train", *settings, "eval.every=1", env={"PYTHONWARNINGS": "ignore"})
    assert first.returncode == 0, first.stderr
    expected = checkpoint.load_weights(run.path / "model.safetensors")
    good = (run.path / "last.pt").read_bytes()
    # A longer run in the same place, begun with little space left.
    longer = [*settings, "seed=1"]
    other = Run.for_config(compose("train", longer))
    ballast = fill(small_disk, leave=len(good) + len(good) // 2)
    stopped = command("train", *longer)
    assert stopped.returncode == 1
    assert "cannot be written" in stopped.stderr
    assert "What was saved before is kept" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert "Logging error" not in stopped.stderr
    assert checkpoint.load(other.path)["step"] == 1
    assert not other.done
    assert not list(other.path.glob("*.tmp"))
    assert (run.path / "last.pt").read_bytes() == good
    ballast.unlink()
    again = command("train", *longer)
    assert again.returncode == 0, again.stderr
    assert "going on from epoch 1, step 2" in again.stderr
    assert other.done
    assert checkpoint.load_weights(run.path / "model.safetensors").keys() == expected.keys()


def test_not_a_byte_left_is_one_message(small_disk, command, tiny) -> None:
    fill(small_disk)
    result = command("train", *tiny, f"runtime.outputs={small_disk}")
    assert result.returncode == 1
    assert "No space left on device" in result.stderr
    assert "the disk is full: free some space, or give runtime.outputs another folder" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_read_only_folder_is_one_message(small_disk, command, tiny) -> None:
    settings = [*tiny, f"runtime.outputs={small_disk}"]
    assert command("train", *settings, "schedule.epochs=1").returncode == 0
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    result = command("train", *settings)
    assert result.returncode == 1
    assert "Read-only file system" in result.stderr
    assert "the file system is read-only: give runtime.outputs another folder" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_disk_that_fills_up_while_scoring_loses_nothing_trained(small_disk, tiny, monkeypatch) -> None:
    from seglab.evaluator import Evaluator

    write = Evaluator.write
    monkeypatch.setattr(Evaluator, "write", lambda *args, **more: (fill(small_disk), write(*args, **more)))
    settings = [*tiny, f"runtime.outputs={small_disk}"]
    run = Run.for_config(compose("train", settings))
    with pytest.raises(OSError, match="No space left"):
        train(compose("train", settings))
    assert not run.done
    before = checkpoint.load_weights(run.path / "model.safetensors")
    (small_disk / "ballast").unlink()
    monkeypatch.setattr(Evaluator, "write", write)
    train(compose("train", settings))
    assert run.done
    after = checkpoint.load_weights(run.path / "model.safetensors")
    assert all(torch.equal(before[k], after[k]) for k in before)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    outputs = tmp_path_factory.mktemp("trained")
    settings = ["data=shapes", "data.size=32", "data.source.train=16", "data.source.test=4", "batch_size=4", "val=0.25"]
    settings += ["schedule.epochs=2", "tracker=none", "runtime.threads=1", "runtime.device=cpu"]
    return train(compose("train", [*settings, f"runtime.outputs={outputs}"]))


def test_every_changed_byte_of_a_record_is_seen(trained, tmp_path) -> None:
    """torch reads over a changed weight; the checksum of its record does not."""
    whole = (trained / "last.pt").read_bytes()
    state = checkpoint.load(trained)
    (tmp_path / "previous.pt").write_bytes(whole)
    name, weight = next((k, w) for k, w in state["model"].items() if w.numel() > 500)
    place = whole.index(bytes(weight.untyped_storage()))
    for offset in (0, 7, weight.numel() * 4 - 1):
        damaged = bytearray(whole)
        damaged[place + offset] ^= 1
        (tmp_path / "last.pt").write_bytes(damaged)
        read = torch.load(tmp_path / "last.pt", weights_only=True)["model"][name]
        assert not torch.equal(read, weight), "torch itself does not see it"
        assert torch.equal(checkpoint.load(tmp_path)["model"][name], weight)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.9999])
def test_a_truncated_checkpoint_falls_back(trained, tmp_path, caplog, share) -> None:
    whole = (trained / "last.pt").read_bytes()
    (tmp_path / "previous.pt").write_bytes(whole)
    (tmp_path / "last.pt").write_bytes(whole[: int(share * len(whole))])
    assert checkpoint.load(tmp_path)["epoch"] == 2
    assert f"{tmp_path / 'last.pt'} cannot be read" in caplog.text
    (tmp_path / "previous.pt").write_bytes(whole[:100])
    (tmp_path / "last.pt").write_bytes(whole[:50])
    for _ in range(2):  # said again, not forgotten
        with pytest.raises(ValueError, match=r"no readable checkpoint; start over with runtime\.rerun=true"):
            checkpoint.load(tmp_path)


def test_a_damaged_checkpoint_never_takes_the_place_of_a_good_one(trained, tmp_path, monkeypatch) -> None:
    whole = (trained / "last.pt").read_bytes()
    (tmp_path / "previous.pt").write_bytes(whole)
    (tmp_path / "last.pt").write_bytes(whole[:5000])
    state = checkpoint.load(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(ValueError, match="No space left"):
        checkpoint.save(tmp_path, state)
    monkeypatch.undo()
    assert checkpoint.load(tmp_path)["epoch"] == 2
    checkpoint.save(tmp_path, state)
    assert (tmp_path / "previous.pt").read_bytes() == whole
    assert (tmp_path / "last.pt.damaged").exists()


def test_a_file_system_without_links_keeps_two_checkpoints(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(PermissionError(1, "Operation not permitted")))
    for epoch in range(3):
        checkpoint.save(tmp_path, {"epoch": epoch})
    assert checkpoint.load(tmp_path) == {"epoch": 2}
    (tmp_path / "last.pt").unlink()
    assert checkpoint.load(tmp_path) == {"epoch": 1}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["previous.pt"]


def test_damaged_weights_are_not_used(trained, tmp_path) -> None:
    path = tmp_path / "model.safetensors"
    whole = bytearray((trained / "model.safetensors").read_bytes())
    whole[-1] ^= 1
    path.write_bytes(whole)
    with pytest.raises(ValueError, match="damaged, its checksum does not fit"):
        checkpoint.load_weights(path)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="not a readable safetensors file"):
        checkpoint.load_weights(path)


def test_a_failed_write_leaves_the_file_before_and_no_other(tmp_path, small_disk) -> None:
    path = write_atomic(small_disk / "note.json", json.dumps({"whole": True}))
    fill(small_disk, leave=8192)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(path, "x" * 10**6)
    assert json.loads(path.read_text()) == {"whole": True}
    assert sorted(p.name for p in small_disk.iterdir()) == ["ballast", "note.json"]


def test_log_rows_of_a_lost_start_are_not_kept(trained) -> None:
    """Killed between the first row and the first checkpoint: the row is trained again and stands once."""
    run = Run(trained)
    cfg = run.config()
    (trained / "DONE").unlink()
    for name in ("last.pt", "previous.pt"):
        (trained / name).unlink()
    with open(trained / "log.jsonl", "a") as file:
        file.write('{"epoch": 0, "lo')
    train(cfg)
    assert [json.loads(row)["epoch"] for row in (trained / "log.jsonl").read_text().splitlines()] == [0, 1]
