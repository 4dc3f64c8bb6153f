"""Trackers record what they are given, and never stop a run."""

from __future__ import annotations

import builtins
import logging
import sqlite3
from pathlib import Path

import pytest
from PIL import Image

from seglab.trackers import MLflow, TensorBoard, Tracker, WandB


def use(tracker: Tracker, folder: Path) -> None:
    Image.new("RGB", (8, 8), "red").save(folder / "picture.png")
    tracker.start(folder, {"seed": 0})
    tracker.scalars({"loss": 0.25}, 3)
    tracker.image("samples", folder / "picture.png", 3)
    tracker.close()


def test_none_is_silent(tmp_path) -> None:
    use(Tracker(), tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["picture.png"]


def test_tensorboard_holds_the_numbers(tmp_path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    use(TensorBoard(), tmp_path)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(e.step, e.value) for e in events.Scalars("loss")] == [(3, 0.25)]
    assert [e.step for e in events.Images("samples")] == [3]


def test_mlflow_holds_the_numbers(tmp_path, monkeypatch) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "outputs" / "runs" / "one"
    folder.mkdir(parents=True)
    use(MLflow(f"sqlite:///{tmp_path}/mlflow.db", "seglab"), folder)
    rows = sqlite3.connect(tmp_path / "mlflow.db").execute("select key, value, step from metrics").fetchall()
    assert rows == [("loss", 0.25, 3)]
    assert list((tmp_path / "outputs" / "mlflow").rglob("picture.png"))
    assert not (tmp_path / "mlruns").exists()


def test_wandb_writes_offline(tmp_path) -> None:
    pytest.importorskip("wandb")
    use(WandB("seglab", "offline"), tmp_path)
    assert list((tmp_path / "wandb").glob("offline-run-*"))
    with pytest.raises(ValueError, match=r"tracker\.mode=sideways"):
        WandB("seglab", "sideways")


@pytest.mark.parametrize(
    ("package", "build"), [("mlflow", lambda: MLflow("x", "y")), ("wandb", lambda: WandB("x", "offline"))]
)
def test_a_missing_package_says_what_to_install(monkeypatch, package: str, build) -> None:
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == package:
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ValueError, match=rf"pip install 'seglab\[{package}\]'"):
        build()


def test_a_failing_tracker_is_left_aside(tmp_path, caplog) -> None:
    pytest.importorskip("tensorboard")
    tracker = TensorBoard()
    tracker.start(tmp_path, {})
    tracker.writer.add_scalar = None
    with caplog.at_level(logging.WARNING):
        tracker.scalars({"loss": 1.0}, 0)
        tracker.scalars({"loss": 1.0}, 1)
    assert caplog.text.count("tracker stopped") == 1
