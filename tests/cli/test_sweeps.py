"""Sweeps through Hydra's launcher plugins: every result is shown, every failure told, and signals reach the runs."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import REPO
from hydra.errors import MissingConfigException
from omegaconf import OmegaConf

from seglab import cli

LAUNCHERS = {
    "joblib": ("hydra_plugins.hydra_joblib_launcher", ["hydra.launcher.n_jobs=2"]),
    "submitit_local": ("hydra_plugins.hydra_submitit_launcher", []),
}


def installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def options(launcher: str) -> list[str]:
    """Arguments that choose a launcher; the test is skipped where it is not installed."""
    module, extra = LAUNCHERS[launcher]
    if not installed(module):
        pytest.skip(f"{module} is not installed: pip install 'seglab[launchers]'")
    return [f"hydra/launcher={launcher}", *extra]


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_alpha_times_noise(command, tiny, tmp_path, launcher: str) -> None:
    """Four runs, two of which cannot be; the others are done and shown in the order of the sweep."""
    sweep = ["loss.alpha=0.1,0.5", "noise.rate=0.5,1.5", "schedule.epochs=1"]
    result = command("train", *tiny, *sweep, *options(launcher), "-m")
    assert result.returncode == 1, result.stderr
    folders = [Path(line) for line in result.stdout.splitlines() if "/runs/" in line]
    assert [folder.name.rpartition("-")[0] for folder in folders] == ["shapes-unet_small-cas-q0.5-s0"] * 2
    assert all((folder / "DONE").exists() for folder in folders)
    assert [OmegaConf.load(folder / "config.yaml").loss.alpha for folder in folders] == [0.1, 0.5]
    assert result.stderr.count("seglab: noise.rate=1.5: expected") == 2, result.stderr
    assert "loss.alpha=0.1 noise.rate=1.5" in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stderr.splitlines()[-1].startswith("seglab: noise.rate=1.5")
    assert not list((tmp_path / "outputs" / "sweeps").glob(".[0-9a-f]*/*.json"))  # notes are cleared away


def begin(tiny: list[str], tmp_path: Path, *extra: str) -> tuple[subprocess.Popen, Path]:
    """Start a sweep of long runs and wait until two of them have saved something."""
    runs, errors = tmp_path / "outputs" / "runs", tmp_path / "errors"
    with open(errors, "w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "seglab.train", "-m", *tiny, *extra],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
        )
    until = time.monotonic() + 120
    while len(list(runs.glob("*/last.pt"))) < 2 and time.monotonic() < until:
        assert process.poll() is None, errors.read_text()
        time.sleep(0.02)
    return process, errors


def holders(folder: Path) -> list[int]:
    """Processes that hold the lock of a run below a folder."""
    found = []
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            target = os.readlink(link)
        except OSError:
            continue
        if target.startswith(str(folder)) and target.endswith("/.lock"):
            found.append(int(link.parts[2]))
    return found


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_signal_reaches_every_run(tiny, tmp_path, launcher: str) -> None:
    seeds = "seed=0,1,2" if launcher == "joblib" else "seed=0,1"  # submitit begins all at once
    process, errors = begin(tiny, tmp_path, "schedule.epochs=5000", "eval.every=5000", seeds, *options(launcher))
    process.send_signal(signal.SIGTERM)
    assert process.wait(90) == 75, errors.read_text()
    assert "start the same command to go on" in errors.read_text().splitlines()[-1]
    assert not holders(tmp_path)
    runs = list((tmp_path / "outputs" / "runs").iterdir())
    assert len(runs) == 2  # the third never began
    assert not any((run / "DONE").exists() or (run / "FAILED").exists() for run in runs)


def test_a_killed_job_is_told_and_the_others_finish(tiny, tmp_path) -> None:
    chosen = options("submitit_local")
    process, errors = begin(tiny, tmp_path, "schedule.epochs=60", "eval.every=60", "seed=0,1", *chosen)
    os.kill(holders(tmp_path / "outputs" / "runs")[0], signal.SIGKILL)
    shown, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    (folder,) = shown.splitlines()
    assert (Path(folder) / "DONE").exists()
    assert "its process was killed" in errors.read_text().splitlines()[-1]
    assert "Traceback" not in errors.read_text()


@pytest.mark.parametrize("name", ["submitit_slurm", "joblibb"])
def test_a_launcher_that_is_not_installed_says_what_to_install(name: str) -> None:
    error = MissingConfigException(f"In 'hydra/config': Could not find 'hydra/launcher/{name}'\n\nAvailable: basic")
    message = cli._message(error, "train")
    assert message.startswith(f"hydra/launcher={name}")
    assert "pip install 'seglab[launchers]'" in message
    assert "\n" not in message
