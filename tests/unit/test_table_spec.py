"""A table file is checked as a whole; every mistake is one message that names the file and the key."""

from __future__ import annotations

import copy

import pytest
from omegaconf import OmegaConf

from seglab.tables.spec import load_table, parse_table

GOOD = {
    "id": "t",
    "paper": "cas",
    "title": "T",
    "source": "nowhere",
    "protocol": "none",
    "columns": [
        {"name": "A F", "set": "a", "metric": "fbeta_adaptive", "better": "higher"},
        {"name": "A MAE", "set": "a", "metric": "mae", "better": "lower"},
    ],
    "rows": [
        {"name": "x", "kind": "ours", "run": ["loss=ce"], "values": [0.9, 0.52]},
        {"name": "y", "kind": "published", "values": [0.8, None]},
    ],
    "misprints": {"x": {"A MAE": 0.052}},
}


def changed(**top) -> dict:
    content = copy.deepcopy(GOOD)
    content.update(top)
    return content


def test_misprints_are_kept_as_printed_and_compared_as_read() -> None:
    spec = parse_table(copy.deepcopy(GOOD), "t.yaml")
    assert spec.row("x").values == (0.9, 0.052)
    assert spec.row("x").printed == (0.9, 0.52)
    assert spec.row("y").values == (0.8, None)


def with_row(**row) -> dict:
    return changed(rows=[{"name": "x", "kind": "ours", "run": ["loss=ce"], **row}], misprints=None)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (changed(titel="T"), "unknown key 'titel'.*title"),
        (with_row(vlaues=[1, 2]), r"rows\[0\]: unknown key 'vlaues'.*values"),
        (with_row(values=[1.0]), "row 'x': 1 values for 2 columns"),
        (with_row(kind="own"), "kind=own: expected ours, published, extra"),
        (with_row(run=None), "expected one of run, cells, difference, unavailable; found none"),
        (with_row(unavailable="no network"), "found run, unavailable"),
        (with_row(kind="published"), "kind=published is not trained"),
        (with_row(starts_from="z"), "starts_from=z: no such row"),
        (with_row(starts_from="x"), "rows start from each other"),
        (with_row(run="loss=ce"), "run=.loss=ce.: expected a list"),
        (
            changed(rows=[{**GOOD["rows"][0], "starts_from": "y"}, GOOD["rows"][1]]),
            "starts_from=y: that row is not trained",
        ),
        (changed(misprints={"z": {"A MAE": 1}}), "misprints: no row 'z'"),
        (changed(scales={"smal": {"seeds": 1}}), "scales.smal: no such scale"),
        (changed(id="../t"), "id=../t: expected letters"),
        (
            changed(figures=[{"_target_": "seglab.report.figures.lines.lines"}]),
            "figures: .*expected _target_ and a name",
        ),
        (changed(misprints={"x": {"A": 1}}), "no column 'A'"),
        (changed(trained_on="set"), "trained_on=set: expected row or column"),
        (changed(rows=[GOOD["rows"][1]] * 2, misprints=None), "'y' appears more than once"),
        (
            changed(columns=[{"name": "A", "set": "a", "metric": "m", "better": "up"}], rows=[], misprints=None),
            "better=up",
        ),
        (changed(columns=["A"]), r"columns\[0\]: expected keys and values"),
    ],
)
def test_a_mistake_is_named(content: dict, words: str) -> None:
    with pytest.raises(ValueError, match=f"t.yaml.*{words}"):
        parse_table(content, "t.yaml")


def test_an_unknown_table_and_a_broken_file_are_named(tmp_path) -> None:
    with pytest.raises(ValueError, match="table=nosuch: no such table"):
        load_table("nosuch")
    path = tmp_path / "broken.yaml"
    path.write_text("id: [\n")
    with pytest.raises(ValueError, match=r"broken\.yaml"):
        load_table(str(path))


def test_a_shipped_table_is_not_replaced_and_the_environment_is_not_read(tmp_path, monkeypatch) -> None:
    path = tmp_path / "mine.yaml"
    content = {key: value for key, value in GOOD.items() if key != "id"}
    OmegaConf.save(OmegaConf.create({**content, "id": "cas_t3"}), path)
    with pytest.raises(ValueError, match="'cas_t3' is a table of seglab"):
        load_table(str(path))
    monkeypatch.setenv("SECRET", "s3cret")
    path.write_text(path.read_text().replace("cas_t3", "mine").replace("title: T", "title: ${oc.env:SECRET}"))
    assert load_table(str(path)).title == "${oc.env:SECRET}"
