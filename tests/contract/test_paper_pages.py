"""The pages of the papers: every option they name is one, and every misprint of ``conf/table`` stands on them."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
import yaml
from conftest import REPO
from omegaconf import OmegaConf

from seglab.config import compose

CONF = REPO / "conf"
SETTINGS = {
    "cas": (["data=sod", "loss=cas"], ["data=bsds500", "loss=cas"], ["data=toy_imbalance"], ["data=saliency_all"]),
    "regularized": (
        ["data=oxford_pet", "loss=regularized", "schedule=anneal", "model=uresnext"],
        ["data=oxford_pet", "loss=ce", "schedule=snapshots", "eval=correlation", "model=uresnext"],
    ),
    "segnet": (["data=voc_aug", "loss=uoi_ce", "model=segnet_alexnet", "data.size=227", "eval=rerank"],),
}
"""Page -> trainings that its options belong to."""

PAPERS = {"cas": "cas", "reg": "regularized", "segnet": "segnet"}
"""Paper in ``conf/table`` -> page."""


def options_of(page: str) -> list[str]:
    """Keys and choices in the last column of the table of open points; no metrics, no names in angle brackets."""
    text = (REPO / "docs" / "papers" / f"{page}.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\|(.+)\|$", text.partition("## Open points")[2].partition("\n## ")[0], flags=re.MULTILINE)
    named = [code for row in rows for code in re.findall(r"`([^`]+)`", row.split(" | ")[-1])]
    return [code for code in named if "<" not in code and re.fullmatch(r"\w+(\.[\w.]+(=.*)?|=.*)", code)]


@pytest.mark.parametrize("page", SETTINGS)
def test_every_option_of_an_open_point_exists(page: str) -> None:
    configs = [compose("train", arguments) for arguments in SETTINGS[page]]
    absent = object()
    found = options_of(page)
    assert len(found) >= 12
    for option in found:
        key, typed, value = option.partition("=")
        if typed and "." not in key and (CONF / key).is_dir():
            files = [CONF / key / f"{name.strip()}.yaml" for name in value.strip("[]").split(",")]
            assert all(file.is_file() for file in files), f"{page}: {option}"
        else:
            assert any(OmegaConf.select(cfg, key, default=absent) is not absent for cfg in configs), f"{page}: {option}"


def test_every_misprint_is_on_the_page_of_its_paper() -> None:
    path = REPO / "scripts" / "site" / "tables.py"
    spec = importlib.util.spec_from_file_location("site_tables", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    pytest.importorskip("mkdocs", reason="the site needs pip install -e '.[docs]'")
    spec.loader.exec_module(module)
    seen = 0
    for file in sorted((CONF / "table").glob("*.yaml")):
        table = yaml.safe_load(file.read_text(encoding="utf-8"))
        for row, cells in (table.get("misprints") or {}).items():
            page = Path(REPO, "docs", "papers", f"{PAPERS[table['paper']]}.md").read_text(encoding="utf-8")
            assert f"<!-- tables: {table['paper']} -->" in page, file.name
            for column, value in cells.items():
                assert f"* Misprint: {row}, {column}: printed " in module.tables_of(table["paper"], CONF / "table")
                assert str(value) in page.partition("## Errata")[2], f"{file.name}: {value}"  # and by hand, with why
                seen += 1
    assert seen >= 2
