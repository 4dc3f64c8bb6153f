"""Tables as ``seglab.table`` left them: ``outputs/tables/<table>[-<scale>].csv`` and ``.md`` read back into values.

Composing every run's config again takes a minute for a full set; the files say the same in a second, and a page made of
them shows what they show. Numbers of single seeds, which the files do not hold, are read from the runs.

One runnable line: ``python -c "from pathlib import Path; from seglab.report.page.stored import read_table;
print(read_table(Path('outputs/tables/cas_t3-small.csv')).values.seeds)"``.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from seglab.tables.spec import Column, Row, TableSpec, load_table, table_ids
from seglab.tables.values import Cell, RunInfo, TableValues

RUN = re.compile(r"^\| (.*) \| (\d+) \| `([^`|]+)` \| (.*?) \| (.*?) \| *(\d*) *\|$")
SCALE = re.compile(
    r"^\**Scale: [^(]+ \((.*?)\)\.(?: The published numbers| The numbers mean nothing:| No paper has|\**$)"
)
SEED = re.compile(r"-s(\d+)-[0-9a-f]{10}$")
KEEP = ("table", "scale", "row", "kind", "column", "set", "metric", "protocol", "better", "seeds", "mean", "state")
"""Fields that a file of numbers needs to be one."""

SeedNumbers = Callable[[Sequence[str], Column, Row], "tuple[tuple[int, float], ...] | None"]
"""(names of run folders, column, row) -> seed and number of each, None where they cannot be told apart."""


@dataclass(frozen=True)
class StoredCell(Cell):
    """A cell read from a file, which holds its mean and deviation.

    Attributes:
        own_mean: over the finished seeds.
        own_deviation: sample standard deviation, None for one seed.
        by_seed: whether ``ours`` are the numbers of the single seeds; else each is their mean.
    """

    own_mean: float | None = None
    own_deviation: float | None = None
    by_seed: bool = True

    @property
    def mean(self) -> float | None:
        """Mean over the finished seeds, as stored."""
        return self.own_mean

    @property
    def deviation(self) -> float | None:
        """Sample standard deviation over the finished seeds, as stored."""
        return self.own_deviation


@dataclass(frozen=True)
class StoredTable:
    """A table that was found.

    Attributes:
        stem: name of its files, ``cas_t3-small``.
        values: what it says.
        made: when its file was written, ISO 8601 in UTC.
        known: whether ``conf/table`` has it; else only what the file says is known of it.
    """

    stem: str
    values: TableValues
    made: str
    known: bool


def read_table(path: Path, *, by_seed: SeedNumbers | None = None) -> StoredTable:
    """Read one table.

    Args:
        path: its CSV file; the Markdown file beside it says its runs and its scale, where it is there.
        by_seed: finds the numbers of single seeds.

    Raises:
        ValueError: the file is damaged, or none of seglab's.
        OSError: it cannot be read.
    """
    name, _, scale = path.stem.partition("-")
    scale = scale or "paper"
    try:
        with open(path, encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            lines, fields = list(reader), reader.fieldnames or []
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: {error}; make it again: python -m seglab.table table={name} render=true") from error
    if lacking := [field for field in KEEP if field not in fields]:
        raise ValueError(f"{path}: no column {', '.join(lacking)}: expected a table that seglab.table wrote")
    beside = path.with_suffix(".md")
    words = beside.read_text(encoding="utf-8", errors="replace").splitlines() if beside.is_file() else []
    known = name in table_ids()
    own = load_table(name) if known else None
    try:
        columns = _columns(lines)
        spec = _unknown(name, lines, columns, words) if own is None else _spec(own, lines, columns)
        rows = {row.name: row for row in spec.rows}
        by_name = {column.name: column for column in columns}
        cells = {
            (line["row"], line["column"]): _cell(line, by_name[line["column"]], rows[line["row"]], by_seed)
            for line in lines
        }
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: damaged ({error}); make it again with python -m seglab.table") from error
    runs = _runs(words) or _runs_of_cells(cells)
    values = TableValues(
        spec=spec,
        scale=scale,
        scale_title=next((_plain(found[1]) for line in words if (found := SCALE.match(line))), ""),
        columns=columns,
        cells=cells,
        seeds=_seeds(runs, cells),
        runs=tuple(runs),
        code=next((line[6:-1] for line in words if line.startswith("Code: ")), None),
        command=_after(words, "## Made by"),
    )
    made = datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds")
    return StoredTable(path.stem, values, made, known)


def _columns(lines: Sequence[Mapping[str, str]]) -> tuple[Column, ...]:
    found = {}
    for line in lines:
        named = {key: line[key] or "" for key in ("set", "metric", "better", "protocol")}
        paper = line.get("paper_column") or line["column"]
        place = {
            "overrides": tuple((line.get("overrides") or "").split()),
            "group": line.get("group") or "",
            "x": _number(line.get("x")),
        }
        found.setdefault(line["column"], Column(name=line["column"], paper_name=paper, **named, **place))
    return tuple(found.values())


def _spec(spec: TableSpec, lines: Sequence[Mapping[str, str]], columns: Sequence[Column]) -> TableSpec:
    """The table of ``conf/table`` with the rows that only the file has behind its own."""
    own = [row for row in spec.rows if row.kind != "start"]
    names = {row.name for row in own}
    more = [row for row in _rows(lines, columns) if row.name not in names]
    return replace(spec, rows=(*own, *more))


def _unknown(
    name: str, lines: Sequence[Mapping[str, str]], columns: tuple[Column, ...], words: Sequence[str]
) -> TableSpec:
    """A table of the user's own, of which only the files tell."""
    heading = next((_plain(line[2:]) for line in words if line.startswith("# ")), name)
    title = heading.removeprefix(f"{name}: ")
    return TableSpec(name, "own", title, "your own table", "", columns, _rows(lines, columns))


def _rows(lines: Sequence[Mapping[str, str]], columns: Sequence[Column]) -> tuple[Row, ...]:
    kinds = {line["row"]: line["kind"] for line in lines}
    place = {(line["row"], line["column"]): line for line in lines}

    def published(name: str, key: str) -> tuple[float | None, ...]:
        return tuple(_number(place.get((name, column.name), {}).get(key)) for column in columns)

    return tuple(
        Row(name, kind, values=published(name, "published"), printed=published(name, "printed"))
        for name, kind in kinds.items()
    )


def _cell(line: Mapping[str, str], column: Column, row: Row, by_seed: SeedNumbers | None) -> StoredCell:
    count, mean = int(line["seeds"] or 0), _number(line["mean"])
    runs = tuple((line.get("runs") or "").split())
    ours: tuple[float, ...] = (mean,) * count if mean is not None else ()
    seeds, told = tuple(range(count)) if mean is not None else (), count <= 1
    if mean is not None and by_seed is not None and len(runs) == count:
        found = by_seed(runs, column, row)
        # A factor, or another measurement since, would show here; then the numbers of the file stand alone.
        if found and math.isclose(math.fsum(n for _, n in found) / count, mean, rel_tol=1e-9, abs_tol=1e-12):
            seeds, ours, told = tuple(s for s, _ in found), tuple(n for _, n in found), True
    return StoredCell(
        ours=ours,
        seeds=seeds,
        published=_number(line.get("published")),
        printed=_number(line.get("printed")),
        state=line["state"] or "not run",
        reason=line.get("reason") or "",
        runs=runs,
        own_mean=mean,
        own_deviation=_number(line.get("deviation")),
        by_seed=told,
    )


def _number(text: str | None) -> float | None:
    return float(text) if text else None


def _seeds(runs: Sequence[RunInfo], cells: Mapping[tuple[str, str], Cell]) -> tuple[int, ...]:
    named = sorted({run.seed for run in runs})
    most = max((len(cell.seeds) for cell in cells.values()), default=0)
    return tuple(named) if len(named) >= most and named else tuple(range(max(most, 1)))


def _runs(words: Sequence[str]) -> list[RunInfo]:
    found = []
    for line in words:
        if match := RUN.match(line):
            row, seed, run, commit, device, seconds = match.groups()
            dirty = commit.endswith(" (dirty)")
            commit = commit.removesuffix(" (dirty)")
            known = None if commit == "unknown" else commit
            took = float(seconds) if seconds else None
            found.append(RunInfo(run, _plain(row), int(seed), known, dirty, _plain(device), took))
    return found


def _runs_of_cells(cells: Mapping[tuple[str, str], Cell]) -> list[RunInfo]:
    """The runs behind the cells, where the Markdown file names none: it counts them where they are many."""
    found = dict.fromkeys((row, name) for (row, _), cell in cells.items() for name in cell.runs)
    return [RunInfo(name, row, int(seed[1])) for row, name in found if (seed := SEED.search(name))]


def _plain(text: str) -> str:
    """Text without the signs that keep Markdown from reading it."""
    return re.sub(r"\\([\\|*<`_])", r"\1", text).strip()


def _after(words: Sequence[str], heading: str) -> str:
    """The first line of the block of code below a heading."""
    if heading not in words:
        return ""
    below = list(words)[words.index(heading) :]
    fence = next((i for i, line in enumerate(below) if line.startswith("```")), len(below))
    return below[fence + 1] if fence + 1 < len(below) else ""
