"""Image and mask folders: what is found, and every message when something is wrong."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from PIL import Image

from seglab.data.pairs import Pairs


def write(folder, stems, suffix=".png", colour=False):
    folder.mkdir(parents=True, exist_ok=True)
    for i, stem in enumerate(stems):
        array = np.zeros((6, 8, 3) if colour else (6, 8), np.uint8)
        array[0] = 255
        array[5, i % 8] = 255
        Image.fromarray(array).save(folder / f"{stem}{suffix}")
    return str(folder)


@pytest.fixture
def folders(tmp_path):
    stems = [f"p{i:02d}" for i in range(10)]
    return write(tmp_path / "img", stems, ".jpg", colour=True), write(tmp_path / "gt", stems)


def test_top_row_stays_on_top_in_image_and_mask(folders):
    item = Pairs(folders[0], masks=folders[1], split="test").items("test")[0]
    image, mask = item.read()
    assert image.shape == (6, 8, 3)
    assert mask.shape == (6, 8)
    assert mask[0].all()
    assert not mask[2].any()
    assert image[0].min() > 180
    assert image[2].max() < 90


def test_ratio_split_is_exact_seeded_and_complete(folders):
    def ids(seed):
        source = Pairs(folders[0], masks=folders[1], split="6:4", split_seed=seed)
        return [[item.id for item in source.items(part)] for part in ("train", "test")]

    train, test = ids(0)
    assert (len(train), len(test)) == (6, 4)
    assert sorted(train + test) == [f"p{i:02d}" for i in range(10)]
    assert ids(0) == [train, test]
    assert ids(1) != [train, test]


def test_lists_decide_and_one_list_leaves_the_rest(folders, tmp_path):
    (tmp_path / "train.txt").write_text("p03\np01.jpg\n\n")
    (tmp_path / "test.txt").write_text("p05\n")
    both = Pairs(
        folders[0], masks=folders[1], train_list=str(tmp_path / "train.txt"), test_list=str(tmp_path / "test.txt")
    )
    assert [item.id for item in both.items("train")] == ["p03", "p01"]
    assert [item.id for item in both.items("test")] == ["p05"]
    one = Pairs(folders[0], masks=folders[1], test_list=str(tmp_path / "test.txt"), split="8:2")
    assert len(one.items("train")) == 9


def test_part_folders_are_read_one_at_a_time(folders, tmp_path):
    absent = str(tmp_path / "absent")
    source = Pairs({"train": folders[0], "test": absent}, masks={"train": folders[1], "test": absent})
    assert len(source.items("train")) == 10
    with pytest.raises(ValueError, match="absent' not found"):
        source.items("test")


def test_class_folders_and_skipped_images(tmp_path, caplog):
    for name in ("Cat", "Dog"):
        write(tmp_path / name / "Src", ["1", "2", "3"], ".jpg", colour=True)
        write(tmp_path / name / "GT", ["1", "3"])
    paths = {"images": str(tmp_path / "{folder}" / "Src"), "masks": str(tmp_path / "{folder}" / "GT")}
    source = Pairs(**paths, folders=["Cat", "Dog"], split="test", unmasked="skip", name="thur")
    with caplog.at_level(logging.INFO):
        assert [item.id for item in source.items("test")] == ["Cat_1", "Cat_3", "Dog_1", "Dog_3"]
    assert "1 images without a mask left out" in caplog.text


def test_types_tell_images_and_masks_in_one_folder_apart(tmp_path):
    folder = write(tmp_path / "both", ["1", "2"], ".JPG", colour=True)
    write(tmp_path / "both", ["1", "2"])
    (tmp_path / "both" / "readme.txt").write_text("not an image")
    source = Pairs(folder, masks=folder, split="test", image_types=["jpg"], mask_types=["png"])
    assert [item.mask.suffix for item in source.items("test")] == [".png", ".png"]
    with pytest.raises(ValueError, match=r"two image files with the stem '1'.*image_types"):
        Pairs(folder, masks=folder, split="test").items("test")


def test_missing_folder_says_what_goes_where(tmp_path):
    about = {"layout": "X/images/*.jpg and X/masks/*.png", "homepage": "https://example.org/x"}
    with pytest.raises(ValueError, match=r"data=x: image folder .*nowhere' not found") as error:
        Pairs(str(tmp_path / "nowhere"), masks="m", split="test", name="x", about=about).items("test")
    for word in ("runtime.data_root", "SEGLAB_DATA", about["layout"], about["homepage"]):
        assert word in str(error.value)


def test_unmatched_files_are_listed(folders, tmp_path):
    write(tmp_path / "img", [f"q{i}" for i in range(7)], colour=True)
    with pytest.raises(
        ValueError, match=r"7 names \(q0, q1, q2, q3, q4, \.\.\.\): image without a mask.*unmasked=skip"
    ):
        Pairs(folders[0], masks=folders[1], split="test").items("test")
    write(tmp_path / "gt", [f"q{i}" for i in range(7)] + ["z"])
    with pytest.raises(ValueError, match=r"1 name \(z\): mask without an image"):
        Pairs(folders[0], masks=folders[1], split="test", unmasked="skip").items("test")


def test_list_mistakes(folders, tmp_path):
    path = tmp_path / "list.txt"
    for text, match in (
        ("p01\nnope\n", r"1 name \(nope\) listed in"),
        ("\n", "is empty: expected one stem a line"),
        ("p01\np01\n", r"\(p01\) more than once"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=match):
            Pairs(folders[0], masks=folders[1], train_list=str(path)).items("train")
    path.write_text("p01\n")
    with pytest.raises(ValueError, match=r"1 name \(p01\) in both"):
        Pairs(folders[0], masks=folders[1], train_list=str(path), test_list=str(path)).items("train")
    with pytest.raises(ValueError, match=r"list '.*gone\.txt' not found"):
        Pairs(folders[0], masks=folders[1], train_list=str(tmp_path / "gone.txt")).items("train")


def test_a_part_that_does_not_exist(folders):
    with pytest.raises(ValueError, match=r"data=ecssd: has no training part .*eval\.sets.*data\.source\.split=6:4"):
        Pairs(folders[0], masks=folders[1], split="test", name="ecssd").items("train")
    source = Pairs(folders[0], masks=folders[1], split="test")
    assert len(source.items("test")) == 10
    with pytest.raises(ValueError, match="has no training part"):
        source.items("train")
    with pytest.raises(ValueError, match="has no test part"):
        Pairs(folders[0], masks=folders[1], split="train").items("test")
    with pytest.raises(ValueError, match="expected 'train' or 'test'"):
        Pairs(folders[0], masks=folders[1], split="train").items("val")


def test_empty_parts(folders, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no image in"):
        Pairs(str(tmp_path / "empty"), masks=str(tmp_path / "empty"), split="test").items("test")
    with pytest.raises(ValueError, match="split=1:99 of 10 images leaves a part empty"):
        Pairs(folders[0], masks=folders[1], split="1:99").items("train")


def test_unexpected_count_is_a_warning(folders, caplog):
    Pairs(folders[0], masks=folders[1], split="test", name="x", about={"counts": {"total": 12}}).items("test")
    assert "data=x: 10 total images found, 12 expected" in caplog.text


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"split": "half"}, "split=half: expected test, train, or a ratio"),
        ({"split": "0:4"}, "split=0:4"),
        ({"split": None}, "split=None"),
        ({"split": "test", "unmasked": "drop"}, "unmasked=drop: expected error or skip"),
        ({"split": "test", "threshold": 2}, "threshold=2: expected 0 < threshold <= 1"),
        ({"split": "test", "image_types": ["gif"]}, r"\.gif: expected \.jpg"),
        ({"split": "test", "images": None}, "images is not set.*data.images=photos"),
        ({"images": {"train": "a", "test": "b"}}, "expected both as"),
        ({"images": {"train": "a"}, "masks": {"train": "a"}, "split": "test"}, "do not apply"),
    ],
)
def test_bad_options(options, match):
    with pytest.raises(ValueError, match=match):
        Pairs(**{"images": "i", "masks": "m", **options})
