"""Oxford-IIIT Pet: trimaps, lists, one species as the object and the other as negative images."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from seglab.data.oxford_pet import OxfordPet, species_in
from seglab.data.pairs import DataMissing

TRIMAP = np.array([[2, 2, 3, 1], [2, 3, 1, 1]], np.uint8)
CATS, DOGS = ("Abyssinian_1", "Bengal_2"), ("beagle_1", "pug_3")


@pytest.fixture
def folder(tmp_path):
    for place in ("images", "trimaps"):
        (tmp_path / place).mkdir()
    for number, stem in enumerate((*CATS, *DOGS, "unlisted_9")):
        Image.new("RGB", (4, 2), (40 * number, 0, 0)).save(tmp_path / f"images/{stem}.jpg")
        Image.fromarray(TRIMAP).save(tmp_path / f"trimaps/{stem}.png")
    (tmp_path / "images/Abyssinian_1.mat").write_bytes(b"other files lie there too")
    (tmp_path / "trainval.txt").write_text("#Image CLASS-ID SPECIES\n\nbeagle_1 5 2 1\nAbyssinian_1 1 1 1\n")
    (tmp_path / "test.txt").write_text("Bengal_2 6 1 2\r\npug_3 9 2 3\r\n")
    return tmp_path


def source(folder, **options):
    lists = {"train_list": str(folder / "trainval.txt"), "test_list": str(folder / "test.txt")}
    return OxfordPet(str(folder / "images"), masks=str(folder / "trimaps"), **{**lists, **options})


def ids(folder, part, **options):
    return [item.id for item in source(folder, **options).items(part)]


def test_pets_in_the_order_of_the_lists(folder):
    assert ids(folder, "train") == ["beagle_1", "Abyssinian_1"]
    assert ids(folder, "test") == ["Bengal_2", "pug_3"]


def test_a_trimap_is_pet_background_and_ignored_border(folder):
    image, mask = source(folder).items("train")[0].read()
    assert image.shape == (2, 4, 3)
    assert mask.tolist() == [[0, 0, 255, 1], [0, 255, 1, 1]]


@pytest.mark.parametrize(("category", "train", "test", "negative"), [("cat", 1, 0, 0), ("dog", 0, 1, 1)])
def test_one_species_is_the_object_and_the_other_negative(folder, category, train, test, negative):
    first, second = (["beagle_1", "Abyssinian_1"], ["Bengal_2", "pug_3"])
    assert ids(folder, "train", category=category) == [first[train]]
    assert ids(folder, "test", category=category) == [second[test]]
    items = source(folder, category=category).items("negative")
    assert [item.id for item in items] == [first[negative]]  # of the training list only
    assert (items[0].read()[1] == 255).all()


@pytest.mark.parametrize(
    ("change", "options", "part", "match"),
    [
        ({}, {"category": "cats"}, "train", "data.category=cats: expected one of pet, cat, dog, did you mean 'cat'"),
        ({}, {}, "negative", "data.category=pet has no negative images: expected cat or dog"),
        ({}, {}, "val", "part='val': expected 'train', 'test' or 'negative'"),
        ({}, {"test_list": None}, "test", r"has no test part \(data\.source\.test_list=null\)"),
        ({"trainval.txt": "a_1 1 1\n"}, {}, "train", "line 1: 'a_1 1 1': expected 'stem class species breed'"),
        ({"trainval.txt": "a_1 1 3 1\n"}, {}, "train", "line 1: 'a_1 1 3 1': expected"),
        ({"trainval.txt": "# none\n"}, {}, "train", "trainval.txt' is empty"),
        ({"trainval.txt": "a_1 1 1 1\na_1 1 1 1\n"}, {}, "train", "line 2: 'a_1' more than once"),
        ({"trainval.txt": "pug_3 1 2 1\n"}, {}, "train", r"1 name \(pug_3\) in both"),
        ({"trainval.txt": "beagle_1 5 2 1\n"}, {"category": "cat"}, "train", "no cat in .*'stem class 1 breed'"),
        ({"trainval.txt": "gone_1 5 2 1\n"}, {}, "train", r"1 name \(gone_1\) listed in .*, but not in"),
        ({"trimaps/beagle_1.png": None}, {}, "train", r"\(beagle_1\): photo without a trimap of the same stem"),
        ({"images/beagle_1.jpg": None}, {}, "train", r"\(beagle_1\): trimap without a photo of the same stem"),
    ],
)
def test_messages(folder, change, options, part, match):
    for path, text in change.items():
        (folder / path).write_text(text) if text else (folder / path).unlink()
    with pytest.raises(ValueError, match=match):
        source(folder, **options).items(part)


def test_what_is_not_there(folder):
    about = {"layout": "images and trimaps", "homepage": "http://pets"}
    for options, match in (
        ({"train_list": str(folder / "none.txt")}, "list '.*none.txt' not found; expected below .*images and trimaps"),
        ({"masks": str(folder / "none")}, "trimap folder '.*none' not found.*http://pets"),
        ({"images": str(folder / "none")}, "photo folder"),
    ):
        given = {"images": str(folder / "images"), "masks": str(folder / "trimaps")} | options
        lists = {"train_list": str(folder / "trainval.txt")} | options
        with pytest.raises(DataMissing, match=match):
            OxfordPet(**{**lists, **given}, about=about).items("train")


def test_a_list_that_is_no_text(folder):
    (folder / "trainval.txt").write_bytes(b"\xff\xfe\x00 1 1 1")
    with pytest.raises(ValueError, match="is not UTF-8 text"):
        species_in(str(folder / "trainval.txt"), name="x", about={})


def test_an_odd_count_is_told_for_all_pets_only(folder, caplog):
    ids(folder, "train", about={"counts": {"train": 3680}}, category="cat")
    assert not caplog.text
    ids(folder, "train", about={"counts": {"train": 3680}})
    assert "2 train images found, 3680 expected" in caplog.text
