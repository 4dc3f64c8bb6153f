"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # as many processes as cores run tests: each of them takes one
    for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")

REPO = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real data, from SEGLAB_DATA; tests that need it skip where it is absent."""
    root = os.environ.get("SEGLAB_DATA")
    if not root or not Path(root).is_dir():
        pytest.skip("real data absent: set SEGLAB_DATA to the folder that holds SOD/, BSDS500/, PeopleSeg/ ...")
    return Path(root).resolve()


@pytest.fixture
def tiny(tmp_path: Path) -> list[str]:
    """Overrides for a run of a few seconds on generated images."""
    return [
        "data=shapes",
        "data.size=32",
        "data.source.train=24",
        "data.source.test=8",
        "batch_size=4",
        "val=0.25",
        "schedule.epochs=2",
        "tracker=none",
        "runtime.device=cpu",
        "runtime.threads=1",
        f"runtime.outputs={tmp_path / 'outputs'}",
    ]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own in memory, 32 MiB; skips where mounting is not permitted."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(place)], capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {made.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess]:
    """Run a seglab command line in a process of its own, in an empty folder."""

    def run(*arguments: str, **kwargs) -> subprocess.CompletedProcess:
        name, *rest = arguments
        environment = {**os.environ, "PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1", **kwargs.pop("env", {})}
        return subprocess.run(
            [sys.executable, "-m", f"seglab.{name}", *rest],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            **kwargs,
        )

    return run
