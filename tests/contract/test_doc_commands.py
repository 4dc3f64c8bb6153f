"""Every command line of the documents is one: after its own completion it composes, and its data set can be built.

Those of docs/adding need the files written there; ``tests/integration/test_docs_adding.py`` runs them.
"""

from __future__ import annotations

import importlib
import os
import re
import shlex
from pathlib import Path

import pytest
from conftest import REPO

from seglab.config import as_hydra_reads, compose
from seglab.evaluator import read_out
from seglab.run import Run
from seglab.targets import instantiate

PAGES = [REPO / "README.md", *sorted((REPO / "docs").rglob("*.md"))]
START = re.compile(r"(?:[A-Z_]+=\S+ |srun )?(?:python|torchrun [^;]*?) -m seglab\.(\w+)\s*(.*)", re.DOTALL)
RUNS = {"regions.md": ("bsds500-unet-cas-s0-0123456789", "data=bsds500")}
"""Page -> run that its commands are about, and what it trained on."""

ADDED = "adding"
"""Folder of pages whose commands are of options that the pages themselves add."""

RUN = ("shapes-unet-cas-s0-9876543210", "data=shapes")


def commands_in(page: Path) -> list[tuple[str, str]]:
    """``(command, its arguments)`` of code blocks, with continued lines, and of code in the text."""
    pieces = page.read_text(encoding="utf-8").split("```")
    lines = [line for block in pieces[1::2] for line in block.replace("\\\n", " ").splitlines()]
    lines += [" ".join(code.split()) for text in pieces[::2] for code in re.findall(r"`([^`]+)`", text)]
    return [(found[1], found[2]) for line in lines if (found := START.match(line.strip()))]


COMMANDS = [
    (page.name, command, rest) for page in PAGES for command, rest in commands_in(page) if page.parent.name != ADDED
]


def arguments_of(page: str, command: str, rest: str) -> list[str]:
    """What a person types: a name for one in angle brackets, without comments and dots; of a sweep its first run."""
    named = re.sub(r"data=<[^>]*>", "data=sod", rest).replace("$SEGLAB_DATA", "data")
    typed = shlex.split(re.sub(r"<[^>]*>", RUNS.get(page, RUN)[0], named), comments=True)
    words = [word for word in typed if word not in ("...", "--help", "--cfg", "job")]
    if "-m" in words:
        words = [word.split(",")[0] for word in words if word != "-m" and not word.startswith("hydra/")]
    room = (REPO / "seglab" / command).is_dir()
    complete = getattr(importlib.import_module(f"seglab.{command}{'.__main__' * room}"), "complete", None)
    return as_hydra_reads(complete(words) if complete and words else words)


@pytest.fixture(scope="module", autouse=True)
def place(tmp_path_factory):
    """A folder with runs, which every command finds."""
    root = tmp_path_factory.mktemp("docs")
    for name, data in (RUN, *RUNS.values()):
        Run(root / "outputs" / "runs" / name).start(compose("train", [data]))
    before = Path.cwd()
    os.chdir(root)
    yield
    os.chdir(before)


def test_the_pages_have_commands() -> None:
    assert len(COMMANDS) >= 40
    assert {"README.md", "regularized.md", "tutorial.md", "quickstart.md", "clusters.md", "cas.md"} <= {
        page for page, _, _ in COMMANDS
    }


@pytest.mark.parametrize(("page", "command", "rest"), COMMANDS)
def test_a_command_line_composes(page: str, command: str, rest: str) -> None:
    arguments = arguments_of(page, command, rest)
    assert (REPO / "conf" / f"{command}.yaml").is_file()
    if not arguments:  # the command is named, or its --help
        return
    cfg = compose(command, arguments)
    if command in ("train", "preview"):
        instantiate(cfg.data.source)
        read_out(cfg)  # looks at the classes of the test sets, too
