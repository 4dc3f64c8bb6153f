"""A checkpoint goes on only with the settings and images it was made with."""

from __future__ import annotations

import shutil

import pytest
import torch

from seglab import checkpoint, drift
from seglab.config import compose
from seglab.run import Run
from seglab.train import train


def unfinished(settings: list[str]) -> Run:
    """A run that was stopped after its last epoch."""
    folder = train(compose("train", settings))
    (folder / "DONE").unlink()
    return Run(folder)


def test_a_copied_checkpoint_of_other_settings_is_refused_with_the_difference(tiny, command) -> None:
    run = unfinished([*tiny, "loss=cas", "loss.alpha=0.1"])
    other = [*tiny, "loss=cas", "loss.alpha=0.4", "optim.lr=0.002"]
    copy = Run.for_config(compose("train", other))
    shutil.copytree(run.path, copy.path)
    before = (copy.path / "last.pt").read_bytes()
    result = command("train", *other)
    assert result.returncode == 1
    for line in ("  - loss.alpha: 0.1\n  + loss.alpha: 0.4\n", "  - optim.lr: 0.001\n  + optim.lr: 0.002\n"):
        assert line in result.stderr
    assert "runtime.rerun=true" in result.stderr
    assert "runtime.allow_drift=true" in result.stderr
    assert "seed" not in result.stderr, "only what differs is shown"
    assert (copy.path / "last.pt").read_bytes() == before
    allowed = command("train", *other, "runtime.allow_drift=true", "runtime.rerun=false")
    assert allowed.returncode == 0, allowed.stderr
    assert "going on in spite of it" in allowed.stderr


def test_changed_images_are_refused(tmp_path, tiny) -> None:
    from PIL import Image

    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
    for number in range(12):
        Image.new("RGB", (32, 32), (20 * number, 99, 9)).save(tmp_path / "images" / f"{number}.png")
        mask = Image.new("L", (32, 32))
        mask.paste(255, (8, 8, 20 + number, 24))
        mask.save(tmp_path / "masks" / f"{number}.png")
    own = [f"data.images={tmp_path / 'images'}", f"data.masks={tmp_path / 'masks'}", "data.source.split=8:4"]
    settings = ["data=pairs", *own, "data.size=32", *[s for s in tiny if not s.startswith("data")], "batch_size=2"]
    run = unfinished(settings)
    for number in range(12):
        Image.new("RGB", (32, 32), (99, 20 * number, 9)).save(tmp_path / "images" / f"{number}.png")
    with pytest.raises(ValueError, match="training images and masks"):
        train(compose("train", settings))
    assert checkpoint.load(run.path) is not None
    train(compose("train", [*settings, "runtime.rerun=true"]))
    assert run.done


def test_another_version_is_told_only(tiny, caplog) -> None:
    run = unfinished(tiny)
    state = checkpoint.load(run.path)
    state["context"]["machine"]["torch"] = "1.0"
    checkpoint.save(run.path, state)
    train(compose("train", tiny))
    assert f"  - torch: 1.0\n  + torch: {torch.__version__}" in caplog.text
    assert run.done


def test_differences_are_cut_where_there_are_many() -> None:
    before, now = {"settings": {str(i): 0 for i in range(50)}, "machine": {}}, {"settings": {}, "machine": {}}
    with pytest.raises(ValueError, match="and 30 more lines"):
        drift.check(before, now, path="last.pt", allow=False)
