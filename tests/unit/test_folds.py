"""Folds of the training images, and the runs that leave one out."""

from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from seglab.config import compose
from seglab.data.build import training_data
from seglab.data.folds import fold_of, list_note, without_fold
from seglab.fold_lists import check_overlap, check_start, keep_list
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


def begun(tmp_path: Path, *more: str) -> Run:
    cfg = compose("train", settings(tmp_path, *more))
    run = Run.for_config(cfg)
    run.start(cfg)
    return run


def goes_on(tmp_path: Path, start: Run, *more: str) -> list[str]:
    return settings(tmp_path, "init=run", f"init.run={start.path}", "loss=cas", *more)


def names(count: int) -> list[str]:
    return [f"train_{i:05d}" for i in range(count)]


def test_a_start_on_other_images_stays(tmp_path):
    first_run = begun(tmp_path, "data.source.seed=5")
    second = compose("train", goes_on(tmp_path, first_run))
    shown = [training_data(one).train.images for one in (first_run.config(), second)]
    assert (shown[0] != shown[1]).any(axis=(1, 2, 3)).all(), "the same names, and no picture in common"
    assert fold_config(second, number=1, of=3).init.run == second.init.run
    assert len(fold_works(second, of=3)) == 3
    check_overlap(second, names(12))


def test_a_start_on_some_of_the_images_is_refused(tmp_path):
    start = begun(tmp_path, "data.source.train=8")
    run = begun(tmp_path, *goes_on(tmp_path, start))
    said = rf"init\.run={start.path.name}: .*data=shapes with 8 of the training images of this run"
    run.mark("DONE", "now")
    with pytest.raises(ValueError, match=said):
        folds(compose("folds", [f"run={run.path}", "folds=3", f"runtime.outputs={tmp_path}"]))
    with pytest.raises(ValueError, match=r"with \d of the training images"):
        train(compose("train", goes_on(tmp_path, start, "fold.of=3", "fold.number=0")))
    middle = begun(tmp_path, *goes_on(tmp_path, start, "data.source.seed=5"))
    with pytest.raises(ValueError, match=said):  # by way of a run on other photos
        check_overlap(compose("train", goes_on(tmp_path, middle, "seed=1")), names(12))


def test_a_start_whose_images_are_gone_is_told(tmp_path, caplog):
    cfg = compose("train", ["data=duts", f"runtime.outputs={tmp_path}", f"runtime.data_root={tmp_path}/none"])
    start = Run.for_config(cfg)
    start.start(cfg)
    check_overlap(compose("train", goes_on(tmp_path, start)), names(12))
    assert f"init.run={start.path}: the training images of that run (data=duts) cannot be looked at" in caplog.text
    start.path.rename(tmp_path / "gone")
    check_overlap(OmegaConf.merge(cfg, {"init": {"run": str(start.path)}}), [])
    assert f"init.run={start.path}: the run that this one starts from is gone" in caplog.text


def test_pictures_of_another_size_are_the_same_images(tmp_path):
    start = begun(tmp_path, "data.size=64")
    second = compose("train", goes_on(tmp_path, start))
    fold = fold_config(second, number=1, of=3)
    assert fold.init.run == str(fold_run(start, 1, of=3, outputs=tmp_path).path)


def test_the_folds_of_a_start_keep_its_arithmetic(tmp_path):
    start = begun(tmp_path, "runtime.precision=bf16")
    second = compose("train", goes_on(tmp_path, start))
    assert fold_config(second, number=1, of=3).init.run == str(fold_run(start, 1, of=3, outputs=tmp_path).path)
    made = [OmegaConf.create(work.configs[0]) for work in fold_works(second, of=2)]
    assert [cfg.runtime.precision for cfg in made] == ["bf16", "fp32"] * 2


def test_runs_that_were_moved_together_find_each_other(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    for name, source in (("same", "data.source.seed=0"), ("other", "data.source.seed=5")):
        start = begun(old / name, source)
        run = begun(old / name, *goes_on(old / name, start))
        (new / name).parent.mkdir(exist_ok=True)
        (old / name).rename(new / name)
        moved = Run(new / name / "runs" / run.path.name)
        fold = fold_run(moved, 1, of=3, outputs=new / name)
        assert fold.path.parent == moved.path.parent
        cfg = OmegaConf.merge(moved.config(), {"runtime": {"outputs": str(new / name)}})
        its_start = Path(fold_config(cfg, number=1, of=3).init.run)
        assert its_start.parent == moved.path.parent
        assert ("f1of3" in its_start.name) == (name == "same")
        assert len(fold_works(cfg, of=3)) == (6 if name == "same" else 3)
    (moved.path.parent / start.path.name).rename(tmp_path / "gone")
    with pytest.raises(ValueError, match=rf"init\.run={start.path}: .* is gone: expected it there, or as {new}"):
        fold_run(moved, 1, of=3, outputs=new / "other")


def test_a_fold_network_starts_from_one_that_left_out_the_same(tmp_path):
    start = begun(tmp_path, "fold.of=3", "fold.number=1")
    cfg = compose("train", goes_on(tmp_path, start, "fold.of=3", "fold.number=1"))
    note = list_note(names(12), of=3, number=1)
    with pytest.raises(ValueError, match=rf"init\.run={start.path.name}: it left out other images than fold 1 of 3"):
        check_start(cfg, note)
    keep_list(start, list_note(names(11), of=3, number=1))
    with pytest.raises(ValueError, match="left out other images"):
        check_start(cfg, note)
    keep_list(start, note)
    check_start(cfg, note)


def test_a_training_that_goes_on_keeps_its_first_list(tmp_path):
    run = begun(tmp_path)
    first, second = (list_note(names(count), of=3, number=0) for count in (12, 13))
    keep_list(run, second)
    keep_list(run, first)
    assert run.read_json("images.json") == first
    (run.path / "last.pt").touch()
    keep_list(run, second)
    assert run.read_json("images.json") == first


def test_a_note_tells_lists_apart_not_their_order():
    ids = names(12)
    assert list_note(ids, of=3, number=1) == list_note(ids[::-1], of=3, number=1)
    assert set(list_note(ids, of=3, number=1)["left_out"]) == {
        n for n, k in zip(ids, fold_of(ids, of=3), strict=True) if k == 1
    }
    assert list_note(ids, of=0, number=2) == list_note(ids, of=0, number=0)
    assert list_note(["a", "bc"], of=0, number=0)["sha256"] != list_note(["ab", "c"], of=0, number=0)["sha256"]


def test_a_fold_network_has_no_folds(tmp_path):
    with pytest.raises(ValueError, match=r"fold\.of=3: this run leaves out a fold itself"):
        fold_config(compose("train", settings(tmp_path, "fold.of=3")), number=0, of=2)


def test_the_command_trains_what_is_missing_once(tmp_path):
    quick = ["data.source.train=8", "batch_size=2", "eval.sets=[]", "eval.samples=0"]
    machine = ["runtime.threads=1", "runtime.audit=false"]
    run = Run(train(compose("train", settings(tmp_path, *quick, *machine))))
    places = [f"runtime.outputs={tmp_path}", "runtime.device=cpu"]
    cfg = compose("folds", [f"run={run.path}", "folds=2", *places, *machine])
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
