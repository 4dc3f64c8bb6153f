"""Figures of the regularized-loss paper from made-up runs: what is drawn, what it says, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from omegaconf import OmegaConf
from PIL import Image

from seglab.report.figures import annealing_curve, annealing_strip, canvas, loss_scatter, object_grid
from seglab.report.figures.context import FigureContext
from seglab.run import Run
from seglab.tables.spec import Column, Row, TableSpec, load_table
from seglab.tables.values import Cell, TableValues

NAMES = ("annealing_curve", "annealing_strip", "loss_scatter", "object_grid")
ANNEAL = {
    "_target_": "seglab.phases.Phases",
    "phases": {"anneal": {"epochs": 3, "set": {"sigma": {"from": 0.0, "to": 0.15}}}, "normal": {"epochs": 3}},
    "snapshot_epochs": [1, 3, 50],
}
LOSS = {"_target_": "seglab.losses.regularized.Regularized", "sigma": 0.15, "scale": "unit",
        "weights": {"sparse_crf": 100.0}}  # fmt: skip


@pytest.fixture(autouse=True)
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures with fewer pixels, which are drawn faster."""
    monkeypatch.setattr(canvas, "DPI", 50)


def make_run(folder: Path, data: str = "people", **nodes) -> Run:
    """A run folder with a config, finished."""
    folder.mkdir(parents=True)
    evaluation = {"protocol": {"name": "crf_correlation", "fixed": 0.5}, "resolution": "network"}
    cfg = {"data": {"name": data}, "eval": evaluation, "loss": LOSS, "schedule": ANNEAL, "val": 0.1, **nodes}
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(cfg)))
    (folder / "DONE").write_text("now\n")
    return Run(folder)


def make(folder: Path, runs: dict[str, tuple[Run, ...]], columns=(), rows=(), cells=None) -> FigureContext:
    rows = tuple(rows) or tuple(Row(name, "ours", run=("a=1",)) for name in runs)
    spec = TableSpec(id="t", paper="reg", title="T", source="s", protocol="p", rows=rows, columns=tuple(columns))
    values = TableValues(spec, "small", "PeopleSeg, 64 px", tuple(columns), cells or {})
    configs = {name: of_row[0].config() for name, of_row in runs.items() if of_row}
    return FigureContext(values, configs, {n: r for n, r in runs.items() if r}, folder / "figures" / "t-small")


def text_of(path: Path) -> str:
    return " ".join(" ".join(ElementTree.parse(path).getroot().itertext()).split())


def painted(monkeypatch: pytest.MonkeyPatch, module, draw) -> Figure:
    """The figure that a function would write."""
    figure = Figure()
    monkeypatch.setattr(module, "write_figure", lambda context, paint, **_: paint(figure) or [])
    draw()
    return figure


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_drawn_without_runs_and_rows_are_checked(tmp_path: Path, name: str) -> None:
    draw = getattr(globals()[name], name)
    context = make(tmp_path, {"UResNext": ()})
    assert draw(context, name="f") == []
    assert not (tmp_path / "figures").exists()
    option = {"row": "UResnext"} if name in ("annealing_strip", "loss_scatter") else {"rows": ["UResnext"]}
    with pytest.raises(ValueError, match=r"rows: no row 'UResnext', did you mean 'UResNext'"):
        draw(context, name="f", **option)


def test_figures_are_imported_without_torch_and_pyplot() -> None:
    code = f"import sys\nfor n in {NAMES}: __import__('seglab.report.figures.' + n)\n"
    code += "print(sorted({'torch', 'matplotlib.pyplot'} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


# figure 1


def scored(folder: Path, data: str, fbeta: list[float], truth: float = 0.5) -> Run:
    run = make_run(folder, data)
    lines = [f"{i + 1},{f},{0.04 - f / 4000},{9 - f / 20}" for i, f in enumerate(fbeta)]
    (folder / "eval").mkdir()
    (folder / f"eval/{data}-crf_correlation-curves.csv").write_text(
        "\n".join(["step,fbeta,sparse_crf,dense_crf", *lines])
    )
    metrics = {"gt_sparse_crf": 0.001, "gt_dense_crf": truth, "correlation_sparse_crf": -1.0,
               "correlation_dense_crf": -0.25}  # fmt: skip
    (folder / f"eval/{data}-crf_correlation.json").write_text(json.dumps({"metrics": metrics}))
    return run


def scatter_table(folder: Path, runs: tuple[Run, ...]) -> FigureContext:
    columns = [
        Column("MSRA", "people", "correlation", "lower", "crf_correlation", paper_name="MSRA"),
        Column("SOD", "sod", "correlation", "lower", "crf_correlation", paper_name="ECSSD"),
    ]
    rows = [Row("sparse-CRF", "ours", run=("a=1",), metric="correlation_sparse_crf")]
    cells = {("sparse-CRF", "MSRA"): Cell(published=-0.895), ("sparse-CRF", "SOD"): Cell(published=-0.956)}
    return make(folder, {"sparse-CRF": runs}, columns, rows, cells)


def test_scatter_has_a_point_a_snapshot_and_an_asterisk_for_the_true_masks(tmp_path, monkeypatch) -> None:
    runs = (scored(tmp_path / "a", "people", [10, 40, 60]), scored(tmp_path / "b", "sod", [20, 30, 90], truth=9.0))
    context = scatter_table(tmp_path, runs)
    png, svg = loss_scatter.loss_scatter(context, name="scatter")
    words = text_of(svg)
    for word in ("sparse-CRF", "dense-CRF", "People: r = -1.000 (paper: -0.895)", "People: r = -0.250",
                 "SOD: r = -1.000 (paper, ECSSD: -0.956)", "true masks", "one of 3 snapshots"):  # fmt: skip
        assert word in words, word
    before = png.read_bytes()
    loss_scatter.loss_scatter(context, name="scatter")
    assert png.read_bytes() == before
    figure = painted(monkeypatch, loss_scatter, lambda: loss_scatter.loss_scatter(context, name="scatter"))
    points, star = (figure.axes[0].collections[i].get_offsets() for i in (0, 1))
    low, high = 0.001, 0.04 - 10 / 4000  # the true masks have the lowest loss
    np.testing.assert_allclose(points[:, 0], [10, 40, 60])
    np.testing.assert_allclose(points[:, 1], [(0.04 - f / 4000 - low) / (high - low) for f in (10, 40, 60)])
    np.testing.assert_allclose(star, [[100, 0]])
    np.testing.assert_allclose(figure.axes[1].collections[3].get_offsets(), [[104, 1]])  # of SOD: beside, above all


def test_scatter_puts_the_seeds_on_one_scale() -> None:
    one = loss_scatter.Curves(np.array([1.0, 2.0]), {"a": np.array([4.0, 2.0])}, {"a": 0.0}, {"a": -1.0})
    two = loss_scatter.Curves(np.array([1.0, 2.0]), {"a": np.array([8.0, 6.0])}, {"a": 0.0}, {"a": -1.0})
    values, truth = loss_scatter.scaled([one, two], "a")
    np.testing.assert_allclose(values, [[0.5, 0.25], [1.0, 0.75]])
    assert truth == 0
    flat = loss_scatter.Curves(np.array([1.0]), {"a": np.array([3.0])}, {"a": 3.0}, {"a": -1.0})
    assert loss_scatter.scaled([flat], "a")[1] == 0


def test_scatter_says_what_is_missing(tmp_path: Path) -> None:
    context = scatter_table(tmp_path, (make_run(tmp_path / "a"),))
    with pytest.raises(
        ValueError, match=r"no numbers at its snapshots .* expected a run of schedule=snapshots scored by"
    ):
        loss_scatter.loss_scatter(context, name="scatter")
    run = scored(tmp_path / "b", "people", [1, 2])
    (run.path / "eval/people-crf_correlation-curves.csv").write_text("step,fbeta,sparse_crf\n1,2,3\n")
    with pytest.raises(ValueError, match=r"curves.csv: no dense_crf there"):
        loss_scatter.loss_scatter(scatter_table(tmp_path, (run,)), name="scatter")


# figure 2


def test_edge_weights_of_a_pixel_are_the_mean_of_its_right_and_lower_edge() -> None:
    image = np.zeros((4, 5, 3), np.uint8)
    image[:, 3:] = 255  # a step between the columns 2 and 3
    loss = OmegaConf.create({"scale": "unit"})
    found = annealing_strip.mean_weight(image, loss, sigma=0.15)
    assert found.shape == (4, 5)
    np.testing.assert_allclose(found[:, 2], 0.5, atol=1e-6)
    np.testing.assert_allclose(np.delete(found, 2, axis=1), 1.0)
    image[:, 3:] = 50
    w = np.exp(-3 * (50 / 255) ** 2 / (2 * 0.15**2))
    np.testing.assert_allclose(annealing_strip.mean_weight(image, loss, sigma=0.15)[:, 2], (1 + w) / 2, rtol=1e-5)


def strip_run(folder: Path, **nodes) -> Run:
    run = make_run(folder, **nodes)
    (folder / "snapshots").mkdir()
    for step in (12, 36):
        (folder / "snapshots" / f"{step:07d}.safetensors").touch()
    return run


def test_snapshots_belong_to_the_epochs_they_were_kept_after(tmp_path: Path) -> None:
    run = strip_run(tmp_path / "a")
    found = annealing_strip.moments(run, run.config())
    assert [(m.epoch, m.words, m.weights and m.weights.name) for m in found] == [
        (1, "anneal epoch 1", "0000012.safetensors"),
        (3, "anneal epoch 3", "0000036.safetensors"),
        (6, "end, epoch 6", None),
    ]
    assert [m.sigma for m in found] == pytest.approx([0.05, 0.15, 0.15])


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        (
            {"loss": {"_target_": "seglab.losses.ce.CE"}},
            r"loss=seglab.losses.ce.CE: expected a run of loss=regularized",
        ),
        (
            {"schedule": {**ANNEAL, "snapshot_epochs": []}},
            r"keeps no weights of its 6 epochs: expected schedule=anneal",
        ),
        (
            {"schedule": {**ANNEAL, "snapshot_epochs": [1, 2, 3]}},
            r"2 files for the epochs 1, 2, 3: expected one for each",
        ),
    ],
)
def test_runs_without_the_weights_of_an_annealing_are_refused(tmp_path: Path, nodes: dict, message: str) -> None:
    run = strip_run(tmp_path / "a", **nodes)
    with pytest.raises(ValueError, match=message):
        annealing_strip.moments(run, run.config())


class Dataset(list):
    """Three images with an ignored corner, as a data set gives them."""

    ids = ("cat_1", "cat_2", "cat_3")

    def __init__(self) -> None:
        super().__init__({"image": torch.full((3, 8, 10), 90 * i, dtype=torch.uint8)} for i in range(3))

    def mask(self, index: int) -> np.ndarray:
        mask = np.zeros((8, 10), np.uint8)
        mask[2:6, 2:6] = 1
        mask[0, 0] = 255
        return mask


def test_strip_shows_every_moment_with_its_own_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = strip_run(tmp_path / "a")
    context = make(tmp_path, {"UResNext-reg": (run,)})
    now = {"value": 1.0}  # what the network answers: that of the end, until other weights are put in

    def answers(evaluator, dataset, rows):
        return [np.stack([np.zeros((8, 10)), np.full((8, 10), now["value"])]) for _ in rows]

    def with_weights(evaluator, path, dataset, rows):
        now["value"] = {"0000012": 0.25, "0000036": 0.5}[path.stem]
        return [channels[1] for channels in answers(evaluator, dataset, rows)]

    monkeypatch.setattr(annealing_strip, "load_network", lambda context, row: SimpleNamespace(cfg=run.config()))
    monkeypatch.setattr(annealing_strip, "scored_images", lambda evaluator, name: Dataset())
    monkeypatch.setattr(annealing_strip, "softmax_of", answers)
    monkeypatch.setattr(annealing_strip, "_with_weights", with_weights)
    _, svg = annealing_strip.annealing_strip(context, name="strip", count=2, data="oxford_pet")
    words = text_of(svg)
    for word in (
        "sigma 0.05",
        "sigma 0.15",
        "anneal epoch 3",
        "epoch 6",
        "cat_1",
        "edge weights",
        "violet",
        "oxford_pet",
    ):
        assert word in words, word
    now["value"] = 1.0
    figure = painted(
        monkeypatch,
        annealing_strip,
        lambda: annealing_strip.annealing_strip(context, name="strip", count=2, data="oxford_pet"),
    )
    upper = [axes.get_images()[0].get_array()[4, 4, 0] for axes in figure.axes[1:4]]
    assert upper == [64, 128, 255]


# with annealing and without


def logged(folder: Path, values: list[float], *, anneal: int = 0, key: str = "val_fbeta") -> Run:
    run = make_run(folder)
    rows = []
    for epoch, value in enumerate(values):
        own = {"set_sigma": 0.1, "set_sparse_crf": 1.0, "sparse_crf": 0.02} if epoch < anneal else {"sparse_crf": 1.0}
        rows.append(json.dumps({"epoch": epoch, key: value, **own}))
    (folder / "log.jsonl").write_text("\n".join(rows) + "\n")
    return run


def test_curves_are_means_over_seeds_and_losses_without_their_weight(tmp_path: Path, monkeypatch) -> None:
    runs = {
        "with": (logged(tmp_path / "a", [10, 20, 60], anneal=2), logged(tmp_path / "b", [20, 40, 80], anneal=2)),
        "without": (logged(tmp_path / "c", [30, 30, 10]),),
    }
    context = make(tmp_path, runs)
    np.testing.assert_allclose(annealing_curve.sparse_loss(runs["with"][0]), [[1, 2, 3], [0.02, 0.02, 0.01]])
    _, svg = annealing_curve.annealing_curve(context, name="curves")
    words = text_of(svg)
    for word in ("with, 2 seeds", "without, 1 seed", "end of the annealing", "F-measure of held-out images", "10 % of"):
        assert word in words, word
    figure = painted(monkeypatch, annealing_curve, lambda: annealing_curve.annealing_curve(context, name="curves"))
    lines = {line.get_label(): line for line in figure.axes[0].get_lines()}
    np.testing.assert_allclose(lines["with, 2 seeds"].get_xydata(), [[1, 15], [2, 30], [3, 70]])
    assert lines["end of the annealing"].get_xdata()[0] == 2.5
    assert len(figure.axes[0].collections) == 1, "one seed has no band"
    assert figure.axes[0].collections[0].get_datalim(figure.axes[0].transData).extents.tolist() == [1, 10, 3, 80]


def test_runs_without_validation_are_refused(tmp_path: Path) -> None:
    context = make(tmp_path, {"with": (logged(tmp_path / "a", [1, 2], key="val_mae"),)})
    with pytest.raises(ValueError, match=r"log.jsonl: no val_fbeta: expected a run with val=0.1 eval.every=1"):
        annealing_curve.annealing_curve(context, name="curves")
    run = make_run(tmp_path / "b", loss={"_target_": "seglab.losses.ce.CE"})
    (run.path / "log.jsonl").write_text('{"epoch": 0, "val_fbeta": 3.0, "ce": 1.0}\n')
    with pytest.raises(ValueError, match=r"no sparse_crf: expected a run of loss=regularized"):
        annealing_curve.annealing_curve(make(tmp_path, {"with": (run,)}), name="curves")


# figures 3 and 4


def test_agreement_counts_no_ignored_pixels() -> None:
    mask = np.array([[1, 1, 0, 255]])
    assert object_grid.agreement(np.array([[1, 0, 0, 1]]), mask, semantic=False) == 0.5
    assert object_grid.agreement(np.zeros((1, 3)), np.zeros((1, 3)), semantic=False) == 1
    labels = np.array([[2, 2, 0, 255]])
    assert object_grid.agreement(np.array([[2, 0, 0, 7]]), labels, semantic=True) == pytest.approx((1 / 2 + 1 / 2) / 2)
    assert object_grid.agreement(np.array([[2, 3, 0, 7]]), labels, semantic=True) == pytest.approx((1 / 2 + 0 + 1) / 3)


def test_a_set_is_shown_with_the_run_trained_for_it(tmp_path: Path) -> None:
    cow, cat, web = (make_run(tmp_path / n, data) for n, data in
                     (("a", "voc_coseg/cow"), ("b", "voc_coseg/cat"), ("c", "web/cat")))  # fmt: skip
    columns = [Column(n, f"voc_coseg/{n}", "jaccard", "higher") for n in ("cow", "cat", "tv")]
    context = make(tmp_path, {"own": (cow, cat), "web": (web,)}, columns)
    assert object_grid.run_for("voc_coseg/cat", {"voc_coseg/cow": cow, "web/cat": web}) is web
    assert object_grid.run_for("voc_coseg/tv", {"voc_coseg/cow": cow, "web/cat": web}) is None
    found = object_grid.common_sets(context, ["own", "web"], "f")
    assert found == [("voc_coseg/cow", [cow, web]), ("voc_coseg/cat", [cat, web])]
    nothing = make(tmp_path, {"own": (cow, cat)}, columns[2:])
    with pytest.raises(
        ValueError, match=r"f: no data set that all rows have a finished run for: 'own' on voc_coseg/cow"
    ):
        object_grid.common_sets(nothing, ["own"], "f")


def grid_of(monkeypatch: pytest.MonkeyPatch, answers: dict[str, np.ndarray], *, gives: str) -> None:
    """Let every row's network answer each image with the same map."""

    def network(context, row, as_asked):
        cfg = OmegaConf.create(
            {"data": {"name": "people", "classes": ["background", "rose", "ink"]}, "eval": {"protocol": {"fixed": 0.5}}}
        )
        return SimpleNamespace(cfg=cfg, post=SimpleNamespace(gives=gives), row=row)

    monkeypatch.setattr(object_grid, "load_network", network)
    monkeypatch.setattr(object_grid, "scored_images", lambda evaluator, name: Dataset())
    monkeypatch.setattr("seglab.samples.maps_of", lambda evaluator, dataset, rows: [answers[evaluator.row]] * len(rows))


def test_grid_shows_objects_with_their_jaccard_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = make(
        tmp_path, {n: (make_run(tmp_path / n[:4]),) for n in ("without negative loss", "plus negative loss")}
    )
    whole = np.full((8, 10), 0.9, np.float32)
    right = np.where(Dataset().mask(0) == 1, 0.51, 0.5).astype(np.float32)
    grid_of(monkeypatch, {"without negative loss": whole, "plus negative loss": right}, gives="maps")
    png, svg = object_grid.object_grid(context, name="objects", count=2)
    words = text_of(svg)
    for word in ("without negative", "plus negative", "100 %", "20 %", "cat_1", "cat_2", "violet", "Jaccard", "people"):
        assert word in words, word
    assert len(np.unique(np.asarray(Image.open(png).convert("L")))) > 10
    _, svg = object_grid.object_grid(context, name="chosen", images=["cat_3"])
    assert "cat_3" in text_of(svg)
    assert "cat_1" not in text_of(svg)
    with pytest.raises(ValueError, match=r"images=\['dog'\]: no test image of people has such a name"):
        object_grid.object_grid(context, name="chosen", images=["dog"])


def test_grid_shows_classes_in_colours_with_a_legend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = make(tmp_path, {"ours": (make_run(tmp_path / "a"),)})
    found = np.where(Dataset().mask(0) == 1, 1, 0).astype(np.int64)
    grid_of(monkeypatch, {"ours": found}, gives="classes")
    figure = painted(monkeypatch, object_grid, lambda: object_grid.object_grid(context, name="s", count=1))
    assert figure.axes[2].get_images()[0].get_array()[4, 4].tolist() == [128, 0, 0]  # class 1 of PASCAL VOC
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["background", "rose", "ignored"]
    grid_of(monkeypatch, {"ours": found}, gives="regions")
    with pytest.raises(ValueError, match="their read-outs give regions: expected one kind"):
        object_grid.object_grid(context, name="s", count=1)


# the tables of the figures


@pytest.mark.parametrize(
    ("figure", "table"), [("reg_fig_1", "reg_t1"), ("reg_fig_3", "reg_t5"), ("reg_fig_4", "reg_t6")]
)
def test_figures_have_the_runs_of_their_tables(figure: str, table: str) -> None:
    one, other = load_table(figure), load_table(table)
    names = [c.name for c in other.columns]
    for row in one.rows:
        twins = [r for r in other.rows if (r.run, r.metric) == (row.run, row.metric) and r.values]
        assert twins, f"{row.name}: other settings are other runs"
        numbers = [[dict(zip(names, r.values, strict=True))[c.name] for c in one.columns] for r in twins]
        assert list(row.values) in numbers, row.name
    for scale, own in (other.scales or {}).items():
        mine = one.scales[scale]
        assert mine.get("overrides") == own.get("overrides"), f"{figure}, {scale}"
        assert mine.get("seeds") == own.get("seeds"), f"{figure}, {scale}"
        for name, stand_ins in (mine.get("data") or {}).items():
            assert own["data"][name] == stand_ins, f"{figure}, {scale}, {name}"
