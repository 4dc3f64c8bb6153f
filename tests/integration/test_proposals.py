"""Proposals of a generated data set: in one process or several, killed half-way, damaged."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import REPO
from PIL import Image

from seglab.cli import Stopped
from seglab.config import compose
from seglab.data.standin import write_standins
from seglab.proposals import complete, make
from seglab.proposals.fitting import load_fit
from seglab.proposals.make import proposals_of, superpixels_of
from seglab.proposals.place import Place
from seglab.proposals.works import works_for

SMALL = ["superpixels=24", "waves=30", "tuning=1", "folds=3", "count=3", "samples=5", "diversity=0.2"]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("data")
    write_standins(["camvid_semantic"], root, train=9, test=4)
    return root


def arguments(data: Path, outputs: Path, *more: str) -> list[str]:
    settings = [f"proposals.{setting}" for setting in SMALL]
    return ["data=camvid_semantic", *settings, f"runtime.data_root={data}", f"runtime.outputs={outputs}", *more]


def config(data: Path, outputs: Path, *more: str):
    return compose("proposals", complete(arguments(data, outputs, *more)))


def contents(outputs: Path) -> dict[str, bytes]:
    """What decides anything: classifiers, samples, proposals."""
    found = {p.relative_to(outputs).as_posix(): p.read_bytes() for p in outputs.glob("proposals/**/*.npz")}
    assert found
    return found


@pytest.fixture(scope="module")
def made(data, tmp_path_factory):
    """Proposals made in this process: config, folder of outputs, store."""
    outputs = tmp_path_factory.mktemp("made")
    cfg = config(data, outputs)
    return cfg, outputs, proposals_of(cfg, parts=["train", "test"])


def test_every_image_has_different_proposals_in_order(made) -> None:
    cfg, outputs, store = made
    place = Place.of(cfg)
    assert store.folder.parent == outputs / "proposals"
    for part, count in (("train", 9), ("test", 4)):
        items = place.items(part)
        assert len(items) == count
        for item in items:
            image, mask = item.read()
            found = store.read(item.id, part=part, size=mask.shape, classes=11, image=image)
            assert len(found) == 3
            assert len({labels.tobytes() for labels in found.labels_MHW}) == 3
            assert found.energy_M.argmin() == 0
            assert (np.diff(found.augmented_M) >= -1e-9).all()
            pixels = superpixels_of(store, item.id, part)
            assert all(len(np.unique(labels[pixels == 0])) == 1 for labels in found.labels_MHW)
    note = json.loads((store.folder / "fit.json").read_text())
    assert len(note["tried"]["smoothness"]) > 1
    assert note["folds"] == len(load_fit(store.folder).folds) == 3


def test_what_is_done_is_not_done_again(made) -> None:
    cfg, outputs, _ = made
    before = {path: path.stat().st_mtime_ns for path in outputs.rglob("*.npz")}
    assert works_for(cfg, slots=2) == []
    proposals_of(cfg, parts=["train", "test"], thorough=True)
    assert before == {path: path.stat().st_mtime_ns for path in outputs.rglob("*.npz")}


def test_stopped_half_way_and_resumed_is_the_same(made, data, tmp_path, monkeypatch) -> None:
    cfg, true = config(data, tmp_path), make.make_image
    calls = []

    def stopping(*args, **kwargs):
        calls.append(1)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGTERM)  # heard after this image
        true(*args, **kwargs)

    monkeypatch.setattr(make, "make_image", stopping)
    with pytest.raises(Stopped, match="stopped after 3 of 9 images"):
        proposals_of(cfg, parts=["train", "test"])
    assert 0 < len(list(tmp_path.glob("proposals/*/train/*.npz"))) < 9
    proposals_of(cfg, parts=["train", "test"])
    assert contents(tmp_path) == contents(made[1])


def test_a_killed_command_goes_on_in_two_processes_and_gives_the_same_bytes(made, data, tmp_path, command) -> None:
    outputs = tmp_path / "outputs"
    process = subprocess.Popen(
        [sys.executable, "-m", "seglab.proposals", *arguments(data, outputs)],
        env={**os.environ, "PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1"},
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    until = time.monotonic() + 100
    while not list(outputs.glob("proposals/*/samples/*.npz")) and time.monotonic() < until:
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert list(outputs.glob("proposals/*/samples/*.npz"))
    assert not list(outputs.glob("proposals/*/test/*.npz"))
    for work in works_for(config(data, outputs), slots=1)[:2]:  # the command does what is left, in two processes
        make.make_part(work.configs[0])
    local = ["launch=local", "launch.slots=2", "launch.gpus=null", "preview=2", "parts=train"]
    result = command("proposals", *arguments(data, outputs, *local))
    assert result.returncode == 0, result.stderr
    expected = {name: content for name, content in contents(made[1]).items() if "/test/" not in name}
    assert contents(outputs) == expected
    folder = Path(result.stdout.strip().splitlines()[-1])
    assert folder.parent == outputs / "proposals"
    with Image.open(folder / "preview.png") as picture:
        assert picture.width > picture.height


@pytest.fixture
def copied(made, tmp_path, data):
    """The same proposals and data in another place, free to be damaged."""
    shutil.copytree(made[1] / "proposals", tmp_path / "outputs" / "proposals")
    shutil.copytree(data, tmp_path / "data")
    cfg = config(tmp_path / "data", tmp_path / "outputs")
    assert works_for(cfg, slots=1) == []  # another place is no other data
    return cfg, tmp_path


def test_damaged_files_are_made_anew_with_a_message(copied, made, caplog) -> None:
    cfg, place = copied
    caplog.set_level("WARNING")
    folder = Place.of(cfg).folder
    first, second = sorted((folder / "train").glob("*.npz"))[:2]
    first.write_bytes(first.read_bytes()[:100])
    content = bytearray(second.read_bytes())
    content[content.index(b"labels.npy") + 60] ^= 1
    second.write_bytes(content)
    proposals_of(cfg, parts=["train", "test"], thorough=True)
    assert contents(place / "outputs") == contents(made[1])
    assert all(f"{path.name}' cannot be read" in caplog.text for path in (first, second))
    (folder / "fit.npz").write_bytes(b"")
    first.unlink()
    proposals_of(cfg, parts=["train"])
    assert contents(place / "outputs") == contents(made[1])


def test_other_settings_have_another_folder_and_a_folder_of_anybody_is_looked_through(made, data, tmp_path) -> None:
    cfg, _, store = made
    assert Place.of(config(data, tmp_path, "proposals.count=4")).folder.name != store.folder.name
    assert Place.of(config(data, tmp_path, "proposals=meanfield")).folder.name != store.folder.name
    theirs = config(data, tmp_path, f"proposals={store.folder}")
    assert proposals_of(theirs, parts=["test"]).folder == store.folder
    maps = tmp_path / "maps" / Place.of(cfg).items("test")[0].id
    maps.mkdir(parents=True)
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(maps / "1.png")
    absent = r"no proposals of 3 names \(.+\) of 4 in the test part"
    given = config(data, tmp_path, f"proposals={tmp_path / 'maps'}")
    with pytest.raises(ValueError, match=absent):
        proposals_of(given, parts=["test"])


def test_shares_wait_for_what_they_need(data, tmp_path) -> None:
    works = works_for(config(data, tmp_path), slots=2)
    stages = [work.key.split("-", 3)[3] for work in works]
    assert stages == [
        "samples-train-0of2", "samples-train-1of2", "fit-train-0of1", "proposals-train-0of2", "proposals-train-1of2",
        "proposals-test-0of1",
    ]  # fmt: skip
    assert works[2].after == (works[0].key, works[1].key)
    assert all(work.after == (works[2].key,) for work in works[3:])
    assert len({work.folder for work in works}) == len(works)


def test_data_without_classes_are_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match="data=bsds500: its task is regions: proposals need the class of every pixel"):
        Place.of(compose("proposals", ["data=bsds500", f"runtime.outputs={tmp_path}"]))
    with pytest.raises(ValueError, match="data is missing"):
        complete(["proposals=meanfield"])


def test_two_classes_of_one_object_work(tmp_path) -> None:
    write_standins(["sod"], tmp_path / "data", train=6, test=3)
    small = [f"proposals.{setting}" for setting in SMALL]
    places = [f"runtime.data_root={tmp_path / 'data'}", f"runtime.outputs={tmp_path / 'outputs'}"]
    cfg = compose("proposals", ["data=sod", *small, *places])
    store = proposals_of(cfg, parts=["test"])
    item = Place.of(cfg).items("test")[0]
    assert len(store.read(item.id, part="test", size=item.read()[1].shape, classes=2)) == 3
