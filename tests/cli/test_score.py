"""The score command: several methods, faults told at once, label maps, processes, files."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import re
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seglab.config import compose
from seglab.metrics.protocol import Protocol
from seglab.metrics.saliency import score_map
from seglab.score import score
from seglab.scoring import work as work_module
from seglab.scoring.folders import method_names, set_name

IMAGES = 20


@pytest.fixture
def maps(tmp_path: Path) -> Path:
    """Masks and two methods, one of them better, in grey PNG."""
    rng = np.random.default_rng(0)
    for name in ("gt", "good", "poor"):
        (tmp_path / name).mkdir()
    for i in range(IMAGES):
        mask = np.zeros((14, 17), bool)
        mask[3:9, 2 + i % 5 : 11] = True
        Image.fromarray(mask).save(tmp_path / "gt" / f"im{i:02d}.png")
        for name, noise in (("good", 40), ("poor", 110)):
            values = np.clip(60 + 150 * mask + rng.normal(0, noise, mask.shape), 0, 255)
            Image.fromarray(values.astype(np.uint8)).save(tmp_path / name / f"im{i:02d}.png")
    return tmp_path


def scored(root: Path, *settings: str) -> Path:
    pred = [] if any(s.startswith("pred=") for s in settings) else [f"pred=[{root / 'good'},{root / 'poor'}]"]
    gt = [] if any(s.startswith("gt=") for s in settings) else [f"gt={root / 'gt'}"]
    return score(compose("score", [*pred, *gt, f"runtime.outputs={root / 'out'}", *settings]))


def metrics(folder: Path) -> dict[str, dict[str, float]]:
    methods = json.loads((folder / "summary.json").read_text())["methods"]
    return {name: method["metrics"] for name, method in methods.items()}


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_command_prints_the_table_and_the_folder(maps: Path, command: Callable) -> None:
    done = command("score", "pred=good,poor", "gt=gt", "set=toy", "runtime.workers=1", "protocol=cas_paper")
    assert done.returncode == 0, done.stderr
    folder = maps / done.stdout.splitlines()[-1]
    assert folder == maps / "outputs" / "scores" / "toy-cas_paper"
    assert "| good " in done.stdout
    assert (folder / "table.md").read_text().startswith("# toy, 20 images, protocol cas_paper")
    names = {"good.csv", "poor.csv", "table.md", "table.csv", "table.tex", "summary.json"}
    names |= {f"{kind}.{end}" for kind in ("pr", "f", "e") for end in ("png", "svg")}
    names |= {"good-curves.csv", "poor-curves.csv"}
    assert {p.name for p in folder.iterdir()} == names
    assert [p.name for p in folder.parent.iterdir()] == ["toy-cas_paper"], "a draft was left behind"


def test_neither_the_command_nor_its_processes_import_torch(maps: Path, command: Callable) -> None:
    (maps / "sitecustomize.py").write_text(
        "import sys\nclass No:\n    def find_spec(self, name, *_):\n"
        "        if name.split('.')[0] in ('torch', 'pandas'):\n            raise ImportError('refused: ' + name)\n"
        "sys.meta_path.insert(0, No())\n"
    )
    path = os.pathsep.join([str(maps), str(Path(__file__).resolve().parents[2])])
    done = command("score", "pred=good", "gt=gt", "curves=false", "runtime.workers=1", env={"PYTHONPATH": path})
    assert done.returncode == 0, done.stderr


def test_rows_are_the_metrics_of_each_image(maps: Path) -> None:
    folder = scored(maps, "protocol=cas_paper", "curves=false")
    table = rows(folder / "good.csv")
    assert [row["id"] for row in table] == [f"im{i:02d}" for i in range(IMAGES)]
    for row in table:
        map_HW, mask_HW = (np.asarray(Image.open(maps / d / f"{row['id']}.png")) for d in ("good", "gt"))
        want = score_map(map_HW, mask_HW, Protocol(name="cas")).values
        assert list(row) == ["id", *want]
        assert {k: float(v) for k, v in row.items() if k != "id"} == want
    means = {name: np.mean([float(row[name]) for row in table]) for name in table[0] if name != "id"}
    got = metrics(folder)["good"]
    assert {name: got[name] for name in means} == pytest.approx(means, abs=1e-14)


def test_the_number_of_processes_changes_no_byte(maps: Path) -> None:
    folders = {
        n: scored(maps, f"runtime.workers={n}", "curves=false", f"runtime.outputs={maps / str(n)}") for n in (0, 1, 2)
    }
    files = sorted(p.name for p in folders[0].iterdir())
    assert len(files) == 6
    for name in files:
        same = {(folder / name).read_bytes() for folder in folders.values()}
        assert len(same) == 1, name


def test_best_is_bold_and_second_underlined(maps: Path) -> None:
    folder = scored(maps, "names=[ours_v2,the other]", "set=my set", "columns=[mae,s_measure]", "curves=false")
    assert folder.name == "my set-pysodmetrics"
    text, tex = (folder / "table.md").read_text(), (folder / "table.tex").read_text()
    good, poor = metrics(folder).values()
    assert f"| ours_v2   | **{good['mae']:.3f}** | **{good['s_measure']:.3f}** |" in re.sub(r" +\*", " *", text)
    assert f"<u>{poor['mae']:.3f}</u>" in text
    assert rf"ours\_v2 & \textbf{{{good['mae']:.3f}}} & \textbf{{{good['s_measure']:.3f}}} \\" in tex
    assert rf"the other & \underline{{{poor['mae']:.3f}}}" in tex
    assert "MAE $\\downarrow$ & S $\\uparrow$" in tex
    assert tex.count("{") == tex.count("}")
    assert [row["method"] for row in rows(folder / "table.csv")] == ["ours_v2", "the other"]


def test_files_without_a_partner(maps: Path) -> None:
    for i in range(7):
        (maps / "good" / f"im{i:02d}.png").unlink()
    (maps / "gt" / "im08.png").unlink()
    with pytest.raises(ValueError, match="nothing was written") as caught:
        scored(maps)
    text = str(caught.value)
    assert re.search(r"7 x mask without a map .*missing=skip", text)
    assert re.search(r"2 x map without a mask", text)
    assert "im00.png has none in" in text
    assert len(text.splitlines()) < 15
    path = maps / "out" / "scores" / f"{maps.name}-pysodmetrics.unmatched.csv"
    assert f"All 9 files without a partner are listed in {path}" in text
    want = [("good", f"im{i:02d}", "mask without a map") for i in range(7)]
    want += [(method, "im08", "map without a mask") for method in ("good", "poor")]
    assert sorted(tuple(row.values()) for row in rows(path)) == sorted(want)
    assert list((maps / "out").rglob("*.*")) == [path]
    folder = scored(maps, "missing=skip", "curves=false")
    assert not path.exists()
    assert "scored on different images" in (folder / "table.md").read_text()
    summary = json.loads((folder / "summary.json").read_text())
    assert [m["images"] for m in summary["methods"].values()] == [12, 19]
    assert summary["left_out"] == {"maps_without_mask": 2, "masks_without_map": 7, "file": "left_out.csv"}
    assert sorted(tuple(row.values()) for row in rows(folder / "left_out.csv")) == sorted(want)


def test_all_faults_of_all_files_are_told_at_once(maps: Path) -> None:
    good, gt = maps / "good", maps / "gt"
    (good / "im00.png").write_bytes(b"")
    (good / "im01.png").write_bytes((good / "im01.png").read_bytes()[:60])
    Image.fromarray(np.zeros((3, 5), np.uint8)).save(good / "im02.png")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (14, 17, 3), np.uint8)).save(good / "im03.png")
    Image.fromarray(np.tile(np.arange(17, dtype=np.uint8), (14, 1))).save(gt / "im04.png")
    Image.fromarray(np.ones((14, 17), np.uint8)).save(good / "im05.png")
    (good / "im06.jpg").write_bytes((good / "im06.png").read_bytes())
    (good / ".hidden.png").write_bytes(b"resource fork")
    for workers in (0, 2):
        with pytest.raises(ValueError, match="faults in the files; nothing was written") as caught:
            scored(maps, f"runtime.workers={workers}")
        text = str(caught.value)
        assert "2 x file that cannot be read" in text
        assert "im02.png: map 5x3, mask 17x14" in text
        assert "resize=to_mask" in text
        assert "1 x image in colour" in text
        assert "2 x label map where" in text
        assert "im06.jpg and im06.png" in text
        assert not list((maps / "out" / "scores").glob("*"))


def test_maps_of_another_size(maps: Path) -> None:
    for path in (maps / "good").iterdir():
        Image.open(path).resize((34, 28), Image.Resampling.NEAREST).save(path)
    with pytest.raises(ValueError, match=r"20 x map of another size(.|\n)*map 34x28, mask 17x14"):
        scored(maps)
    assert metrics(scored(maps, "resize=to_mask", "curves=false"))["good"]["mae"] < 0.4


def test_regularized_paper_pools_pixels(maps: Path) -> None:
    folder = scored(maps, "protocol=regularized_paper")
    pictures = {d: np.stack([np.asarray(Image.open(p)) for p in sorted((maps / d).iterdir())]) for d in ("good", "gt")}
    found, truth = pictures["good"] / 255 > 0.5, pictures["gt"]
    tp, fp, fn = (found & truth).sum(), (found & ~truth).sum(), (~found & truth).sum()
    got = metrics(folder)["good"]
    assert got["jaccard"] == pytest.approx(100 * tp / (tp + fp + fn))
    assert got["fbeta"] == pytest.approx(130 * tp / (0.3 * (tp + fn) + tp + fp))
    back = (~found & ~truth).sum()
    assert got["miou"] == pytest.approx(50 * (tp / (tp + fp + fn) + back / (back + fp + fn)))
    assert got["jaccard_image_mean"] != pytest.approx(got["jaccard"], abs=1e-6)


def test_masks_of_zero_and_one(maps: Path) -> None:
    """Not silently an empty mask."""
    want = metrics(scored(maps, "curves=false"))
    for path in (maps / "gt").iterdir():
        Image.fromarray(np.asarray(Image.open(path)).astype(np.uint8)).save(path)
    assert metrics(scored(maps, "curves=false")) == want


def test_trimaps(maps: Path) -> None:
    """The border of a trimap, 255, is not counted."""
    for path in (maps / "gt").iterdir():
        mask = np.asarray(Image.open(path)).astype(np.uint8)
        mask[:, 9:] = 255
        Image.fromarray(mask).save(path)
    got = metrics(scored(maps, "protocol=regularized_paper", "protocol.trimap=true"))["good"]
    pictures = {d: np.stack([np.asarray(Image.open(p)) for p in sorted((maps / d).iterdir())]) for d in ("good", "gt")}
    found, truth = (p[:, :, :9] for p in (pictures["good"] / 255 > 0.5, pictures["gt"] == 1))
    assert got["accuracy"] == pytest.approx(100 * (found == truth).mean())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["pred={root}/gt"], "are one folder"),
        (["pred={root}/goood"], r"goood does not exist: .* holds .*good"),
        (["gt={root}/good/im00.png"], "is a file"),
        (["pred={root}/text"], r"has no image .*1 name \(a.txt\)"),
        (["pred={root}"], "it holds the folders"),
        (["pred={root}/others"], "no file of pred.*has the name of one"),
        (["pred=[{root}/good,{root}/good]"], "names a folder twice"),
        (["pred=[]"], "pred is empty"),
        (["names=[a]"], "expected 2 different names"),
        (["names=[a,left_out]"], "two files would have one name"),
        (["reading=gray"], "reading=gray: expected one of strict, grey"),
        (["names=[a,table]"], "two files would have one name"),
        (["names=[a,a-curves]"], "two files would have one name"),
        (["missing=maybe"], "missing=maybe: expected one of error, skip"),
        (["resize=pred"], "resize=pred: expected one of error, to_mask"),
        (["columns=[maee]"], "columns=maee: no such metric, did you mean 'mae'"),
        (["protocol.beta2=0"], "^protocol.beta2=0: expected a number above 0"),
        (["protocol=regularized_paper", "protocol.classes=1"], "^protocol.classes=1: expected null"),
    ],
)
def test_mistakes_are_named(maps: Path, settings: list[str], words: str) -> None:
    for name, file in (("text", "a.txt"), ("others", "xyz.png")):
        (maps / name).mkdir()
        (maps / name / file).write_bytes((maps / "good" / "im00.png").read_bytes())
    with pytest.raises(ValueError, match=words):
        scored(maps, *(s.format(root=maps) for s in settings))


def test_a_killed_process_is_one_message(maps: Path) -> None:
    """A scoring process gets SIGKILL, as from the kernel when memory runs out."""
    killed = []

    def kill() -> None:
        while not killed:
            for child in multiprocessing.active_children():
                os.kill(child.pid, signal.SIGKILL)
                killed.append(child.pid)
                return
            time.sleep(0.01)

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    with pytest.raises(ValueError, match="one of 2 scoring processes ended abruptly"):
        scored(maps, "runtime.workers=2")
    thread.join()
    assert killed
    assert not list((maps / "out" / "scores").glob("*"))


def test_names_of_methods_and_sets(tmp_path: Path) -> None:
    folders = [tmp_path / "a" / "SOD", tmp_path / "b" / "SOD"]
    assert method_names(folders) == ["a-SOD", "b-SOD"]
    assert method_names(folders[:1]) == ["SOD"]
    assert set_name(tmp_path / "ECSSD" / "masks") == set_name(tmp_path / "ECSSD") == "ECSSD"


def test_empty_masks_and_skipping(maps: Path) -> None:
    Image.fromarray(np.zeros((14, 17), bool)).save(maps / "gt" / "im00.png")
    skip = scored(maps, "protocol=cas_paper", "curves=false", "protocol.empty_mask=skip")
    row = rows(skip / "good.csv")[0]
    assert row["fbeta_adaptive"] == ""
    assert row["mae"] != ""


def test_part_length_is_not_chosen_by_the_number_of_processes() -> None:
    """Sums are added part by part: another length would change the last digits of a table."""
    assert work_module.PART == 8
