"""Read what the runs of a table say into its cells."""

from __future__ import annotations

import shlex
import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from omegaconf import OmegaConf

from seglab.identity import ARITHMETIC
from seglab.run import Run, result_stem
from seglab.tables.job import Job
from seglab.tables.plan import Plan
from seglab.tables.spec import Column, Row
from seglab.tables.state import State, differing, state_of
from seglab.tables.values import Cell, RunInfo, TableValues
from seglab.words import nearest


def collect(plan: Plan, table: str, *, code: str | None = None) -> TableValues:
    """All cells of a table, with the runs they come from.

    Args:
        plan: where the runs are.
        table: name of the table.
        code: commit of the code that renders.
    """
    scale, columns = plan.scale(table), plan.columns(table)
    spec = replace(plan.spec(table), rows=tuple(row for row in plan.spec(table).rows if row.kind != "start"))
    cells, runs = {}, {}
    for row in spec.rows:
        for column in columns:
            cells[row.name, column.name] = cell_of(plan, table, row, column)
        jobs = plan.row_jobs(table, row)
        uses = {other.key: " (its labels)" for job in jobs for other in job.labels.values()}
        uses |= {job.start.key: " (its start)" for job in jobs if job.start is not None}
        uses |= {fold.key: f" (without fold {n + 1} of {of})" for job in jobs for (n, of), fold in job.folds.items()}
        for job in jobs:
            if job.run is not None and job.run.done:
                runs.setdefault((row.name, job.key), run_info(job.run, row.name + uses.get(job.key, ""), job.seed))
    return TableValues(
        spec=spec,
        scale=scale.name,
        scale_title=scale.title,
        columns=columns,
        cells=cells,
        seeds=scale.seeds,
        runs=tuple(runs.values()),
        command=command_line(plan, table),
        code=code,
    )


def command_line(plan: Plan, table: str) -> str:
    """What to type for the same numbers: the table as it was asked for, its scale, and what was changed of it."""
    cfg = plan.cfg
    keys = [k for k in cfg.typed if k == "seeds" or k.startswith("scale.") or k.removeprefix("runtime.") in ARITHMETIC]
    changed = [f"{key}={OmegaConf.select(cfg, key)}" for key in keys]
    return shlex.join(["python", "-m", "seglab.table", f"table={table}", f"scale={cfg.scale.own}", *changed])


def cell_of(plan: Plan, table: str, row: Row, column: Column) -> Cell:
    """One cell: read from runs, or worked out from other cells."""
    position = [c.paper_name for c in plan.spec(table).columns].index(column.paper_name)
    published = row.values[position] if row.values else None
    known = {"published": published, "printed": row.printed[position] if row.printed else published}
    if row.kind == "published":
        return Cell(**known, state="published")
    if row.unavailable:
        return Cell(**known, state="not built", reason=row.unavailable)
    if row.difference:
        pair = [cell_of(plan, table, plan.spec(table).row(name), column) for name in row.difference]
        return replace(combined(pair, lambda numbers: numbers[0] - numbers[1]), **known)
    if column.mean_of:
        cells = [cell_of(plan, table, row, other) for other in plan.averaged(table, column)]
        return replace(combined(cells, statistics.fmean), **known)
    if row.metric:
        column = replace(column, metric=row.metric)
    for word, other in (row.metric_words or {}).items():
        column = replace(column, metric="_".join(other if w == word else w for w in column.metric.split("_")))
    return replace(_measured(plan.cell_jobs(table, row, column), column), **known)


def combined(cells: Sequence[Cell], rule: Callable[[Sequence[float]], float]) -> Cell:
    """A cell worked out from others, seed by seed; it takes the state of the first that is not done.

    Args:
        cells: one or more.
        rule: from their numbers of one seed to that of the new cell.
    """
    seeds = [seed for seed in cells[0].seeds if all(seed in cell.seeds for cell in cells)]
    undone = next((cell for cell in cells if cell.state != "done"), None)
    state = "done" if undone is None else "part" if seeds else undone.state
    return Cell(
        ours=tuple(rule([cell.ours[cell.seeds.index(seed)] for cell in cells]) for seed in seeds),
        seeds=tuple(seeds),
        runs=tuple(dict.fromkeys(run for cell in cells for run in cell.runs)),
        state=state if undone is None or undone.state != "part" or seeds else "not run",
        reason="" if undone is None else undone.reason,
    )


def _measured(jobs: list[Job], column: Column) -> Cell:
    """A cell without the paper's number: what each run scored, or why one did not."""
    found = {job: value for job in jobs if (value := number(job, column)) is not None}
    state = State("done") if len(found) == len(jobs) else _why_not(jobs, column)
    return Cell(
        ours=tuple(found.values()),
        seeds=tuple(job.seed for job in found),
        runs=tuple(job.key for job in found),
        state="part" if found and state.name != "done" else state.name,
        reason=state.reason,
    )


def number(job: Job, column: Column) -> float | None:
    """What a finished run scored on a column's data set; None where it did not, or not so."""
    content = _content(job, column)
    if content is None or column.metric not in content["metrics"]:
        return None
    return column.factor * float(content["metrics"][column.metric])


def _content(job: Job, column: Column) -> dict[str, Any] | None:
    """The file of numbers a cell is read from; None where there is none, or one measured by other settings."""
    if job.run is None or not job.run.done:
        return None
    cfg = job.cfg_for(column.protocol)
    content = job.run.read_json(f"{result_stem(cfg, column.set)}.json")
    return None if content is None or differing(content, cfg) else content


def _why_not(jobs: list[Job], column: Column) -> State:
    """Why the first run that lacks the number lacks it."""
    for job in jobs:
        if number(job, column) is not None:
            continue
        if column.set in job.missing:
            return State("data missing", job.missing[column.set])
        if (content := _content(job, column)) is not None:
            near = nearest(column.metric, sorted(content["metrics"]))
            return State("failed", f"the table asks for a metric '{column.metric}', which is not measured{near}")
        state = state_of(job)
        return State("not run", state.reason) if state.name in ("done", "part") else state
    return State("not run")


def run_info(run: Run, row: str, seed: int) -> RunInfo:
    """What a finished run's folder says about its making."""
    made = run.read_json("env.json") or {}
    git = made.get("git") or {}
    return RunInfo(
        id=run.path.name,
        row=row,
        seed=seed,
        commit=git.get("commit"),
        dirty=bool(git.get("dirty")),
        device=str(made.get("device", "")),
        seconds=made.get("seconds"),
    )
