"""Figures of the SegNet paper from made-up runs: what is drawn is what the files say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from omegaconf import OmegaConf
from PIL import Image

from seglab.config import compose
from seglab.data.palette import class_palette
from seglab.data.standin import write_standins
from seglab.metrics.flip_curve import flip_curve
from seglab.report.figures import canvas, iou_flips, oracle, rerank_curve, rerank_grid
from seglab.report.figures.context import FigureContext
from seglab.run import Run
from seglab.tables.spec import Column, Row, TableSpec
from seglab.tables.values import TableValues

START, CE, UOI = "CE first", "CE", "UOI"
NAMES = ("iou_flips", "rerank_curve", "oracle", "rerank_grid")


@pytest.fixture(autouse=True)
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures with fewer pixels, which are drawn faster."""
    monkeypatch.setattr(canvas, "DPI", 50)


def make_run(folder: Path, curve: dict[int, float] | None = None, best=(), metrics=None) -> Run:
    """A finished run scored on the set ``people``."""
    (folder / "eval").mkdir(parents=True)
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create({"data": {"name": "people"}})))
    (folder / "DONE").write_text("now\n")
    if curve:
        lines = [f"{step},{value},0" for step, value in curve.items()]
        place = folder / "eval/people-rerank_curve-original-curves.csv"
        place.write_text("\n".join(["step,miou_kl,miou_naive", *lines]))
    if metrics:
        lines = [f"{m},{value},{value + 1}" for m, value in enumerate(best, 1)]
        place = folder / "eval/people-rerank_miou-original-curves.csv"
        place.write_text("\n".join(["m,miou_oracle,accuracy_oracle", *lines]))
        place.with_name("people-rerank_miou-original.json").write_text(json.dumps({"metrics": metrics}))
    return Run(folder)


def make(folder: Path, runs: dict[str, tuple[Run, ...]], runtime=None) -> FigureContext:
    columns = (Column("People", "people", "miou_kl", "higher", "rerank_curve"),)
    rows = tuple(Row(name, "ours", run=("a=1",)) for name in runs)
    spec = TableSpec(id="t", paper="segnet", title="T", source="s", protocol="p", rows=rows, columns=columns)
    values = TableValues(spec, "small", "PeopleSeg, 64 px", columns, {})
    stem = folder / "figures" / "t-small"
    return FigureContext(values, {}, {n: r for n, r in runs.items() if r}, stem, runtime)


def painted(monkeypatch: pytest.MonkeyPatch, module, draw) -> Figure:
    """The figure that a function would write."""
    figure = Figure(layout="constrained")
    monkeypatch.setattr(module, "write_figure", lambda context, paint, **_: paint(figure) or [])
    draw()
    return figure


def line_of(figure: Figure, label: str, panel: int = 0):
    return next(line for line in figure.axes[panel].lines if line.get_label() == label)


def test_nothing_is_drawn_without_runs_and_rows_are_checked(tmp_path: Path) -> None:
    context = make(tmp_path, {"UOI": ()})
    assert rerank_curve.rerank_curve(context, name="f") == []
    assert oracle.oracle(context, name="f", row="UOI") == []
    assert rerank_grid.rerank_grid(context, name="f", row="UOI") == []
    assert not (tmp_path / "figures").exists()
    for module in (oracle.oracle, rerank_grid.rerank_grid):
        with pytest.raises(ValueError, match=r"rows: no row 'UOJ', did you mean 'UOI'"):
            module(context, name="f", row="UOJ")


def test_figures_are_imported_without_torch_and_pyplot() -> None:
    code = f"import sys\nfor n in {NAMES}: __import__('seglab.report.figures.' + n)\n"
    code += "print(sorted({'torch', 'matplotlib.pyplot'} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


# figure 6


def curve_runs(folder: Path) -> dict[str, tuple[Run, ...]]:
    return {
        START: (make_run(folder / "a0", {1: 30.0, 100: 40.0}), make_run(folder / "a1", {1: 32.0, 100: 42.0})),
        CE: (make_run(folder / "b0", {10: 41.0, 50: 43.0}), make_run(folder / "b1", {10: 43.0, 50: 47.0})),
    }


def test_curves_go_on_from_the_start_and_are_means_over_the_seeds(tmp_path: Path, monkeypatch) -> None:
    context = make(tmp_path, curve_runs(tmp_path))
    figure = painted(
        monkeypatch, rerank_curve, lambda: rerank_curve.rerank_curve(context, name="c", rows=[CE], start=START)
    )
    first, later = line_of(figure, START), line_of(figure, CE)
    assert list(first.get_xdata()) == [1, 100]
    assert list(first.get_ydata()) == [31, 41]
    assert list(later.get_xdata()) == [100, 110, 150]
    assert list(later.get_ydata()) == [41, 42, 45], "it begins at the start's last point"
    (_, band) = figure.axes[0].collections
    there = {tuple(point) for point in band.get_paths()[0].vertices}
    assert {(150.0, 43.0), (150.0, 47.0)} <= there, "from the lowest to the highest seed"
    alone = painted(monkeypatch, rerank_curve, lambda: rerank_curve.rerank_curve(context, name="c", rows=[CE]))
    assert list(line_of(alone, CE).get_xdata()) == [10, 50]


def test_a_run_without_a_curve_is_told(tmp_path: Path) -> None:
    context = make(tmp_path, {UOI: (make_run(tmp_path / "r"),)})
    with pytest.raises(ValueError, match=r"row 'UOI': no run with eval/people-rerank_curve\*-curves.csv: expected"):
        rerank_curve.rerank_curve(context, name="c")
    (tmp_path / "r/eval/people-rerank_curve-curves.csv").write_text("step,miou\n1,2\n")
    with pytest.raises(ValueError, match=r"no column miou_kl with a value: expected step, miou_kl"):
        rerank_curve.rerank_curve(context, name="c")


def test_files_are_the_same_bytes_every_time(tmp_path: Path) -> None:
    context = make(tmp_path, curve_runs(tmp_path))
    files = rerank_curve.rerank_curve(context, name="c", start=START)
    assert [file.name for file in files] == ["t-small-c.png", "t-small-c.svg"]
    before = [file.read_bytes() for file in files]
    assert [file.read_bytes() for file in rerank_curve.rerank_curve(context, name="c", start=START)] == before
    with Image.open(files[0]) as image:
        assert image.convert("RGB").getpixel((2, 2)) == (255, 255, 255)


# oracle


def test_oracle_rises_beside_the_lines_of_the_rankers(tmp_path: Path, monkeypatch) -> None:
    runs = tuple(
        make_run(tmp_path / f"r{seed}", best=[40 + seed, 50 + seed, 55 + seed],
                 metrics={"miou_first": 40 + seed, "miou_random": 38, "miou_kl": 45 + seed, "kl_accuracy": 61.0})
        for seed in (0, 2)
    )  # fmt: skip
    context = make(tmp_path, {UOI: runs})
    figure = painted(monkeypatch, oracle, lambda: oracle.oracle(context, name="o", row=UOI))
    curve = line_of(figure, "oracle: the most accurate of them")
    assert list(curve.get_xdata()) == [1, 2, 3]
    assert list(curve.get_ydata()) == [41, 51, 56]
    labels = {line.get_label(): line for line in figure.axes[0].lines}
    assert labels["first proposal"].get_ydata() == [41, 41]
    assert labels["chosen by the distance (KL)"].get_ydata() == [46, 46]
    assert "chosen by the ranking SVM" not in labels, "the run has none"
    other = painted(monkeypatch, oracle, lambda: oracle.oracle(context, name="o", row=UOI, metric="accuracy"))
    assert list(line_of(other, "oracle: the most accurate of them").get_ydata()) == [42, 52, 57]
    assert line_of(other, "chosen by the distance (KL)").get_ydata() == [61, 61]
    with pytest.raises(ValueError, match=r"figures: o: metric=iou: expected miou or accuracy"):
        oracle.oracle(context, name="o", row=UOI, metric="iou")


# figure 2


@pytest.fixture(scope="module")
def flips_context(tmp_path_factory) -> FigureContext:
    folder = tmp_path_factory.mktemp("flips")
    write_standins(["camvid_semantic"], folder / "data")
    runtime = compose("evaluate", ["run=none", "data=shapes", f"runtime.data_root={folder}/data"]).runtime
    return make(folder, {}, runtime)


def test_flips_are_those_of_a_real_label_map(flips_context: FigureContext, monkeypatch) -> None:
    from seglab.targets import instantiate

    def draw() -> None:
        iou_flips.iou_flips(flips_context, name="f", data="camvid_semantic", share=0.5, seed=3)

    figure = painted(monkeypatch, iou_flips, draw)
    node = iou_flips._data_node(flips_context, "camvid_semantic")
    name, labels = iou_flips.label_map(node, None, figure="f")
    maps = {item.id: item.read()[1] for item in instantiate(node.source).items("test")}
    assert np.array_equal(labels, maps[name])
    kinds = {one: len(np.setdiff1d(np.unique(m), [255])) for one, m in maps.items()}
    assert kinds[name] == max(kinds.values())
    wanted = flip_curve(labels, classes=11, flips=int(0.5 * (labels != 255).sum()), seed=3)
    last = np.flatnonzero(np.isfinite(wanted["uoi"]))[-1]
    for panel, label, key in ((0, "IOU", "iou"), (1, "UOI", "uoi")):
        line = line_of(figure, label, panel)
        assert line.get_ydata()[0] == 1
        assert line.get_xdata()[-1] == last / 1000
        assert line.get_ydata()[-1] == wanted[key][last]
    iou, bound = line_of(figure, "IOU"), figure.axes[0].lines[1]
    assert "bound" in bound.get_label()
    assert (iou.get_ydata() >= bound.get_ydata() - 1e-12).all()
    with pytest.raises(ValueError, match=r"figures: f: share=0: expected a number above 0"):
        iou_flips.iou_flips(flips_context, name="f", data="camvid_semantic", share=0)
    with pytest.raises(ValueError, match=r"figures: f: image=none: no test image of camvid_semantic"):
        iou_flips.iou_flips(flips_context, name="f", data="camvid_semantic", image="none")
    with pytest.raises(ValueError, match=r"data=shapes: its task is saliency"):
        iou_flips.iou_flips(flips_context, name="f", data="shapes")


# grid


def shown(chosen: dict[str, int], count: int = 7) -> rerank_grid.Shown:
    mask = np.zeros((20, 30), np.uint8)
    mask[5:15, 5:15] = 2
    mask[0] = 255
    labels = np.stack([np.roll(np.where(mask == 255, 0, mask), m, axis=1) for m in range(count)])
    probs = np.full((3, 4, 4), 0.2)
    probs[2, 1:3, 1] = 0.7
    return rerank_grid.Shown("one", np.full((20, 30, 3), 9, np.uint8), mask, probs, labels, np.arange(count) * 10.0,
                             chosen)  # fmt: skip


def test_grid_shows_proposals_with_accuracies_and_frames_of_those_chosen() -> None:
    figure = Figure(layout="constrained")
    one = shown({"oracle": 6, "kl": 3, "svm": 3})
    rerank_grid.paint(figure, [one], ["background", "a", "b"], most=5)
    assert rerank_grid.ordered(one, 5) == [0, 1, 2, 3, 6], "what is chosen takes the place of the last that is not"
    words = [axes.get_xlabel() for axes in figure.axes]
    assert words[:4] == ["one", "true classes", "network, 4x4 cells", "probability of b"]
    assert words[5:10] == ["1: 0.0 %", "2: 10.0 %", "3: 20.0 %", "4: 30.0 %  KL, SVM", "7: 60.0 %  oracle"]
    frames = [[p for p in axes.patches if isinstance(p, Rectangle)] for axes in figure.axes[5:10]]
    assert [len(of) for of in frames] == [0, 0, 0, 2, 1]
    palette = class_palette()
    truth = figure.axes[1].images[0].get_array()
    assert truth[10, 10].tolist() == palette[2].tolist()
    assert truth[0, 0].tolist() == palette[255].tolist()
    network = figure.axes[2].images[0].get_array()
    assert network.shape == (20, 30, 3)
    assert network[7, 10].tolist() == network[5, 8].tolist()
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["background", "b", "ignored", "oracle", "KL", "SVM"]


def test_images_are_those_where_the_distance_chooses_anew(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r")
    rows = ["id,index,chosen_oracle,chosen_kl", "007,0,1,0", "8,1,2,4", "9,2,,", "10,3,0,5", "11,4,0,6"]
    (tmp_path / "r/eval/people-rerank_miou-original.csv").write_text("\n".join(rows))
    choices = rerank_grid.choices_of(run, "people")
    assert choices["007"] == {"oracle": 1, "kl": 0}
    assert "9" not in choices, "it has no labelled pixel"
    ids = ["007", "8", "9", "10", "11"]
    assert rerank_grid.picked(ids, choices, count=2, images=None, figure="g") == [1, 3]
    assert rerank_grid.picked(ids, choices, count=2, images=["11", "007"], figure="g") == [4, 0]
    with pytest.raises(ValueError, match=r"figures: g: images=9: no scored test image has such a name"):
        rerank_grid.picked(ids, choices, count=2, images=["9"], figure="g")
    with pytest.raises(ValueError, match=r"no sod-rerank_miou\*.csv: expected a run scored on sod with eval=rerank"):
        rerank_grid.choices_of(run, "sod")
