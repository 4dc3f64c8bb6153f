"""The report command from the command line."""

from __future__ import annotations


def test_an_empty_folder_a_missing_one_and_a_wrong_name(command, tmp_path) -> None:
    (tmp_path / "outputs").mkdir()
    made = command("report", "title=Mine")
    assert made.returncode == 0, made.stderr
    file = tmp_path / "outputs/report/index.html"
    assert made.stdout.strip().endswith("outputs/report/index.html")
    assert "<title>Mine</title>" in file.read_text(encoding="utf-8")
    assert "is empty" in made.stderr

    for arguments, words in (
        (["runtime.outputs=nowhere"], "runtime.outputs=nowhere: there is no such folder"),
        (["table=cas_t3"], "tables=cas_t3: no such table"),
        (["runs=some"], "runs=some: expected one of all, tables, none"),
        (["limit=0"], "limit=0: expected a number of MB"),
    ):
        failed = command("report", *arguments)
        assert failed.returncode == 1
        assert words in failed.stderr
        assert "Traceback" not in failed.stderr


def test_help_names_every_option(command) -> None:
    page = command("report", "--help").stdout
    for key in ("output=", "title=", "tables=", "runs=", "limit="):
        assert key in page
