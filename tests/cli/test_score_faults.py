"""The score command and its folder: earlier results, odd names, empty masks, signals, paths as they are typed."""

from __future__ import annotations

import csv
import json
import logging
import os
import signal
import subprocess
import sys
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seglab.config import compose
from seglab.score import complete, score
from seglab.scoring.place import beside

REPO = Path(__file__).resolve().parents[2]
IMAGES = 6


@pytest.fixture
def maps(tmp_path: Path) -> Path:
    """Masks and the maps of two methods."""
    write(tmp_path, ("gt", "a", "b"), [f"im{i}" for i in range(IMAGES)])
    return tmp_path


def write(root: Path, folders: tuple[str, ...], stems: list[str]) -> None:
    rng = np.random.default_rng(0)
    for folder in folders:
        (root / folder).mkdir(exist_ok=True)
        for stem in stems:
            picture = rng.integers(0, 256, (9, 11), np.uint8)
            Image.fromarray(picture > 99 if folder.startswith("gt") else picture).save(root / folder / f"{stem}.png")


def scored(root: Path, *settings: str) -> Path:
    given = {setting.partition("=")[0] for setting in settings}
    usual = {"pred": f"[{root / 'a'},{root / 'b'}]", "gt": root / "gt", "runtime.outputs": root / "out"}
    return score(compose("score", [*(f"{k}={v}" for k, v in usual.items() if k not in given), "set=toy", *settings]))


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_an_earlier_call_wrote_does_not_stay_beside_a_new_table(maps: Path) -> None:
    folder = scored(maps)
    assert {"a.csv", "b.csv", "b-curves.csv", "pr.png"} <= content(folder).keys()
    (folder / "notes.txt").write_text("mine")
    assert scored(maps, f"pred={maps / 'a'}") == folder
    assert {"a.csv", "a-curves.csv", "pr.png", "notes.txt"} <= content(folder).keys()
    assert not [name for name in content(folder) if name.startswith("b")]
    scored(maps, f"pred={maps / 'b'}", "curves=false")
    names = {"b.csv", "table.md", "table.csv", "table.tex", "summary.json"}
    assert content(folder).keys() == names | {"notes.txt"}
    assert set(json.loads((folder / "summary.json").read_text())["files"]) == names


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["gt={root}/gt2"], r"gt .*/gt there, .*/gt2 here"),
        (["protocol.beta2=1"], r"protocol.beta2 0.3 there, 1 here"),
        (
            ["protocol.empty_mask=skip", "protocol.fixed=0.4"],
            r"fixed 0.5 there, 0.4 here; .*empty_mask zero there, skip",
        ),
        (["protocol=regularized_paper", "protocol.name=pysodmetrics"], r"protocol.classes absent there, null here"),
        (["missing=skip"], "missing error there, skip here"),
        (["resize=to_mask"], "resize error there, to_mask here"),
        (["reading=grey"], "reading strict there, grey here"),
        (["weighted=false"], "weighted true there, false here"),
    ],
)
def test_results_of_other_settings_are_not_written_over(maps: Path, settings: list[str], words: str) -> None:
    write(maps, ("gt2",), [f"im{i}" for i in range(IMAGES)])
    folder = scored(maps, "curves=false")
    before = content(folder)
    settings = [s.format(root=maps) for s in settings]
    with pytest.raises(ValueError, match=rf"made otherwise: .*{words}(.|\n)*protocol.name=<name>.*runtime.outputs"):
        scored(maps, "curves=false", *settings)
    assert content(folder) == before
    assert list(folder.parent.iterdir()) == [folder]
    other = scored(maps, "curves=false", *settings, "protocol.name=mine")
    assert other.name == "toy-mine"


def test_what_changes_no_number_may_change(maps: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = scored(maps)
    rows = content(folder)["a.csv"]
    monkeypatch.chdir(maps)
    others = ["gt=gt", "curves=false", "columns=[mae]", "names=[a,c]", "protocol.note=x", "runtime.workers=1"]
    assert scored(maps, *others) == folder
    assert content(folder)["a.csv"] == rows
    assert "c.csv" in content(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda summary: {**summary, "files": ["../precious"]},
        lambda summary: {**summary, "files": [".."]},
        lambda summary: {k: v for k, v in summary.items() if k != "files"},
        lambda summary: {**summary, "protocol": 3},
        lambda summary: [summary],
    ],
)
def test_a_summary_that_is_not_ours_removes_nothing(maps: Path, change: Callable) -> None:
    folder = scored(maps, "curves=false")
    (folder.parent / "precious").write_text("x")
    (folder / "summary.json").write_text(json.dumps(change(json.loads((folder / "summary.json").read_text()))))
    with pytest.raises(ValueError, match="no summary that can be compared"):
        scored(maps, "curves=false")
    assert (folder.parent / "precious").exists()


def test_a_signal_while_files_take_their_places_waits(maps: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder is never half of two calls; the signal is heard afterwards."""
    folder, heard = maps / "toy", []
    before = signal.signal(signal.SIGUSR1, lambda *_: heard.append(len(content(folder))))
    replace = os.replace
    monkeypatch.setattr("os.replace", lambda *paths: (os.kill(os.getpid(), signal.SIGUSR1), replace(*paths)))
    try:
        with beside(folder, {"gt": "x", "protocol": {}, "settings": {}}) as draft:
            for name in ("summary.json", "z", "a"):
                (draft / name).write_text("{}")
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert heard == [3]


def test_sigterm_says_that_nothing_was_kept(maps: Path) -> None:
    """Exit 75 is for commands that go on where they stopped."""
    write(maps, ("gt", "a"), [f"more{i:04d}" for i in range(500)])
    arguments = [sys.executable, "-m", "seglab.score", "pred=a", "gt=gt", "set=toy", "runtime.workers=1"]
    environment = {**os.environ, "PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(arguments, cwd=maps, env=environment, stderr=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + 120
        while not list((maps / "outputs").glob("scores/.toy*")):  # it scores
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < until
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        text = process.stderr.read()
    assert process.returncode == 128 + signal.SIGTERM, text
    assert "stopped" in text
    assert "go on" not in text
    assert not list((maps / "outputs" / "scores").iterdir())


def test_masks_without_an_object_are_told(maps: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    for i in range(2):
        Image.fromarray(np.zeros((9, 11), bool)).save(maps / "gt" / f"im{i}.png")
    for workers in (0, 2):
        caplog.clear()
        folder = scored(maps, "curves=false", f"runtime.workers={workers}")
        told = [r.getMessage() for r in caplog.records if "without an object" in r.getMessage()]
        assert told == ["masks without an object (no pixel above protocol.mask_above=128): 2 names (im0.png, im1.png)"]
        assert json.loads((folder / "summary.json").read_text())["masks_without_object"] == 2


@pytest.mark.parametrize("protocol", ["pysodmetrics", "regularized_paper"])
def test_a_set_of_empty_masks_is_an_error(maps: Path, protocol: str) -> None:
    for path in (maps / "gt").iterdir():
        Image.fromarray(np.zeros((9, 11), np.uint16)).save(path)
    with pytest.raises(ValueError, match=r"all 6 masks .* without an object .*mask_above=.*nothing was written"):
        scored(maps, f"protocol={protocol}")
    assert not list((maps / "out" / "scores").iterdir())


def test_sixteen_bits_give_the_numbers_of_eight(maps: Path) -> None:
    want = json.loads((scored(maps, "curves=false") / "summary.json").read_text())["methods"]
    for top in (1, 255, 65535):
        for path in (maps / "gt").iterdir():
            mask = np.asarray(Image.open(path)) > 0
            Image.fromarray(mask.astype(np.uint16) * np.uint16(top)).save(path)
        assert json.loads((scored(maps, "curves=false") / "summary.json").read_text())["methods"] == want
    for path in (maps / "a").iterdir():
        Image.fromarray(np.asarray(Image.open(path)).astype(np.uint16)).save(path)
    with pytest.raises(ValueError, match=r"6 x image of 16 or 32 bits(.|\n)*no value above 2\d\d, of 65535"):
        scored(maps)


def test_what_looks_like_labels_can_be_taken_as_it_is(maps: Path) -> None:
    Image.fromarray(np.eye(9, 11, dtype=np.uint8)).save(maps / "a" / "im0.png")
    mask = 255 * np.eye(9, 11, dtype=np.uint8)
    mask[0, 5] = 3
    Image.fromarray(mask).save(maps / "gt" / "im1.png")
    with pytest.raises(ValueError, match=r"2 x label map where .*reading=grey"):
        scored(maps, "curves=false")
    folder = scored(maps, "curves=false", "reading=grey", "protocol=cas_paper")
    with open(folder / "a.csv", newline="") as file:
        mae = float(next(csv.DictReader(file))["mae"])
    truth = np.asarray(Image.open(maps / "gt" / "im0.png"))
    assert mae == pytest.approx(np.abs(np.eye(9, 11) / 255 - truth).mean(), abs=1e-12)


def test_names_in_two_forms_of_unicode_are_one(maps: Path) -> None:
    """``é`` is one letter or two, as the system pleases that a name was typed on."""
    one, two = (unicodedata.normalize(form, "café ü") for form in ("NFC", "NFD"))
    write(maps, ("gt",), [two])
    write(maps, ("a", "b"), [one])
    folder = scored(maps, "curves=false")
    with open(folder / "a.csv", newline="", encoding="utf-8") as file:
        assert next(csv.DictReader(file))["id"] == two, "the mask's spelling"
    (maps / "a" / f"{two}.png").write_bytes((maps / "a" / f"{one}.png").read_bytes())
    with pytest.raises(ValueError, match=r"1 x name used by several files(.|\n)*cafe\\u0301 .* and caf\\xe9 "):
        scored(maps)


def test_paths_as_they_are_typed(maps: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(maps))
    assert complete(["pred=a,b", "gt=c", "names=x"]) == ["pred=[a,b]", "gt=c", "names=x"]
    assert complete(["pred=[a,b]", "names=[x,y]", "columns=[mae]"]) == ["pred=[a,b]", "names=[x,y]", "columns=[mae]"]
    assert complete(["pred=~/a", "gt=~/my gt"]) == [f"pred={maps}/a", f"gt='{maps}/my gt'"]
    assert complete(["pred=my maps (v2), 12"]) == ["pred=['my maps (v2)','12']"]
    assert complete(["-m", "pred=a,b"]) == ["-m", "pred=a,b"]
    (maps / "a, b").mkdir()
    monkeypatch.chdir(maps)
    assert complete(["pred=a, b", "gt=a,b"]) == ["pred='a, b'", "gt='a,b'"]


def test_the_command_takes_odd_paths(maps: Path, command: Callable) -> None:
    (maps / "a").rename(maps / "my maps (v2)")
    (maps / "gt").rename(maps / "the masks, ünd [all]")
    arguments = ["pred=my maps (v2), b", "gt=~/the masks, ünd [all]", "names=ours (v2), it's", "set=a, b"]
    done = command("score", *arguments, "curves=false", env={"HOME": str(maps)})
    assert done.returncode == 0, done.stderr
    folder = maps / done.stdout.splitlines()[-1]
    assert {"ours -v2-.csv", "it-s.csv"} <= content(folder).keys()
    assert "| ours (v2) " in done.stdout
    done = command("score", "pred=['~/b']", "gt='~/the masks, ünd [all]'", "names=b", env={"HOME": str(maps)})
    assert done.returncode == 0, done.stderr
