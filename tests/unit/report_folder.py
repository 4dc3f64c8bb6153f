"""An outputs folder as the report finds it, made by hand: tables, runs, and whatever is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path

from seglab.report.csvfile import csv_text
from seglab.tables.spec import Column, Row, TableSpec
from seglab.tables.values import Cell, RunInfo, TableValues

EVIL = "<script>window.stolen=1</script><img src=x onerror=window.stolen=1>"
EVIL_RUN = "shapes-<img src=x onerror=window.stolen=1>-s0-0000000000"
MEANS = {"A": 0.9, "B": 0.05, "C": None, "D": 0.1}


def values(scale: str = "small") -> TableValues:
    columns = (Column("shapes F", "shapes", "f", "higher"), Column("shapes MAE", "shapes", "mae", "lower"))
    columns = tuple(Column(c.name, c.set, c.metric, c.better, c.protocol, c.name) for c in columns)
    rows = tuple(Row(name, "ours", values=(0.5, 0.2), printed=(0.5, 0.2), run=("x",)) for name in MEANS)
    cells = {}
    for row, mean in MEANS.items():
        for place, column in enumerate(columns):
            own = None if mean is None else round(mean / (place + 1), 4)
            done = Cell(
                () if own is None else (own,), () if own is None else (0,), (0.5, 0.2)[place], (0.5, 0.2)[place]
            )
            state = {"state": "done", "runs": (f"shapes-unet-{row}-s0-0123456789",)}
            failed = {"state": "failed", "reason": EVIL}
            cells[row, column.name] = Cell(
                done.ours, done.seeds, done.published, done.printed, **(failed if own is None else state)
            )
    spec = TableSpec("mine", "own", "Mine", "here", "none", columns, rows)
    runs = tuple(RunInfo(f"shapes-unet-{row}-s0-0123456789", row, 0) for row in ("A", "B", "D"))
    return TableValues(spec, scale, "photos", columns, cells, (0,), runs, "abc", "python -m seglab.table table=mine")


def write_run(folder: Path, **more: str) -> Path:
    """A finished run; ``more`` replaces files, None leaves one out."""
    name = folder.name.split("-")
    files = {
        "config.yaml": f"name: shapes-unet-{name[-3]}\nseed: 0\ndata:\n  name: shapes\nschedule:\n  epochs: 2\n",
        "env.json": json.dumps({"machine": "Linux", "device": "cpu", "seconds": 1.5, "git": None, "arguments": [EVIL]}),
        "log.jsonl": "".join(json.dumps({"epoch": e, "loss": 1 / (e + 1), "val_f": 0.1 * e}) + "\n" for e in range(3)),
        "noise.json": json.dumps({"type": "flip", "rate": 0.5}),
        "eval/shapes-cas.json": json.dumps(
            {"set": "shapes", "metrics": {"f": 0.9, "mae": 0.1}, "protocol": {"name": "cas"}}
        ),
        "DONE": "2026-01-01T00:00:00+0000\n",
        **more,
    }
    for file, text in files.items():
        if text is not None:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(text, encoding="utf-8")
    return folder


def write_outputs(root: Path) -> Path:
    """Two tables, four whole runs, one of them with a name that is markup, and three that are damaged."""
    made = values()
    (root / "tables").mkdir(parents=True)
    (root / "tables" / "mine-small.csv").write_text(csv_text(made), encoding="utf-8")
    lines = [f"# mine: Mine {EVIL}", "**Scale: small (photos).**"]
    lines += [f"| {run.row} | 0 | `{run.id}` | unknown | cpu | 2 |" for run in made.runs]
    (root / "tables" / "mine-small.md").write_text("\n".join(lines), encoding="utf-8")
    (root / "tables" / "broken.csv").write_text("no,table\n1,2\n", encoding="utf-8")
    for run in made.runs:
        write_run(root / "runs" / run.id)
    write_run(root / "runs" / EVIL_RUN)
    write_run(root / "runs" / "half-run-s0-1111111111", **{"DONE": None, "config.yaml": None, "env.json": "{"})
    write_run(root / "runs" / "bad-log-s0-2222222222", **{"log.jsonl": '{"epoch": 0, "lo\n{"epoch": 1}\n'})
    write_run(root / "runs" / "no-yaml-s0-3333333333", **{"config.yaml": "a: [1\n"})
    return root
