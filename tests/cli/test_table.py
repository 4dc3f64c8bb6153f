"""The table command from the command line: what is missing is trained, what fails is told, what is killed goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from conftest import REPO
from omegaconf import OmegaConf

SETTINGS = [
    "data=shapes",
    "data.size=32",
    "data.source.train=24",
    "data.source.test=8",
    "batch_size=4",
    "val=0.25",
    "tracker=none",
    "runtime.device=cpu",
    "runtime.threads=1",
]
COLUMNS = [
    {"name": "shapes F_beta", "set": "shapes", "metric": "fbeta_adaptive", "better": "higher"},
    {"name": "shapes MAE", "set": "shapes", "metric": "mae", "better": "lower"},
]


def rows(epochs: int, *losses: str) -> list[dict]:
    made = [{"name": loss.upper(), "kind": "ours", "run": [*SETTINGS, f"loss={loss}"]} for loss in losses]
    for row in made:
        row["run"].append(f"schedule.epochs={epochs}")
        row["values"] = [0.9, 0.1]
    return made


@pytest.fixture
def write_table(tmp_path: Path):
    def write(table_rows: list[dict], **top) -> str:
        content = {"id": "mine", "paper": "own", "title": "Mine", "source": "here", "protocol": "none"}
        path = tmp_path / "mine.yaml"
        OmegaConf.save(OmegaConf.create({**content, "columns": COLUMNS, "rows": table_rows, **top}), path)
        return f"table={path}"

    return write


def numbers(folder: Path) -> pd.DataFrame:
    table = pd.read_csv(folder / "outputs/tables/mine.csv")
    return table[["row", "column", "seeds", "mean", "deviation", "difference", "state", "runs"]]


def trained_at(folder: Path) -> dict[str, int]:
    return {p.parent.name: p.stat().st_mtime_ns for p in folder.glob("outputs/runs/*/DONE")}


def test_rows_that_fail_are_marked_and_the_others_finish(command, write_table, tmp_path) -> None:
    bad = [
        {"name": "no such loss", "kind": "ours", "run": [*SETTINGS, "loss=cass"], "values": [0.5, 0.5]},
        {"name": "no such data", "kind": "ours", "run": [*SETTINGS, "data=ecssd"], "values": [0.5, 0.5]},
        {"name": "no network", "kind": "ours", "unavailable": "its network is not built yet", "values": [0.5, 0.5]},
        {"name": "bad batch", "kind": "ours", "run": [*SETTINGS, "batch_size=9999"], "values": [0.5, 0.5]},
    ]
    bad[1]["run"] = [o for o in bad[1]["run"] if not o.startswith(("data=shapes", "data.source"))]
    claims = [{"text": "CAS beats CE", "columns": ["mae"], "check": "[CAS] < [CE]"}]
    table = write_table([*rows(1, "ce", "cas"), *bad], claims=claims)
    first = command("table", table, "runtime.progress=false")
    assert first.returncode == 1, first.stderr
    message = first.stderr[first.stderr.index("seglab: ") :]
    for words in ("did you mean 'cas'", "data missing", "batch_size=9999", "'no such loss'", "3 rows or figures"):
        assert words in message, message
    assert "Traceback" not in first.stderr
    table_rows = pd.read_csv(tmp_path / "outputs/tables/mine.csv").groupby("row")
    states = {row: set(part.state) for row, part in table_rows}
    assert states["CE"] == states["CAS"] == {"done"}
    assert states["no such loss"] == states["bad batch"] == {"failed"}
    assert states["no such data"] == {"data missing"}
    assert states["no network"] == {"not built"}
    text = (tmp_path / "outputs/tables/mine.md").read_text()
    assert "did you mean 'cas'" in text
    assert "its network is not built yet" in text
    assert "2 done" in first.stdout.splitlines()[0]

    chosen = command("table", table, "runtime.progress=false", "only=[CE,cas]")
    assert chosen.returncode == 0, chosen.stderr  # what is wrong was not asked for; it stays marked
    assert "did you mean 'cas'" in (tmp_path / "outputs/tables/mine.md").read_text()


def test_the_second_call_trains_nothing(command, write_table, tmp_path) -> None:
    table = write_table(rows(1, "ce", "cas"))
    first = command("table", table, "seeds=2", "runtime.progress=false")
    assert first.returncode == 0, first.stderr
    before, values = trained_at(tmp_path), numbers(tmp_path)
    assert len(before) == 4
    assert (values["seeds"] == 2).all()
    again = command("table", table, "seeds=2", "runtime.progress=false")
    assert again.returncode == 0, again.stderr
    assert "epoch" not in again.stderr
    assert trained_at(tmp_path) == before
    assert numbers(tmp_path).equals(values)
    (Path(tmp_path) / "outputs/tables/mine.md").unlink()
    rendered = command("table", table, "seeds=3", "render=true")
    assert rendered.returncode == 0, rendered.stderr
    assert "2 of 3 seeds" in (tmp_path / "outputs/tables/mine.md").read_text()
    status = command("table", table, "seeds=3", "status=true")
    assert status.returncode == 0
    assert "2 done, 1 not run" in status.stdout
    assert trained_at(tmp_path) == before


@pytest.mark.parametrize(
    ("top", "words"),
    [
        ({"claims": [{"text": "x", "check": "[CAS] < [CEE]"}]}, "no row 'CEE'"),
        ({"claims": [{"text": "x", "check": "__import__('os').getcwd() == 1"}]}, "claim 'x'"),
        ({"figures": [{"_target_": "os.system", "name": "x"}]}, "figures._target_=os.system: expected a function in"),
        (
            {"figures": [{"_target_": "seglab.report.figures.lines.lines", "name": "x", "metric": "mae"}]},
            "unknown option 'metric', did you mean 'metrics'",
        ),
    ],
)
def test_mistakes_in_a_table_are_told_before_anything_is_trained(command, write_table, tmp_path, top, words) -> None:
    result = command("table", write_table(rows(1, "ce", "cas"), **top))
    assert result.returncode == 1
    assert words in result.stderr, result.stderr
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.glob("outputs/runs/*"))


def test_missing_data_is_seen_in_the_status_and_in_a_rendered_table(command, tmp_path) -> None:
    root = f"runtime.data_root={tmp_path / 'nothing'}"
    status = command("table", "table=cas_t1", "status=true", root)
    assert status.returncode == 0, status.stderr
    assert "9 data missing" in status.stdout
    rendered = command("table", "table=cas_t1", "render=true", root)
    assert rendered.returncode == 0, rendered.stderr
    assert "MSRA-B/image' not found" in (tmp_path / "outputs/tables/cas_t1.md").read_text()


def kill_all(folder: Path) -> None:
    """SIGKILL to the runner, its controllers and its workers: everything that works in this folder."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            inside = os.readlink(entry / "cwd") == str(folder)
        except OSError:
            continue
        if inside:
            os.kill(int(entry.name), signal.SIGKILL)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the processes to kill in /proc")
def test_a_table_that_was_killed_equals_an_undisturbed_one(command, write_table, tmp_path) -> None:
    table = write_table(rows(6, "ce", "cas"))
    undisturbed = command("table", table, "runtime.outputs=undisturbed", "runtime.progress=false")
    assert undisturbed.returncode == 0, undisturbed.stderr
    arguments = ["table", table, "launch=local", "launch.slots=2", "runtime.progress=false"]
    process = subprocess.Popen(
        [sys.executable, "-m", f"seglab.{arguments[0]}", *arguments[1:]],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + 120
    while time.monotonic() < until and not list(tmp_path.glob("outputs/runs/*/last.pt")):
        time.sleep(0.02)
    kill_all(tmp_path)
    process.wait(timeout=60)
    assert list(tmp_path.glob("outputs/runs/*/last.pt")), "nothing was begun"
    assert len(trained_at(tmp_path)) < 2, "it was too late to disturb anything"
    again = command(*arguments)
    assert again.returncode == 0, again.stderr
    disturbed = numbers(tmp_path)
    (tmp_path / "outputs").rename(tmp_path / "disturbed")
    (tmp_path / "undisturbed").rename(tmp_path / "outputs")
    assert disturbed.equals(numbers(tmp_path))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["scale=small"], "table is missing"),
        (["table=cas_t4x"], "table=cas_t4x: no such table"),
        (["table=cas_t3", "only=nosuchrow"], "only=nosuchrow: no such row"),
        (["table=cas_t3", "seeds=0"], "seeds=0: expected how many"),
        (["table=cas_t3", "scale=tiny"], "scale=tiny: no such option"),
        (["table=cas_t3", "launch=local", "launch.slots=0", "scale=small"], "launch.slots=0: expected a whole number"),
        (["table=cas_t3", "colour=red"], "unknown key 'colour'"),
        (["table=cas_t3", "runtime.rerun=true"], "runtime.rerun=true: a table trains only what is missing"),
    ],
)
def test_mistakes_are_told_in_one_message(command, arguments: list[str], words: str) -> None:
    result = command("table", *arguments)
    assert result.returncode == 1
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_a_published_table_at_smoke_scale(command, tmp_path) -> None:
    arguments = ["table", "table=cas_t3", "scale=smoke", "only=* 50 %", "runtime.progress=false"]
    result = command(*arguments)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "outputs/smoke/data/MSRA-B/image").is_dir(), "no generated images in the layout of the real ones"
    table = pd.read_csv(tmp_path / "outputs/tables/cas_t3-smoke.csv")
    assert set(table.scale) == {"smoke"}
    done = table[table.state == "done"]
    assert set(done.row) == {"ResNet-CAS 50 %", "ResNet-CE 50 %", "ResNet-CACE 50 %"}
    assert set(table[~table.row.isin(done.row)].state) == {"not run"}
    assert (done["mean"] - done.published - done.difference).abs().max() < 1e-12
    text = (tmp_path / "outputs/tables/cas_t3-smoke.md").read_text()
    assert "numbers mean nothing" in text
    assert (tmp_path / "outputs/figures/cas_t3-smoke-noise.svg").is_file()
    assert not list(tmp_path.glob("outputs/runs/*")), "runs on generated images among those on real ones"
