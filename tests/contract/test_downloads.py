"""Every YAML of conf/download is a recipe, and data sets name recipes that exist."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import PurePosixPath

import pytest
from omegaconf import OmegaConf

from seglab.config import compose, conf_dir
from seglab.fetch.recipe import load_recipe, recipe_from, recipe_names
from seglab.prepare import complete, data_names

OWN = ("pairs", "photos", "class_folders", "web", "pseudo_labels", "pseudo_labels_voc")
"""Folders of one's own, and those that nobody publishes."""


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_loads(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.by_hand
    for file in recipe.files:
        assert file.expect
        for pattern, _ in file.expect:
            assert PurePosixPath(file.into).parts[0] == pattern.split("/")[0]


@pytest.mark.parametrize("name", data_names())
def test_every_data_set_names_recipes_that_exist(name: str) -> None:
    about = OmegaConf.load(conf_dir() / "data" / f"{name}.yaml").get("about", {})
    assert set(about.get("download", [])) <= set(recipe_names())
    drawn = "images" not in compose("prepare", [f"data={name}", "~eval"]).data.source
    assert drawn or name in OWN or name in recipe_names() or about.get("download")


@pytest.mark.parametrize("name", sorted(set(data_names()) & set(recipe_names())))
def test_recipe_and_data_set_agree(name: str) -> None:
    """The folders that are expected are those that are read, with the same counts and types."""
    recipe, cfg = load_recipe(name), compose("train", [f"data={name}", "runtime.data_root=ROOT"])
    counts, types = cfg.data.about.counts, cfg.data.about.files
    for kind in ("images", "masks"):
        node = OmegaConf.to_container(cfg.data.source, resolve=True)[kind]
        folders = node.values() if isinstance(node, dict) else node if isinstance(node, list) else [node]
        total = 0
        for folder in folders:
            of_classes = "/*" if cfg.data.about.get("categories") else ""
            wanted = folder.removeprefix("ROOT/").replace("{folder}", "*") + f"{of_classes}/*.{types[kind]}"
            total += dict(recipe.expect).get(wanted, 0)
            if not total:
                assert (name, kind) == ("thur15k", "images")  # most of them have no mask; only masks are counted
        if name == "oxford_pet":
            assert total == 7390  # the lists leave 41 of them out
        elif name == "voc_coseg":
            assert total == len(cfg.data.about.categories)  # one a class at least; how many there are is not known
        elif (name, kind) != ("voc2012", "images"):  # most of them have no mask
            assert total in (sum(counts.values()), 0)
    assert recipe.homepage == " ".join(cfg.data.about.homepage.split()) or name == "people"
    assert recipe.licence == cfg.data.about.licence


MEMBERS = {
    ("duts", "train"): {"DUTS-TR/DUTS-TR-Image/a.jpg": "DUTS-TR/DUTS-TR-Image/a.jpg", "DUTS-TR/readme.txt": None},
    ("ecssd", "images"): {"images/0001.jpg": "ECSSD/images/0001.jpg", "0001.jpg": "ECSSD/images/0001.jpg"},
    ("bsds500", "archive"): {
        "BSR/BSDS500/data/images/train/100075.jpg": "BSDS500/data/images/train/100075.jpg",
        "BSR/BSDS500/data/images/train/Thumbs.db": None,
        "BSR/bench/source/a.jpg": None,
    },
    ("voc2012", "archive"): {"VOCdevkit/VOC2012/JPEGImages/a.jpg": "VOCdevkit/VOC2012/JPEGImages/a.jpg"},
    ("sbd", "archive"): {
        "benchmark_RELEASE/dataset/cls/a.mat": "SBD/cls/a.mat",
        "benchmark_RELEASE/dataset/train.txt": "SBD/train.txt",
        "benchmark_RELEASE/README": None,
    },
    ("oxford_pet", "masks"): {
        "annotations/trimaps/a.png": "oxford-iiit-pet/annotations/trimaps/a.png",
        "annotations/trimaps/._a.png": None,
        "annotations/trainval.txt": "oxford-iiit-pet/annotations/trainval.txt",
    },
    ("msra_b", "archive"): {
        "MSRA-B/0_0_735.jpg": "MSRA-B/image/0_0_735.jpg",
        "MSRA-B/0_0_735.png": "MSRA-B/annotation/0_0_735.png",
    },
    ("dut_omron", "images"): {
        "DUT-OMRON-image/im005.jpg": "DUT-OMRON/DUT-OMRON-image/im005.jpg",
        "DUT-OMRON-image/img_561715398.jpg": None,
        "__MACOSX/DUT-OMRON-image/._im005.jpg": None,
    },
    ("pascal_s", "archive"): {
        "datasets/masks/pascal/1.png": "PASCAL-S/datasets/masks/pascal/1.png",
        "algmaps/a/1.png": None,
    },
    ("thur15k", "archive"): {
        "THUR15000/Plane/GT/1.png": "THUR15000/Plane/GT/1.png",
        "Plane/Src/1.jpg": "THUR15000/Plane/Src/1.jpg",
    },
}


@pytest.mark.parametrize(("name", "key"), MEMBERS)
def test_members_of_the_published_archives_find_their_place(name: str, key: str) -> None:
    (file,) = (file for file in load_recipe(name).files if file.key == key)
    for member, wanted in MEMBERS[name, key].items():
        target = file.target(PurePosixPath(member))
        assert (str(target) if target else None) == wanted
        patterns = [pattern for pattern, _ in file.expect]
        assert (
            not target or target.suffix == ".txt" or name == "thur15k" or any(fnmatch(str(target), p) for p in patterns)
        )


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"urls": ["ftp://a/b.zip"]}, "urls=.*expected addresses"),
        ({"urls": []}, "urls="),
        ({"sha256": "123"}, "sha256=123: expected hexadecimal digits, 64"),
        ({"md5": "g" * 32}, "md5=.*32"),
        ({"bytes": -1}, "bytes=-1"),
        ({"into": "../out"}, "into=../out: expected a path below runtime.data_root"),
        ({"into": "/out"}, "into=/out"),
        ({"by_type": {"jpg": "../x"}}, "by_type.jpg"),
        ({"expect": {"../*": 1}}, "expect"),
        ({"sha": None}, "unknown key 'download.files.a.sha'.*sha256"),
    ],
)
def test_a_recipe_that_is_not_as_it_should_be_is_refused(change: dict, match: str) -> None:
    about = dict.fromkeys(("title", "homepage", "licence", "citation", "layout"), "text")
    file = {"urls": ["http://a/b.zip"], "expect": {"*.jpg": 1}}
    recipe_from({"name": "a", "about": about, "files": {"a": file}})
    with pytest.raises(ValueError, match=match):
        recipe_from({"name": "a", "about": about, "files": {"a": {**file, **change}}})


def test_names_are_completed() -> None:
    assert complete(["data=duts", "audit=false"]) == ["data=duts", "download=duts", "also=[]", "audit=false", "~eval"]
    assert complete(["data=sod"]) == ["data=sod", "download=sod", "also=[bsds500]", "~eval"]
    assert complete(["data=sbd"]) == ["download=sbd"]
    assert complete(["data=shapes"]) == ["data=shapes", "~eval"]
    assert complete(["data=voc_coseg/cow"]) == ["data=voc_coseg/cow", "download=voc_coseg", "also=[]", "~eval"]
    assert complete(["data=oxford_pet/cat"])[:2] == ["data=oxford_pet/cat", "download=oxford_pet"]
    assert compose("prepare", complete(["data=voc_coseg/cow"])).data.category == "cow"
    assert complete([]) == []


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["data=dut"], "did you mean 'duts'"),
        (["data=duts,sod"], "one data set"),
        (["data=voc_cosg/cow"], "data=voc_cosg/cow: no such data set, did you mean 'voc_coseg'"),
        (["data=sbd/cow"], "data=sbd/cow: no such data set"),
        (["data.size=3"], "data is missing"),
        (["download=duts"], "type data=duts"),
    ],
)
def test_names_that_cannot_be_completed(arguments: list[str], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        complete(arguments)
