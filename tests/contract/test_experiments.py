"""Every experiment says in its header which row it is, how to start it, how long it takes and what was published."""

from __future__ import annotations

import functools
import re
import shlex
import tempfile
from pathlib import Path

import pytest
from omegaconf import DictConfig

from seglab.config import compose, conf_dir
from seglab.tables.spec import Row, load_table, table_ids
from seglab.targets import instantiate

EXPERIMENTS = sorted((conf_dir() / "experiment").glob("*.yaml"))
SOURCES = {"t": "CAS table {}", "supp": "CAS supplement,? table {}", "released": "CAS tables"}


def header(path: Path) -> list[str]:
    """The comment lines above the first key, without their mark."""
    lines = path.read_text(encoding="utf-8").splitlines()
    top = lines[: next(i for i, line in enumerate(lines) if line and not line.startswith("#"))]
    assert top[0] == "# @package _global_"
    return [line.removeprefix("#").removeprefix(" ") for line in top[1:]]


def command_line(path: Path) -> list[str]:
    """The words of the command in the header."""
    found = [line for line in header(path) if line.startswith("  python -m seglab.")]
    assert len(found) == 1, found
    return shlex.split(found[0])


@functools.cache
def composed(path: Path) -> DictConfig:
    """What the command in the header composes to; ``<run>`` stands for a finished run."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "config.yaml").write_text("seed: 0\n", encoding="utf-8")
        return compose("train", [word.replace("<run>", folder) for word in command_line(path)[3:]])


def epochs_of(path: Path) -> int:
    """All epochs of an experiment, those of its phases together."""
    return instantiate(composed(path).schedule).epochs


@functools.cache
def all_rows() -> tuple[Row, ...]:
    """The rows of all tables."""
    return tuple(row for table in table_ids() for row in load_table(table).rows)


def rows_of(name: str) -> list[Row]:
    """The rows of the paper's tables that are trained with one experiment and nothing laid over it."""
    return [row for row in all_rows() if f"experiment={name}" in row.run]


def experiments_of(row: Row) -> set[str]:
    """Names of the experiments in a row's overrides."""
    words = [word.removeprefix("experiment=").strip("[]") for word in row.run if word.startswith("experiment=")]
    return {name for word in words for name in word.split(",")}


def named(path: Path) -> str:
    """The pattern of paper and table that a file's name stands for."""
    parts = path.stem.split("_")
    if parts[0] == "reg":
        return f"Regularized loss table {parts[1][1:]},"
    if parts[0] == "segnet":
        return f"SegNet table {parts[1][1:]},"
    if parts[1] == "supp":
        return SOURCES["supp"].format(parts[2][1:])
    return SOURCES["released"] if parts[1] == "released" else SOURCES["t"].format(parts[1][1:])


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_header_names_paper_table_and_row(path: Path) -> None:
    heading = header(path)[0]
    assert re.match(named(path), heading), heading
    for row in rows_of(path.stem):
        if row.values and len(rows_of(path.stem)) == 1:
            assert f"row {row.name.removesuffix(' (ours)')}:" in heading


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_command_in_the_header_composes(path: Path) -> None:
    words = command_line(path)
    assert words[:3] == ["python", "-m", "seglab.train"]
    assert path.stem in " ".join(words[3:])
    assert epochs_of(path) > 1


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_header_says_how_long_it_takes(path: Path) -> None:
    text = " ".join(header(path))
    assert re.search(r"\b[\d.]+ (hours|minutes|seconds)\b", text), text
    assert re.search(r"\b(an estimate|measured)\b", text), text


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_estimate_follows_from_its_own_figures(path: Path) -> None:
    text = " ".join(header(path))
    found = re.search(r"([\d.]+) hours.*?(\d+) images x (\d+) epochs / (\d+) images a second", text)
    if not found:
        pytest.skip("measured, not estimated")
    hours, images, epochs, speed = map(float, found.groups())
    assert hours == pytest.approx(images * epochs / speed / 3600, abs=0.05)
    assert epochs == epochs_of(path)


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_header_gives_the_published_numbers(path: Path) -> None:
    published = header(path)[0].partition("published")[2]
    assert published
    printed = [row.printed for row in rows_of(path.stem) if row.printed]
    if not printed or isinstance(printed[0][0], int):
        return  # nothing is printed, or counts that the heading puts into words
    if path.stem.startswith(("reg_", "segnet_")):
        numbers = [float(n) for n in re.findall(r"-?\d+\.\d+", published)]
        # Figures repeat some of the numbers under names of their own; other tables read other metrics of SegNet's runs.
        own = [t for t in table_ids() if "_fig" not in t and (path.stem.startswith("reg_") or t == "segnet_t2")]
        rows = [r for t in own for r in load_table(t).rows]
        printed = [r.printed for r in rows if r.printed and f"experiment={path.stem}" in r.run]
        several = [values[0] for values in printed]
        assert numbers in ([*printed[0]], [printed[0][-1]]) if len(printed) == 1 else numbers == several
        return
    numbers = [float(n) for n in re.findall(r"\d\.\d{2,3}", published)]
    if len(printed) > 1 and len(set(printed)) > 1:
        assert numbers == [values[0] for values in printed]
    elif path.stem.startswith(("cas_t4", "cas_t5")):
        assert numbers == list(printed[0])
    elif path.stem.startswith("cas_t6"):
        assert numbers == list(printed[0][::2]) == list(printed[0][1::2])  # ODS and OIS are the same
    else:
        place = 0 if "on MSRA-B" in published else 2
        assert numbers == list(printed[0][place : place + 2])


@pytest.mark.parametrize("loss", ["ce", "cas"])
def test_one_training_is_measured_as_saliency_and_as_texture(loss: str) -> None:
    from seglab.identity import identity

    conf = conf_dir() / "experiment"
    saliency, texture = (composed(conf / f"{name}_{loss}.yaml") for name in ("cas_supp_t2_deeplab", "cas_t6_deeplab_d"))
    assert identity(saliency) == identity(texture)
    assert (saliency.eval.protocol.name, texture.eval.protocol.name) == ("cas", "bsds")


def test_every_experiment_belongs_to_a_table() -> None:
    used = {name for row in all_rows() for name in experiments_of(row)}
    assert {path.stem for path in EXPERIMENTS} == used
