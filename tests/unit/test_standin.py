"""Generated stand-ins: every data set's own layout, whole or not there at all, and never over anything else."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

from seglab.config import compose, conf_dir
from seglab.data import standin, standin_place
from seglab.data.pairs import STANDIN
from seglab.data.standin import scene, write_standin, write_standins
from seglab.targets import instantiate

PLAIN, TEST_ONLY, RATIO = {"train": 12, "test": 6}, {"test": 6}, {"train": 11, "test": 7}
"""Pairs that a data set finds; 6:4 of 18 is 11 and 7."""

EXPECTED = {
    "msra_b": (RATIO, "MSRA-B/image/0_0_735.jpg"),
    "duts": (PLAIN, "DUTS-TR/DUTS-TR-Image/ILSVRC2012_test_00000003.jpg"),
    "ecssd": (TEST_ONLY, "ECSSD/images/0001.jpg"),
    "pascal_s": (TEST_ONLY, "PASCAL-S/datasets/imgs/pascal/1.jpg"),
    "hku_is": (TEST_ONLY, "HKU-IS/imgs/0004.png"),
    "thur15k": (TEST_ONLY, "THUR15000/Butterfly/Src/1006.jpg"),
    "dut_omron": (TEST_ONLY, "DUT-OMRON/DUT-OMRON-image/im005.jpg"),
    "sod": (PLAIN, "BSDS500/data/images/train/100075.jpg"),
    "people": (PLAIN, "PeopleSeg/images/1.jpg"),
    "msra_mini": (RATIO, "MSRA-mini/images/101.jpg"),
}
"""Name, counts, first file."""

PNG_PIXELS = "2f2dfb437c418bcd169ae23d59669829d4ab7a95daa07349baad32603d954687"
"""SHA-256 of the pixels of HKU-IS's stand-in, whose images and masks are PNG."""


def data_of(name, root, *overrides):
    return compose("evaluate", ["run=none", f"data={name}", f"runtime.data_root={root}", *overrides]).data


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    place = tmp_path_factory.mktemp("data")
    write_standins([*EXPECTED, "shapes"], place)
    return place


def files(folder):
    return {p.relative_to(folder).as_posix(): p.stat().st_mtime_ns for p in Path(folder).rglob("*") if p.is_file()}


def test_every_data_set_of_folders_is_here():
    names = [p.stem for p in (conf_dir() / "data").glob("[a-z]*.yaml")]
    pairs = [n for n in names if "defaults:\n  - _pairs" in (conf_dir() / "data" / f"{n}.yaml").read_text()]
    assert sorted(pairs) == sorted([*EXPECTED, "pairs"])


@pytest.mark.parametrize("name", EXPECTED)
def test_is_read_back_by_its_own_yaml(name, root):
    counts, first = EXPECTED[name]
    assert (root / first).is_file()
    data = data_of(name, root)
    source = instantiate(data.source)
    items = [item for part in counts for item in source.items(part)]
    assert {part: len(source.items(part)) for part in counts} == counts
    assert {item.image.suffix for item in items} == {f".{data.about.files['images']}"}
    if "train" not in counts:
        with pytest.raises(ValueError, match="no training part"):
            source.items("train")
    shapes, masks = zip(*((mask.shape, mask.tobytes()) for _, mask in (item.read() for item in items)), strict=True)
    assert len(set(shapes)) > 1
    assert all(height != width for height, width in shapes)
    # The order is that of the split; each is one of the generator's masks.
    drawn = [scene(name, i)[1] for i in range(len(items))]
    assert sorted(mask.tobytes() for mask in drawn) == sorted(masks)
    assert all(0.01 < mask.mean() < 0.7 for mask in drawn)


@pytest.mark.parametrize("name", ["msra_b", "hku_is", "sod"])
def test_images_belong_to_their_masks(name, root):
    seen = {scene(name, i)[1].tobytes(): scene(name, i)[0] for i in range(18)}
    for item in instantiate(data_of(name, root).source).items("test"):
        image, mask = item.read()
        difference = np.abs(image.astype(int) - seen[mask.tobytes()]).mean()
        assert difference == 0 if item.image.suffix == ".png" else difference < 6


def test_png_pixels_are_fixed_and_sets_differ(root):
    digest = hashlib.sha256()
    for item in instantiate(data_of("hku_is", root).source).items("test"):
        for array in item.read():
            digest.update(repr(array.shape).encode() + array.tobytes())
    assert digest.hexdigest() == PNG_PIXELS
    assert scene("ecssd", 0)[0].tobytes() != scene("hku_is", 0)[0].tobytes()


def test_masks_have_the_levels_of_the_real_ones(root):
    assert Image.open(root / "SOD/masks/100075.png").mode == "1"
    two = np.unique(np.asarray(Image.open(root / "MSRA-B/annotation/0_0_735.png")))
    assert two.tolist() == [0, 255]
    graded = Image.open(root / "PASCAL-S/datasets/masks/pascal/1.png")
    assert len(np.unique(np.asarray(graded))) == 4
    whole = {t: data_of("pascal_s", root, f"data.source.threshold={t}") for t in (0.2, 0.5, 0.9, "null")}
    area = {t: instantiate(whole[t].source).items("test")[0].read()[1].sum() for t in (0.2, 0.5, 0.9)}
    assert area[0.2] > area[0.5] > area[0.9] > 0
    with pytest.raises(ValueError, match=r"threshold=0\.5"):
        instantiate(whole["null"].source).items("test")[0].read()


def test_lists_and_unmasked_images(root):
    assert (root / "SOD/train.txt").read_text().split()[0] == "100075"
    assert len((root / "PeopleSeg/test.txt").read_text().split()) == 6
    assert len(list((root / "BSDS500/data/images/val").iterdir())) == 6
    assert len(list((root / "THUR15000").glob("*/Src/*"))) == 11
    with pytest.raises(ValueError, match=r"1 name \(1016\): image without a mask"):
        instantiate(data_of("thur15k", root, "data.source.unmasked=error").source).items("test")


def test_the_same_call_writes_nothing(tmp_path):
    data = data_of("sod", tmp_path)
    places = write_standin(data)
    assert places == [tmp_path / "BSDS500", tmp_path / "SOD"]
    before = files(tmp_path)
    assert write_standin(data) == places
    assert files(tmp_path) == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["BSDS500", "SOD"]


def test_other_settings_and_lost_files_are_written_anew(tmp_path):
    data = data_of("sod", tmp_path)
    write_standin(data)
    write_standin(data, train=3, test=2, size=(20, 30))
    assert {p: len(instantiate(data.source).items(p)) for p in ("train", "test")} == {"train": 3, "test": 2}
    wide, high = Image.open(tmp_path / "BSDS500/data/images/train/100075.jpg").size
    assert max(wide, high) <= 30
    first = tmp_path / "SOD/masks/100075.png"
    first.unlink()
    write_standin(data, train=3, test=2, size=(20, 30))
    assert first.is_file()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["BSDS500", "SOD"]


@pytest.mark.parametrize("name", ["duts", "sod"])
def test_real_data_is_never_touched(name, tmp_path):
    mine = {"duts": "DUTS-TE", "sod": "SOD"}[name]
    (tmp_path / mine / "deep").mkdir(parents=True)
    (tmp_path / mine / "deep" / "photo.jpg").write_text("real")
    with pytest.raises(ValueError, match=rf"{mine}' is in the way and is left alone.*no \.standin\.json"):
        write_standin(data_of(name, tmp_path))
    # nor is anything put beside it
    assert list(files(tmp_path)) == [f"{mine}/deep/photo.jpg"]


def test_nothing_foreign_is_lost(tmp_path):
    data = data_of("ecssd", tmp_path)
    (tmp_path / "ECSSD").mkdir()
    write_standin(data)  # an empty folder is no obstacle
    photo = tmp_path / "ECSSD/images/0001.jpg"
    content = photo.read_bytes()
    photo.write_bytes(b"another download")
    with pytest.raises(ValueError, match=r"'images/0001\.jpg' is not the file of its"):
        write_standin(data, test=3)
    photo.write_bytes(content)
    (tmp_path / "ECSSD/images/more.jpg").write_text("real")
    with pytest.raises(ValueError, match=r"'images/more\.jpg' is not the file of its"):
        write_standin(data)
    assert (tmp_path / "ECSSD/images/more.jpg").read_text() == "real"
    (tmp_path / "ECSSD/images/more.jpg").unlink()
    marker = tmp_path / "ECSSD" / STANDIN
    marker.write_text(json.dumps({**json.loads(marker.read_text()), "data": "another"}))
    with pytest.raises(ValueError, match="stand-in of another"):
        write_standin(data)
    marker.write_text("{")
    with pytest.raises(ValueError, match="cannot be read"):
        write_standin(data)


@pytest.mark.parametrize("broken", [True, False])
def test_links_are_left_alone(broken, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    target = "nowhere" if broken else "elsewhere"
    (tmp_path / "root").mkdir()
    (tmp_path / "root/ECSSD").symlink_to(tmp_path / target)
    with pytest.raises(ValueError, match="left alone"):
        write_standin(data_of("ecssd", tmp_path / "root"))
    assert os.readlink(tmp_path / "root/ECSSD") == str(tmp_path / target)


@pytest.mark.parametrize("after", [0, 5, 17])
def test_a_crash_while_drawing_leaves_no_set(after, tmp_path, monkeypatch):
    data = data_of("msra_b", tmp_path)
    calls = []

    def dies(*args, **kwargs):
        calls.append(args)
        if len(calls) > after:
            raise KeyboardInterrupt
        return scene(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(standin, "scene", dies)
        with pytest.raises(KeyboardInterrupt):
            write_standin(data)
    assert not (tmp_path / "MSRA-B").exists()
    write_standin(data)
    assert len(instantiate(data.source).items("train")) == 11


def test_a_crash_between_two_folders_is_mended(tmp_path, monkeypatch):
    data = data_of("duts", tmp_path)
    move = standin_place._move

    def dies(new, place, wanted):
        if place.name == "DUTS-TR":
            raise KeyboardInterrupt
        move(new, place, wanted)

    with monkeypatch.context() as patch:
        patch.setattr(standin_place, "_move", dies)
        with pytest.raises(KeyboardInterrupt):
            write_standin(data)
    assert not (tmp_path / "DUTS-TR").exists()
    before = files(tmp_path / "DUTS-TE")
    write_standin(data)
    assert files(tmp_path / "DUTS-TE") == before
    assert len(instantiate(data.source).items("train")) == 12


def test_a_killed_process_leaves_nothing_that_counts(tmp_path):
    cfg = saved(tmp_path, "ecssd")
    dies = "standin.scene = lambda name, number, **k: os._exit(9) if number == 4 else real(name, number, **k)"
    assert start(tmp_path, f"real = standin.scene; {dies}; standin.write_standin(data)").wait(120) == 9
    assert not (tmp_path / "data/ECSSD").exists()
    assert any((tmp_path / "data").glob(".standin-*"))
    write_standin(cfg.data)
    assert len(instantiate(cfg.data.source).items("test")) == 6


def test_two_processes_at_once(tmp_path):
    saved(tmp_path, "sod")
    both = [start(tmp_path, "standin.write_standin(data)") for _ in range(2)]
    assert [p.wait(120) for p in both] == [0, 0]
    assert sorted(p.name for p in (tmp_path / "data").iterdir()) == ["BSDS500", "SOD"]


def test_a_faster_process_wins(tmp_path, monkeypatch):
    data = data_of("sod", tmp_path)
    rename = Path.rename
    theirs = []

    def late(new, place):
        if not theirs:
            theirs.append({})
            write_standin(data)  # as another process would, after this one found the place empty
            theirs[0] = files(tmp_path / "BSDS500")
        return rename(new, place)

    monkeypatch.setattr(Path, "rename", late)
    write_standin(data)
    assert files(tmp_path / "BSDS500") == theirs[0] != {}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["BSDS500", "SOD"]


def saved(folder, name):
    """The config of a data set below ``folder``/data, kept in a file for :func:`start`."""
    cfg = compose("evaluate", ["run=none", f"data={name}", f"runtime.data_root={folder / 'data'}"])
    OmegaConf.save(OmegaConf.create({"data": cfg.data, "runtime": cfg.runtime}), folder / "cfg.yaml")
    return cfg


def start(folder, code):
    """Another process that runs ``code`` on the ``data`` of :func:`saved`."""
    head = "import os, sys; from omegaconf import OmegaConf; from seglab.data import standin; "
    head += "data = OmegaConf.load(sys.argv[1]).data; "
    return subprocess.Popen([sys.executable, "-c", head + code, str(folder / "cfg.yaml")], cwd=conf_dir().parent)


def test_what_cannot_be_written_is_said(tmp_path):
    with pytest.raises(ValueError, match=r"data\.source\.images=.*expected a path \$\{runtime\.data_root\}"):
        write_standin(data_of("pairs", tmp_path, f"data.images={tmp_path}/a", f"data.masks={tmp_path}/b"))
    with pytest.raises(ValueError, match="test=0: expected a whole number, 1 or more"):
        write_standin(data_of("ecssd", tmp_path), test=0)
    with pytest.raises(ValueError, match="size=8: expected a whole number, 16 or more"):
        write_standin(data_of("ecssd", tmp_path), size=(48, 8))
    for key, value, words in (("levels", "three", "two, bit, graded"), ("masks", "jpg", "keep mask values")):
        with pytest.raises(ValueError, match=rf"about\.files\.{key}={value}: expected .*{words}"):
            write_standin(data_of("ecssd", tmp_path, f"data.about.files.{key}={value}"))
    assert not list(tmp_path.iterdir())


def test_imports_no_torch():
    code = "import seglab.data.standin, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=conf_dir().parent).returncode == 0
