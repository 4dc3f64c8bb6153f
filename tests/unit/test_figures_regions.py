"""The figure of regions: which annotations are shown, how regions get their colours, what a reader sees."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

from seglab.data.annotations import Annotations
from seglab.report.figures import region_maps as figure
from seglab.report.figures.context import FigureContext
from seglab.tables.spec import Row, TableSpec
from seglab.tables.values import TableValues


def halves(height: int = 12, width: int = 20) -> np.ndarray:
    """Two regions side by side, int32 [H,W]."""
    labels_HW = np.zeros((height, width), np.int32)
    labels_HW[:, width // 2 :] = 1
    return labels_HW


def quarters(height: int = 12, width: int = 20) -> np.ndarray:
    """Four regions, int32 [H,W]."""
    labels_HW = halves(height, width)
    labels_HW[height // 2 :] += 2
    return labels_HW


def test_regions_take_the_numbers_of_those_they_share_most_pixels_with() -> None:
    reference_HW = halves()
    assert (figure.matched(7 - reference_HW, reference_HW) == reference_HW).all()
    found = figure.matched(quarters(), reference_HW)
    assert sorted(np.unique(found)) == [0, 1, 2, 3]
    assert {0, 1} <= set(np.unique(found[:6])) | set(np.unique(found[6:]))
    one = figure.matched(np.zeros_like(reference_HW), reference_HW)
    assert len(np.unique(one)) == 1
    assert one[0, 0] in (0, 1)


def test_a_region_without_a_partner_gets_a_number_of_its_own() -> None:
    reference_HW = halves()
    reference_HW[:, 10:] = -1  # not scored there
    found = figure.matched(halves(), reference_HW)
    assert found[0, 0] == 0
    assert found[0, -1] == 1, "the first number that the annotation does not have"
    ignored = halves()
    ignored[:, 0] = -1
    assert (figure.matched(ignored, halves())[:, 0] == -1).all()
    assert (figure.matched(ignored, halves())[:, 1:] == halves()[:, 1:]).all()


def test_annotations_are_chosen_by_their_number_of_regions() -> None:
    people_AHW = np.stack([quarters(), np.zeros((12, 20), np.int32), halves()])
    (one,) = figure.choose([people_AHW], count=1)
    assert (one[0] == halves()).all(), "the median"
    (two,) = figure.choose([people_AHW], count=2)
    assert [figure.number(labels) for labels in two] == [1, 4]
    shown = figure.choose([people_AHW, people_AHW[:1]], count=3)
    assert [len(part) for part in shown] == [1, 1], "as many of every image"
    with pytest.raises(ValueError, match="annotations=0: expected a whole number"):
        figure.choose([people_AHW], count=0)


def test_outlines_separate_the_colours() -> None:
    picture = figure.outlined(halves())
    assert max(picture.shape[:2]) == figure.SIDE
    line = picture[50]
    edge = np.flatnonzero((line == figure.LINE).all(1))
    assert edge.tolist() == [239, 240]
    assert not (line[0] == line[-1]).all()
    assert figure.in_words(halves()) == "2 regions"
    assert figure.in_words(np.where(halves() == 1, -1, 0)) == "1 region"


def made_up(folder: Path, monkeypatch: pytest.MonkeyPatch, answer: np.ndarray) -> FigureContext:
    """A table of one row whose network answers every image with the same map."""
    spec = TableSpec(id="t", paper="cas", title="T", source="s", protocol="p", rows=(Row("CAS", "ours", run=("a=1",)),))
    values = TableValues(spec, "small", "BSDS500, 128 px", (), {})
    people_AHW = np.stack([quarters(), halves(), np.zeros((12, 20), np.int32)])
    cfg = OmegaConf.create({"data": {"name": "bsds500"}, "eval": {"post": {"_target_": "seglab.post.channel.Channel"}}})

    class Dataset(list):
        ids = ("100007", "100039", "100099")

        def original(self, index: int) -> tuple[np.ndarray, np.ndarray]:
            return np.full((12, 20, 3), 90 * index, np.uint8), people_AHW[0].astype(np.uint8)

        def annotations(self, index: int, *, original: bool) -> Annotations:
            assert original
            return Annotations(people_AHW, None)

    monkeypatch.setattr(figure, "load_network", lambda context, row, as_asked: SimpleNamespace(cfg=cfg))
    monkeypatch.setattr(figure, "scored_images", lambda evaluator, name: Dataset(range(3)))
    monkeypatch.setattr("seglab.samples.maps_of", lambda evaluator, dataset, rows: [answer for _ in rows])
    return FigureContext(values=values, configs={}, runs={"CAS": ("a run",)}, stem=folder / "t-small")


def test_the_files_say_what_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = made_up(tmp_path, monkeypatch, halves(16, 16).astype(np.int64))
    png, svg = figure.region_maps(context, name="regions", annotations=2)
    words = " ".join(" ".join(ElementTree.parse(svg).getroot().itertext()).split())
    for word in ("CAS", "image", "fewest regions", "most regions", "100007", "100099", "1 region", "4 regions"):
        assert word in words
    assert "test images of bsds500" in words
    assert "scale small: BSDS500, 128 px" in words
    assert len(np.unique(np.asarray(Image.open(png).convert("L")))) > 10
    before = png.read_bytes()
    figure.region_maps(context, name="regions", annotations=2)
    assert png.read_bytes() == before


def test_a_read_out_without_regions_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = made_up(tmp_path, monkeypatch, np.zeros((16, 16), np.float32))
    with pytest.raises(ValueError, match=r"row 'CAS': its read-out seglab\.post\.channel\.Channel gives no regions"):
        figure.region_maps(context, name="regions")


def test_nothing_is_drawn_without_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = made_up(tmp_path, monkeypatch, halves())
    assert figure.region_maps(FigureContext(context.values, {}, {}, tmp_path / "empty"), name="regions") == []
