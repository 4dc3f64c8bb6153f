"""Proposals whose images, masks, lists or settings change, and what is told before anything is made."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seglab.config import compose
from seglab.data.folds import fold_of
from seglab.data.standin import write_standins
from seglab.data.voc_semantic import ClassPhoto
from seglab.proposals import make
from seglab.proposals.__main__ import check, proposals
from seglab.proposals.fitting import folds_of
from seglab.proposals.make import check_proposals, proposals_of
from seglab.proposals.place import Place
from seglab.proposals.recipe import Recipe
from seglab.proposals.works import works_at, works_for

SMALL = ["superpixels=24", "waves=20", "folds=3", "count=3", "samples=5", "smoothness=0.2", "diversity=0.2"]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("data")
    write_standins(["camvid_semantic"], root, train=9, test=4)
    return root


def config(data: Path, outputs: Path, *more: str):
    where = [f"runtime.data_root={data}", f"runtime.outputs={outputs}"]
    return compose("proposals", ["data=camvid_semantic", *(f"proposals.{one}" for one in SMALL), *where, *more])


@pytest.fixture(scope="module")
def made(data, tmp_path_factory):
    """Proposals: config, folder of outputs, store."""
    outputs = tmp_path_factory.mktemp("made")
    cfg = config(data, outputs)
    return cfg, outputs, proposals_of(cfg, parts=["train", "test"])


@pytest.fixture
def copied(made, tmp_path, data):
    """The same proposals and data in another place, free to be changed."""
    shutil.copytree(made[1] / "proposals", tmp_path / "outputs" / "proposals")
    shutil.copytree(data, tmp_path / "data")
    cfg = config(tmp_path / "data", tmp_path / "outputs")
    assert works_for(cfg, slots=1) == []  # another place is no other data
    return cfg, tmp_path


def change_mask(place: Path) -> None:
    """Give the first training image of a copy of the data other labels."""
    root = place / "data" / "CamVid-mini"
    stem = (root / "ImageSets" / "Segmentation" / "train.txt").read_text().split()[0]
    mask = root / "SegmentationClass" / f"{stem}.png"
    with Image.open(mask) as picture:
        labels, palette = np.array(picture), picture.getpalette()
    labels[:4] = 1 - (labels[:4] == 1)
    changed = Image.fromarray(labels)
    changed.putpalette(palette)
    changed.save(mask)


CHANGED = "training part of data=camvid_semantic have changed"


@pytest.mark.parametrize("gone", ["nothing", "a proposal", "the classifiers"])
def test_changed_masks_are_told(copied, gone: str) -> None:
    cfg, place = copied
    folder = Place.of(cfg).folder
    change_mask(place)
    if gone == "a proposal":
        next((folder / "test").glob("*.npz")).unlink()
    elif gone == "the classifiers":
        (folder / "fit.npz").write_bytes(b"")
    with pytest.raises(ValueError, match=CHANGED):
        works_for(cfg, slots=1)
    with pytest.raises(ValueError, match=CHANGED):
        proposals_of(cfg, parts=["test"])


def test_a_shorter_training_list_is_told(copied) -> None:
    cfg, place = copied
    path = place / "data" / "CamVid-mini" / "ImageSets" / "Segmentation" / "train.txt"
    path.write_text("\n".join(path.read_text().split()[:-1]) + "\n")
    with pytest.raises(ValueError, match=CHANGED):
        works_for(cfg, slots=1)


def test_contents_are_read_again_only_where_sizes_or_times_of_files_differ(copied, monkeypatch) -> None:
    cfg, _ = copied
    read, true = [], ClassPhoto.fingerprint
    monkeypatch.setattr(ClassPhoto, "fingerprint", lambda item: read.append(item.id) or true(item))
    assert works_for(cfg, slots=1) == []
    assert not read
    items = Place.of(cfg).items("train")
    os.utime(items[0].mask, ns=(1, 1))
    assert works_for(cfg, slots=1) == []
    assert len(read) == len(items)
    assert works_for(cfg, slots=1) == []
    assert len(read) == len(items)
    stamp = Place.of(cfg).folder / "stamp.json"
    for damaged in (b"", b"[1]", b"{}"):
        stamp.write_bytes(damaged)
        assert works_for(cfg, slots=1) == []


def test_without_the_training_images_finished_proposals_can_be_used(copied, monkeypatch, caplog) -> None:
    cfg, _ = copied
    true = Place.items

    def items(place, part, test_set=None):
        if part == "train":
            raise ValueError("train.txt not found")
        return true(place, part, test_set)

    monkeypatch.setattr(Place, "items", items)
    assert works_at(Place.of(cfg), slots=1, wanted=[("test", None)]) == []
    assert "whether they are of these training images is not known: train.txt not found" in caplog.text
    next((Place.of(cfg).folder / "test").glob("*.npz")).unlink()
    with pytest.raises(ValueError, match=r"train.txt not found"):
        works_at(Place.of(cfg), slots=1, wanted=[("test", None)])


def test_a_changed_test_image_is_made_again_by_the_command(copied, made, caplog) -> None:
    cfg, _ = copied
    item = Place.of(cfg).items("test")[0]
    with Image.open(item.image) as picture:
        other = Image.fromarray(255 - np.array(picture))
    other.save(item.image)
    before = Place.of(cfg).store().path(item.id, "test").read_bytes()
    store = proposals_of(cfg, parts=["train", "test"], thorough=True)
    assert store.path(item.id, "test").read_bytes() != before
    image, mask = item.read()
    assert len(store.read(item.id, part="test", size=mask.shape, classes=11, image=image)) == 3
    assert "made of another image" in caplog.text


def test_samples_of_other_masks_are_made_anew(data, tmp_path, caplog) -> None:
    shutil.copytree(data, tmp_path / "data")
    cfg = config(tmp_path / "data", tmp_path / "outputs")
    first = works_for(cfg, slots=1)
    make.make_part(first[0].configs[0])
    samples = {path: path.read_bytes() for path in Place.of(cfg).folder.glob("samples/*.npz")}
    change_mask(tmp_path)
    make.make_part(first[0].configs[0])
    assert sum(path.read_bytes() != before for path, before in samples.items()) == 1
    assert "was made of another image or mask" in caplog.text
    change_mask(tmp_path)
    make.make_part(first[1].configs[0])  # the fit looks, too
    anew = config(tmp_path / "data", tmp_path / "again")
    for work in works_for(anew, slots=1)[:2]:
        make.make_part(work.configs[0])
    assert (Place.of(cfg).folder / "fit.npz").read_bytes() == (Place.of(anew).folder / "fit.npz").read_bytes()


def test_all_labelled_images_in_one_fold_are_told(data, tmp_path, caplog) -> None:
    shutil.copytree(data, tmp_path / "data")
    cfg = config(tmp_path / "data", tmp_path / "outputs")
    items = Place.of(cfg).items("train")
    for item in items[1:]:
        Image.fromarray(np.full(item.read()[1].shape, 255, np.uint8)).save(item.mask)
    fold = int(fold_of([item.id for item in items], of=3)[0])
    message = rf"proposals.folds=3: of 9 training images only 1 name \({items[0].id}\) .+, in fold {fold}, .+folds=0"
    with pytest.raises(ValueError, match=message):
        proposals_of(cfg, parts=["test"])
    proposals_of(config(tmp_path / "data", tmp_path / "outputs", "proposals.folds=0"), parts=["test"])


def test_a_single_training_image_is_judged_by_what_saw_it_with_a_warning(caplog) -> None:
    assert folds_of(Recipe(folds=3), ["a"]) is None
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "judged by a classifier that saw it" in caplog.text
    caplog.clear()
    assert folds_of(Recipe(folds=3), ["a", "b"]) is not None
    assert folds_of(Recipe(folds=0), ["a"]) is None
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_the_command_reads_every_image_of_somebodys_folder(made, data, tmp_path, caplog) -> None:
    items = Place.of(made[0]).items("test")
    for number, item in enumerate(items):
        (tmp_path / "maps" / item.id).mkdir(parents=True)
        labels = np.full(item.read()[1].shape, 99 if number == 1 else 2, np.uint8)
        Image.fromarray(labels[: 4 if number == 0 else None]).save(tmp_path / "maps" / item.id / "1.png")
    given = config(data, tmp_path, f"proposals={tmp_path / 'maps'}", "parts=test")
    with pytest.raises(ValueError, match=r"2 of 4 images of the test part: .+ pixels .+; .+ hold the labels \[99\]"):
        proposals(given)
    for item in items[:2]:
        Image.fromarray(np.full(item.read()[1].shape, 2, np.uint8)).save(tmp_path / "maps" / item.id / "1.png")
    assert proposals(given) == tmp_path / "maps"


def for_training(data: Path, outputs: Path, *more: str):
    where = [f"runtime.data_root={data}", f"runtime.outputs={outputs}"]
    return compose("train", ["data=camvid_semantic", "loss=ce", "eval=rerank", *where, *more])


def test_proposals_are_checked_before_a_training(made, data, tmp_path) -> None:
    check_proposals(for_training(data, tmp_path))
    check_proposals(for_training(data, tmp_path, f"proposals={made[2].folder}"), training=True)
    assert not list(tmp_path.rglob("*.npz"))
    with pytest.raises(ValueError, match=r"proposals.count=0: expected"):
        check_proposals(for_training(data, tmp_path, "proposals.count=0"))
    missing = for_training(data, tmp_path, "proposals.network=none")
    with pytest.raises(ValueError, match=r"proposals.network=none"):
        check_proposals(missing)
    missing.eval.sets = []
    check_proposals(missing)
    for item in Place.of(made[0]).items("test"):
        (tmp_path / "maps" / "test" / item.id).mkdir(parents=True)
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "maps" / "test" / item.id / "1.png")
    given = for_training(data, tmp_path, f"proposals={tmp_path / 'maps'}")
    check_proposals(given)
    with pytest.raises(ValueError, match=r"no proposals of 9 names .+ in the train part"):
        check_proposals(given, training=True)
    with pytest.raises(ValueError, match="in the test part"):
        check_proposals(for_training(data, tmp_path, f"proposals={tmp_path}"))


@pytest.mark.parametrize("parts", ["null", "3", "[]", "[train,train]", "[[train]]", "[null]", "all"])
def test_other_parts_are_told(data, tmp_path, parts: str) -> None:
    with pytest.raises(ValueError, match=r"parts=.+: expected \[train, test\], \[train\] or \[test\]"):
        check(config(data, tmp_path, f"parts={parts}"))


@pytest.mark.parametrize(
    ("sets", "expected"),
    [(["self"], {"train", "test"}), (["camvid_semantic"], {"train", "test"}), ([], {"train", "test"}),
     (["other"], {"train", "other"}), (["other", "self"], {"train", "test", "other"})],
)  # fmt: skip
def test_only_the_parts_that_are_scored_are_made(data, tmp_path, monkeypatch, sets, expected) -> None:
    cfg = for_training(data, tmp_path)
    cfg.eval.sets = sets
    monkeypatch.setattr("seglab.proposals.works.works_at", lambda place, *, slots, wanted: wanted)
    assert {name or part for part, name in works_for(cfg, slots=1)} == expected


def test_values_that_are_tried_belong_to_the_folder(data, tmp_path, monkeypatch) -> None:
    def folders() -> list[str]:
        return [Place.of(config(data, tmp_path, *more)).folder.name for more in ([], ["proposals.diversity=null"])]

    before = folders()
    monkeypatch.setattr("seglab.proposals.recipe.DIVERSITY", (0.1, 0.2))
    after = folders()
    assert before[0] == after[0]
    assert before[1] != after[1]
