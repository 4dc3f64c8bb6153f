"""Training on the masks that are scored is refused, and masks that nobody scores by are told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seglab.config import compose
from seglab.data.scored import check_scored
from seglab.train import train


@pytest.fixture
def folders(tmp_path: Path) -> list[str]:
    """Four photos of a class with masks."""
    for number in range(4):
        for kind, array in (("photos", np.zeros((32, 32, 3), np.uint8)), ("masks", np.eye(32, dtype=np.uint8) * 255)):
            place = tmp_path / kind / "cow" / f"{number}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(place)
    return [
        "data=class_folders/cow", f"data.images={tmp_path}/photos", f"data.masks={tmp_path}/masks", "data.size=32",
        "schedule.epochs=0", "batch_size=2", "val=0", "eval/post=object", "tracker=none", "runtime.device=cpu",
        f"runtime.outputs={tmp_path}/outputs",
    ]  # fmt: skip


def test_a_loss_on_masks_does_not_train_on_what_is_scored(folders: list[str], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"split=both trains on the photos that are scored, and loss=ce reads masks"):
        train(compose("train", [*folders, "loss=ce"]))
    assert not list((tmp_path / "outputs/runs").rglob("model.safetensors"))


@pytest.mark.parametrize("change", ["data.source.split=1:1", "data.test_sets=[]", "data.test_sets=[shapes]"])
def test_what_is_no_leak_trains(folders: list[str], change: str) -> None:
    check_scored(compose("train", [*folders, "loss=ce", change]), reads_masks=True)


def test_a_loss_without_masks_may_train_on_what_is_scored(folders: list[str]) -> None:
    changes = ["loss=regularized", "data.test_sets=[self]", "schedule=normal", "schedule.epochs=0"]
    run = train(compose("train", [*folders, *changes]))
    assert (run / "eval").is_dir()


def test_a_training_that_scores_nothing_says_so(folders: list[str], caplog) -> None:
    caplog.set_level("INFO")
    run = train(compose("train", [*folders, "loss=ce", "data.test_sets=[]"]))
    assert "data=class_folders/cow: nothing is scored, data.test_sets is empty" in caplog.text
    assert not list((run / "eval").glob("*"))


def test_masks_that_nothing_is_scored_by_are_told(folders: list[str], tmp_path: Path, caplog) -> None:
    given = ["data=photos", f"data.images={tmp_path}/photos/cow", f"data.test_masks={tmp_path}/masks/cow"]
    check_scored(compose("train", given), reads_masks=False)
    assert "is given, and nothing is scored by it" in caplog.text
    caplog.clear()
    check_scored(compose("train", [*given, "data.test_sets=[self]"]), reads_masks=False)
    assert not caplog.text
