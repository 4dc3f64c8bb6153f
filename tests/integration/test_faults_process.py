"""Processes that end when they should not: signals, ranks, data workers, memory; each of them for real."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import REPO
from safetensors.torch import load_file

from seglab import checkpoint
from seglab.config import compose
from seglab.run import Run
from seglab.train import train

HERE = Path(__file__).resolve().parent
ENVIRONMENT = {
    **os.environ, "PYTHONPATH": f"{REPO}:{HERE}", "OMP_NUM_THREADS": "1", "SEGLAB_ALLOW": "faulty_loss",
}  # fmt: skip


def faulty(fault: str, **options: object) -> list[str]:
    return ["loss=ce", "loss._target_=faulty_loss.Faulty", f"+loss.fault={fault}"] + [
        f"+loss.{key}={value}" for key, value in options.items()
    ]


def start(*settings: str, processes: int = 1, group: bool = False) -> subprocess.Popen:
    launch = [sys.executable, "-m", "seglab.train"]
    if processes > 1:
        launch = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={processes}"]
        launch += ["--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0", "-m", "seglab.train"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([*launch, *settings], env=ENVIRONMENT, cwd=REPO, start_new_session=group, **pipes)


def run_of(settings: list[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("SEGLAB_ALLOW", "faulty_loss")
    monkeypatch.syspath_prepend(str(HERE))
    return Run.for_config(compose("train", settings))


def wait_for(ready: Callable[[], bool], process: subprocess.Popen, seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not ready():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.01)


LONG = ["schedule.epochs=4000", "runtime.save_minutes=0", "eval.every=5000"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT], ids=lambda n: n.name)
def test_a_signal_saves_and_leaves_with_75(tiny, number) -> None:
    settings = [*tiny, *LONG]
    run = Run.for_config(compose("train", settings))
    process = start(*settings)
    wait_for(lambda: (run.path / "last.pt").exists(), process)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 75, said
    assert f"{number.name}: saving what runs" in said
    assert "start the same command to go on" in said
    state = checkpoint.load(run.path)
    assert f"stopped in epoch {state['epoch'] + 1}, step {state['step'] + 1}" in said
    assert not (run.path / "FAILED").exists()


@pytest.mark.parametrize("processes", [1, 2])
def test_a_signal_to_a_whole_job_with_data_workers_saves(tiny, processes) -> None:
    """As schedulers send it: every process of the job gets it, data workers and torchrun included."""
    settings = [*tiny, *LONG, "runtime.workers=2"]
    run = Run.for_config(compose("train", settings))
    process = start(*settings, processes=processes, group=True)
    wait_for(lambda: (run.path / "last.pt").exists(), process)
    os.killpg(process.pid, signal.SIGTERM)
    _, said = process.communicate(timeout=90)
    assert "start the same command to go on" in said
    assert 'Traceback (most recent call last):\n  File "<frozen runpy>' not in said or processes == 2  # torchrun's own
    assert process.returncode == 75 if processes == 1 else process.returncode != 0  # torchrun has codes of its own
    assert not (run.path / "FAILED").exists(), said
    state = checkpoint.load(run.path)
    assert f"stopped in epoch {state['epoch'] + 1}, step {state['step'] + 1}" in said


def test_a_warning_signal_and_then_the_end_of_time_is_one_request(tiny, monkeypatch) -> None:
    """SIGUSR1 some time before SIGTERM, as Slurm sends them; only a second Ctrl-C means at once."""
    settings = [*tiny, "schedule.epochs=9", "runtime.save_minutes=0", *faulty("busy", at=9)]
    run = run_of(settings, monkeypatch)
    process = start(*settings)
    assert process.stdout.readline() == "computing\n"
    process.send_signal(signal.SIGUSR1)
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=90)
    assert process.returncode == 75, said
    assert checkpoint.load(run.path)["step"] == 1
    assert checkpoint.load(run.path)["epoch"] == 2


def test_a_run_killed_with_its_data_workers_alive_is_free_at_once(tiny) -> None:
    settings = [*tiny, *LONG, "runtime.workers=2"]
    run = Run.for_config(compose("train", settings))
    process = start(*settings)
    wait_for(lambda: (run.path / "last.pt").exists(), process)
    process.kill()
    process.wait()
    with run.lock():
        pass


def test_a_second_interrupt_leaves_at_once(tiny, monkeypatch) -> None:
    """Even from a computation that Python cannot interrupt; what was saved is whole."""
    settings = [*tiny, *LONG, *faulty("slow", at=9)]
    run = run_of(settings, monkeypatch)
    process = start(*settings)
    assert process.stdout.readline() == "computing\n"
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    time.sleep(1)
    assert process.poll() is None, "the first one waits for the step"
    sent = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert time.monotonic() - sent < 10
    assert process.returncode == 130
    assert checkpoint.load(run.path)["step"] + 4 * checkpoint.load(run.path)["epoch"] == 8


def test_a_failing_rank_ends_all_with_its_traceback(tiny, monkeypatch) -> None:
    settings = [*tiny, "schedule.epochs=50", *faulty("error", rank=1)]
    run = run_of(settings, monkeypatch)
    process = start(*settings, processes=2)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "seglab (rank 1): Traceback" in said
    assert "RuntimeError: the loss tripped over its own feet" in said
    failed = (run.path / "FAILED").read_text()
    assert failed.startswith("rank 1\n"), "the first failure is kept, not the lost connection of the other"
    assert "in error\n" in failed
    assert "the loss tripped over its own feet" in failed
    assert not run.done


def test_a_killed_rank_ends_all_and_the_run_goes_on(tiny, monkeypatch, tmp_path) -> None:
    mark = tmp_path / "killed once"
    settings = [*tiny, "schedule.epochs=2", "runtime.save_minutes=0", *faulty("killed", rank=1, at=7, once=mark)]
    run = run_of(settings, monkeypatch)
    process = start(*settings, processes=2)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "SIGKILL" in said or "Signal 9" in said or "exitcode  : -9" in said
    assert mark.exists()
    assert not run.done
    state = checkpoint.load(run.path)
    assert (state["epoch"], state["step"]) == (1, 2)
    again = start(*settings, processes=2)
    _, said = again.communicate(timeout=120)
    assert again.returncode == 0, said
    assert "going on from epoch 2, step 3" in said
    assert run.done


def kill_a_data_worker(process: subprocess.Popen) -> None:
    """Again until it matters: one that has just delivered its last batch is not missed."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    until = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < until:
        with contextlib.suppress(OSError):
            for child in children.read_text().split()[:1]:
                os.kill(int(child), signal.SIGKILL)
        time.sleep(0.003)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds the workers by /proc")
def test_a_killed_data_worker_is_named(tiny, monkeypatch) -> None:
    settings = [*tiny, *LONG, "runtime.workers=2"]
    run = Run.for_config(compose("train", settings))
    process = start(*settings)
    wait_for(lambda: (run.path / "last.pt").exists(), process)
    kill_a_data_worker(process)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1, said
    assert "a data worker was killed (signal: Killed" in said or "a data worker ended unexpectedly" in said
    assert "runtime.workers=1" in said
    assert "Traceback" not in said
    assert checkpoint.load(run.path) is not None


def test_out_of_memory_names_batch_and_size_and_keeps_the_checkpoint(tiny, monkeypatch) -> None:
    settings = [*tiny, "data.size=64", "runtime.save_minutes=0", *faulty("memory", at=4)]
    run = run_of(settings, monkeypatch)
    process = start(*settings)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "out of memory with batch_size=4, accumulate=1, eval.batch_size=32, data.size=64" in said
    for remedy in ("accumulate=2", "batch_size=2", "data.size=32", "runtime.precision=bf16"):
        assert remedy in said
    assert "Traceback" not in said
    assert checkpoint.load(run.path)["step"] == 3
    assert "can't allocate memory" in (run.path / "FAILED").read_text()


def test_fp16_overflows_are_counted_and_bounded(tiny, monkeypatch) -> None:
    settings = [*tiny, "runtime.precision=fp16", "schedule.epochs=30", *faulty("overflow", at=6)]
    run = run_of(settings, monkeypatch)
    with pytest.raises(ValueError, match="the last of 21 fp16 steps in a row that overflowed; stopped before the step"):
        train(compose("train", settings))
    rows = [line for line in (run.path / "log.jsonl").read_text().splitlines()]
    assert '"skipped_steps": 0' in rows[0]
    assert '"skipped_steps": 3' in rows[1]
    assert '"skipped_steps": 4' in rows[2]
    weights = checkpoint.load(run.path)["model"]
    assert all(torch.isfinite(w).all() for w in weights.values() if w.is_floating_point())


def test_a_tracker_that_cannot_write_stops_nothing(tiny) -> None:
    """A file lies where TensorBoard wants a folder; the weights are those of the run without a tracker."""
    pytest.importorskip("tensorboard")
    settings = [s for s in tiny if not s.startswith("tracker")]
    plain = train(compose("train", [*settings, "tracker=none"]))
    whole = load_file(plain / "model.safetensors")
    rerun = [*settings, "tracker=tensorboard", "runtime.rerun=true"]
    (plain / "tensorboard").write_text("in the way")
    process = start(*rerun)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert "tracker stopped (" in said
    assert all(torch.equal(whole[k], w) for k, w in load_file(plain / "model.safetensors").items())


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="counts threads by /proc")
def test_no_thread_of_the_process_group_is_left_behind() -> None:
    """One of gloo's that still runs while the interpreter ends may abort a process whose work is done."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--rdzv-backend=c10d"]
    launch += ["--rdzv-endpoint=localhost:0", str(HERE / "leave_group.py")]
    done = subprocess.run(launch, env=ENVIRONMENT, cwd=REPO, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 2
    assert "gloo" not in done.stdout
