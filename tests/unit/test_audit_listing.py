"""Data sets that are audited by a listing: lists with more columns, spare files, the layouts of conf/listing."""

from __future__ import annotations

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

from seglab.audit.audit import audit
from seglab.audit.command import listing_of
from seglab.audit.listing import from_listing
from seglab.config import compose, conf_dir


def picture(path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    dice = np.random.default_rng(seed)
    Image.fromarray(dice.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize((64, 48), 3).save(path)


def label(path, value: int = 255) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = np.zeros((48, 64), np.uint8)
    mask[10:30, 20:40] = value
    Image.fromarray(mask).save(path)


@pytest.fixture
def root(tmp_path):
    for i in range(8):
        picture(tmp_path / "img" / f"p{i}.jpg", i)
        label(tmp_path / "gt" / f"p{i}.png")
    return tmp_path


def cases(report, check) -> dict[str, str]:
    return {e.id: e.detail for f in report.of(check) for e in f.examples}


def listing(root, **changes):
    for name, stems in (("train", ("p0", "p1", "p2")), ("val", ("p3",))):
        (root / f"{name}.txt").write_text("# comment\n" + "".join(f"{s} 1 2\n" for s in stems))
    part = {"images": str(root / "img" / "*.jpg"), "masks": str(root / "gt" / "*.png")}
    parts = {name: {**part, "list": str(root / f"{name}.txt")} for name in ("train", "val")}
    return {"name": "x", "mask": "binary", "parts": parts, **changes}


def test_a_listing_reads_the_first_word_and_tells_what_is_on_no_list(root):
    report = audit(from_listing(listing(root, counts={"train": 3, "val": 2}), root=root), progress=False)
    assert report.images == {"train": 3, "val": 1}
    assert {f.count for f in report.of("unlisted")} == {8}
    assert cases(report, "counts") == {"val": "1 found, 2 published"}
    assert not report.errors
    node = listing(root)
    (root / "val.txt").write_text("p3\np0\nnowhere\np3\n")
    (root / "gt" / "p3.png").unlink()
    report = audit(from_listing(node, root=root), progress=False)
    assert {f.check for f in report.errors} == {"absent", "in-both-parts", "list-broken", "no-mask"}
    assert not report.of("leak")  # the same file, told once


def test_a_listing_without_lists(root):
    label(root / "gt" / "more.png")
    node = {"name": "x", "mask": "binary", "parts": {"all": listing(root)["parts"]["train"]}}
    del node["parts"]["all"]["list"]
    assert set(cases(audit(from_listing(node, root=root), progress=False), "no-image")) == {"gt/more.png"}
    assert set(cases(audit(from_listing({**node, "spare": "note"}, root=root), progress=False), "unlisted"))
    node["parts"]["rest"] = {"images": str(root / "none" / "*.jpg"), "optional": True}
    report = audit(from_listing({**node, "spare": "note"}, root=root), progress=False)
    assert cases(report, "part-absent") == {"none/*.jpg": "rest"}


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"maks": 1}, "unknown key 'maks'"),
        ({"mask": "two"}, "mask=two: expected one of binary"),
        ({"spare": "yes"}, "spare=yes"),
        ({"parts": {}}, "parts is not set"),
        ({"parts": {"a": {"masks": "x"}}}, r"parts\.a=.*expected images"),
    ],
)
def test_bad_listings(root, changes, match):
    with pytest.raises(ValueError, match=match):
        from_listing(listing(root, **changes))


@pytest.mark.parametrize("path", sorted((conf_dir() / "listing").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_listing_is_read(path, tmp_path):
    node = OmegaConf.create({"runtime": {"data_root": str(tmp_path)}, "listing": OmegaConf.load(path)})
    subject = from_listing(OmegaConf.to_container(node.listing, resolve=True), root=tmp_path)
    assert subject.name == path.stem
    assert not subject.entries
    assert {fault.kind for fault in subject.faults} <= {"folder", "list missing", "optional"}
    if (conf_dir() / "data" / path.name).is_file():
        cfg = compose("prepare", [f"data={path.stem}", "~eval"])
        assert cfg.data.source._target_ != "seglab.data.pairs.Pairs", "folders of images and masks need no listing"
        assert listing_of(cfg).name == path.stem


def test_the_layouts_of_voc_and_oxford_pet(tmp_path):
    def read(name):
        node = OmegaConf.create({"runtime": {"data_root": str(tmp_path)}})
        node.listing = OmegaConf.load(conf_dir() / "listing" / f"{name}.yaml")
        node.listing.counts = None
        return audit(from_listing(OmegaConf.to_container(node.listing, resolve=True), root=tmp_path), progress=False)

    voc, pet = tmp_path / "VOCdevkit" / "VOC2012", tmp_path / "oxford-iiit-pet"
    for i, stem in enumerate(("2007_01", "2007_02", "2007_03")):
        picture(voc / "JPEGImages" / f"{stem}.jpg", i)
        picture(pet / "images" / f"Beagle_{i}.jpg", 10 + i)
        ring = np.full((48, 64), 2, np.uint8)
        ring[10:30, 20:40], ring[12:28, 22:38] = 3, 1
        (pet / "annotations" / "trimaps").mkdir(parents=True, exist_ok=True)
        Image.fromarray(ring).save(pet / "annotations" / "trimaps" / f"Beagle_{i}.png")
        (pet / "annotations" / "trimaps" / f"._Beagle_{i}.png").write_bytes(b"left by another system")
    (pet / "annotations" / "trainval.txt").write_text("#Image CLASS-ID SPECIES BREED\nBeagle_0 1 2 1\nBeagle_1 1 2 1\n")
    (pet / "annotations" / "test.txt").write_text("Beagle_2 1 2 1\n")
    for stem in ("2007_01", "2007_02"):  # the third photo has no labels
        label(voc / "SegmentationClass" / f"{stem}.png", 15)
    (voc / "ImageSets" / "Segmentation").mkdir(parents=True)
    (voc / "ImageSets" / "Segmentation" / "train.txt").write_text("2007_01\n")
    (voc / "ImageSets" / "Segmentation" / "val.txt").write_text("2007_02\n")
    report = read("oxford_pet")
    assert report.images == {"trainval": 2, "test": 1}
    assert report.verdict() == "nothing suspicious"
    assert cases(report, "labels")["3 border"] == "trainval 2, test 1"
    report = read("voc2012")
    assert not report.errors
    assert cases(report, "unlisted") == {"VOCdevkit/VOC2012/JPEGImages/2007_03.jpg": ""}
    assert cases(report, "labels")["15 person"] == "train 1, val 1"
    label(voc / "SegmentationClass" / "2007_01.png", 40)
    (voc / "SegmentationClass" / "2007_02.png").unlink()
    assert {f.check for f in read("voc2012").errors} == {"mask-values", "no-mask"}
