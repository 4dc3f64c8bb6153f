"""Numbers of several methods as files: table in three formats, summary, curves.

Example: ``write_results(results, work, folder, about=about, columns=["mae"])``
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from seglab.report.grid import Grid
from seglab.scoring.figures import draw_curves
from seglab.scoring.folders import LEFT_OUT, NO_MAP, NO_MASK, Work, file_name
from seglab.scoring.gather import Result, quoted
from seglab.scoring.words import better, heading

FRACTION_DIGITS, PERCENT_DIGITS = 3, 2


def grid_of(results: Sequence[Result], columns: Sequence[str], *, percent: bool) -> Grid:
    """The table of some metrics, with the number of images beside them where methods differ in it."""
    shown = [(heading(c), better(c)) for c in columns]
    rows = {r.name: [r.metrics.get(c, math.nan) for c in columns] for r in results}
    if len({r.images for r in results}) > 1:
        shown.append(("images", ""))
        rows = {r.name: [*rows[r.name], r.images] for r in results}
    return Grid(columns=shown, rows=rows, digits=PERCENT_DIGITS if percent else FRACTION_DIGITS)


def write_results(
    results: Sequence[Result],
    work: Work,
    folder: Path,
    *,
    about: Mapping[str, Any],
    columns: Sequence[str],
    curves: bool,
) -> str:
    """Write ``table.md``, ``table.csv``, ``table.tex``, ``summary.json``, ``left_out.csv`` and the curves.

    Args:
        results: one per method.
        work: what was scored.
        folder: where to write; it exists.
        about: ``set``, ``gt``, ``protocol`` and ``settings`` (plain types), ``command``, ``percent`` and
            ``masks_without_object``.
        columns: metrics of the table.
        curves: whether curves are drawn and written as ``<method>-curves.csv``.

    Returns:
        The table as Markdown.
    """
    grid = grid_of(results, columns, percent=about["percent"])
    name, protocol = about["set"], about["protocol"]
    counts = sorted({r.images for r in results})
    images = f"{counts[0]} images" if len(counts) == 1 else f"{counts[0]} to {counts[-1]} images"
    title = f"{name}, {images}, protocol {protocol['name']}" + (" (percent)" if about["percent"] else "")
    drawn = [r for r in results if r.curves] if curves else []
    pictures = draw_curves(drawn, folder, note=title) if drawn else []
    for result in drawn:
        names, columns_of = list(result.curves), zip(*result.curves.values(), strict=True)
        _write_csv(folder / f"{file_name(result.name)}-curves.csv", names, ([*map(_number, row)] for row in columns_of))
    table = grid.markdown()
    parts = [
        f"# {title}",
        table,
        "Best bold, second underlined; ↑ higher is better, ↓ lower is better.",
        _unequal(results),
        "\n".join(f"- {line}" for line in (*read_as(results, work), *work.left_out)),
        *(f"![{path.stem} curves]({path.name})" for path in pictures if path.suffix == ".png"),
        "## Protocol",
        "\n".join(f"- `{key}`: {value}" for key, value in protocol.items()),
        "## Made by",
        f"```\n{about['command']}\n```",
    ]
    (folder / "table.md").write_text("\n\n".join(part for part in parts if part) + "\n", encoding="utf-8")
    label = "tab:" + re.sub(r"[^A-Za-z0-9]+", "-", f"score-{name}-{protocol['name']}")
    caption = f"{title}. Best bold, second underlined."
    (folder / "table.tex").write_text(grid.latex(caption=caption, label=label), encoding="utf-8")
    metrics = list(dict.fromkeys(metric for r in results for metric in r.metrics))
    rows = ([quoted(r.name), str(r.images), *(_number(r.metrics.get(m, math.nan)) for m in metrics)] for r in results)
    _write_csv(folder / "table.csv", ["method", "images", *metrics], rows)
    if work.unmatched:
        write_unmatched(work, folder / LEFT_OUT)
    files = sorted({"summary.json", *(path.name for path in folder.iterdir())})
    summary = json.dumps(_summary(results, work, about) | {"files": files}, indent=2, ensure_ascii=False)
    (folder / "summary.json").write_text(summary + "\n", encoding="utf-8")
    return f"{title}\n\n{table}\n"


def read_as(results: Sequence[Result], work: Work) -> list[str]:
    """A line on what the maps of each method were read as, where there was a choice."""
    folders = {name: f": {', '.join(scales)}" for name, scales in work.scales.items()}
    return [f"{r.name}: {r.kind}{folders.get(r.name, '')}" for r in results if r.kind]


def write_unmatched(work: Work, path: Path) -> None:
    """Write the files without a partner as CSV: method, id, what is missing."""
    _write_csv(path, ["method", "id", "what"], ([*map(quoted, line)] for line in work.unmatched))


def _summary(results: Sequence[Result], work: Work, about: Mapping[str, Any]) -> dict[str, Any]:
    """Every number beside what it was measured by, as plain types."""
    return {
        **{key: about[key] for key in ("set", "gt", "protocol", "percent", "settings", "masks_without_object")},
        "left_out": {
            "maps_without_mask": sum(what == NO_MASK for *_, what in work.unmatched),
            "masks_without_map": sum(what == NO_MAP for *_, what in work.unmatched),
            "file": LEFT_OUT if work.unmatched else None,
        },
        "methods": {
            r.name: {
                "pred": str(work.methods[r.name]),
                "images": r.images,
                **({"read_as": r.kind} if r.kind else {}),
                "metrics": {k: None if math.isnan(v) else v for k, v in r.metrics.items()},
            }
            for r in results
        },
    }


def _unequal(results: Sequence[Result]) -> str:
    if len({r.images for r in results}) == 1:
        return ""
    return "**The methods were scored on different images: their numbers cannot be compared as they stand.**"


def _number(value: float) -> str:
    """All digits; nothing where there is no number."""
    return "" if math.isnan(value) else repr(float(value))


def _write_csv(path: Path, names: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    path.write_text("".join(",".join(row) + "\n" for row in (names, *rows)), encoding="utf-8")
