"""Drawings of the HTML report: positions are the numbers, colours are variables, names cannot break the markup."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from seglab.report.page.axis import nice_ticks, tick_words
from seglab.report.page.loss_profile import loss, profile_figures
from seglab.report.page.svg import Series, curve_svg, panels
from seglab.report.page.thin import thinned

LABELS = {"x_label": "rate", "y_label": "F-beta (fraction)", "title": "noise"}


def parsed(svg: str) -> ET.Element:
    return ET.fromstring(svg)


def of_class(root: ET.Element, name: str) -> list[ET.Element]:
    return [e for e in root.iter() if e.get("class") == name]


def scales(root: ET.Element) -> tuple[np.ndarray, np.ndarray]:
    """Straight maps from positions to numbers, taken from the ticks as a reader would."""
    x = [(float(t.get("x")), float(t.text)) for t in of_class(root, "x-tick")]
    y = [(float(t.get("y")) - 4, float(t.text)) for t in of_class(root, "y-tick")]
    return tuple(np.polyfit(*zip(*found, strict=True), 1) for found in (x, y))


def marks(root: ET.Element) -> list[tuple[float, float]]:
    to_x, to_y = scales(root)
    places = [re.findall(r"[-\d.]+", e.get("transform")) for e in of_class(root, "mark")]
    return [(np.polyval(to_x, float(x)), np.polyval(to_y, float(y))) for x, y in places]


def test_marks_lie_where_the_axes_say_their_numbers():
    root = parsed(curve_svg([("CAS", [0.02, 0.1, 0.5], [0.9, 0.7, 0.35])], legend=False, **LABELS))
    assert marks(root) == [pytest.approx(p, abs=2e-3) for p in [(0.02, 0.9), (0.1, 0.7), (0.5, 0.35)]]


def test_error_bars_end_at_low_and_high():
    root = parsed(curve_svg([("CAS", [0, 1], [0.5, 0.6], [0.4, None], [0.7, None])], **LABELS))
    _, to_y = scales(root)
    (bar,) = of_class(root, "bar")
    low, high = re.match(r"M[\d.]+ ([\d.]+)V([\d.]+)", bar.get("d")).groups()
    assert (np.polyval(to_y, float(low)), np.polyval(to_y, float(high))) == pytest.approx((0.4, 0.7), abs=2e-3)


def test_a_missing_value_leaves_a_gap():
    root = parsed(curve_svg([("CAS", [0, 1, 2, 3, 4], [0.1, 0.2, None, math.nan, 0.3])], legend=False, **LABELS))
    (line,) = of_class(root, "line")
    assert line.get("d").count("M") == 1, "one piece of two points; the last point stands alone"
    assert line.get("d").count("L") == 1
    assert len(of_class(root, "mark")) == 3


def test_a_plot_without_numbers_says_so():
    assert "no number yet" in curve_svg([("CAS", [0, 1], [None, math.nan])], **LABELS)
    assert "no number yet" in curve_svg([], **LABELS)


def test_one_point_is_seen():
    root = parsed(curve_svg([Series("CAS", [3], [0.5], marker=None)], **LABELS))
    assert len(of_class(root, "mark")) == 1


@pytest.mark.parametrize("log", [False, True])
def test_a_logarithmic_axis_is_one(log):
    root = parsed(curve_svg([("CAS", [0.01, 0.1, 1], [1, 2, 3])], x_log=log, **LABELS))
    x = [float(e.get("transform")[10:].split()[0]) for e in of_class(root, "mark")]
    assert (x[1] - x[0] == pytest.approx(x[2] - x[1], abs=0.1)) is log


def test_published_lines_are_dashed_with_hollow_marks_in_the_colour_of_theirs():
    ours, published = Series("a", [0, 1], [1, 2], colour=3), Series("b", [0, 1], [2, 3], dashed=True, colour=3)
    first, second = of_class(parsed(curve_svg([ours, published], **LABELS)), "line")
    assert "dasharray" not in first.get("style")
    assert "dasharray" in second.get("style")
    assert "var(--line-3)" in first.get("style")
    assert "var(--line-3)" in second.get("style")


def test_names_are_text_whatever_they_hold():
    evil = "</title><script>alert('1')</script> & \"x\" \x07"
    svg = curve_svg([(evil, [0, 1], [1, 2])], x_label=evil, y_label=evil, title=evil)
    root = parsed(svg)
    assert "<script" not in svg
    assert "alert('1')" in root.get("aria-label")
    assert "<script" not in panels([svg], [Series(evil, [0], [1])])


def test_colours_are_variables_of_the_page_only():
    drawn = [figure.html for figure in profile_figures()]
    drawn.append(curve_svg([("a", [0, 1], [1, 2], [0, 1], [2, 3]), ("b", [0, 1], [2, 3], None, None, True)], **LABELS))
    for html in drawn:
        colours = re.findall(r"(?:fill|stroke|color|background)\s*[:=]\s*\"?([^;\"]+)", html)
        assert colours
        assert all(re.fullmatch(r"none|var\(--(line-[1-8]|ink|grid|paper)\)", colour) for colour in colours)


def test_a_picture_is_named_and_told_for_who_does_not_see_it():
    root = parsed(curve_svg([("CAS", [0.02, 0.5], [0.9, 0.35])], **LABELS))
    assert root.get("role") == "img"
    assert root.find("title").text == "noise"
    assert root.find("desc").text == "F-beta (fraction) against rate. CAS: 0.02: 0.9, 0.5: 0.35."


def test_text_stays_inside_and_apart():
    names = [f"a rather long name of a series, number {i}" for i in range(9)]
    series = [(name, [0, 1], [i, i + 1]) for i, name in enumerate(names)]
    long = {"x_label": "share of training masks with object and background exchanged, of all masks there are"}
    root = parsed(curve_svg(series, y_label="y " * 60, title="title " * 30, **long))
    wide, tall = (float(v) for v in root.get("viewBox").split()[2:])
    places = [(float(t.get("x")), float(t.get("y"))) for t in root.iter("text")]
    assert all(0 <= x <= wide and 0 < y <= tall for x, y in places)
    assert len(set(places)) == len(places)
    assert all(float(re.search(r"font-size:([\d.]+)", t.get("style"))[1]) >= 11 for t in root.iter("text"))


def test_epochs_have_whole_ticks():
    root = parsed(curve_svg([Series("loss", [1, 2], [0.5, 0.4], marker=None)], **LABELS))
    assert [t.text for t in of_class(root, "x-tick")] == ["1", "2"]


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.03, 0.97), (-2, 0.1), (5, 5), (1e-4, 3e-4), (0, 1e6)])
def test_ticks_are_nice_and_cover(low, high):
    ticks = nice_ticks(low, high)
    assert ticks[0] <= low <= high <= ticks[-1] + 1e-12
    assert 2 <= len(ticks) <= 9
    assert len(set(tick_words(ticks))) == len(ticks)


def test_thinning_keeps_a_line_where_it_was():
    x = np.linspace(0, 300, 500)
    points = list(zip(x.tolist(), (50 * np.sin(x / 30)).tolist(), strict=True))
    kept = thinned(points, within=0.2)
    assert kept[0] == points[0]
    assert kept[-1] == points[-1]
    assert len(kept) < 120
    there = np.interp(x, *np.array(kept).T)
    assert np.abs(there - np.array(points)[:, 1]).max() < 0.5
    assert thinned([(0, 0), (0, 0), (0, 0)]) == [(0, 0), (0, 0)]


def test_the_profile_is_the_loss_that_networks_are_trained_with(monkeypatch):
    from seglab.report.figures import loss_profile as trained

    monkeypatch.setattr(trained, "STEPS", 10)
    axis = np.arange(trained.STEPS + 1) / trained.STEPS
    a, b = np.meshgrid(axis, axis)
    for options in ({"alpha": 0.3}, {"alpha": 0.1, "one_hot": True, "pairs": "ordered"}):
        assert loss(a, b, **options) == pytest.approx(trained.profile(**options), abs=1e-9)
