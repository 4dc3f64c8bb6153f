"""Tables as files: every number is there, says its scale, and nothing in a name breaks the format."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas
import pytest

from seglab.report.blocks import blocks
from seglab.report.latex import escape
from seglab.report.layout import lay_out
from seglab.report.tables import write_tables
from seglab.tables.claims import BoardLine, Verdict
from seglab.tables.spec import Column, TableSpec, parse_table
from seglab.tables.values import Cell, RunInfo, TableValues

NASTY = "A & B_1 50 % #2 {x} [3]"


def spec_of(rows: list[dict], columns: list[dict] | None = None, **changes) -> TableSpec:
    columns = columns or [
        {"name": "Set F_beta", "set": "a", "metric": "fbeta_adaptive", "better": "higher"},
        {"name": "Set MAE", "set": "a", "metric": "mae", "better": "lower"},
    ]
    content = {
        "id": "t1",
        "paper": "p",
        "title": "A title & more",
        "source": "the paper, table 1",
        "protocol": "As\nsaid.",
    }
    return parse_table({**content, "columns": columns, "rows": rows, **changes}, "t1")


def cells_of(spec: TableSpec, ours: dict[str, list[tuple[float, ...]]]) -> dict[tuple[str, str], Cell]:
    cells = {}
    for row in spec.rows:
        for i, column in enumerate(spec.columns):
            numbers = ours.get(row.name, [()] * len(spec.columns))[i]
            state = "published" if row.kind == "published" else "not built" if row.unavailable else "not run"
            cells[row.name, column.name] = Cell(
                ours=numbers,
                seeds=tuple(range(len(numbers))),
                published=row.values[i] if row.values else None,
                printed=row.printed[i] if row.printed else None,
                state="done" if numbers else state,
                reason=row.unavailable or "",
                runs=("run-a", "run-b")[: len(numbers)] if row.name == "CAS" else (),
            )
    return cells


@pytest.fixture
def values() -> TableValues:
    rows = [
        {"name": "CAS", "kind": "ours", "run": ["x"], "values": [0.9, 0.5]},
        {"name": "CE", "kind": "ours", "run": ["x"], "values": [0.8, 0.1]},
        {"name": "CACE", "kind": "ours", "run": ["x"], "values": [0.9, 0.2]},
        {"name": NASTY, "kind": "ours", "unavailable": "its network | is not built", "values": [0.123, None]},
        {"name": "[29]", "kind": "published", "values": [0.5, None]},
        {"name": "CAS, other", "kind": "extra", "run": ["x"], "values": [0.9, 0.05]},
    ]
    spec = spec_of(rows, misprints={"CAS": {"Set MAE": 0.05}}, notes=["A note with * and |."])
    ours = {
        "CAS": [(0.70, 0.72), (0.2, 0.2)],
        "CE": [(0.7104, 0.7104), (0.1, 0.3)],
        "CACE": [(0.5,), (0.3,)],
        "CAS, other": [(0.6, 0.6), (0.25, 0.25)],
    }
    runs = (RunInfo("run-a", "CAS", 0, "abcdef0123456", True, "NVIDIA T4", 61.4), RunInfo("run-b", "CAS", 1))
    return TableValues(spec, "small", "smaller", spec.columns, cells_of(spec, ours), (0, 1), runs, "abc-dirty")


def write(values: TableValues, folder: Path, board=(), figures=()) -> dict[str, str]:
    paths = write_tables(values, board, folder / "tables", "t1-small", figures)
    assert [p.name for p in paths] == ["t1-small.md", "t1-small.csv", "t1-small.tex"]
    return {p.suffix[1:]: p.read_text(encoding="utf-8") for p in paths}


def markdown_rows(text: str) -> list[list[str]]:
    """All table lines as lists of cells; escaped bars stay in their cell."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[c.strip() for c in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_three_lines_a_row_with_best_second_and_ties(values, tmp_path) -> None:
    rows = markdown_rows(write(values, tmp_path)["md"])
    assert rows[0] == ["row", "", "Set F_beta ↑", "Set MAE ↓"]
    assert rows[2] == ["CAS", "ours (small)", "**0.710** ± 0.014", "**0.200** ± 0.000"]
    assert rows[3] == ["", "published", "**0.900**", "**0.500**†"]
    assert rows[4] == ["", "difference", "-0.190", "+0.150"]
    # 0.7104 looks the same as 0.71, and a tie is shared; the published best is that of the paper's rows only.
    assert rows[5] == ["CE", "ours (small)", "**0.710** ± 0.000", "**0.200** ± 0.141"]
    assert rows[6][1:] == ["published", "<u>0.800</u>", "<u>0.100</u>"]


def test_the_misprint_ranks_by_its_correction_and_says_so(values, tmp_path) -> None:
    layout = lay_out(values)
    published = layout.groups[0][1].cells[1]
    assert (published.main, published.mark, published.dagger) == ("0.500", "best", True)
    for text in (write(values, tmp_path)["md"], write(values, tmp_path)["tex"]):
        assert "CAS, Set MAE: printed 0.500, a misprint; compared with 0.050." in text


def test_fewer_seeds_than_asked_are_told(values, tmp_path) -> None:
    rows = markdown_rows(write(values, tmp_path)["md"])
    assert rows[8][:3] == ["CACE", "ours (small), 1 of 2 seeds", "0.500"]
    cells = {**values.cells, ("CE", "Set MAE"): Cell((0.1,), (0,), state="part", reason="seed 1: failed")}
    text = write(replace(values, cells=cells), tmp_path)["md"]
    assert "0.100** (1 of 2 seeds)[^1]" in text
    assert "[^1]: part: seed 1: failed" in text


def test_rows_without_numbers_say_why_in_a_footnote(values, tmp_path) -> None:
    text = write(values, tmp_path)["md"]
    assert "ours (small): not built[^1]" in text
    assert text.count("[^1]: not built: its network \\| is not built") == 1
    states = dict(values.cells)
    states["CE", "Set F_beta"] = Cell(state="data missing", reason="no folder")
    states["CE", "Set MAE"] = Cell(state="failed", reason="not finite")
    rows = markdown_rows(write(replace(values, cells=states), tmp_path)["md"])
    assert [r for r in rows if r[0] == "CE"] == [["CE", "ours (small)", "data missing[^1]", "failed[^2]"]]


def test_published_rows_have_one_line_and_extra_rows_are_marked(values, tmp_path) -> None:
    rows = markdown_rows(write(values, tmp_path)["md"])
    place = next(i for i, r in enumerate(rows) if r[0] == "[29]")
    assert rows[place] == ["[29]", "published", "0.500", "–"]  # noqa: RUF001
    assert rows[place + 1][0] == "CAS, other (not in the paper)"
    assert rows[place + 2] == ["", "published", "0.900", "0.050"]


def test_every_number_says_its_scale(values, tmp_path) -> None:
    text = write(values, tmp_path)["md"]
    assert "**Scale: small (smaller). The published numbers belong to the paper's data and networks" in text
    smoke = write(replace(values, scale="smoke"), tmp_path)
    for suffix in ("md", "tex"):
        assert "The numbers mean nothing" in smoke[suffix]
    paper = write(replace(values, scale="paper", scale_title="as printed"), tmp_path)
    assert "\nScale: paper (as printed).\n" in paper["md"]
    assert "not an error of reproduction" not in paper["md"]
    assert "ours (paper)" in paper["tex"]


def test_what_stands_below_the_table(values, tmp_path) -> None:
    prose = Verdict("text", "not decidable")
    board = [BoardLine("A | B", Verdict("holds", "7 of 7 columns"), Verdict("not run", "no number for CAS"))]
    board.append(BoardLine("prose", prose, prose))
    figures = [tmp_path / "figures" / "f one.png", tmp_path / "figures" / "f one.svg"]
    text = write(values, tmp_path, board, figures)["md"]
    assert "| A \\| B | **holds**: 7 of 7 columns | **not run**: no number for CAS |" in text
    assert "| prose | not decidable | not decidable |" in text
    assert "![f one](../figures/f%20one.png)" in text
    assert "[svg](../figures/f%20one.svg)" in text
    assert "mean ± sample standard deviation over seeds 0, 1." in text
    assert "| CAS | 0 | `run-a` | abcdef0123 (dirty) | NVIDIA T4 | 61 |" in text
    assert "- A note with \\* and \\|." in text
    assert "Of the paper (the paper, table 1): As said." in text
    assert "python -m seglab.table table=t1 scale=small" in text
    assert "Code: abc-dirty." in text


def test_every_line_of_every_markdown_table_has_as_many_cells(values, tmp_path) -> None:
    text = write(values, tmp_path, [BoardLine("a|b", Verdict("holds", "x|y"), Verdict("holds", "z"))])["md"]
    for block in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        assert len({len(row) for row in markdown_rows(block)}) == 1


def test_csv_has_every_digit(values, tmp_path) -> None:
    write(values, tmp_path)
    frame = pandas.read_csv(tmp_path / "tables" / "t1-small.csv")
    assert (len(frame), set(frame["scale"])) == (12, {"small"})
    cas = frame[(frame["row"] == "CAS") & (frame["column"] == "Set MAE")].iloc[0]
    assert (cas["mean"], cas["published"], cas["printed"], cas["seeds"]) == (0.2, 0.05, 0.5, 2)
    assert cas["difference"] == pytest.approx(0.15, abs=1e-15)
    assert cas["runs"] == "run-a run-b"
    assert bool(cas["dirty"])
    assert not frame[frame["row"] == "CE"]["dirty"].any()
    assert frame[frame["row"] == "CE"].iloc[0]["mean"] == 0.7104
    nasty = frame[frame["row"] == NASTY].iloc[0]
    assert (nasty["state"], nasty["reason"]) == ("not built", "its network | is not built")
    assert pandas.isna(nasty["mean"])


def check_latex(text: str) -> None:
    """Structure of a file that no engine is here to read."""
    opened = re.findall(r"\\begin\{(\w+)\}", text)
    assert sorted(opened) == sorted(re.findall(r"\\end\{(\w+)\}", text))
    bare = re.sub(r"\\[{}]", "", text)
    assert bare.count("{") == bare.count("}")
    assert re.sub(r"\\\$", "", text).count("$") % 2 == 0
    for spec, body in re.findall(r"\\begin\{tabular\}\{(\w+)\}(.*?)\\end\{tabular\}", text, flags=re.DOTALL):
        lines = [line for line in body.splitlines() if line.endswith(r"\\")]
        assert lines
        assert {len(re.findall(r"(?<!\\)&", line)) for line in lines} == {len(spec) - 1}
    content = "\n".join(line for line in text.splitlines() if not re.match(r"%|\\label|\\resizebox", line))
    assert not re.search(r"(?<!\\)[%#]|(?<!\\)_(?!\{)|\\\\\s*[\[*]", content)
    assert not re.search(r"^\s*[\[*]", content, flags=re.MULTILINE)


def test_latex_is_balanced_and_escaped(values, tmp_path) -> None:
    text = write(values, tmp_path)["tex"]
    check_latex(text)
    assert r"A \& B\_1 50 \% \#2 \{x\} {[}3]" in text
    assert r"\textbf{0.710} $\pm$ 0.014" in text
    assert r"\textbf{0.500}$^\dagger$" in text
    assert r"\underline{0.800}" in text
    assert r" & difference & $-$0.190 & +0.150 \\" in text
    assert r"Set F\_beta $\uparrow$" in text
    assert r"\caption{A title \& more. Scale: small" in text
    assert r"ours (small): not built$^{1}$" in text


def test_every_special_sign_is_escaped() -> None:
    escaped = r"\textbackslash{}\%\_\&\#\{\}\$\textasciitilde{}\textasciicircum{}"
    assert escape(r"\%_&#{}$~^") == escaped


def test_wide_and_long_tables_are_cut(tmp_path) -> None:
    columns = [
        {"name": f"S{i} {m}", "set": f"s{i}", "metric": m, "better": b}
        for i in range(7)
        for m, b in (("F", "higher"), ("MAE", "lower"))
    ]
    rows = [{"name": f"row {i}", "kind": "ours", "run": ["x"], "values": [0.5] * 14} for i in range(20)]
    spec = spec_of(rows, columns)
    ours = {r["name"]: [(0.25,)] * 14 for r in rows}
    values = TableValues(spec, "small", "smaller", spec.columns, cells_of(spec, ours))
    files = write(values, tmp_path)
    assert re.findall(r"^## (F|MAE)$", files["md"], flags=re.MULTILINE) == ["F", "MAE"]
    assert max(len(row) for row in markdown_rows(files["md"])) == 9
    assert files["tex"].count(r"\begin{table}") == 4
    assert "Part 4 of 4, MAE." in files["tex"]
    assert len(set(re.findall(r"\\label\{(.*?)\}", files["tex"]))) == 4
    check_latex(files["tex"])
    assert len(re.findall(r"^row \d+ &", files["tex"], flags=re.MULTILINE)) == 40


@pytest.mark.parametrize("num", [0, 1, 8, 9, 14, 21, 22, 30])
def test_blocks_hold_every_column_once(num) -> None:
    columns = [Column(f"c{i}", "s", f"m{i % 2}", "higher", paper_name=f"c{i}") for i in range(num)]
    found = [i for _, part in blocks(columns) for i in part]
    assert sorted(found) == list(range(num))
    assert all(len(part) <= 8 for _, part in blocks(columns))


def test_counts_and_percent_have_their_own_decimals(tmp_path) -> None:
    columns = [{"name": n, "set": n, "metric": n, "better": "higher"} for n in ("count", "percent", "fraction", "zero")]
    rows = [
        {"name": "A", "kind": "ours", "run": ["x"], "values": [10000, 0]},
        {"name": "B", "kind": "ours", "run": ["x"], "values": [101, 1]},
    ]
    spec = spec_of(rows, [columns[0], columns[3]])
    ours = {"A": [(9899.0, 9900.0), (0.0, 0.0)], "B": [(100.0, 102.0), (1.0, 3.0)]}
    values = TableValues(spec, "small", "smaller", spec.columns, cells_of(spec, ours), (0, 1))
    rows_shown = markdown_rows(write(values, tmp_path)["md"])
    assert rows_shown[2][2:] == ["**9899.5** ± 0.7", "<u>0</u> ± 0"]
    assert rows_shown[3][2:] == ["**10000**", "<u>0</u>"]
    rows = [{**row, "values": values} for row, values in zip(rows, ([86.2, 0.67], [57.96, 0.5]), strict=True)]
    spec = spec_of(rows, columns[1:3])
    values = TableValues(spec, "small", "smaller", spec.columns, cells_of(spec, {"A": [(80.123,), (0.6,)]}))
    rows_shown = markdown_rows(write(values, tmp_path)["md"])
    assert rows_shown[2][2:] == ["80.12", "0.600"]
    assert rows_shown[3][2:] == ["**86.20**", "**0.67**"]
    assert rows_shown[4][2:] == ["-6.08", "-0.070"]


def test_a_stand_in_names_what_it_stands_for(values, tmp_path) -> None:
    columns = tuple(replace(c, name=c.name.replace("Set", "SOD"), set="sod") for c in values.columns)
    cells = {(row, name.replace("Set", "SOD")): cell for (row, name), cell in values.cells.items()}
    files = write(replace(values, columns=columns, cells=cells), tmp_path)
    assert "SOD F_beta (for Set F_beta) ↑" in files["md"]
    assert "CAS, Set MAE: printed 0.500" in files["md"]
    frame = pandas.read_csv(tmp_path / "tables" / "t1-small.csv")
    assert tuple(frame.iloc[0][["column", "paper_column", "set"]]) == ("SOD F_beta", "Set F_beta", "sod")


def test_a_figure_without_columns_has_no_table(tmp_path) -> None:
    spec = replace(spec_of([{"name": "CAS", "kind": "ours", "run": ["x"]}]), columns=())
    values = TableValues(spec, "small", "smaller", (), {}, (0,), (RunInfo("run-a", "CAS", 0),))
    files = write(values, tmp_path, figures=[tmp_path / "figures" / "f.png"])
    assert "| row |  |" not in files["md"]
    assert "![f](../figures/f.png)" in files["md"]
    assert "`run-a`" in files["md"]
    assert "Code: unknown, outside a checkout." in files["md"]
    assert len(files["csv"].splitlines()) == 1
    assert "tabular" not in files["tex"]


def test_not_a_number_is_shown_and_never_best(values, tmp_path) -> None:
    cells = {**values.cells, ("CAS", "Set F_beta"): Cell((float("nan"), 0.5), (0, 1), 0.9, 0.9, "done")}
    rows = markdown_rows(write(replace(values, cells=cells), tmp_path)["md"])
    assert rows[2][2].startswith("nan")
    assert rows[5][2].startswith("**0.710**")


def test_rendering_needs_no_torch() -> None:
    code = "import sys, seglab.report.tables, seglab.tables.claims; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
