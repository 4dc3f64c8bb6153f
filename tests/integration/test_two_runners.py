"""Two processes that want the same run: it is done once, and nothing of it is lost."""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path

import pytest

from seglab.atomic import write_atomic
from seglab.config import compose
from seglab.run import Run


def test_a_run_that_was_finished_meanwhile_is_not_done_again(tiny, monkeypatch) -> None:
    import seglab.train

    cfg = compose("train", tiny)
    run = Run(seglab.train.train(cfg))
    written = (run.path / "model.safetensors").stat().st_mtime_ns
    done = (run.path / "DONE").read_text()
    (run.path / "DONE").unlink()
    run.write_json("eval/other-cas.json", {"metrics": {}})
    get_ready = seglab.train.setup_torch

    def slowly(cfg):
        (run.path / "DONE").write_text(done)  # the other process, while this one imports torch
        return get_ready(cfg)

    monkeypatch.setattr(seglab.train, "setup_torch", slowly)
    seglab.train.train(cfg)
    assert (run.path / "model.safetensors").stat().st_mtime_ns == written
    assert (run.path / "eval" / "other-cas.json").is_file()


def write_often(path: Path, count: int) -> None:
    for number in range(count):
        write_atomic(path, f"{number}\n" * 100)


def test_two_processes_write_the_same_file(tmp_path) -> None:
    path = tmp_path / "table.md"
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write_often, args=(path, 150)) for _ in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert len(set(path.read_text().splitlines())) == 1
    assert list(tmp_path.iterdir()) == [path]


def test_a_look_at_a_lock_does_not_refuse_it(tmp_path) -> None:
    from seglab.launch.work import is_locked

    run = Run(tmp_path)
    with run.lock():
        pass
    looker = multiprocessing.get_context("fork").Process(target=look_often, args=(tmp_path,))
    looker.start()
    time.sleep(0.05)
    for _ in range(200):
        with run.lock():
            pass
    looker.kill()
    looker.join()
    with run.lock():
        assert is_locked(tmp_path)
        with pytest.raises(ValueError, match="another process is working on this run"), run.lock():
            pass


def look_often(folder: Path) -> None:
    from seglab.launch.work import is_locked

    while True:
        is_locked(folder)
