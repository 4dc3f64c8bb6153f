"""The order in which works are done, and what becomes of those that fail; no process is started here."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from conftest import REPO
from omegaconf import DictConfig, OmegaConf

from seglab.cli import Stopped
from seglab.config import compose, conf_dir
from seglab.launch import engine, local
from seglab.launch.board import Board
from seglab.launch.box import Box, attending
from seglab.launch.engine import check_launch, run_all
from seglab.launch.work import BUSY, Outcome, Work, is_locked
from seglab.launch.work import work as do_work
from seglab.run import Run


def launch(engine_name: str, **changes) -> DictConfig:
    return OmegaConf.merge(OmegaConf.load(conf_dir() / "launch" / f"{engine_name}.yaml"), changes)


def works(tmp_path: Path, **after: str) -> list[Work]:
    return [Work(key, str(tmp_path / key), (), tuple(before.split())) for key, before in after.items()]


@pytest.fixture
def scripted(monkeypatch):
    """Replace the training by outcomes told beforehand; the keys that were worked on are listed."""
    ends: dict[str, list] = {}
    seen: list[str] = []

    def work(item: Work) -> Outcome:
        seen.append(item.key)
        end = ends.get(item.key, [])
        found = end.pop(0) if end else Outcome(item.key, "done")
        if isinstance(found, BaseException):
            raise found
        return found

    monkeypatch.setattr(engine, "work", work)
    return ends, seen


def run(items, tmp_path, name="inline", **changes):
    changed = []
    outcomes = run_all(
        items, launch(name, **changes), outputs=tmp_path, on_change=lambda w, o: changed.append((w.key, o and o.state))
    )
    return outcomes, changed


def test_in_order_and_predecessors_first(tmp_path, scripted) -> None:
    outcomes, changed = run(works(tmp_path, late="early", other="", early=""), tmp_path)
    assert scripted[1] == ["other", "early", "late"]
    assert changed[:2] == [("other", None), ("other", "done")]
    assert list(outcomes) == ["late", "other", "early"]
    assert all(o.state == "done" and not o.reason for o in outcomes.values())


def test_a_failure_stops_only_what_starts_from_it(tmp_path, scripted) -> None:
    scripted[0]["bad"] = [Outcome("bad", "failed", "no such file")]
    outcomes, changed = run(works(tmp_path, bad="", next="bad", last="next", good=""), tmp_path)
    assert [o.state for o in outcomes.values()] == ["failed", "failed", "failed", "done"]
    assert "bad" in outcomes["next"].reason
    assert "next" in outcomes["last"].reason
    assert scripted[1] == ["bad", "good"]
    assert ("last", "failed") in changed


def test_only_transient_failures_are_tried_again(tmp_path, scripted) -> None:
    for key, transient in (("a", True), ("b", True), ("c", False)):
        scripted[0][key] = [Outcome(key, "failed", "x", transient)] * (2 if key == "b" else 1)
    outcomes, _ = run(works(tmp_path, a="", b="", c=""), tmp_path, "inline", retries=1)
    assert [o.state for o in outcomes.values()] == ["done", "failed", "failed"]
    assert scripted[1] == ["a", "a", "b", "b", "c"]


def test_a_stop_is_told_and_raised(tmp_path, scripted) -> None:
    scripted[0]["b"] = [Stopped("stopped in epoch 3")]
    changed = []
    with pytest.raises(Stopped, match="epoch 3"):
        run_all(
            works(tmp_path, a="", b="", c=""),
            launch("inline"),
            outputs=tmp_path,
            on_change=lambda w, o: changed.append((w.key, o and o.state)),
        )
    assert changed[-1] == ("b", "stopped")


def test_a_run_held_elsewhere_is_waited_for(tmp_path, scripted, caplog) -> None:
    caplog.set_level("INFO")
    items = works(tmp_path, held="", free="")
    assert not is_locked(tmp_path / "held")
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with Run(tmp_path / "held").lock():
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    entered.wait()
    assert is_locked(tmp_path / "held")
    assert do_work(items[0]) == Outcome("held", BUSY, "another process is working on this run")
    threading.Timer(0.5, leave.set).start()
    outcomes, _ = run(items, tmp_path)
    thread.join()
    assert scripted[1] == ["free", "held"]
    assert outcomes["held"].state == "done"
    assert "another process is working on it" in caplog.text


def test_a_run_that_was_taken_in_between_is_looked_at_again(tmp_path, scripted) -> None:
    scripted[0]["a"] = [Outcome("a", BUSY), Outcome("a", BUSY)]
    outcomes, _ = run(works(tmp_path, a=""), tmp_path)
    assert scripted[1] == ["a", "a", "a"]
    assert outcomes["a"].state == "done"


def test_out_of_time_too_often_is_a_failure(tmp_path) -> None:
    board = Board(works(tmp_path, a=""), retries=0, max_timeouts=2, on_change=lambda *_: None)
    for starts in (1, 2, 3):
        item = board.take()
        board.start(item)
        board.out_of_time(item, starts)
    assert board.finished
    assert "launch.max_timeouts" in board.outcomes["a"].reason


def test_a_users_mistake_is_one_line_and_our_own_is_transient(tiny, monkeypatch) -> None:
    cfg = compose("train", tiny)
    folder = Run.for_config(cfg).path
    item = Work(folder.name, str(folder), (OmegaConf.to_yaml(cfg),))
    for error, transient in ((ValueError("one\ntwo"), False), (OSError("full"), False), (KeyError("x"), True)):
        monkeypatch.setattr("seglab.train.train", lambda _, e=error: (_ for _ in ()).throw(e))
        outcome = do_work(item)
        assert (outcome.state, outcome.transient) == ("failed", transient)
        assert "\n" not in outcome.reason
    assert do_work(Work("k", "nowhere", ("a: [",))).state == "failed"


def test_only_the_first_config_may_start_over(monkeypatch) -> None:
    seen = []
    monkeypatch.setattr("seglab.train.train", lambda cfg: seen.append(cfg.runtime.rerun))
    item = Work("k", "nowhere", ("runtime: {rerun: true}",) * 2)
    assert do_work(item).state == "done"
    assert do_work(item, again=True).state == "done"
    assert seen == [True, False, False, False]


def test_a_box_tells_both_sides(tmp_path) -> None:
    box = Box(tmp_path / "runner" / "box")
    item = Work("k", "folder", ("a: 1", "b: 2"), ("x",))
    box.put(0, item, starts=3)
    box.put(1, Work("l", "m", ()))
    assert box.next() == (0, item)
    assert (box.begin(0), box.starts(0), box.started(0), box.started(1)) == (3, 4, True, False)
    box.finish(0, Outcome("k", "failed", "why", True))
    assert box.outcome(0) == Outcome("k", "failed", "why", True)
    assert box.next()[0] == 1
    assert not box.attended()
    with attending(tmp_path / "runner"):
        assert box.attended()
    assert not box.attended()


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("local", {"slots": 0}, "launch.slots=0: expected a whole number, 1 or more"),
        ("local", {"gpus": "all"}, "launch.gpus=all"),
        ("local", {"timeout_min": -1}, "launch.timeout_min=-1"),
        ("local", {"slotz": 2}, "did you mean 'launch.slots'"),
        ("local", {"name": "cloud"}, "launch.name=cloud"),
        ("slurm", {"time": None}, "launch.time=None"),
    ],
)
def test_wrong_settings_are_named(name: str, changes: dict, message: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011
        check_launch(launch(name, **changes))
    assert message in str(error.value)


@pytest.mark.parametrize("name", ["inline", "local", "slurm"])
def test_every_engine_passes_its_own_check(name: str) -> None:
    check_launch(launch(name))


def test_without_slurm_it_says_so(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match="no sbatch on this machine"):
        run(works(tmp_path, a=""), tmp_path, "slurm")


def test_gpus_are_found_without_torch(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert local.visible_gpus(None) == []
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'GPU 0: NVIDIA H200 (UUID: GPU-1)'\necho 'GPU 1: NVIDIA H200 (UUID: GPU-2)'\n")
    program.chmod(0o755)
    assert local.visible_gpus("auto") == ["0", "1"]
    assert local.visible_gpus(OmegaConf.create([1])) == ["1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, GPU-7")
    assert local.visible_gpus("auto") == ["3", "GPU-7"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert local.visible_gpus("auto") == []


def test_the_engines_do_not_import_torch() -> None:
    code = "import sys, seglab.launch.engine, seglab.launch.local, seglab.launch.slurm, seglab.launch.worker"
    result = subprocess.run(
        [sys.executable, "-c", f"{code}; print('torch' in sys.modules)"], cwd=REPO, capture_output=True, text=True
    )
    assert result.stdout.strip() == "False", result.stderr


def test_waiting_costs_little(tmp_path, scripted) -> None:
    """A thousand works are ordered in well under a second."""
    items = works(tmp_path, **{f"k{n}": f"k{n - 1}" if n % 2 else "" for n in range(1000)})
    started = time.perf_counter()
    outcomes, _ = run(items, tmp_path)
    assert len(outcomes) == 1000
    assert time.perf_counter() - started < 5
