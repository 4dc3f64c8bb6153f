"""The worked examples of docs/adding: their files are written into a copy of the package, and their commands run."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import REPO

PAGES = sorted(path for path in (REPO / "docs" / "adding").glob("*.md") if path.stem != "index")
BLOCK = re.compile(r"^```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[tuple[str, str, str]]:
    """``(language, file or nothing, text)`` of every fenced block that names its language, in order."""
    return BLOCK.findall(page.read_text(encoding="utf-8"))


SERVER = """
import json, os, runpy, sys, traceback
import matplotlib.pyplot, numba, pandas, scipy.ndimage, torch, torchvision
import seglab.data.build, seglab.evaluator, seglab.trainer

def typed(words):
    sys.argv = words[1:] if words[0] == "-m" else words
    if words[0] == "-m":
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(words[0], run_name="__main__")

for line in sys.stdin:
    child = os.fork()
    if child == 0:
        said = os.open("said.txt", os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
        os.dup2(said, 1), os.dup2(said, 2)
        try:
            typed(json.loads(line))
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException:
            traceback.print_exc()
            code = 1
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""Each command is a process of its own, forked off one that has imported what all of them need: seconds each."""


def surroundings(place: Path) -> dict[str, str]:
    environment = {**os.environ, "PYTHONPATH": str(place), "OMP_NUM_THREADS": "1", "SEGLAB_DATA": "data"}
    environment.pop("SEGLAB_ALLOW", None)
    return environment


@pytest.fixture(scope="module")
def walk(place: Path) -> Iterator[Callable[[list[str]], tuple[int, str]]]:
    """Runs what is typed behind ``python``; gives the exit code and what was said."""
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER],
        cwd=place,
        env=surroundings(place),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def run(words: list[str]) -> tuple[int, str]:
        server.stdin.write(json.dumps(words) + "\n")
        server.stdin.flush()
        code = server.stdout.readline()
        assert code, "the process that runs the commands has ended"
        return int(code), (place / "said.txt").read_text(encoding="utf-8")

    yield run
    server.stdin.close()
    server.wait(timeout=60)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A checkout to which the examples of all pages are added."""
    root = tmp_path_factory.mktemp("checkout")
    for folder in ("seglab", "conf", "tests"):  # with compiled kernels, where there are some
        shutil.copytree(REPO / folder, root / folder, ignore=shutil.ignore_patterns("*.pyc"))
    shutil.copy(REPO / "pyproject.toml", root)
    for page in PAGES:
        for _, name, text in blocks(page):
            if name:
                assert not (root / name).exists(), f"{page.name}: {name} is there already"
                (root / name).write_text(text, encoding="utf-8")
    return root


def test_the_pages_have_examples() -> None:
    assert {page.stem for page in PAGES} == {"loss", "model", "dataset", "noise", "table"}
    for page in PAGES:
        found = blocks(page)
        assert any(name for _, name, _ in found), page.name
        assert any(language == "bash" for language, _, _ in found), page.name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_of_a_page_do_what_it_says(page: Path, walk) -> None:
    for language, _, text in blocks(page):
        if language != "bash":
            continue
        for line in text.replace("\\\n", " ").splitlines():
            words = shlex.split(line)
            assert words[0] == "python", f"{page.name}: {line}"
            code, said = walk(words[1:])
            assert code == 0, f"{page.name}: {line}\n{said[-3000:]}"


def test_the_examples_keep_the_rules_of_every_config(place: Path) -> None:
    names = [Path(name).stem for page in PAGES for _, name, _ in blocks(page) if name.startswith("conf/")]
    assert len(names) == 5
    options = ["-q", "-p", "no:cacheprovider", "tests/contract/test_conf.py", "-k", " or ".join(names)]
    command = [sys.executable, "-m", "pytest", *options]
    done = subprocess.run(
        command, cwd=place, env=surroundings(place), capture_output=True, text=True, check=False, timeout=500
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert re.search(r"\b(\d+) passed", done.stdout)
