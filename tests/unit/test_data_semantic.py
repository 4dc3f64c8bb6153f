"""Data sets of classes on generated files in their real layouts: numbers of classes, parts, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seglab.config import compose
from seglab.data import class_index
from seglab.data.content import hash_files
from seglab.data.lists import read_list
from seglab.data.pairs import DataMissing
from seglab.data.sbd import read_sbd
from seglab.data.single_class import SingleClass
from seglab.data.standin import write_standins
from seglab.data.standin_semantic import save_sbd
from seglab.data.voc_semantic import VocSemantic
from seglab.targets import instantiate


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Stand-ins of VOC with SBD and of CamVid."""
    place = tmp_path_factory.mktemp("data")
    write_standins(["pascal_single/cow", "camvid_semantic"], place, size=(48, 40))
    return place


def source(root: Path, *overrides: str):
    cfg = compose("evaluate", ["run=none", *overrides, f"runtime.data_root={root}", f"runtime.outputs={root}/out"])
    return instantiate(cfg.data.source)


def test_augmented_voc_adds_sbd_and_leaves_the_test_part_out(root: Path) -> None:
    voc = source(root, "data=voc_aug")
    train, test = voc.items("train"), voc.items("test")
    listed = {stem for name in ("train", "val") for stem in read_list(root / "SBD" / f"{name}.txt")}
    tested = set(read_list(root / "VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt"))
    assert listed & tested, "the stand-in has a photo of the test part among those of SBD"
    ids = [item.id for item in train]
    assert len(ids) == len(set(ids))
    assert not set(ids) & {item.id for item in test}
    assert listed - tested <= set(ids)
    own = read_list(root / "VOCdevkit/VOC2012/ImageSets/Segmentation/train.txt")
    assert ids[: len(own)] == own
    both = next(item for item in train if item.id in listed and item.id in own)
    assert both.mask.suffix == ".png", "where both have labels, those of VOC are taken"


def test_masks_keep_the_number_of_the_class(root: Path) -> None:
    voc = source(root, "data=voc_aug")
    last = voc.items("train")[-1]
    image, labels = last.read()
    assert image.shape[:2] == labels.shape
    assert last.mask.suffix == ".mat"
    np.testing.assert_array_equal(labels, read_sbd(last.mask))
    found = {int(v) for item in voc.items("test") for v in np.unique(item.read()[1])}
    assert found == {*range(21), 255}


def test_without_extra_the_training_part_is_that_of_voc(root: Path) -> None:
    own = read_list(root / "VOCdevkit/VOC2012/ImageSets/Segmentation/train.txt")
    assert [item.id for item in source(root, "data=voc_aug", "data.source.extra=null").items("train")] == own


def test_a_category_has_photos_of_it_alone_and_negatives_have_one_other(root: Path) -> None:
    cow = source(root, "data=pascal_single", "data.category=cow")
    whole = {item.id: set(np.unique(item.read()[1])) - {0, 255} for item in source(root, "data=voc_aug").items("train")}
    train, negative = cow.items("train"), cow.items("negative")
    assert {item.id for item in train} == {key for key, classes in whole.items() if classes == {10}}
    assert {item.id for item in negative} == {k for k, found in whole.items() if len(found) == 1 and found != {10}}
    for item in train:
        np.testing.assert_array_equal(item.read()[1] == 1, item.photo.read()[1] == 10)
    assert not any((item.read()[1] == 1).any() for item in negative)
    for item in cow.items("test"):
        labels, mask = item.photo.read()[1], item.read()[1]
        assert (labels == 10).any()
        np.testing.assert_array_equal(mask, np.where(labels == 255, 255, labels == 10))


def test_the_same_photo_of_two_categories_has_two_fingerprints(root: Path) -> None:
    first, second = (source(root, "data=pascal_single", f"data.category={c}") for c in ("cow", "dog"))
    ids = {item.id: item for item in first.items("negative")}
    dog = second.items("train")[0]
    assert ids[dog.id].fingerprint() != dog.fingerprint()


def test_label_maps_are_looked_at_once(root: Path, tmp_path: Path, monkeypatch) -> None:
    photos = source(root, "data=voc_aug").items("train")
    found = class_index.classes_of(photos, folder=tmp_path)
    looked: list[Path] = []

    def count(path: Path) -> np.ndarray:
        looked.append(path)
        return np.zeros((2, 2), np.uint8)

    monkeypatch.setattr(class_index, "read_class_map", count)
    assert class_index.classes_of(photos, folder=tmp_path) == found
    assert not looked
    (kept,) = tmp_path.glob("classes-*.json")
    kept.write_text("{")
    class_index.classes_of(photos, folder=tmp_path)
    assert len(looked) == len(photos), "a damaged record is made anew"
    assert json.loads(kept.read_text()).keys() == found.keys()


def test_a_changed_label_map_is_looked_at_again(tmp_path: Path) -> None:
    voc = own_voc(tmp_path, {"a": 1, "b": 2})
    one = SingleClass(voc, category="x", index=str(tmp_path / "cache"))
    assert [item.id for item in one.items("train")] == ["a"]
    save_mask(tmp_path / "masks" / "b.png", 1, size=(6, 5))
    with pytest.raises(ValueError, match=r"image .*b.png' is 4x4"):
        one.items("train")[1].read()
    assert [item.id for item in one.items("train")] == ["a", "b"]


def test_camvid_has_its_classes(data_root: Path) -> None:
    camvid = source(data_root, "data=camvid_semantic")
    assert [len(camvid.items(part)) for part in ("train", "test")] == [32, 16]
    found = {int(v) for part in ("train", "test") for item in camvid.items(part) for v in np.unique(item.read()[1])}
    assert found == {*range(11), 255}
    assert len(camvid.classes) == 11


def save_mask(path: Path, label: int, *, size: tuple[int, int] = (4, 4)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    labels = np.zeros(size[::-1], np.uint8)
    labels[0] = label
    Image.fromarray(labels).save(path)


def own_voc(folder: Path, labels: dict[str, int]) -> VocSemantic:
    for stem, label in labels.items():
        save_mask(folder / "masks" / f"{stem}.png", label)
        (folder / "images").mkdir(exist_ok=True)
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(folder / "images" / f"{stem}.png")
    (folder / "train.txt").write_text("\n".join(labels) + "\n")
    where = {"masks": str(folder / "masks"), "train_list": str(folder / "train.txt")}
    return VocSemantic(str(folder / "images"), classes=["none", "x", "y"], **where)


def test_a_label_that_is_no_class_is_named(tmp_path: Path) -> None:
    item = own_voc(tmp_path, {"a": 7}).items("train")[0]
    with pytest.raises(ValueError, match=r"a.png' has the labels \[7\]: expected 0 to 2 .* 3 names"):
        item.read()


def test_a_category_without_photos_and_an_unknown_one_are_refused(tmp_path: Path) -> None:
    voc = own_voc(tmp_path, {"a": 1})
    with pytest.raises(ValueError, match="belongs to the train part of the category y"):
        SingleClass(voc, category="y").items("train")
    with pytest.raises(ValueError, match=r"data.category=z: no such class.*x, y"):
        SingleClass(voc, category="z")


def test_missing_sbd_says_where_it_belongs(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match=r"list '.*SBD/train.txt' not found.*SBD/\{img"):
        source(root, "data=voc_aug", f"data.source.extra.lists=[{tmp_path}/SBD/train.txt]").items("train")


def test_more_photos_without_a_test_list_are_refused(root: Path) -> None:
    """They might be those that are scored elsewhere."""
    with pytest.raises(ValueError, match=r"data\.source\.extra without data\.source\.test_list: expected both"):
        source(root, "data=voc_aug", "data.source.test_list=null")
    assert source(root, "data=voc_aug", "data.source.test_list=null", "data.source.extra=null").items("train")


def test_a_damaged_file_of_sbd_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    save_sbd(np.array([[0, 3], [20, 20]], np.uint8), path)
    np.testing.assert_array_equal(read_sbd(path), [[0, 3], [20, 20]])
    before = hash_files([path])
    save_sbd(np.array([[0, 3], [20, 20]], np.uint8), path)
    assert hash_files([path]) == before
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"a.mat' cannot be used: .*GTcls.Segmentation"):
        read_sbd(path)
