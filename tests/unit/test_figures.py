"""Figures from made-up values: what is drawn, what is chosen, and that the files are the same every time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from seglab.data.sample import IGNORE
from seglab.report.figures import canvas, imbalance, lines, loss_profile, networks, noise_samples, sparsity
from seglab.report.figures.context import FigureContext
from seglab.tables.spec import Column, Row, TableSpec
from seglab.tables.values import Cell, TableValues

F_BETA = Column("SOD F_beta", "sod", "fbeta_adaptive", "higher", paper_name="MSRA-B F_beta")
MAE = Column("SOD MAE", "sod", "mae", "lower", paper_name="MSRA-B MAE")
OURS = {"CAS": (0.5, 0.51, 0.52), "CE": (0.48, 0.3, 0.1)}
RATES = (0.02, 0.1, 0.5)


def make(folder: Path, rows, columns=(), cells=None, scale="small", runs=None) -> FigureContext:
    spec = TableSpec(id="t", paper="cas", title="T", source="s", protocol="p", columns=columns, rows=tuple(rows))
    values = TableValues(spec, scale, "SOD for MSRA-B, 128 px", tuple(columns), cells or {}, seeds=(0, 1))
    return FigureContext(values=values, configs={}, runs=runs or {}, stem=folder / "figures" / "t_v1.2-small")


def noise_table(folder: Path, scale: str = "small") -> FigureContext:
    rows, cells = [], {}
    for series, numbers in OURS.items():
        for x, number in zip(RATES, numbers, strict=True):
            row = Row(f"{series} {x}", "ours", run=("a=1",), series=series, x=x)
            rows.append(row)
            cells[row.name, F_BETA.name] = Cell((number - 0.01, number + 0.01), (0, 1), published=0.9 - x)
            cells[row.name, MAE.name] = Cell((1 - number,), (0,), published=x)
    rows.append(Row("quoted", "published"))
    cells["quoted", F_BETA.name] = cells["quoted", MAE.name] = Cell(published=0.7)
    return make(folder, rows, (F_BETA, MAE), cells, scale=scale)


def draw_lines(context: FigureContext, **options) -> list[Path]:
    return lines.lines(context, name="noise", metrics=["fbeta_adaptive", "mae"], x_label="noise rate", **options)


def painted(monkeypatch: pytest.MonkeyPatch, module, draw) -> Figure:
    """The figure that a function would write."""
    figure = Figure()
    monkeypatch.setattr(module, "write_figure", lambda context, paint, **_: paint(figure) or [])
    draw()
    return figure


def text_of(path: Path) -> str:
    """All words of an SVG, which is parsed as XML."""
    return " ".join(" ".join(ElementTree.parse(path).getroot().itertext()).split())


def is_blank(path: Path) -> bool:
    return len(np.unique(np.asarray(Image.open(path).convert("L")))) < 10


def test_lines_write_png_and_svg_that_say_what_they_show(tmp_path):
    files = draw_lines(noise_table(tmp_path))
    assert [f.name for f in files] == ["t_v1.2-small-noise.png", "t_v1.2-small-noise.svg"]
    assert {f.name for f in files[0].parent.iterdir()} == {f.name for f in files}  # nothing temporary is left
    picture = Image.open(files[0])
    assert picture.width == 2000
    assert picture.info["dpi"] == pytest.approx((200, 200), abs=1)
    assert not is_blank(files[0])
    words = text_of(files[1])
    for word in ("CAS, ours", "CE, published", "SOD MAE", "published: MSRA-B MAE", "noise rate", "↑ higher is better"):
        assert word in words
    assert "scale small: SOD for MSRA-B, 128 px" in words


def test_scale_paper_has_no_stand_ins_to_name(tmp_path):
    words = text_of(draw_lines(noise_table(tmp_path, scale="paper"))[1])
    assert "scale paper" in words
    assert "128 px" not in words


def test_same_values_give_the_same_bytes_and_others_do_not(tmp_path):
    context = noise_table(tmp_path)
    first = [f.read_bytes() for f in draw_lines(context)]
    with matplotlib.rc_context({"xtick.major.size": 25}):  # what a user's matplotlibrc might say
        second = [f.read_bytes() for f in draw_lines(context)]
    third = [f.read_bytes() for f in draw_lines(context, title="another")]
    assert first == second
    assert first[0] != third[0]
    assert first[1] != third[1]


def test_drawing_leaves_matplotlib_as_it_was(tmp_path):
    before = dict(matplotlib.rcParams)
    draw_lines(noise_table(tmp_path))
    assert dict(matplotlib.rcParams) == before


def test_figures_are_imported_without_torch_and_pyplot():
    names = ("lines", "loss_profile", "sparse_outputs", "sparsity", "toy_scatter", "imbalance", "training_curve",
             "noise_samples")  # fmt: skip
    code = f"import sys\nfor n in {names}: __import__('seglab.report.figures.' + n)\n"
    code += "print(sorted({'torch', 'matplotlib.pyplot'} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_lines_show_means_deviations_and_dashed_published_numbers(tmp_path, monkeypatch):
    figure = painted(monkeypatch, lines, lambda: draw_lines(noise_table(tmp_path)))
    assert len(figure.axes) == 2
    drawn = {line.get_label(): line for line in figure.axes[0].get_lines()}
    np.testing.assert_allclose(drawn["CE, ours"].get_xydata(), list(zip(RATES, OURS["CE"], strict=True)))
    np.testing.assert_allclose(drawn["CE, published"].get_ydata(), [0.9 - x for x in RATES])
    assert drawn["CE, published"].get_linestyle() == "--"
    assert drawn["CE, published"].get_color() == drawn["CE, ours"].get_color() != drawn["CAS, ours"].get_color()
    bars = figure.axes[0].collections[0].get_segments()  # of CAS, two seeds 0.02 apart
    assert bars[0][1][1] - bars[0][0][1] == pytest.approx(2 * 0.01 * 2**0.5)
    assert not figure.axes[1].collections  # one seed has no deviation


def test_lines_draw_what_is_there(tmp_path, monkeypatch):
    context = noise_table(tmp_path)
    cells = dict(context.values.cells)
    for row in context.values.spec.rows:
        cells[row.name, MAE.name] = Cell()  # a column without any number gives no panel
    cells["CE 0.1", F_BETA.name] = Cell(published=0.8)
    del cells["CE 0.5", F_BETA.name]
    some = make(tmp_path, context.values.spec.rows, (F_BETA, MAE), cells)
    figure = painted(monkeypatch, lines, lambda: draw_lines(some))
    assert len(figure.axes) == 1
    drawn = {line.get_label(): list(line.get_xdata()) for line in figure.axes[0].get_lines()}
    assert drawn["CE, ours"] == [0.02]
    assert drawn["CE, published"] == [0.02, 0.1]
    assert drawn["CAS, ours"] == list(RATES)


def test_lines_without_reference_or_numbers(tmp_path, monkeypatch):
    context = noise_table(tmp_path)
    figure = painted(monkeypatch, lines, lambda: draw_lines(context, reference=False))
    assert not any("published" in line.get_label() for line in figure.axes[0].get_lines())
    empty = make(tmp_path, context.values.spec.rows, (F_BETA, MAE), {})
    monkeypatch.undo()
    assert draw_lines(empty) == []
    assert not (tmp_path / "figures").exists()


def test_lines_have_a_row_of_panels_per_metric_where_data_sets_differ(tmp_path, monkeypatch):
    context = noise_table(tmp_path)
    people = Column("People F_beta", "people", "fbeta_adaptive", "higher", paper_name="DUTS F_beta")
    cells = {**context.values.cells, ("CE 0.1", people.name): Cell((0.6,), (0,))}
    wide = make(tmp_path, context.values.spec.rows, (F_BETA, MAE, people), cells)
    figure = painted(monkeypatch, lines, lambda: draw_lines(wide))
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert [t.splitlines()[0] for t in titles] == ["SOD F_beta", "People F_beta", "SOD MAE"]


def test_lines_with_even_spacing_put_values_side_by_side(tmp_path, monkeypatch):
    figure = painted(monkeypatch, lines, lambda: draw_lines(noise_table(tmp_path), x_scale="even"))
    assert list(figure.axes[0].get_lines()[0].get_xdata()) == [0, 1, 2]
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == ["0.02", "0.1", "0.5"]


def test_lines_say_what_is_wrong(tmp_path):
    context = noise_table(tmp_path)
    with pytest.raises(ValueError, match=r"metrics=f_beta: no column has it, did you mean 'fbeta_adaptive'"):
        lines.lines(context, name="n", metrics=["f_beta"], x_label="x")
    with pytest.raises(ValueError, match="x_scale=cubic: expected one of linear, log, even"):
        draw_lines(context, x_scale="cubic")
    rows = (*context.values.spec.rows, Row("CE 0", "ours", run=("a",), series="CE", x=0.0))
    with pytest.raises(ValueError, match="x_scale=log: row 'CE 0'"):
        draw_lines(make(tmp_path, rows, (F_BETA, MAE), context.values.cells), x_scale="log")


def test_loss_profile_is_the_surface_of_the_paper():
    axis = np.arange(loss_profile.STEPS + 1) / loss_profile.STEPS
    a, b = axis[None], axis[:, None]
    np.testing.assert_allclose(loss_profile.profile(alpha=0.0), -2 * (a - b) ** 2, atol=1e-12)
    mixed = loss_profile.profile(alpha=0.1, one_hot=True)
    expected = 0.1 * 2 * (a * (1 - a) + b * (1 - b)) - 0.9 * 2 * (a - b) ** 2
    np.testing.assert_allclose(mixed, expected, atol=1e-12)
    assert {tuple(at) for at in np.argwhere(mixed == mixed.min())} == {(0, 40), (40, 0)}
    assert (mixed.min(), mixed.max()) == pytest.approx((-1.8, 0.1))  # the exact bounds


def test_loss_profile_needs_no_run(tmp_path, monkeypatch):
    monkeypatch.setattr(loss_profile, "STEPS", 10)
    files = loss_profile.loss_profile(make(tmp_path, []), name="profile", pairs="ordered")
    words = text_of(files[1])
    assert "from -3.60 to 0.10" in words
    assert "scale small" in words
    assert not is_blank(files[0])


def blocks(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    mask = np.zeros((64, 64), dtype=np.uint8)
    for top, left, height, width in boxes:
        mask[top : top + height, left : left + width] = 1
    return mask


def test_imbalance_chooses_the_smallest_and_the_most_disconnected():
    masks = [
        blocks((0, 0, 40, 40)),
        blocks(),  # no object
        blocks((0, 0, 5, 5)),
        blocks((0, 0, 9, 9), (20, 20, 9, 9), (50, 50, 9, 9)),
        blocks((0, 0, 4, 5)),
        blocks((0, 0, 9, 9), (9, 9, 9, 9)),  # corners touch: one part
        blocks((0, 0, 20, 20), (30, 30, 20, 20)),
        blocks((0, 0, 30, 30), *((60, x, 1, 1) for x in range(40, 60, 2))),  # specks are no parts
        np.full((64, 64), IGNORE, dtype=np.uint8),
    ]
    chosen = imbalance.choose(masks, count=4)
    assert [i for i, _ in chosen] == [4, 2, 3, 6]
    assert [words for _, words in chosen] == [
        "object 0.49 % of the image", "object 0.61 % of the image", "3 parts", "2 parts"]  # fmt: skip
    assert [i for i, _ in imbalance.choose(masks, count=3)] == [4, 2, 3]
    assert [i for i, _ in imbalance.choose(masks[:2], count=6)] == [0]
    assert imbalance.choose([]) == []


def test_noise_samples_show_both_kinds():
    flipped = np.array([0, 1, 0, 0, 1, 0, 1, 0], dtype=bool)
    assert noise_samples.choose(flipped, count=4) == [0, 1, 2, 4]
    assert noise_samples.choose(flipped, count=8) == list(range(8))
    assert noise_samples.choose(np.zeros(5, dtype=bool), count=4) == [0, 1, 2, 3]
    assert noise_samples.choose(np.ones(5, dtype=bool), count=4) == [0, 1, 2, 3]
    assert noise_samples.choose(np.array([1, 0]), count=6) == [0, 1]


def test_sparsity_measures_all_pixels():
    first = np.array([[[0.96, 0.5]], [[0.04, 0.5]]], dtype=np.float32)
    second = np.array([[[0.2, 0.0]], [[0.8, 1.01]]], dtype=np.float32)
    found = sparsity.measure([first, second])
    assert found.near == 0.5  # 0.96 and 1.01
    assert found.deviation == pytest.approx(0.01, abs=1e-6)
    assert found.counts.sum() == 4
    assert found.counts[0] == 1
    assert found.counts[-1] == 1  # 1.01 is not lost
    assert found.edges[[0, -1]].tolist() == [0.5, 1.0]
    np.testing.assert_array_equal(found.example, first)


def test_pictures_show_labels_maps_and_ignored_pixels():
    mask = canvas.to_colour(np.array([[0, 1], [IGNORE, 1]], dtype=np.uint8))
    assert mask[:, :, 0].tolist() == [[0, 255], [150, 255]]
    assert canvas.to_colour(np.array([[0.0, 0.5]], dtype=np.float32))[0, :, 1].tolist() == [0, 128]
    image = np.zeros((2, 3, 3), dtype=np.uint8)
    assert canvas.to_colour(image).shape == (2, 3, 3)


def test_long_lines_are_broken_evenly():
    text = " ".join(["word"] * 31)
    broken = canvas.wrapped(text, 150)
    assert len(broken) == 2
    assert " ".join(broken) == text
    assert abs(len(broken[0]) - len(broken[1])) <= 5
    assert canvas.wrapped("", 10) == []


def test_positions_are_spread():
    assert networks.spread(100, 4) == [0, 25, 50, 75]
    assert networks.spread(2, 4) == [0, 1]
