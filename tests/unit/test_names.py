"""Names of data sets with a category: whatever a class is called, Hydra gets it as text."""

from __future__ import annotations

import pytest

from seglab.config import as_hydra_reads, compose
from seglab.data.build import data_of
from seglab.data.names import data_overrides, swept_overrides

ODD = ["2", "1e5", "12_5", "-3", "null", "true", "NaN", "inf", "été", "cat (tabby)", "a,b", "it's", "[x]", "a b", "a=b"]


def test_plain_names_are_left_as_they_are() -> None:
    assert data_overrides("duts") == ["data=duts"]
    assert data_overrides("voc_coseg/cow") == ["data=voc_coseg", "data.category=cow"]


@pytest.mark.parametrize("category", ODD)
def test_a_category_is_the_text_that_was_typed(category: str) -> None:
    for given in (data_overrides(f"voc_coseg/{category}"), as_hydra_reads(data_overrides(f"voc_coseg/{category}"))):
        found = compose("evaluate", ["run=none", *given]).data
        assert found.category == category
        assert found.name == f"voc_coseg/{category}"


@pytest.mark.parametrize("category", ["2", "été"])
def test_a_test_set_of_such_a_category_is_found(category: str) -> None:
    cfg = compose("train", ["data=shapes"])
    assert data_of(cfg, f"voc_coseg/{category}").source.category == category


@pytest.mark.parametrize("typed", ["data.category=2", "data.category='2'", "data.category=1e5"])
def test_a_category_typed_alone_is_text_too(typed: str) -> None:
    assert isinstance(compose("train", ["data=voc_coseg", typed]).data.category, str)


def test_a_sweep_over_categories_of_one_set() -> None:
    assert swept_overrides("voc_coseg/cow,voc_coseg/2") == ["data=voc_coseg", "data.category=cow,'2'"]
    assert swept_overrides("duts,ecssd") == ["data=duts,ecssd"]
    assert as_hydra_reads(["data=voc_coseg/cow,voc_coseg/car"]) == ["data=voc_coseg", "data.category=cow,car"]


@pytest.mark.parametrize("names", ["sod,voc_coseg/cow", "voc_coseg/cow,web/cow", "voc_coseg/cow,car"])
def test_a_sweep_over_categories_of_several_sets_says_what_to_type(names: str) -> None:
    with pytest.raises(ValueError, match=r"over a single set, e\.g\. data=voc_coseg data\.category=cow,\.\.\."):
        as_hydra_reads([f"data={names}"])


@pytest.mark.parametrize("plus", ["", "+", "++"])
def test_runs_of_pseudo_labels_are_given_one_by_one_or_at_once(plus: str) -> None:
    one_by_one = [f"{plus}data.source.runs.denim=some-run", f"{plus}data.source.runs.leaf=12e45"]
    found = compose("train", ["data=pseudo_labels", *one_by_one]).data.source.runs
    assert found == {"denim": "some-run", "leaf": "12e45"}
    at_once = compose("train", ["data=pseudo_labels", "data.source.runs={denim: some-run, leaf: '12e45'}"])
    assert at_once.data.source.runs == found
    with pytest.raises(ValueError, match=r"unknown key 'data\.source\.runs'"):
        compose("train", ["data=shapes", f"{plus}data.source.runs.denim=x"])
