"""What happens to a command that predicts when it is broken, killed, or asked for something else than before."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from PIL import Image
from predict_support import SIZES, files, make_photos, noise, predicted, read, start, trained

from seglab.config import compose


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return trained(tmp_path_factory.getbasetemp())


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return make_photos(tmp_path / "photos")


def test_unreadable_photos_are_named_and_the_others_done(run, photos, tmp_path) -> None:
    (photos / "empty.jpg").write_bytes(b"")
    (photos / "half.jpg").write_bytes((photos / "plain.jpg").read_bytes()[:400])
    with pytest.raises(ValueError, match="2 of 8 photos could not be predicted") as caught:
        predicted(run, f"input={photos}", f"output={tmp_path / 'out'}", "batch_size=3")
    assert "empty.jpg" in str(caught.value)
    assert "half.jpg" in str(caught.value)
    assert {path.stem for path in (tmp_path / "out" / "maps").iterdir()} == set(SIZES)
    assert len((tmp_path / "out" / "failed.txt").read_text().splitlines()) == 2
    (photos / "empty.jpg").unlink()
    (photos / "half.jpg").unlink()
    again = predicted(run, f"input={photos}", f"output={tmp_path / 'out'}")
    assert not (again / "failed.txt").exists()


def test_what_is_there_is_kept_and_other_settings_do_not_mix(run, photos, tmp_path) -> None:
    asked = f"input={photos}", f"output={tmp_path / 'out'}"
    out = predicted(run, *asked)
    missing, kept = out / "maps" / "plain.png", out / "maps" / "turned.png"
    missing.unlink()
    before = kept.stat().st_mtime_ns
    predicted(run, *asked)
    assert missing.is_file()
    assert kept.stat().st_mtime_ns == before
    with pytest.raises(ValueError, match="existing=skip"):
        predicted(run, *asked, "existing=error")
    with pytest.raises(ValueError, match=r"other settings \(flip\)"):
        predicted(run, *asked, "flip=true")
    predicted(run, *asked, "flip=true", "existing=overwrite")
    assert kept.stat().st_mtime_ns != before
    newer = kept.stat().st_mtime_ns
    os.utime(photos / "turned.jpg", ns=(newer + 10**9, newer + 10**9))  # a photo changed since
    predicted(run, *asked, "flip=true")
    assert kept.stat().st_mtime_ns != newer


def test_results_do_not_land_among_the_photos(run, photos, tmp_path) -> None:
    with pytest.raises(ValueError, match="lies in the folder of the photos"):
        predicted(run, f"input={photos}", f"output={photos}")
    with pytest.raises(ValueError, match="lies in the folder of the photos"):
        predicted(run, f"input={photos}", f"output={photos / 'out'}", "recursive=true")
    maps = predicted(run, f"input={photos}", f"output={tmp_path / 'out'}") / "maps"
    with pytest.raises(ValueError, match="is one of the photos"):
        predicted(run, f"input={maps}", f"output={tmp_path / 'out'}")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("existing=maybe", "existing=maybe: expected one of skip"),
        ("threshold=1.5", "threshold=1.5: expected 0 <= threshold < 1"),
        ("size=0", "size=0: expected a whole number"),
        ("export=caffe", "export=caffe: expected null or one of onnx"),
        ("flip=2", "flip=2: expected true or false"),
        ("input=null", "input is missing"),
        ("what={maps:false,masks:false,overlays:false}", "are all false"),
    ],
)
def test_values_are_checked(run, photos, setting: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        predicted(run, f"input={photos}", setting)


def test_results_that_cannot_be_written(run, photos, tmp_path, monkeypatch) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ValueError, match="cannot be written"):
        predicted(run, f"input={photos}", f"output={tmp_path / 'file'}")

    from seglab.predicting import write

    real = os.replace

    def full(source, target) -> None:
        if Path(target).name == "turned.png":
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr(write.os, "replace", full)
    with pytest.raises(ValueError, match="No space left on device"):
        predicted(run, f"input={photos}", f"output={tmp_path / 'out'}", "batch_size=1")
    assert not [name for name in files(tmp_path / "out") if name.endswith(".tmp")]


def test_runs_that_give_no_maps_are_refused(run, photos, tmp_path) -> None:
    bare = tmp_path / "unfinished"
    bare.mkdir()
    (bare / "config.yaml").write_text((run / "config.yaml").read_text())
    with pytest.raises(ValueError, match=r"it is not finished: model\.safetensors and post\.json"):
        predicted(bare, f"input={photos}")
    points = ["data=toy_imbalance", "model=mlp_10", f"runtime.outputs={tmp_path}"]
    (bare / "config.yaml").write_text(OmegaConf.to_yaml(compose("train", points)))
    with pytest.raises(ValueError, match="its task is points"):
        predicted(bare, f"input={photos}")


def many(folder: Path, count: int, first: int = 0) -> Path:
    folder.mkdir()
    for i in range(count):
        Image.fromarray(noise(90, 80, first + i)).save(folder / f"{i:03}.png")
    return folder


def kill_after(count: int, out: Path, log: Path, *line: str) -> None:
    """Start a command line and kill it when so many photos are noted in a folder of results."""
    ledger = out / "predict.jsonl"
    before = len(ledger.read_bytes().splitlines()) if ledger.exists() else 0
    process = start(log, *line, "runtime.workers=1", "batch_size=2", "runtime.device=cpu")
    until = time.monotonic() + 120
    while not ledger.exists() or len(ledger.read_bytes().splitlines()) < before + count:
        assert process.is_alive(), log.read_text()
        assert time.monotonic() < until
        time.sleep(0.002)
    process.kill()
    process.join()


def test_a_killed_command_goes_on(run, tmp_path) -> None:
    folder, out = many(tmp_path / "many", 30), tmp_path / "out"
    kill_after(4, out, tmp_path / "log", f"run={run}", f"input={folder}", f"output={out}")
    before = {path: path.stat().st_mtime_ns for path in out.glob("maps/*.png")}
    assert len(before) < 30, "it was too quick to be killed"
    for path in before:
        Image.open(path).load()
    assert predicted(run, f"input={folder}", f"output={out}") == out
    assert len(list(out.glob("maps/*.png"))) == len(list(out.glob("masks/*.png"))) == 30
    assert sum(path.stat().st_mtime_ns == time for path, time in before.items()) >= len(before) - 1


def same_maps(one: Path, other: Path) -> list[str]:
    """Names of the maps that are the same in two folders of results."""
    return [p.name for p in sorted(one.glob("maps/[!.]*")) if p.read_bytes() == (other / "maps" / p.name).read_bytes()]


def test_a_killed_overwriting_leaves_no_map_of_the_run_before(run, tmp_path) -> None:
    folder, out, size = many(tmp_path / "many", 30), tmp_path / "out", "size=24"  # stands for another run
    asked = f"input={folder}", f"output={out}"
    predicted(run, *asked)
    old = shutil.copytree(out, tmp_path / "old")
    fresh = predicted(run, f"input={folder}", f"output={tmp_path / 'fresh'}", size)
    assert not same_maps(fresh, old)
    kill_after(30 + 4, out, tmp_path / "log", f"run={run}", *asked, size, "existing=overwrite")  # 30 are taken back
    assert same_maps(out, old), "it was too quick to be killed"
    few = f"input={folder}/00*.png"
    with pytest.raises(ValueError, match=r"would stay beside"):
        predicted(run, few, f"output={out}", size)
    with pytest.raises(ValueError, match=r"other settings \(size\)"):
        predicted(run, *asked)
    predicted(run, *asked, size)
    assert len(same_maps(out, fresh)) == 30
    predicted(run, few, f"output={out}", size)


def test_overwriting_does_not_leave_results_of_other_settings(run, photos, tmp_path) -> None:
    asked = f"input={photos}", f"output={tmp_path / 'out'}"
    out = predicted(run, *asked)
    before = {path: (out / path).read_bytes() for path in files(out)}
    few = f"input={photos / 'plain.jpg'}", f"output={out}", "flip=true", "existing=overwrite"
    with pytest.raises(ValueError, match=r"results of 5 names \(clear, cmyk, deep.*would stay beside"):
        predicted(run, *few)
    assert {path: (out / path).read_bytes() for path in files(out)} == before
    (out / "predict.jsonl").unlink()  # nor do files stay that nothing is known of
    with pytest.raises(ValueError, match="would stay beside"):
        predicted(run, *few)
    predicted(run, *asked, "flip=true", "existing=overwrite", "what.maps=false")
    assert not list(out.glob("maps/*"))
    assert len(list(out.glob("masks/*"))) == 6
    masks = {path: path.stat().st_mtime_ns for path in out.glob("masks/*")}
    predicted(run, *asked, "flip=true", "what.masks=false")  # the maps are made, and the masks are right as they are
    assert len(list(out.glob("maps/*"))) == 6
    predicted(run, *asked, "flip=true")
    assert {path: path.stat().st_mtime_ns for path in out.glob("masks/*")} == masks


def test_another_photo_of_the_same_name_is_no_result(run, tmp_path) -> None:
    one, two, out = many(tmp_path / "one", 2), many(tmp_path / "two", 2, first=9), f"output={tmp_path / 'out'}"
    map_000 = predicted(run, f"input={one}", out) / "maps" / "000.png"
    first = map_000.read_bytes()
    with pytest.raises(ValueError, match=r"results of '.*/one/000.png', and not of '.*/two/000.png' \(1 more") as told:
        predicted(run, f"input={two}", out)
    assert "existing=overwrite" in str(told.value)
    assert map_000.read_bytes() == first
    predicted(run, f"input={two}", out, "existing=overwrite")
    second = map_000.read_bytes()
    assert second != first
    os.utime(one / "001.png", ns=(1, 1))  # an older file takes the place of one, as cp -p does
    shutil.copy2(one / "001.png", two / "000.png")
    predicted(run, f"input={two}", out)
    assert map_000.read_bytes() not in (first, second)


def test_a_photo_that_broke_since_has_no_results(run, photos, tmp_path) -> None:
    asked = f"input={photos}", f"output={tmp_path / 'out'}"
    out = predicted(run, *asked)
    (photos / "plain.jpg").write_bytes(b"no longer")
    with pytest.raises(ValueError, match="1 of 1 photos could not be predicted"):
        predicted(run, *asked)
    assert {path.stem for path in out.glob("*/*")} == set(SIZES) - {"plain"}


def test_a_line_that_was_cut_short_counts_for_nothing(run, photos, tmp_path) -> None:
    asked = f"input={photos}", f"output={tmp_path / 'out'}", "runtime.workers=1"
    ledger = predicted(run, *asked) / "predict.jsonl"
    whole = ledger.read_bytes()
    assert [json.loads(line)["name"] for line in whole.splitlines()] == sorted(SIZES)
    ledger.write_bytes(whole[:-9])
    seen = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("maps/*")}
    for path in (tmp_path / "out").glob("*/turned.*"):
        path.unlink()  # so that the next line is that of the whole photo
    predicted(run, *asked)
    assert [path.stem for path, then in seen.items() if path.stat().st_mtime_ns != then] == ["turned"]
    seen = {path: path.stat().st_mtime_ns for path in seen}
    predicted(run, *asked)  # the line that took its place stands on a line of its own
    assert {path: path.stat().st_mtime_ns for path in seen} == seen
    assert ledger.read_bytes().endswith(whole.splitlines()[-1] + b"\n")
    ledger.write_bytes(b'[1]\n{"name": "x"}\n\xff\n' + whole)
    kept = ledger.read_bytes()
    predicted(run, *asked)
    assert ledger.read_bytes() == kept, "lines of other kinds are passed over"


def test_files_that_nothing_is_known_of_are_not_taken_for_results(run, photos, tmp_path) -> None:
    mine = tmp_path / "out" / "maps" / "plain.png"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    asked = f"input={photos}", f"output={tmp_path / 'out'}"
    with pytest.raises(ValueError, match=r"no predict\.json says what made them"):
        predicted(run, *asked)
    assert mine.read_bytes() == b"mine"
    predicted(run, *asked, "existing=overwrite")
    assert read(mine).shape == SIZES["plain"]


def test_command_line(run, photos, tmp_path) -> None:
    odd = tmp_path / "[2] my photos (2), new"
    photos.rename(odd)
    (odd / "bad.png").write_bytes(b"not a picture")
    log = tmp_path / "log"
    process = start(log, f"run={run}", f"input={odd}", f"output={tmp_path / 'its maps'}", "runtime.device=cpu")
    process.join(120)
    assert process.exitcode == 1
    told = log.read_text()
    assert "1 of 7 photos could not be predicted" in told
    assert "bad.png" in told
    assert "Traceback" not in told
    assert {path.stem for path in (tmp_path / "its maps" / "maps").iterdir()} == set(SIZES)
