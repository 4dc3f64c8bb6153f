"""What the documents promise is there."""

from __future__ import annotations

import re

import pytest
from conftest import REPO

PAGES = [REPO / "README.md", *sorted((REPO / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page) -> None:
    text = page.read_text(encoding="utf-8")
    links = [t for t in re.findall(r"\]\(([^)#]+)[^)]*\)", text) if not t.startswith("http")]
    for target in links:
        assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_readme_is_short_and_names_every_option() -> None:
    text = (REPO / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 200
    for group in ("data", "model", "loss", "noise", "init"):
        for path in (REPO / "conf" / group).glob("*.yaml"):
            assert path.stem.startswith("_") or f"`{path.stem}`" in text, f"{group}={path.stem}"


def test_every_fault_of_the_table_names_a_test_that_is_there() -> None:
    text = (REPO / "docs" / "reliability.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("|") and not re.match(r"\|(---| fault )", line)]
    named = [re.search(r"`(tests/[\w/]+\.py)(?:::(\w+))?` \|$", row) for row in rows]
    assert all(named), [row for row, found in zip(rows, named, strict=True) if not found]
    assert len(rows) >= 40
    for found in named:
        path, test = REPO / found[1], found[2]
        assert path.is_file(), found[1]
        assert re.search(rf"^def {test or 'test_.*'}\(", path.read_text(encoding="utf-8"), flags=re.MULTILINE), found[0]
