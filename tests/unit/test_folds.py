"""Folds of the training images, and the runs that leave one out."""

from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from seglab.config import compose
from seglab.data.build import training_data
from seglab.data.folds import fold_of, without_fold
from seglab.folds import fold_config, fold_run, fold_works, folds
from seglab.identity import identity
from seglab.run import Run
from seglab.train import train

TINY = ["data.size=32", "data.source.train=12", "data.source.test=2", "batch_size=4", "schedule.epochs=1"]


def settings(tmp_path: Path, *more: str) -> list[str]:
    return [*TINY, "tracker=none", "val=0.25", f"runtime.outputs={tmp_path}", "runtime.device=cpu", *more]


def test_every_image_is_in_one_fold_and_folds_are_even():
    ids = [f"image {i}" for i in range(23)]
    folds_n = fold_of(ids, of=5)
    assert sorted(np.bincount(folds_n).tolist()) == [4, 4, 5, 5, 5]
    rest = [without_fold(ids, of=5, number=k) for k in range(5)]
    for k in range(5):
        assert set(range(23)) - set(rest[k].tolist()) == set(np.flatnonzero(folds_n == k).tolist())


def test_folds_follow_names_not_order():
    ids = [f"image {i}" for i in range(40)]
    turned = fold_of(ids[::-1], of=4)[::-1]
    assert (fold_of(ids, of=4) == turned).all()
    assert len(set(fold_of(ids, of=4)[:4].tolist())) < 4 or (fold_of(ids, of=4)[:8] != np.arange(8) % 4).any()


def test_no_folds_is_all_images():
    assert without_fold(list("abc"), of=0, number=0).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("of", "number", "said"),
    [(5, 5, "fold.number=5: expected a whole number from 0 to 4"), (4, 0, "folds=4 of 3 training images")],
)
def test_wrong_folds_are_told(of, number, said):
    with pytest.raises(ValueError, match=said):
        without_fold(list("abc"), of=of, number=number)


def test_fold_of_one_is_refused():
    with pytest.raises(ValueError, match=r"fold.of=1: expected 0 \(all training images\), or 2 folds or more"):
        compose("train", ["fold.of=1"])


def test_training_leaves_its_fold_out(tmp_path):
    whole = set(training_data(compose("train", settings(tmp_path, "val=0"))).train.ids)
    parts = [
        set(training_data(compose("train", settings(tmp_path, "val=0", "fold.of=3", f"fold.number={k}"))).train.ids)
        for k in range(3)
    ]
    assert [len(part) for part in parts] == [8, 8, 8]
    assert set.union(*parts) == whole
    assert not set.intersection(*parts)


def test_a_run_without_folds_is_the_run_it_was():
    plain, named = compose("train"), compose("train", ["fold.of=0", "fold.number=3"])
    OmegaConf.set_struct(plain, False)
    del plain["fold"]
    assert identity(plain) == identity(named) != identity(compose("train", ["fold.of=4"]))


def test_a_run_that_goes_on_has_folds_that_go_on(tmp_path):
    first = compose("train", settings(tmp_path, "loss=ce"))
    first_run = Run.for_config(first)
    first_run.start(first)
    second = compose("train", settings(tmp_path, "loss=cas", "init=run", f"init.run={first_run.path}"))
    fold = fold_config(second, number=1, of=3)
    assert fold.init.run == str(fold_run(first_run, 1, of=3, outputs=tmp_path).path)
    assert "f1of3" in fold.init.run
    works = fold_works(second, of=3)
    assert len(works) == 6
    known = [work.key for work in works]
    assert [w.after for w in works[1::2]] == [(key,) for key in known[0::2]]


def test_a_start_on_other_images_stays(tmp_path):
    first = compose("train", settings(tmp_path, "data.source.seed=5"))
    first_run = Run.for_config(first)
    first_run.start(first)
    second = compose("train", settings(tmp_path, "init=run", f"init.run={first_run.path}"))
    assert fold_config(second, number=1, of=3).init.run == second.init.run
    assert len(fold_works(second, of=3)) == 3


def test_a_fold_network_has_no_folds(tmp_path):
    with pytest.raises(ValueError, match=r"fold\.of=3: this run leaves out a fold itself"):
        fold_config(compose("train", settings(tmp_path, "fold.of=3")), number=0, of=2)


def test_the_command_trains_what_is_missing_once(tmp_path):
    run = Run(train(compose("train", settings(tmp_path))))
    cfg = compose("folds", [f"run={run.path}", "folds=2", f"runtime.outputs={tmp_path}", "runtime.device=cpu"])
    assert folds(cfg) == run.path
    made = [fold_run(run, k, of=2, outputs=tmp_path) for k in range(2)]
    assert all(one.done for one in made)
    assert not any((one.path / "eval").exists() for one in made)
    before = [(one.path / "model.safetensors").stat().st_mtime_ns for one in made]
    folds(cfg)
    assert [(one.path / "model.safetensors").stat().st_mtime_ns for one in made] == before


def test_a_run_that_is_not_finished_has_no_folds(tmp_path):
    cfg = compose("train", settings(tmp_path))
    run = Run.for_config(cfg)
    run.start(cfg)
    with pytest.raises(ValueError, match="it is not finished"):
        folds(compose("folds", [f"run={run.path}", f"runtime.outputs={tmp_path}"]))
