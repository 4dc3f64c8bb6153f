"""The script of the whole check: it can be read by bash, and a browser that cannot be installed stops nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / ".ci" / "run"

pytestmark = pytest.mark.skipif(not SCRIPT.is_file() or not shutil.which("bash"), reason="no .ci/run or no bash")


def test_bash_can_read_it() -> None:
    assert os.access(SCRIPT, os.X_OK)
    subprocess.run(["bash", "-n", str(SCRIPT)], check=True)


@pytest.mark.parametrize("broken", ["exit 100", "exit 0"])
def test_the_tests_run_whether_or_not_a_browser_can_be_installed(tmp_path: Path, broken: str) -> None:
    checkout, tools = tmp_path / "checkout", tmp_path / "bin"
    for folder in (checkout / ".ci", tools):
        folder.mkdir(parents=True)
    shutil.copy(SCRIPT, checkout / ".ci" / "run")
    programs = {"apt-get": broken, "id": "echo 0", "make": 'echo "made $1"'}
    for name, body in programs.items():
        (tools / name).write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        (tools / name).chmod(0o755)
    for name in ("bash", "dirname", "timeout", "sh"):
        (tools / name).symlink_to(shutil.which(name))
    run = subprocess.run(
        [str(tools / "bash"), str(checkout / ".ci" / "run")],
        env={"PATH": str(tools)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert run.stdout == "made test\n"
    assert ("could not be installed" in run.stderr) == (broken == "exit 100")
