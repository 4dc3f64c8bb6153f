"""Figures and pictures of the HTML report, from made-up tables, runs and files."""

from __future__ import annotations

import base64
import io
import json
import logging
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seglab.data.grid import save_grid
from seglab.report.page.curves import curve_figures
from seglab.report.page.figure import KINDS, Figure
from seglab.report.page.figures import figures_of
from seglab.report.page.grids import grids_of
from seglab.report.page.marks import colour_of, shape_of
from seglab.report.page.pictures import data_uri
from seglab.report.page.pr_curves import Place, curves_of, pr_figures
from seglab.run import Run
from seglab.tables.spec import Column, Row, TableSpec
from seglab.tables.values import Cell, RunInfo, TableValues

COLUMN = Column("F", "sod", "fbeta_adaptive", "higher", paper_name="F")
LINES = "seglab.report.figures.lines.lines"


def table(rows, cells, *, columns=(COLUMN,), figures=(), runs=(), seeds=(0, 1)) -> TableValues:
    spec = TableSpec("t", "cas", "A title", "table 0", "as told", columns, tuple(rows), figures=tuple(figures))
    return TableValues(spec, "small", "small pictures", columns, cells, seeds=seeds, runs=tuple(runs))


def noise_table(**options) -> TableValues:
    rows = [Row(f"CAS {x}", "ours", series="CAS", x=x, run=(f"noise.rate={x}",)) for x in (0.1, 0.3, 0.5)]
    cells = {
        ("CAS 0.1", "F"): Cell(ours=(0.8, 0.9), seeds=(0, 1), published=0.9, runs=("a-s0", "a-s1")),
        ("CAS 0.3", "F"): Cell(published=0.7),
        ("CAS 0.5", "F"): Cell(ours=(0.5,), seeds=(0,)),
    }
    node = {"_target_": LINES, "name": "noise", "metrics": ["fbeta_adaptive"], "x_label": "rate"}
    infos = [RunInfo("a-s0", "CAS 0.1", 0), RunInfo("a-s1", "CAS 0.1", 1)]
    return table(rows, cells, figures=[node], runs=infos, **options)


def trained(folder: Path, name: str, *, precision: float = 0.5, config: str | None = None) -> Run:
    run = Run(folder / "runs" / name)
    (run.path / "eval").mkdir(parents=True)
    settings = {"data": {"name": "sod"}, "eval": {"task": "saliency", "watch": ["mae"], "protocol": {"fixed": 0.5}}}
    (run.path / "config.yaml").write_text(config or json.dumps(settings))
    rows = "".join(f"{t},{precision},{1 - t}\n" for t in (0.0, 0.5, 1.0))
    (run.path / "eval" / "sod-cas-curves.csv").write_text(f"threshold,precision,recall\n{rows}")
    (run.path / "eval" / "sod-cas.json").write_text(json.dumps({"set": "sod", "metrics": {"mae": 0.25}}))
    (run.path / "log.jsonl").write_text(json.dumps({"epoch": 0, "loss": -0.5, "val_mae": 0.125}) + "\n")
    return run


def pictures(run: Run, count: int, **options) -> Path:
    rng = np.random.default_rng(0)
    grid = [rng.integers(0, 255, (32, 32, 3), dtype=np.uint8) for _ in range(count)]
    map_HW = [g[..., 0] / 255 for g in grid]
    columns = {"image": grid, "mask": [g[..., 0] > 99 for g in grid], "map": map_HW, "cut": [m > 0.5 for m in map_HW]}
    return save_grid(columns, run.path / "samples" / "epoch-0010.png", **options)


def test_noise_plots_show_mean_deviation_published_and_gaps():
    (figure,) = curve_figures("t-small", noise_table())
    assert (figure.id, figure.kind, figure.table) == ("t-small-noise", "noise", "t-small")
    assert "CAS, ours, 0.1: 0.85 (0.7793 to 0.9207)" in figure.html
    assert "CAS, ours, 0.5: 0.5</title>" in figure.html, "one seed: a mark without a bar"
    assert "CAS, published, 0.3: 0.7" in figure.html
    assert "CAS, ours, 0.3" not in figure.html
    assert figure.html.count('class="bar"') == 1
    assert "asked for: 0, 1" in figure.caption
    assert "small pictures" in figure.caption


def test_columns_with_noise_are_points_of_a_line_for_each_row():
    columns = tuple(
        Column(f"b {x}", "sod", "mae", "lower", paper_name=f"b {x}", group=g, x=x, overrides=o)
        for x, g, o in ((0.0, "", ()), (0.3, "boundary", ("noise=boundary", "noise.rate=0.3")))
    )
    cells = {(r, c.name): Cell(ours=(0.1 + c.x,)) for r in ("CE", "GCE") for c in columns}
    (figure,) = curve_figures("t-small", table([Row("CE", "ours"), Row("GCE", "ours")], cells, columns=columns))
    assert figure.kind == "noise"
    assert "CE, 0: 0.1" in figure.html
    assert "GCE, 0.3: 0.4" in figure.html
    assert "boundary" in figure.html


def test_a_table_without_axis_or_numbers_has_no_plot():
    assert curve_figures("t-small", table([Row("CE", "ours")], {("CE", "F"): Cell(ours=(1.0,))})) == []
    rows = [Row("CE", "ours", series="CE", x=1.0)]
    assert curve_figures("t-small", table(rows, {("CE", "F"): Cell()})) == []


def test_precision_and_recall_are_means_over_the_seeds(tmp_path):
    values = noise_table()
    runs = [trained(tmp_path, "a-s0", precision=0.4), trained(tmp_path, "a-s1", precision=0.8)]
    found = curves_of(values, {run.path.name: run for run in runs}, Place("sod"), reasons := [])
    recall, precision = found["CAS 0.1"]
    assert (recall, precision, reasons) == (pytest.approx([1, 0.5, 0]), pytest.approx([0.6] * 3), [])
    (figure,) = pr_figures("t-small", values, runs)
    assert figure.kind == "pr"
    assert "sod, protocol cas" in figure.html


@pytest.mark.parametrize("content", ["", "threshold,precision,recall\n0,x,1\n", "precision,recall\nnan,1\n", "\0\0"])
def test_a_damaged_curve_is_told_and_the_rest_is_drawn(tmp_path, content, caplog):
    runs = [trained(tmp_path, "a-s0"), trained(tmp_path, "a-s1")]
    (runs[1].path / "eval" / "sod-cas-curves.csv").write_text(content)
    with caplog.at_level(logging.WARNING):
        (figure,) = pr_figures("t-small", noise_table(), runs)
    assert "Left out: a-s1/eval/sod-cas-curves.csv" in figure.caption
    assert "a-s1" in caplog.text


def test_curves_of_another_kind_are_passed_over(tmp_path):
    run = trained(tmp_path, "a-s0")
    (run.path / "eval" / "sod-cas-curves.csv").write_text("count,oracle\n1,0.5\n")
    assert pr_figures("t-small", noise_table(), [run]) == []


def picture_table(name: str = "grid", function: str = "object_grid.object_grid") -> TableValues:
    node = {"_target_": f"seglab.report.figures.{function}", "name": name}
    return table([Row("<CE>", "ours")], {}, columns=(), figures=[node], runs=[RunInfo("a-s0", "<CE>", 0)])


def noisy_picture(file: Path, side: int) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (side, side, 3), dtype=np.uint8)).save(file)
    return file


def test_pictures_are_embedded_smaller_with_words(tmp_path):
    noisy_picture(tmp_path / "figures" / "t-small-grid.png", 1600)
    (figure,) = figures_of(tmp_path, {"t-small": picture_table()}, {}, limit_bytes=10**8)
    assert figure.kind == "samples"
    uri, shape = data_uri(tmp_path / "figures" / "t-small-grid.png")
    assert shape == (1400, 1400)
    assert uri in figure.html
    assert 'alt="A title: test images' in figure.html
    assert "&lt;CE&gt;" not in figure.caption, "plain text: the page escapes it"


def test_a_damaged_picture_is_a_reason(tmp_path):
    file = noisy_picture(tmp_path / "figures" / "t-small-grid.png", 64)
    file.write_bytes(file.read_bytes()[:500])
    (figure,) = figures_of(tmp_path, {"t-small": picture_table()}, {}, limit_bytes=10**8)
    assert "Not drawn: " in figure.html
    assert "damaged" in figure.html


def test_the_budget_makes_smaller_then_leaves_out_and_says_so(tmp_path, caplog):
    for name in ("a", "b"):
        noisy_picture(tmp_path / "figures" / f"t-{name}-grid.png", 1500 if name == "a" else 300)
    tables = {f"t-{name}": picture_table() for name in ("a", "b")}
    whole = {f.table: len(f.html) for f in figures_of(tmp_path, tables, {}, limit_bytes=10**8)}
    with caplog.at_level(logging.WARNING):
        smaller = figures_of(tmp_path, tables, {}, limit_bytes=sum(whole.values()) - 1)
    assert [f.table for f in smaller] == ["t-a", "t-b"]
    assert len(smaller[0].html) < whole["t-a"], "the largest is made smaller"
    assert len(smaller[1].html) == whole["t-b"]
    assert "made smaller 1 times" in caplog.text
    few = figures_of(tmp_path, tables, {}, limit_bytes=whole["t-b"] + 1000)
    assert [f.table for f in few] == ["t-b"]
    assert "left out 1 figure (t-a-grid)" in caplog.text
    assert figures_of(tmp_path, tables, {}, limit_bytes=0) == []


def test_a_damaged_run_costs_its_figure_only(tmp_path):
    run = trained(tmp_path, "a-s0", config="loss: [")
    values = picture_table("curve", "training_curve.training_curve")
    tables, runs = {"n-small": noise_table(), "t-small": values}, {"t-small": [run]}
    found = figures_of(tmp_path, tables, runs, limit_bytes=10**8)
    assert [f.kind for f in found] == ["noise", "other"]
    assert "Not drawn: " in found[1].html


def test_the_training_curve_has_both_bounds(tmp_path):
    run = trained(
        tmp_path, "a-s0", config='{"loss": {"_target_": seglab.losses.cas.CAS, "alpha": 0.1}, data: {name: s}}'
    )
    values = picture_table("curve", "training_curve.training_curve")
    (figure,) = figures_of(tmp_path, {"t-small": values}, {"t-small": [run]}, limit_bytes=10**8)
    assert figure.kind == "training"
    assert "bounds of the paper" in figure.html
    assert re.search(r"exact bounds: 1: -1.8, 1: -1.8\.", figure.html)


def test_flips_are_drawn_from_the_numbers_beside_the_picture(tmp_path):
    from seglab.metrics.flip_curve import flip_curve
    from seglab.report.figures.iou_flips import write_curves

    labels = np.repeat(np.arange(3), 40).reshape(10, 12)
    write_curves(tmp_path / "figures" / "t-small-f.csv", flip_curve(labels, classes=3, flips=100, seed=0))
    values = picture_table("f", "iou_flips.iou_flips")
    (figure,) = figures_of(tmp_path, {"t-small": values}, {}, limit_bytes=10**8)
    assert figure.kind == "iou_uoi"
    assert "mean UOI (101 points, first and last): 0: 1," in figure.html
    (tmp_path / "figures" / "t-small-f.csv").write_text("flips,iou\n0,1\n")
    (figure,) = figures_of(tmp_path, {"t-small": values}, {}, limit_bytes=10**8)
    assert "Not drawn: t-small-f.csv" in figure.html


def test_ids_are_unique_and_fit_for_a_page(tmp_path):
    tables = {"T_1-small": noise_table(), "T 1-small": noise_table()}
    found = figures_of(tmp_path, tables, {}, limit_bytes=10**8)
    assert [f.id for f in found] == ["t-1-small-noise"]
    assert all(re.fullmatch(r"[a-z0-9-]+", f.id) and f.kind in KINDS and isinstance(f, Figure) for f in found)


def test_grids_are_cut_into_a_strip_for_each_image(tmp_path):
    run = trained(tmp_path, "sod-unet-s0-0123456789")
    file = pictures(run, 3)
    (grid,) = grids_of([run], limit_bytes=10**7)
    assert (grid["ids"][0], grid["named"]) == ("held-out image 1", False)
    assert grid["run"] == run.path.name
    assert grid["columns"] == ["image", "mask", "map", "map > 0.5"]
    assert grid["scores"] == {"held out: mae": 0.125, "sod: mae": 0.25}
    assert len(grid["images"]) == len(grid["ids"]) == len(grid["alts"]) == 3
    strip = Image.open(io.BytesIO(base64.b64decode(grid["images"][1].partition(",")[2])))
    assert list(strip.size) == grid["size"] == [4 * 134 - 6, 128]
    with Image.open(file) as page:
        there = np.asarray(page.convert("L"), dtype=float)[24 + 152 : 24 + 152 + 128, 6 : 6 + 530]
    assert np.abs(np.asarray(strip.convert("L"), dtype=float) - there).mean() < 12, "the second row of the grid"


def test_grids_are_named_by_what_their_files_say(tmp_path):
    run = trained(tmp_path, "sod-unet-s0-0123456789")
    pictures(run, 3, told={"columns": ["a", "<b>", "c", "d"], "ids": ["cat 1", "<i>", "dog"]})
    (grid,) = grids_of([run], limit_bytes=10**7)
    assert (grid["ids"], grid["columns"], grid["named"]) == (["cat 1", "<i>", "dog"], ["a", "<b>", "c", "d"], True)
    pictures(run, 3, told={"columns": "image", "ids": 3})
    (grid,) = grids_of([run], limit_bytes=10**7)
    assert (grid["columns"][0], grid["ids"][0]) == ("image", "held-out image 1"), "another program's chunk"


def test_samples_tell_their_ids_and_columns(tmp_path, monkeypatch):
    from types import SimpleNamespace

    from seglab import samples

    class Set(list):
        ids = ("first", "second", "third")

        def mask(self, i):
            return np.eye(8, dtype=np.uint8)

    maps = [np.full((8, 8), 0.7, dtype=np.float32)] * 2
    monkeypatch.setattr(samples, "maps_of", lambda *a: maps)
    monkeypatch.setattr(
        samples, "_given", lambda d, rows: {"image": maps[: len(rows)], "mask": [d.mask(0)] * len(rows)}
    )
    evaluator = SimpleNamespace(post=None, cfg=SimpleNamespace(eval=SimpleNamespace(protocol={"adaptive": 2})))
    monkeypatch.setattr("seglab.evaluator.kind_of", lambda post: "map")
    file = samples.save_samples(evaluator, Set([0, 1, 2]), tmp_path / "epoch-0001.png", count=2)
    with Image.open(file) as opened:
        told = json.loads(opened.text["seglab"])
    assert told == {"columns": ["image", "mask", "map", "map > 2 mean"], "ids": ["first", "second"]}


def test_runs_that_were_trained_differently_are_never_averaged(tmp_path):
    columns = tuple(
        Column(
            f"{g} {x} F",
            "sod",
            "fbeta",
            "higher",
            paper_name=f"{g} {x} F",
            group=g,
            x=x,
            overrides=(f"noise={g}", str(x)),
        )
        for g, x in (("flip", 0.1), ("flip", 0.5), ("flip", 1.0), ("drop", 0.5))
    )
    cells = {("CE", c.name): Cell(ours=(1.0,), seeds=(0,), runs=(f"r{i}",)) for i, c in enumerate(columns)}
    runs = [trained(tmp_path, f"r{i}", precision=0.1 * (i + 1)) for i in (0, 1, 3)]
    (figure,) = pr_figures("t-small", table([Row("CE", "ours")], cells, columns=columns), runs)
    assert "Of every group" in figure.caption
    titles = [name for name in ("flip 0.1", "flip 0.5", "flip 1.0", "drop 0.5") if f"cas, {name}" in figure.html]
    assert titles == ["flip 0.5", "drop 0.5"], "the last of each group that has curves"
    assert [round(v, 3) for v in (0.2, 0.4) if f": 1, {v:g}" in figure.html or f"{v:g}" in figure.html] == [0.2, 0.4]


def test_groups_of_columns_share_the_axis_of_their_metric():
    columns = tuple(
        Column(f"{g} {x}", "sod", "mae", "lower", paper_name=f"{g} {x}", group=g, x=x, overrides=(f"noise={g}", str(x)))
        for g in ("flip", "drop")
        for x in (0.1, 0.9)
    )
    cells = {("CE", c.name): Cell(ours=(0.9 if c.group == "flip" else 0.1,)) for c in columns[:3]}
    (figure,) = curve_figures("t-small", table([Row("CE", "ours")], cells, columns=columns))
    plots = [re.findall(r">(-?[\d.]+)</text>", svg) for svg in re.findall(r"<svg.*?</svg>", figure.html, re.DOTALL)]
    ends = [plot for plot in plots if len(plot) > 3]
    assert len(ends) == 2
    assert ends[0] == ends[1], "ticks of both axes"
    assert {"0.00", "1.00"} <= set(ends[0]), "all lines fit"


def test_lines_of_one_plot_are_told_apart_by_colour_or_mark():
    looks = [(colour_of(i), shape_of(i)) for i in range(1, 65)]
    assert len(set(looks)) == 64


def test_grids_keep_the_line_of_text_below_pictures(tmp_path):
    run = trained(tmp_path, "a-s0")
    pictures(run, 2, titles=["cow: dog", "none: none"])
    (grid,) = grids_of([run], limit_bytes=10**7)
    assert grid["size"][1] == 128 + 18


def test_grids_fit_the_limit_with_fewer_images_of_each_run(tmp_path, caplog):
    runs = [trained(tmp_path, f"r-s{i}") for i in range(3)]
    for run in runs:
        pictures(run, 6)
    whole = grids_of(runs, limit_bytes=10**7)
    size = sum(len(image) for grid in whole for image in grid["images"])
    with caplog.at_level(logging.INFO):
        half = grids_of(runs, limit_bytes=size // 2)
        few = grids_of(runs, limit_bytes=size // 18 * 2)
    assert [len(grid["images"]) for grid in whole] == [6, 6, 6]
    assert {len(grid["images"]) for grid in half} <= {1, 2, 3}
    assert sum(len(image) for grid in half for image in grid["images"]) <= size // 2
    assert len(few) < 3
    assert "are left out" in caplog.text
    assert grids_of(runs, limit_bytes=0) == []


def test_runs_without_pictures_or_with_damaged_ones_are_passed_over(tmp_path, caplog):
    runs = [trained(tmp_path, f"r-s{i}") for i in range(4)]
    pictures(runs[0], 2)
    pictures(runs[1], 2).write_bytes(b"no picture")
    noisy_picture(runs[2].path / "samples" / "epoch-0001.png", 77)
    assert [grid["run"] for grid in grids_of(runs, limit_bytes=10**7)] == ["r-s0"]
    assert "r-s1: its pictures are left out" in caplog.text
    assert "77 x 77 pixels: expected a grid" in caplog.text


def test_figures_are_made_without_torch():
    import subprocess
    import sys

    code = "import sys, seglab.report.page.figures, seglab.report.page.grids; print('torch' in sys.modules)"
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert made.stdout.strip() == "False"
