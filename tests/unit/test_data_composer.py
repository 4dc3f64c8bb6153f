"""Composed texture pictures and joined data sets."""

from __future__ import annotations

import hashlib
import pickle

import numpy as np
import pytest
from PIL import Image

from seglab.data import cache
from seglab.data.composer import TextureMosaic, cut, divide
from seglab.data.joined import Joined
from seglab.data.pairs import DataMissing

PIXELS = "20aad65007146bb8cf9178cd5d9e9e95f89baea7c374a5a49cef99363f9adf77"
"""SHA-256 of two pictures of photographs without loss; the same on every machine."""


@pytest.fixture
def photos(tmp_path):
    """Eight photographs, each of one colour of its own but for its first row, which is marked."""
    for i in range(8):
        array = np.full((40, 50, 3), 10 + 20 * i, np.uint8)
        array[0] += 1
        Image.fromarray(array).save(tmp_path / f"t{i}.png")
    (tmp_path / "train.txt").write_text("t0\nt2\nt4\nt6\n")
    (tmp_path / "test.txt").write_text("t1\nt3\nt5\nt7\n")
    return tmp_path


def source(folder, **options):
    lists = {f"{part}_list": str(folder / f"{part}.txt") for part in ("train", "test")}
    return TextureMosaic(str(folder), **{"train": 30, "test": 10, "size": 32, **lists, **options})


def test_every_region_is_its_own_photograph(photos):
    shares, first = [], set()
    for item in source(photos, regions=[2, 4]).items("train"):
        image, labels = item.read()
        assert image.shape == (32, 32, 3)
        found = np.unique(labels)
        assert found.tolist() == list(range(len(item.textures)))
        assert len(set(item.textures)) == len(item.textures)
        for number, path in enumerate(item.textures):
            colour = 10 + 20 * int(path.stem[1:])
            assert set(np.unique(image[labels == number])) <= {colour, colour + 1}
        shares.append(np.bincount(labels.ravel()).min() / labels.size * len(found))
        first.add(item.textures[0].stem)
    assert min(shares) > 0.25
    assert len(first) == 4  # any photograph may be label 0


def test_parts_share_no_photograph(photos):
    for options in ({}, {"train_list": None, "test_list": None}):
        here = source(photos, **options)
        used = {part: {p for item in here.items(part) for p in item.textures} for part in ("train", "test")}
        assert len(used["train"]) == len(used["test"]) == 4
        assert not used["train"] & used["test"]


def test_pixels_are_fixed_and_the_seed_changes_them(photos):
    def digest(**options):
        items = source(photos, regions=[2, 4], **options).items("test")[:2]
        return hashlib.sha256(b"".join(array.tobytes() for item in items for array in item.read())).hexdigest()

    assert digest() == digest() == PIXELS
    assert digest(seed=1) != PIXELS


def test_the_fingerprint_knows_photographs_and_options(photos):
    def prints(**options):
        return source(photos, **options).items("train")[0].fingerprint()

    before = prints()
    assert before == prints()
    assert len({before, prints(seed=1), prints(size=33), prints(regions=3)}) == 4
    name = source(photos).items("train")[0].textures[0]
    Image.new("RGB", (40, 40)).save(name)
    assert prints() != before
    assert source(photos).items("train")[0].read()[0].min() == 0  # nor is the old photograph kept


def test_small_photographs_are_continued_by_their_mirror_images():
    photo = np.arange(25, dtype=np.uint8).reshape(5, 5)[..., None].repeat(3, axis=2)
    piece = cut(photo, 12, "x")[..., 0].astype(int)
    assert piece.shape == (12, 12)
    assert set(np.abs(np.diff(piece, axis=0)).ravel()) | set(np.abs(np.diff(piece, axis=1)).ravel()) == {0, 1, 5}


def test_boundaries_are_smooth():
    labels = divide(2, 128, "smooth")
    edges = (labels[1:] != labels[:-1]).sum() + (labels[:, 1:] != labels[:, :-1]).sum()
    assert 100 < edges < 1200  # noise would have 16000


def test_many_regions_all_have_a_place():
    for count, size in ((20, 128), (50, 128), (120, 96)):
        labels = divide(count, size, "many")
        shares = np.bincount(labels.ravel(), minlength=count) / labels.size * count
        assert len(shares) == count
        assert shares.min() >= 0.25, (count, shares.min())


def test_regions_that_have_no_room_are_told():
    with pytest.raises(ValueError, match=r"regions: 200 regions have no room in data\.source\.size=16"):
        divide(200, 16, "many")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"regions": 5}, r"4 photographs for the train part, and data.source.regions=\[5, 5\] needs 5"),
        ({"regions": 1}, "regions=1: expected a number from 2"),
        ({"regions": [3, 2]}, r"regions=\[3, 2\]: expected"),
        ({"regions": "two"}, "regions=two: expected"),
        ({"train": 0}, "train=0: texture_mosaic has no train part"),
        ({"size": 8}, "size=8: expected a whole number of pixels from 16"),
        ({"seed": -1}, "seed=-1: expected a whole number"),
        ({"train_list": None}, "or neither"),
    ],
)
def test_options(options, words, photos):
    with pytest.raises(ValueError, match=words):
        source(photos, **options).items("train")


def test_folders_and_lists_that_do_not_fit(photos):
    with pytest.raises(DataMissing, match=r"folder of textures '.*none' not found"):
        TextureMosaic(str(photos / "none")).items("train")
    (photos / "train.txt").write_text("t0\nt1\nzz\n")
    with pytest.raises(ValueError, match=r"1 name \(t1\) in both"):
        source(photos).items("train")
    (photos / "train.txt").write_text("t0\nzz\n")
    with pytest.raises(ValueError, match=r"1 name \(zz\) listed in"):
        source(photos).items("train")
    (photos / "train.txt").unlink()
    with pytest.raises(DataMissing, match=r"list .* not found"):
        source(photos).items("train")


def test_real_fabrics(data_root):
    root = data_root / "Textures"
    lists = {f"{part}_list": str(root / f"{part}.txt") for part in ("train", "test")}
    here = TextureMosaic(str(root), **lists, train=4, test=4)
    image, labels = here.items("train")[0].read()
    assert image.shape == (256, 256, 3)
    assert set(np.unique(labels)) == {0, 1}
    assert image[labels == 0].std() > 1


def test_joined_sets_keep_their_parts_and_names(tmp_path):
    from seglab.data.standin import write_standins

    write_standins(["duts", "ecssd"], tmp_path, train=3, test=2)
    joined = Joined({"duts": "train", "ecssd": "test"}, data_root=tmp_path, name="both")
    items = joined.items("train")
    assert [item.id.split("_")[0] for item in items] == ["duts"] * 3 + ["ecssd"] * 2
    assert items[0].read()[0].ndim == 3
    assert len({item.fingerprint() for item in items}) == 5
    assert len(Joined({"duts": "all"}, data_root=tmp_path).items("train")) == 5
    with pytest.raises(ValueError, match="data=both: has no test part"):
        joined.items("test")
    with pytest.raises(DataMissing) as error:
        Joined({"duts": "train", "hku_is": "test", "msra_b": "train"}, data_root=tmp_path, name="x").items("train")
    assert "data=x joins hku_is: data=hku_is: image folder" in str(error.value)
    assert "joins msra_b" in str(error.value)
    with pytest.raises(ValueError, match="data=ecssd: has no training part"):
        Joined({"ecssd": "train"}, data_root=tmp_path).items("train")
    with pytest.raises(ValueError, match=r"sets\.ecssd=half: expected train, test or all"):
        Joined({"ecssd": "half"}, data_root=tmp_path)
    with pytest.raises(ValueError, match="nosuch"):
        Joined({"nosuch": "train"}, data_root=tmp_path).items("train")


def test_a_joined_set_may_be_left_out(tmp_path):
    assert Joined({"duts": None, "ecssd": "test"}, data_root=tmp_path).sets == {"ecssd": "test"}
    with pytest.raises(ValueError, match=r"sets=\{'duts': None\}: expected name: part"):
        Joined({"duts": None}, data_root=tmp_path)


def test_joined_items_keep_what_several_people_drew(tmp_path):
    from seglab.data.standin import write_standins

    write_standins(["duts", "bsds500"], tmp_path, train=2, test=1)
    items = Joined({"duts": "train", "bsds500": "train"}, data_root=tmp_path).items("train")
    items = pickle.loads(pickle.dumps(items))
    assert [hasattr(item, "annotations") for item in items] == [False, False, True, True]
    data = cache.load(items, size=32)
    assert [len(data.annotations(i, original=True).segments_AHW) for i in range(4)] == [1, 1, 3, 3]
    assert items[2].annotations().boundaries_AHW.any()
