"""The report: tables and runs read back, what is damaged is listed, nothing that is found becomes markup."""

from __future__ import annotations

import base64
import io
import logging
import re
from dataclasses import replace

import pytest
from PIL import Image
from report_folder import EVIL, EVIL_RUN, MEANS, values, write_outputs, write_run

from seglab.report.csvfile import csv_text
from seglab.report.layout import rank
from seglab.report.markdown import markdown_text
from seglab.report.page import claims as claims_module
from seglab.report.page import errata as errata_module
from seglab.report.page import figures as figures_module
from seglab.report.page import grids as grids_module
from seglab.report.page.budget import fit, weight
from seglab.report.page.claims import claims_board, counts
from seglab.report.page.collect import collect_page
from seglab.report.page.errata import errata
from seglab.report.page.figure import Figure
from seglab.report.page.overview import pair, scale_words
from seglab.report.page.runs import read_run
from seglab.report.page.stored import read_table
from seglab.report.page.tables import shown_table
from seglab.report.page.write import ASSETS, write_page


@pytest.fixture
def drawn(monkeypatch):
    """Figures and pictures of the test's own in place of those of the runs."""
    made = {"figures": [], "grids": []}
    for module in (claims_module, errata_module):  # all of them are read by the tests of the board and of the errata
        monkeypatch.setattr(module, "table_ids", lambda: ["cas_t3"])
    monkeypatch.setattr(figures_module, "figures_of", lambda *a, **k: made["figures"])
    monkeypatch.setattr(grids_module, "grids_of", lambda *a, **k: made["grids"])
    return made


def picture(side: int) -> str:
    file = io.BytesIO()
    Image.effect_noise((side, side), 90).convert("RGB").save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def page(folder, drawn, **options) -> str:
    found = collect_page(folder)
    options = {"title": "T", "runs": "all", "limit": 20} | options
    return write_page(found, folder / "report" / "index.html", **options).read_text(encoding="utf-8")


def test_a_stored_table_says_what_was_written(tmp_path) -> None:
    made = values()
    (tmp_path / "mine-small.csv").write_text(csv_text(made), encoding="utf-8")
    read = read_table(tmp_path / "mine-small.csv").values
    assert read.scale == "small"
    for place, cell in made.cells.items():
        other = read.cells[place]
        assert (other.mean, other.published, other.state) == (cell.mean, cell.published, cell.state)
        assert (other.reason, other.runs) == (cell.reason, cell.runs)


def test_seeds_are_read_from_runs_only_where_they_give_the_stored_mean(tmp_path) -> None:
    made = values()
    cell = replace(made.cells["A", "shapes F"], ours=(0.8, 1.0), seeds=(0, 1), runs=("one", "two"))
    made.cells["A", "shapes F"] = cell
    file = tmp_path / "mine-small.csv"
    file.write_text(csv_text(made), encoding="utf-8")
    told = read_table(file, by_seed=lambda runs, column, row: ((3, 0.8), (4, 1.0))).values.cells["A", "shapes F"]
    assert (told.ours, told.seeds, told.by_seed) == ((0.8, 1.0), (3, 4), True)
    other = read_table(file, by_seed=lambda runs, column, row: ((3, 0.1), (4, 1.0))).values.cells["A", "shapes F"]
    assert not other.by_seed
    assert (other.mean, other.deviation) == (cell.mean, cell.deviation)


def test_marks_and_reasons_of_cells(tmp_path) -> None:
    write_outputs(tmp_path)
    shown = shown_table(collect_page(tmp_path).tables["mine-small"], {})
    rows = {row.name: row for row in shown.blocks[0].rows}
    assert rows["A"].cells[0].text.mark == "best"  # higher is better
    assert rows["D"].cells[0].text.mark == "second"
    ours_mae = {name: row.cells[3].text.mark for name, row in rows.items()}
    assert ours_mae == {"A": "", "B": "best", "C": "", "D": "second"}  # lower is better
    assert rows["C"].cells[0].key == ""
    assert shown.notes == [f"failed: {EVIL}"]
    assert rows["C"].note == 1


def test_nothing_that_is_found_becomes_markup(tmp_path, drawn) -> None:
    text = page(write_outputs(tmp_path), drawn, title=EVIL)
    assert EVIL not in text
    assert "<img src=x" not in text
    assert text.count("<script") == 1
    assert EVIL_RUN.replace("<", "&lt;").replace(">", "&gt;") in text


def test_damaged_runs_and_tables_are_listed_with_their_reasons(tmp_path, drawn) -> None:
    found = collect_page(write_outputs(tmp_path))
    states = {name.split("-s0")[0]: run.state for name, run in found.runs.items()}
    assert states["half-run"] == states["bad-log"] == states["no-yaml"] == "damaged"
    assert [file for file, _ in found.damaged] == ["broken.csv"]
    text = page(tmp_path, drawn)
    for words in (
        "env.json:",
        "log.jsonl: line 1:",
        "config.yaml:",
        "broken.csv",
        "expected a table that seglab.table",
    ):
        assert words in text
    whole = [run.path.name for runs in found.whole_runs().values() for run in runs]
    assert len(whole) == 3


def test_a_run_that_was_stopped_or_failed_says_so(tmp_path) -> None:
    assert read_run(write_run(tmp_path / "a-b-c-s0-1", DONE=None), "x").state == "stopped"
    failed = read_run(write_run(tmp_path / "a-b-c-s0-2", DONE=None, FAILED="Traceback\nValueError: why\n"), "x")
    assert (failed.state, failed.reason) == ("failed", "ValueError: why")


def test_an_empty_folder_gives_a_page_that_says_what_to_do(tmp_path, drawn) -> None:
    text = page(tmp_path, drawn)
    assert "python -m seglab.table table=cas_t3 scale=smoke" in text
    assert 'id="claims"' in text


def test_the_board_has_every_claim_and_counts_them() -> None:
    board = claims_board({})
    lines = counts(board)
    assert sum(line["sum"] for line in lines) == len(board) > 100
    assert {row.published.state for row in board} >= {"holds", "does not hold"}
    assert all(not row.ours for row in board)


def test_errata_name_the_known_misprint() -> None:
    cas = next(paper for paper in errata() if paper.paper == "cas")
    found = [(m.table, m.column, m.printed, m.read) for m in cas.misprints]
    assert ("cas_t3", "MSRA-B MAE", 0.52, 0.052) in found


def test_a_drawing_that_could_run_or_load_something_is_left_out(tmp_path, drawn, caplog) -> None:
    harmless = '<svg viewBox="0 0 1 1"><path style="fill:url(#a)"/></svg><img src="data:image/png;base64,AA">'
    harmless += '<svg><text title="a > b onload=1">onset = 3, onload=alert(1), src=http://a, url(http://a)</text></svg>'
    bad = [
        "<svg onload=alert(1)>",
        "<script>1</script>",
        '<img src="https://example.org/a.png">',
        "<svg><style>a{fill:url(http://a)}</style>",
        '<svg><g data-a=">" OnClick = alert(1)></g>',
        "<a href=' javascript:alert(1)'>x</a>",
        '<svg><use xlink:href="http://a#b"/>',
        "<svg><text>x</text><path d='",
        '<svg><set attributeName="onload" to="1"/>',
        '<p style="background: url(//a)">x</p>',
    ]
    drawn["figures"] = [Figure(f"f{i}", f"t{i}", "", html, "other") for i, html in enumerate([harmless, *bad])]
    with caplog.at_level(logging.WARNING):
        text = page(write_outputs(tmp_path), drawn)
    assert 'id="f0"' in text
    assert not re.search(r'id="f[1-9]', text)
    assert caplog.text.count("is left out: it holds") == len(bad)


def test_a_misprint_is_sorted_as_printed_and_compared_as_read(tmp_path) -> None:
    made = values()
    made.cells["A", "shapes F"] = replace(made.cells["A", "shapes F"], published=0.4, printed=1.2)
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "mine-small.csv").write_text(csv_text(made), encoding="utf-8")
    table = collect_page(tmp_path).tables["mine-small"]
    cell = table.values.cells["A", "shapes F"]
    assert (cell.published, cell.printed) == (0.4, 1.2)
    row = shown_table(table, {}).blocks[0].rows[0]
    assert [(c.kind, float(c.key)) for c in row.cells[:3]] == [("ours", 0.9), ("published", 1.2), ("difference", 0.5)]
    assert row.cells[1].text.dagger
    assert row.cells[2].text.main == "+0.500"


def test_a_column_of_equal_numbers_has_no_best(tmp_path) -> None:
    assert rank({"a": 0.5, "b": 0.5}, "higher") == {}
    assert rank({"a": 0.5}, "higher") == {}
    assert rank({"a": 0.5, "b": 0.5, "c": 0.4}, "higher") == {"a": "best", "b": "best", "c": "second"}
    assert rank({"a": 0.5, "b": float("nan"), "c": 0.4, "d": 0.3}, "lower") == {"d": "best", "c": "second"}


def test_a_table_of_our_own_says_no_word_of_a_paper(tmp_path, drawn, monkeypatch) -> None:
    made = values()
    spec = replace(
        made.spec, id="beyond_noise", paper="ours", rows=tuple(replace(r, kind="extra") for r in made.spec.rows)
    )
    flip, drop = (
        replace(c, overrides=(f"noise={g}",), group=g, x=0.3) for c, g in zip(made.columns, "ab", strict=True)
    )
    made = replace(made, spec=spec, columns=(flip, drop), scale_title="SOD (200), 64 px")
    (tmp_path / "tables").mkdir()
    file = tmp_path / "tables" / "beyond_noise-small.csv"
    file.write_text(csv_text(made), encoding="utf-8")
    file.with_suffix(".md").write_text(markdown_text(made, (), folder=tmp_path, figures=()), encoding="utf-8")
    read = read_table(file).values
    assert read.scale_title == "SOD (200), 64 px"
    assert [(c.overrides, c.group, c.x) for c in read.columns] == [(("noise=a",), "a", 0.3), (("noise=b",), "b", 0.3)]
    assert [(run.id[-14:], run.row) for run in read.runs] == [("-s0-0123456789", row) for row in "ABD"], (
        "from its cells"
    )
    shown = shown_table(collect_page(tmp_path).tables["beyond_noise-small"], {})
    assert [block.title for block in shown.blocks] == ["a", "b"]
    assert not any(row.extra for row in shown.blocks[0].rows if row.name in "ABCD")
    monkeypatch.setattr(claims_module, "table_ids", lambda: ["beyond_noise"])
    lines = counts(claims_board({}))
    assert [line["of"] for line in lines] == ["not run"]
    board = claims_board({"beyond_noise-small": read})  # of other columns than conf/table has, as an old file
    assert {row.ours[0][2].state for row in board} == {"not run"}
    assert "make the table again" in board[0].ours[0][2].detail
    assert [line["of"] for line in counts(board)] == ["ours, small"]
    assert "no paper" in page(tmp_path, drawn)


def test_names_of_the_page_itself_are_no_anchors_of_tables(tmp_path, drawn) -> None:
    write_outputs(tmp_path)
    for name in ("claims", "note-x", "run"):
        (tmp_path / "tables" / f"{name}.csv").write_text(csv_text(values()), encoding="utf-8")
    ids = re.findall(r' id="([^"]*)"', page(tmp_path, drawn))
    assert len(ids) == len(set(ids))
    assert {"table-claims", "mine-small"} <= set(ids)


def test_scales_are_told_in_words_and_every_table_has_its_command(tmp_path, drawn) -> None:
    text = page(write_outputs(tmp_path), drawn)
    assert "The same rows on SOD and PeopleSeg with a small network" in text
    assert "<code>python -m seglab.table table=mine scale=small</code>" in text
    assert scale_words(["mine", "smoke", "paper", "smoke"]).keys() == {"paper": 0, "smoke": 0, "mine": 0}.keys()
    assert scale_words(["mine"]) == {"mine": ""}


def test_two_runs_of_the_same_images_come_first() -> None:
    runs = [{"run": f"sod-net-{name}-0123456789", "set": "sod"} for name in ("a-s0", "a-s1", "b-s0")]
    assert pair(runs) == (0, 2)
    assert pair(runs[:1]) == (0, 0)
    assert pair([]) == (0, 0)
    named = [{**run, "named": True, "ids": ids} for run, ids in zip(runs, (["1"], ["1"], ["2"]), strict=True)]
    assert pair(named) == (0, 1)


def test_the_largest_pictures_become_smaller_first() -> None:
    large, small = (
        Figure("a", "large", "", f'<img src="{picture(480)}">', "samples"),
        Figure("b", "s", "", "<svg></svg>", "pr"),
    )
    grid = {"run": "r", "images": [picture(130)], "ids": ["1"], "columns": []}
    everything = weight([large, small], [grid])
    figures, grids, told = fit([large, small], [grid], room=everything - 1000)
    assert told == ["made smaller: figure 'large'"]
    assert figures[1] == small
    assert grids == [grid]
    assert weight(figures, grids) <= everything - 1000
    figures, grids, told = fit([large, small], [grid], room=2500)
    assert "left out: figure 'large'" in told
    assert "left out: pictures of r" in told
    assert grids == []
    assert "left-out" in figures[0].html


def test_the_page_keeps_its_limit_and_says_what_was_left_out(tmp_path, drawn, caplog) -> None:
    write_outputs(tmp_path)
    bare = len(page(tmp_path, drawn).encode())
    drawn["figures"] = [Figure("a", "large", "", f'<img src="{picture(480)}">', "samples", "mine-small")]
    with caplog.at_level(logging.INFO):
        text = page(tmp_path, drawn, limit=(bare + 100_000) / 1e6)
    assert len(text.encode()) <= bare + 100_000
    assert "made smaller: figure 'large'" in caplog.text.replace("&#39;", "'")
    assert "Made smaller or left out (1)" in text


def colours(block: str) -> dict[str, str]:
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_text_has_contrast_in_both_themes() -> None:
    css = (ASSETS / "page.css").read_text(encoding="utf-8")
    blocks = re.findall(r":root[^{]*\{([^}]*)\}", css)
    light, dark, toggled = (colours(block) for block in blocks[:3])
    assert dark == toggled
    for theme in (light, dark):
        for name in ("ink", "soft", "link", "good", "bad", *(f"line-{i}" for i in range(1, 9))):
            for ground in ("paper", "raised"):
                high, low = sorted((luminance(theme[name]), luminance(theme[ground])), reverse=True)
                assert (high + 0.05) / (low + 0.05) >= 4.5, (name, ground)


def test_numbers_are_sorted_as_they_are(tmp_path) -> None:
    write_outputs(tmp_path)
    shown = shown_table(collect_page(tmp_path).tables["mine-small"], {})
    keys = {row.name: row.cells[0].key for row in shown.blocks[0].rows}
    assert {name: float(key) if key else None for name, key in keys.items()} == MEANS
