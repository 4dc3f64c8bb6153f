"""Class folders: one class is the object, the others are negative images; and photos that have no masks at all."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from seglab.audit.subject import from_source
from seglab.config import compose
from seglab.data.class_folders import ClassFolders, equal_files
from seglab.data.pairs import DataMissing
from seglab.data.photos import Photos
from seglab.targets import instantiate

COLOURS = {"cow": 10, "horse": 90, "sheep": 170}


@pytest.fixture
def root(tmp_path):
    """Three photos a class, the numbers the same in each; the photo horse/2 is cow/1 again."""
    for one, grey in COLOURS.items():
        for number in range(3):
            photo(tmp_path / f"images/{one}/{number}.jpg", grey + 10 * number)
            mask(tmp_path / f"masks/{one}/{number}.png")
    (tmp_path / "images/horse/2.jpg").write_bytes((tmp_path / "images/cow/1.jpg").read_bytes())
    (tmp_path / "images/.hidden").mkdir()
    (tmp_path / "images/readme.txt").write_text("no class folder")
    return tmp_path


def photo(path, grey):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (6, 4), (grey, 0, 0)).save(path)


def mask(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((4, 6), np.uint8)
    pixels[1:3] = 255
    Image.fromarray(pixels).save(path)


def source(root, *, masks=False, **options):
    given = {"masks": str(root / "masks") if masks is True else masks or None}
    return ClassFolders(str(root / "images"), **{"category": "cow", "name": "mine/cow", **given, **options})


def ids(source, part):
    return [item.id for item in source.items(part)]


def test_without_masks_every_pixel_is_ignored_and_nothing_is_scored(root):
    here = source(root)
    assert ids(here, "train") == ["0", "1", "2"]
    image, found = here.items("train")[0].read()
    assert (image.shape, found.shape, found.dtype) == ((4, 6, 3), (4, 6), np.uint8)
    assert (found == 255).all()
    with pytest.raises(ValueError, match=r"data=mine/cow: has no test part.*data\.test_sets=\[\]"):
        here.items("test")


def test_with_masks_all_photos_train_and_are_scored(root):
    here = source(root, masks=True)
    assert ids(here, "train") == ids(here, "test") == ["0", "1", "2"]
    assert here.items("test")[0].read()[1].tolist() == [[0] * 6, [1] * 6, [1] * 6, [0] * 6]


def test_photos_can_be_divided_or_be_one_part(root):
    here = source(root, masks=True, split="2:1")
    assert sorted(ids(here, "train") + ids(here, "test")) == ["0", "1", "2"]
    assert len(ids(here, "train")) == 2
    assert len(ids(source(root, masks=True, split="train"), "train")) == 3
    with pytest.raises(ValueError, match="has no test part"):
        source(root, masks=True, split="train").items("test")


def test_a_test_part_of_its_own(root):
    photo(root / "more/cow/7.jpg", 3)
    mask(root / "marks/cow/7.png")
    here = source(root, test_images=str(root / "more"), test_masks=str(root / "marks"))
    assert (ids(here, "train"), ids(here, "test")) == (["0", "1", "2"], ["7"])
    assert (here.items("train")[0].read()[1] == 255).all()


def test_negatives_are_the_other_classes_without_photos_of_this_one(root):
    here = source(root)
    assert ids(here, "negative") == ["horse_0", "horse_1", "sheep_0", "sheep_1", "sheep_2"]  # horse_2 shows the cow
    assert all((item.read()[1] == 255).all() for item in here.items("negative"))
    with pytest.raises(
        ValueError, match=r"every photo of the other classes \(horse, sheep\) is also in cow.*same=stem"
    ):
        source(root, same="stem").items("negative")
    photo(root / "images/sheep/9.jpg", 250)
    assert ids(source(root, same="stem"), "negative") == ["sheep_9"]


def test_a_test_photo_of_the_class_is_no_negative(root):
    photo(root / "more/cow/7.jpg", 3)
    mask(root / "marks/cow/7.png")
    (root / "images/sheep/1.jpg").write_bytes((root / "more/cow/7.jpg").read_bytes())
    tested = {"test_images": str(root / "more"), "test_masks": str(root / "marks")}
    assert ids(source(root, **tested), "negative") == ["horse_0", "horse_1", "sheep_0", "sheep_2"]
    photo(root / "images/sheep/7.jpg", 99)
    photo(root / "images/sheep/8.jpg", 99)
    assert ids(source(root, same="stem", **tested), "negative") == ["sheep_8"]


def test_two_negatives_of_one_name_are_refused(root):
    photo(root / "images/b/c_1.jpg", 222)
    photo(root / "images/b_c/1.jpg", 233)
    with pytest.raises(ValueError, match=r"two photos are called 'b_c_1', .*b/c_1\.jpg' and .*b_c/1\.jpg'"):
        source(root).items("negative")


@pytest.mark.parametrize("category", [2, "2", "été", "cat (tabby)"])
def test_a_category_is_text(root, category):
    photo(root / f"images/{category}/1.jpg", 30)
    assert ids(source(root, category=category), "train") == ["1"]
    assert "2_1" not in ids(source(root, category=category), "negative")


def test_whether_it_trains_on_what_is_scored(root):
    tested = {"test_images": str(root / "more"), "test_masks": str(root / "marks")}
    assert source(root, masks=True).trains_on_test
    for other in (source(root), source(root, masks=True, split="2:1"), source(root, masks=True, **tested)):
        assert not other.trains_on_test


def test_a_missing_folder_of_ones_own_is_not_sought_below_the_data_root(root):
    for data in ("photos", "class_folders"):
        cfg = compose("evaluate", ["run=x", f"data={data}/cow" if "class" in data else "data=photos", "data.images=no"])
        with pytest.raises(DataMissing, match=r"folder.* 'no' not found; expected: a folder of") as told:
            instantiate(cfg.data.source).items("train")
        assert "data_root" not in str(told.value)


def test_a_photo_of_two_other_classes_is_one_negative(root):
    (root / "images/sheep/2.jpg").write_bytes((root / "images/horse/0.jpg").read_bytes())
    assert ids(source(root), "negative") == ["horse_0", "horse_1", "sheep_0", "sheep_1"]


def test_equal_files_of_equal_size_only_are_read(root):
    one, two = root / "a", root / "b"
    one.write_bytes(b"12")
    two.write_bytes(b"123")
    assert equal_files([one, two]) == {}
    two.write_bytes(b"12")
    assert len(set(equal_files([one, two]).values())) == 1
    two.write_bytes(b"21")
    assert len(set(equal_files([one, two]).values())) == 2


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"category": "cwo"}, r"no class folder 'cwo' in .*did you mean 'cow'\? There are: cow, horse, sheep"),
        ({"category": "zebra"}, "no class folder 'zebra' in .*there are: cow, horse, sheep"),
        ({"category": None}, r"data=mine: data\.category is not set.*\(cow, horse, sheep\)"),
        ({"category": "../x"}, r"data\.category=\.\./x: expected the name of a folder"),
        ({"category": "empty"}, "class folder '.*empty' is empty: expected files of type"),
        ({"split": "half"}, "split=half: expected both, train, test, or a ratio such as '8:2'"),
        ({"split": "8:2"}, "split=8:2: there is no mask to score a test part by"),
        ({"same": "name"}, "same=name: expected one of stem, bytes"),
        ({"test_images": "x"}, r"data\.test_images alone: expected both"),
        ({"test_images": "x", "test_masks": "y", "split": "8:2"}, "not divided where test_images is set"),
        ({"image_types": ["gif"]}, r"image_types/mask_types: \.gif: expected"),
    ],
)
def test_messages(root, options, match):
    (root / "images/empty").mkdir() if options.get("category") == "empty" else None
    with pytest.raises(ValueError, match=match):
        source(root, **options).items("train")


def test_images_and_masks_that_do_not_match(root):
    (root / "masks/cow/1.png").unlink()
    with pytest.raises(ValueError, match=r"1 name \(1\): image without a mask of the same stem in .*masks/cow"):
        source(root, masks=True).items("train")
    mask(root / "masks/cow/1.png")
    mask(root / "masks/cow/5.png")
    with pytest.raises(ValueError, match=r"1 name \(5\): mask without an image"):
        source(root, masks=True).items("train")


def test_what_is_not_there(root):
    with pytest.raises(
        DataMissing, match=r"data=mine/cow: folder of class folders '.*none' not found; expected: put it"
    ):
        ClassFolders(str(root / "none"), category="cow", name="mine/cow", about={"layout": "put it"}).items("train")
    with pytest.raises(ValueError, match="images is not set: expected a folder of class folders"):
        ClassFolders(None, category="cow")
    with pytest.raises(ValueError, match=r"no class folder in .*expected <class>/\*\.jpg"):
        ClassFolders(str(root / "images/cow"), category="cow").items("train")
    with pytest.raises(DataMissing, match="mask folder"):
        source(root, masks=str(root / "none")).items("train")


def test_one_class_alone_has_no_negatives(root):
    photo(root / "alone/cow/1.jpg", 1)
    with pytest.raises(ValueError, match="has one class folder, cow: negative images are those of other classes"):
        ClassFolders(str(root / "alone"), category="cow").items("negative")


def test_photos_train_without_masks(root):
    here = Photos(str(root / "images/cow"))
    assert ids(here, "train") == ["0", "1", "2"]
    assert (here.items("train")[1].read()[1] == 255).all()
    with pytest.raises(ValueError, match=r"data=photos: has no test part.*data\.test_masks=null.*data\.test_sets=\[\]"):
        here.items("test")
    both = Photos([str(root / "images/cow"), str(root / "images/horse")])
    with pytest.raises(ValueError, match="two photos with the stem '0'"):
        both.items("train")


def test_photos_are_scored_where_some_have_masks(root):
    here = Photos(str(root / "images/cow"), test_masks=str(root / "masks/cow"))
    assert here.items("test")[0].read()[1].max() == 1
    assert here.items("train")[0].read()[1].min() == 255
    (root / "masks/cow/2.png").unlink()
    skipped = Photos(str(root / "images/cow"), test_masks=str(root / "masks/cow"), unmasked="skip")
    assert ids(skipped, "test") == ["0", "1"]
    elsewhere = Photos(
        str(root / "images/cow"), test_images=str(root / "images/horse"), test_masks=str(root / "masks/horse")
    )
    assert len(elsewhere.items("test")) == 3


def test_messages_of_photos(root):
    with pytest.raises(
        ValueError, match=r"data=photos: images is not set: expected a folder, e\.g\. data\.images=photos"
    ):
        Photos(None)
    with pytest.raises(ValueError, match=r"data\.test_images=x without data\.test_masks"):
        Photos("y", test_images="x")
    with pytest.raises(DataMissing, match=r"image folder '.*none' not found"):
        Photos(str(root / "none")).items("train")
    with pytest.raises(ValueError, match=r"no photo in '.*images': expected files of type"):
        Photos(str(root / "images")).items("train")


def test_changed_photos_have_another_fingerprint(root):
    item = Photos(str(root / "images/cow")).items("train")[0]
    before = item.fingerprint()
    photo(item.image, 77)
    assert item.fingerprint() != before
    item.image.unlink()
    with pytest.raises(ValueError, match="cannot be read"):
        item.fingerprint()


def test_the_audit_looks_at_photos_once_and_at_masks_where_there_are_some(root):
    found = from_source(source(root), parts=("train", "negative"), root=root)
    assert (found.mask, len(found.entries), found.parts()) == ("none", 8, ["train", "negative"])
    assert all(entry.mask is None for entry in found.entries)
    found = from_source(source(root, masks=True), root=root)
    assert (found.mask, len(found.entries), found.parts()) == ("binary", 3, ["train"])
    (root / "masks/cow/1.png").unlink()
    faults = from_source(source(root, masks=True), root=root).faults
    assert [fault.kind for fault in faults] == ["bare"]
