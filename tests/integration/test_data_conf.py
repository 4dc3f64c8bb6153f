"""Every YAML in conf/data: composes, builds its source, and reads files lying in the layout it describes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

from seglab.config import compose, conf_dir
from seglab.targets import instantiate

REGIONS = ["bsds500", "camvid", "saliency_all", "texture", "texture_mosaic", "voc2012"]
"""Sets of regions; those with layouts of their own are in tests/unit/test_standin_regions.py."""

OBJECTS = ["oxford_pet", "voc_coseg", "web"]
"""Sets of one object class with layouts of their own, tested in tests/unit/test_data_{pet,class_folders}.py."""

BASES = ("_pairs", "ecssd", "dut_omron")
"""What a data set of image and mask folders builds upon."""

NAMES = ["shapes", "shapes_single"] + [
    p.stem
    for p in sorted((conf_dir() / "data").glob("[a-z]*.yaml"))
    if any(f"defaults:\n  - {base}\n" in p.read_text() for base in BASES)
]
FOLDERS = ("images", "masks")


def config(name, root, *overrides):
    return compose("train", [f"data={name}", f"runtime.data_root={root}", *overrides])


def stand_in(cfg):
    """Files in the layout the config names: ten pairs a folder, one unpaired image where that is allowed."""
    source = OmegaConf.to_container(cfg.data.source, resolve=True)
    stems = [f"{i:03d}" for i in range(10)]
    for kind in FOLDERS:
        places = source[kind]
        places = list(places.values()) if isinstance(places, dict) else places if isinstance(places, list) else [places]
        for number, place in enumerate(places):
            for folder in source["folders"] or [""]:
                for i, stem in enumerate(stems):
                    if not isinstance(source[kind], list) or i % len(places) == number:
                        draw(place.replace("{folder}", folder), stem, kind)
                if source["unmasked"] == "skip" and kind == "images":
                    draw(place.replace("{folder}", folder), "bare", kind)
    for key, part in (("train_list", stems[:7]), ("test_list", stems[7:])):
        if source[key]:
            with open(source[key], "w") as file:
                file.write("\n".join(part) + "\n")


def draw(folder, stem, kind):
    Path(folder).mkdir(parents=True, exist_ok=True)
    array = np.zeros((12, 16, 3) if kind == "images" else (12, 16), np.uint8)
    array[:4] = 255
    Image.fromarray(array).save(Path(folder) / (stem + (".jpg" if kind == "images" else ".png")))


@pytest.mark.parametrize("name", NAMES)
def test_reads_its_own_layout(name, tmp_path):
    mine = [f"data.images={tmp_path}/a", f"data.masks={tmp_path}/b"] if name == "pairs" else []
    cfg = config(name, tmp_path, *mine)
    assert cfg.data.name == name
    assert cfg.data.task == cfg.eval.task == "saliency"
    assert cfg.data.about.title
    if name.startswith("shapes"):
        assert len(instantiate(cfg.data.source).items("train")) == 400
        return
    with pytest.raises(ValueError, match=rf"data={name}: .* not found; expected"):
        instantiate(cfg.data.source).items("test")
    stand_in(cfg)
    source = instantiate(cfg.data.source)
    test = source.items("test")
    image, mask = test[0].read()
    assert image.shape == (12, 16, 3)
    assert mask[:4].all()
    assert not mask[4:].any()
    if cfg.data.source.split == "test":
        with pytest.raises(ValueError, match=rf"data={name}: has no training part"):
            source.items("train")
        divided = config(name, tmp_path, "data.source.split=6:4")
        assert len(instantiate(divided.data.source).items("train")) == round(0.6 * len(test))
    else:
        assert source.items("train")


@pytest.mark.parametrize("name", REGIONS)
def test_sets_of_regions_say_what_is_missing(name, tmp_path):
    cfg = config(name, tmp_path)
    assert cfg.data.name == name
    assert cfg.data.task == cfg.eval.task == "regions"
    with pytest.raises(ValueError, match=rf"data={name}.* not found; expected below runtime\.data_root"):
        instantiate(cfg.data.source).items("train")


@pytest.mark.parametrize("name", [n for n in (*NAMES, *REGIONS, *OBJECTS) if n != "pairs" and "shapes" not in n])
def test_says_what_it_is(name, tmp_path):
    about = config(name, tmp_path).data.about
    for key in ("title", "homepage", "licence", "citation", "layout"):
        assert about[key]
    assert about.get("counts") or name in ("texture_mosaic", "voc_coseg", "web")  # as many as there are


def test_the_data_choose_the_evaluation_and_the_command_line_overrides(tmp_path):
    cfg = config("duts", tmp_path, "eval=saliency", "eval.resolution=original", "data.size=128")
    assert (cfg.eval.resolution, cfg.data.size) == ("original", 128)


def test_pairs_asks_for_folders(tmp_path):
    with pytest.raises(ValueError, match=r"data=pairs: images is not set.*data\.images=photos"):
        instantiate(config("pairs", tmp_path).data.source)


@pytest.mark.parametrize(("name", "train", "test"), [("sod", 200, 100), ("people", 229, 58), ("msra_mini", 11, 7)])
def test_real_data(name, train, test, data_root, caplog):
    source = instantiate(config(name, data_root).data.source)
    parts = {part: source.items(part) for part in ("train", "test")}
    assert {part: len(items) for part, items in parts.items()} == {"train": train, "test": test}
    assert not {i.id for i in parts["train"]} & {i.id for i in parts["test"]}
    assert "expected" not in caplog.text
    for item in parts["test"]:
        image, mask = item.read()
        assert image.shape[:2] == mask.shape
        assert set(np.unique(mask)) <= {0, 1}
        assert mask.any()
