"""Figures from networks trained in seconds: they are drawn, say what they show, and are the same every time."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from seglab.config import compose
from seglab.report.figures import (
    imbalance,
    networks,
    noise_samples,
    sparse_outputs,
    sparsity,
    toy_scatter,
    training_curve,
)
from seglab.report.figures.context import FigureContext
from seglab.run import Run
from seglab.tables.spec import Row, TableSpec
from seglab.tables.values import TableValues
from seglab.train import train


def context_of(folder: Path, runs: dict[str, tuple[Run, ...]], configs: dict, names: list[str]) -> FigureContext:
    rows = tuple(Row(name, "ours", run=("a=1",)) for name in names)
    spec = TableSpec(id="t", paper="cas", title="T", source="s", protocol="p", rows=rows)
    values = TableValues(spec, "smoke", "generated images, 32 px, 2 epochs", (), {})
    return FigureContext(values=values, configs=configs, runs=runs, stem=folder / "t-smoke")


def trained(folder: Path, overrides: dict[str, list[str]], shared: list[str]):
    """Configs and finished runs of some rows, two seeds of the last one."""
    configs, runs = {}, {}
    last = list(overrides)[-1]
    for name, own in overrides.items():
        cfgs = [compose("train", [*shared, *own, f"seed={s}"]) for s in ((0, 1) if name == last else (0,))]
        configs[name] = cfgs[0]
        runs[name] = tuple(Run(train(cfg)) for cfg in cfgs)
    return configs, runs


@pytest.fixture(scope="module")
def shapes(tmp_path_factory) -> FigureContext:
    """CE and CAS (two seeds) on generated images with half of the masks exchanged; a third row is not trained yet."""
    folder = tmp_path_factory.mktemp("shapes")
    shared = [
        "data=shapes", "data.size=32", "data.source.train=16", "data.source.test=8", "batch_size=4", "val=0.25",
        "schedule.epochs=2", "tracker=none", "noise.rate=0.5", "runtime.device=cpu", "runtime.threads=1",
        "runtime.progress=false", f"runtime.outputs={folder}",
    ]  # fmt: skip
    configs, runs = trained(folder, {"Net-CE": ["loss=ce"], "Net-CAS": ["loss=cas"]}, shared)
    return context_of(folder / "figures", runs, configs, ["Net-CE", "Net-CAS", "Net-later"])


@pytest.fixture(scope="module")
def points(tmp_path_factory) -> FigureContext:
    """CE and CAS on a small draw of the toy."""
    folder = tmp_path_factory.mktemp("points")
    shared = [
        "data=toy_imbalance", "data.source.counts=[300,5]", "data.source.repeat=9", "model=mlp_10", "batch_size=1",
        "val=0.1", "schedule.epochs=2", "tracker=none", "runtime.device=cpu", "runtime.threads=1",
        "runtime.progress=false", f"runtime.outputs={folder}",
    ]  # fmt: skip
    configs, runs = trained(folder, {"CE": ["loss=ce"], "CAS": ["loss=cas"]}, shared)
    return context_of(folder / "figures", runs, configs, ["CE", "CAS"])


def without_runs(context: FigureContext, folder: Path, *, configs: bool) -> FigureContext:
    return FigureContext(context.values, context.configs if configs else {}, {}, folder / "empty")


def captured(monkeypatch: pytest.MonkeyPatch, module, draw) -> tuple[Figure, str]:
    """The figure that a function would write, and its note."""
    figure, notes = Figure(), []

    def keep(context, paint, *, note, **_) -> list[Path]:
        paint(figure)
        notes.append(note)
        return []

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_figure", keep)
        draw()
    return figure, notes[0]


SHAPES = {
    "sparse_outputs": (sparse_outputs.sparse_outputs, ["image", "mask", "Net-CAS: channel 0", "Net-CAS: channel 1"]),
    "sparsity": (sparsity.sparsity, ["Net-CE", "% of pixels above 0.95", "larger channel (no unit)", "(log)"]),
    "imbalance": (imbalance.imbalance, ["image", "mask", "Net-CE", "Net-CAS", "chosen by rule", "object", "part"]),
    "noise_samples": (
        noise_samples.noise_samples,
        ["true mask", "mask the loss sees", "mask exchanged", "6 of the 12"],
    ),
    "training_curve": (training_curve.training_curve, ["Net-CAS, 2 seeds", "exact -1.8 to 0.1", "epoch"]),
}


@pytest.mark.parametrize("name", SHAPES)
def test_figure_of_networks_is_drawn_twice_the_same(shapes, name):
    function, words = SHAPES[name]
    files = function(shapes, name="f.1")
    assert [f.name for f in files] == ["t-smoke-f.1.png", "t-smoke-f.1.svg"]
    assert len(np.unique(np.asarray(Image.open(files[0]).convert("L")))) > 20
    text = " ".join(" ".join(ElementTree.parse(files[1]).getroot().itertext()).split())
    for word in [*words, "scale smoke: generated images, 32 px, 2 epochs"]:
        assert word in text
    assert "later" not in text
    first = [f.read_bytes() for f in files]
    assert [f.read_bytes() for f in function(shapes, name="f.1")] == first


@pytest.mark.parametrize("name", SHAPES)
def test_figure_without_runs_draws_nothing(shapes, tmp_path, name):
    assert SHAPES[name][0](without_runs(shapes, tmp_path, configs=False), name="f") == []
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", [n for n in SHAPES if n not in ("noise_samples", "sparse_outputs")])
def test_rows_are_checked(shapes, name):
    with pytest.raises(ValueError, match=r"table t: figures: f: rows: no row 'Net-CASS', did you mean 'Net-CAS'"):
        SHAPES[name][0](shapes, name="f", rows=["Net-CASS"])


def test_both_channels_are_those_of_the_network(shapes, monkeypatch):
    figure, note = captured(
        monkeypatch, sparse_outputs, lambda: sparse_outputs.sparse_outputs(shapes, name="f", row="Net-CE", count=2)
    )
    panels = [axes.get_images()[0].get_array() for axes in figure.axes]
    assert len(panels) == 2 * 4
    assert np.abs(panels[2].astype(int) + panels[3] - 255).max() <= 1  # the two channels add up to 1
    evaluator = networks.load_network(shapes, "Net-CE")
    dataset = networks.scored_images(evaluator)
    expected = next(networks.softmax_of(evaluator, dataset, [4]))  # the second of two among eight
    np.testing.assert_allclose(panels[6][:, :, 0], expected[0] * 255, atol=0.51)
    np.testing.assert_array_equal(panels[5][:, :, 0] > 0, dataset.mask(4) == 1)
    assert shapes.runs["Net-CE"][0].path.name in note


def test_imbalance_shows_the_images_of_the_rule(shapes, monkeypatch):
    figure, _ = captured(monkeypatch, imbalance, lambda: imbalance.imbalance(shapes, name="f", count=4))
    dataset = networks.scored_images(networks.load_network(shapes, "Net-CE"))
    areas = [float((dataset.mask(i) == 1).mean()) for i in range(len(dataset))]
    shown = [figure.axes[4 * i + 1].get_images()[0].get_array()[:, :, 0] > 0 for i in range(4)]
    assert [float(m.mean()) for m in shown[:2]] == sorted(areas)[:2]


def test_noise_samples_frame_what_is_exchanged(shapes, tmp_path, monkeypatch):
    planned = without_runs(shapes, tmp_path, configs=True)  # no run is needed
    figure, note = captured(monkeypatch, noise_samples, lambda: noise_samples.noise_samples(planned, name="f", count=4))
    true, seen = ([figure.axes[4 * i + j].get_images()[0].get_array() for j in range(4)] for i in (1, 2))
    exchanged = [bool((a != b).all()) for a, b in zip(true, seen, strict=True)]
    framed = [axes.spines["top"].get_linewidth() > 2 for axes in figure.axes[8:12]]
    assert framed == exchanged
    assert sum(framed) == 2
    assert "noise rate 0.5" in note


def test_toy_shows_points_and_boundaries(points, tmp_path):
    files = toy_scatter.toy_scatter(points, name="points")
    text = " ".join(ElementTree.parse(files[1]).getroot().itertext())
    for word in ("class 1: 300 points", "class 2: 5 points", "CE", "CAS", "scale smoke"):
        assert word in text
    first = [f.read_bytes() for f in files]
    assert [f.read_bytes() for f in toy_scatter.toy_scatter(points, name="points")] == first
    planned = toy_scatter.toy_scatter(without_runs(points, tmp_path, configs=True), name="points")
    assert "boundary" not in planned[1].read_text()
    assert toy_scatter.toy_scatter(without_runs(points, tmp_path, configs=False), name="points") == []


def test_boundary_is_what_the_network_says(points):
    axes = [np.linspace(-1, 2, 5), np.linspace(-3, 3, 7)]
    classes = toy_scatter.boundary(points, "CAS", axes)
    assert classes.shape == (7, 5)
    evaluator = networks.load_network(points, "CAS")
    import torch

    for i, y in enumerate(axes[1]):
        for j, x in enumerate(axes[0]):
            image = torch.tensor([x, y], dtype=torch.float32).reshape(1, 2, 1, 1)
            assert classes[i, j] == int(evaluator.post(evaluator.model(image)))


def test_toy_refuses_photographs(shapes):
    with pytest.raises(ValueError, match=r"data=shapes: expected points as an image of shape \(2, 1, N\)"):
        toy_scatter.toy_scatter(shapes, name="points")


def test_network_computes_where_it_is_asked_to_now(shapes, tmp_path):
    cfg = shapes.configs["Net-CE"].copy()
    cfg.runtime.outputs, cfg.runtime.precision = str(tmp_path), "bf16"
    moved = FigureContext(shapes.values, {"Net-CE": cfg}, shapes.runs, shapes.stem)
    found = networks.run_config(moved, "Net-CE")
    assert found.runtime.outputs == str(tmp_path)
    assert found.runtime.precision == "fp32"  # as it was trained
