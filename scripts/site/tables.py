"""Hook of the documentation site: what ``conf/table`` says of a paper's tables, put where a page asks for it.

A page asks with ``<!-- tables: cas -->``; a plain viewer shows nothing there. Titles, commands, misprints and notes are
those of the YAML files, so they cannot differ from what the tables are made of.

    mkdocs build --strict
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from mkdocs.config.defaults import MkDocsConfig

MARK = re.compile(r"<!-- tables: (\w+) -->")


def on_page_markdown(markdown: str, config: MkDocsConfig, **_: object) -> str:
    """Fill in the tables of the papers that a page asks for."""
    folder = Path(config.config_file_path).parent / "conf" / "table"
    return MARK.sub(lambda found: tables_of(found[1], folder), markdown)


def tables_of(paper: str, folder: Path) -> str:
    """Every table of a paper: where it stands, its command, misprints and notes.

    Args:
        paper: value of ``paper`` in the YAML files.
        folder: ``conf/table``.

    Raises:
        ValueError: no table is of that paper.
    """
    paths = sorted(folder.glob("*.yaml"), key=_place)
    specs = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in paths]
    found = [spec for spec in specs if spec.get("paper") == paper]
    if not found:
        raise ValueError(f"<!-- tables: {paper} -->: no file in {folder} has paper: {paper}")
    return "\n\n".join(_table(spec) for spec in found)


def _place(path: Path) -> tuple[bool, list[tuple[int, str]]]:
    """Tables before figures, 2 before 10."""
    return "_fig_" in path.stem, [
        (int(word), "") if word.isdigit() else (-1, word) for word in re.split(r"(\d+)", path.stem)
    ]


def _table(spec: dict[str, Any]) -> str:
    about = f"{_plain(spec['title']).rstrip('.')} ({spec['source']})."
    lines = [f"### `{spec['id']}`", about, f"```\npython -m seglab.table table={spec['id']}\n```"]
    wrong = [
        f"* Misprint: {row}, {column}: printed {_printed(spec, row, column)}, compared with {value}."
        for row, cells in (spec.get("misprints") or {}).items()
        for column, value in cells.items()
    ]
    notes = [f"* {_plain(note)}" for note in spec.get("notes") or ()]
    return "\n\n".join([*lines, "\n".join(wrong + notes)])


def _printed(spec: dict[str, Any], row: str, column: str) -> str:
    """The published value of a cell as it stands in the paper, with as many digits as the corrected one."""
    values = next(line["values"] for line in spec["rows"] if line["name"] == row)
    digits = len(str(spec["misprints"][row][column]).partition(".")[2])
    return f"{values[[head['name'] for head in spec['columns']].index(column)]:.{digits}f}"


def _plain(text: str) -> str:
    """One line in which Markdown finds no marks of its own."""
    return re.sub(r"([*_<$\[\]|])", r"\\\1", " ".join(text.split()))
