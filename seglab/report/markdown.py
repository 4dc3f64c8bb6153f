"""A table as Markdown, to be read as it stands and on a code host."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from seglab.report.layout import Layout, Line, Text, arrow, heading, joined, lay_out, reading, scale_sentences
from seglab.tables.claims import BoardLine, Verdict
from seglab.tables.values import TableValues

PICTURES = (".png", ".jpg", ".jpeg", ".svg", ".gif")


def markdown_text(values: TableValues, claims_board: Sequence[BoardLine], folder: Path, figures: Sequence[Path]) -> str:
    """The whole file.

    Args:
        values: what is to be shown.
        claims_board: from :func:`seglab.tables.claims.board`.
        folder: where the file will lie; links to figures are relative to it.
        figures: files of figures; those that differ in their suffix only are one figure.
    """
    spec, layout = values.spec, lay_out(values)
    lead, *rest = scale_sentences(values)
    mark = "" if values.scale == "paper" else "**"
    parts = [f"# {spec.id}: {escape(joined([spec.title]))}", f"{mark}{escape(joined([lead, *rest]))}{mark}"]
    if layout.columns:
        parts.append(escape(reading(values)))
        for title, positions in layout.blocks:
            parts += [f"## {title}"] if title else []
            parts.append(_table(layout, positions))
        parts += ["\n\n".join(f"† {escape(m)}" for m in layout.misprints)] if layout.misprints else []
        parts += ["\n".join(f"[^{i}]: {escape(joined([n]))}" for i, n in enumerate(layout.notes, 1))]
    parts += _figures(folder, figures)
    parts += _claims(values, claims_board)
    whose = "" if spec.is_ours else f"Of the paper ({escape(joined([spec.source]))}): "
    parts += ["## Protocol", f"{whose}{escape(joined([spec.protocol]))}"]
    if values.columns:
        protocols = list(dict.fromkeys(c.protocol for c in values.columns))
        what = "The numbers" if spec.is_ours else "Ours"
        parts.append(f"{what} are measured by `eval/protocol={'`, `'.join(protocols)}`; see `conf/eval/protocol`.")
    if spec.notes:
        parts += ["## Notes", "\n".join(f"- {escape(joined([note]))}" for note in spec.notes)]
    parts += _runs(values)
    command = values.command or f"python -m seglab.table table={spec.id} scale={values.scale}"
    parts += ["## Made by", f"```\n{command}\n```", f"Code: {values.code or 'unknown, outside a checkout'}."]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(layout: Layout, positions: Sequence[int]) -> str:
    columns = [layout.columns[i] for i in positions]
    rows = [["row", "", *(f"{escape(heading(c))} {arrow(c)}" for c in columns)]]
    for group in layout.groups:
        rows += [_line(line, positions) for line in group]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    rule = ["-" * widths[0], "-" * widths[1], *("-" * (w - 1) + ":" for w in widths[2:])]
    padded = [
        [t.ljust(w) if i < 2 else t.rjust(w) for i, (t, w) in enumerate(zip(row, widths, strict=True))] for row in rows
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in [padded[0], rule, *padded[1:]])


def _line(line: Line, positions: Sequence[int]) -> list[str]:
    label = escape(line.label) + (f"[^{line.note}]" if line.note else "")
    return [escape(line.row), label, *(_cell(line.cells[i]) for i in positions)]


def _cell(text: Text) -> str:
    number = {"best": f"**{text.main}**", "second": f"<u>{text.main}</u>"}.get(text.mark, text.main)
    number += "†" if text.dagger else ""
    number += f" ± {text.deviation}" if text.deviation else ""
    number += f" {text.after}" if text.after else ""
    return number + (f"[^{text.note}]" if text.note else "")


def _claims(values: TableValues, board: Sequence[BoardLine]) -> list[str]:
    if not board:
        return []
    if values.spec.is_ours:
        lines = ["| claim, made before the numbers | at scale " + values.scale + " |", "|---|---|"]
        lines += [f"| {escape(joined([line.text]))} | {_verdict(line.ours)} |" for line in board]
        return ["## Claims", "\n".join(lines)]
    lines = ["| claim | in the paper's own numbers | ours (" + values.scale + ") |", "|---|---|---|"]
    for line in board:
        lines.append(f"| {escape(joined([line.text]))} | {_verdict(line.published)} | {_verdict(line.ours)} |")
    return ["## Claims", "\n".join(lines)]


def _verdict(verdict: Verdict) -> str:
    if verdict.state == "text":
        return escape(verdict.detail)
    return f"**{verdict.state}**: {escape(verdict.detail)}"


def _figures(folder: Path, figures: Sequence[Path]) -> list[str]:
    kinds: dict[Path, list[Path]] = {}
    for path in figures:
        kinds.setdefault(path.with_suffix(""), []).append(path)
    parts = ["## Figures"] if kinds else []
    for stem, paths in kinds.items():
        order = sorted(paths, key=lambda p: PICTURES.index(p.suffix) if p.suffix in PICTURES else len(PICTURES))
        links = [Path(os.path.relpath(p, folder)).as_posix().replace(" ", "%20") for p in order]
        others = ", ".join(f"[{p.suffix[1:]}]({link})" for p, link in zip(order[1:], links[1:], strict=True))
        parts.append(f"![{escape(stem.name)}]({links[0]})" + (f"\n\n{stem.name} as {others}" if others else ""))
    return parts


def _runs(values: TableValues) -> list[str]:
    if not values.runs:
        return []
    lines = ["| row | seed | run | commit | device | seconds |", "|---|--:|---|---|---|--:|"]
    for run in values.runs:
        commit = (run.commit or "unknown")[:10] + (" (dirty)" if run.dirty else "")
        seconds = "" if run.seconds is None else f"{run.seconds:.0f}"
        cells = (escape(run.row), str(run.seed), f"`{run.id}`", commit, escape(run.device), seconds)
        lines.append(f"| {' | '.join(cells)} |")
    dirty = ["dirty: the code had changes that were not committed."] if any(run.dirty for run in values.runs) else []
    if any(column.overrides for column in values.columns):
        lines = _runs_by_row(values)
        dirty.insert(0, "The runs behind every number are named in the CSV file beside this one.")
    return [f"## Runs ({values.scale})", "\n".join(lines), *dirty]


def _runs_by_row(values: TableValues) -> list[str]:
    """One line a row, for a table whose rows are trained anew for many columns."""
    lines = ["| row | runs | commits | devices | seconds together |", "|---|--:|---|---|--:|"]
    for row in values.spec.rows:
        ids = {i for column in values.columns for i in values.cells[row.name, column.name].runs}
        own = {run.id: run for run in values.runs if run.id in ids}.values()
        commits = {(run.commit or "unknown")[:10] + (" (dirty)" if run.dirty else "") for run in own}
        seconds = f"{sum(run.seconds or 0 for run in own):.0f}"
        devices = ", ".join(sorted({run.device for run in own}))
        cells = (escape(row.name), str(len(own)), ", ".join(sorted(commits)), escape(devices), seconds)
        lines += [f"| {' | '.join(cells)} |"] if own else []
    return lines


def escape(text: str) -> str:
    """Keep Markdown from reading signs of the paper as its own; underscores inside words mean nothing to it."""
    text = re.sub(r"([\\|*<`])", r"\\\1", text)
    return re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", text)
