"""Read what the runs of a table say into its cells."""

from __future__ import annotations

import shlex
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
    spec, scale, columns = plan.spec(table), plan.scale(table), plan.columns(table)
    cells, runs = {}, {}
    for row in spec.rows:
        for column in columns:
            jobs = plan.cell_jobs(table, row, column)
            position = [c.paper_name for c in spec.columns].index(column.paper_name)
            cells[row.name, column.name] = _cell(_source(plan, table, row, column), column, jobs, position, of=row)
        jobs = plan.row_jobs(table, row)
        starts = {job.start.key for job in jobs if job.start is not None}
        for job in jobs:
            if job.run is not None and job.run.done:
                name = f"{row.name} (its start)" if job.key in starts else row.name
                runs.setdefault((row.name, job.key), run_info(job.run, name, job.seed))
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


def _source(plan: Plan, table: str, row: Row, column: Column) -> Row:
    """The row that a cell's runs belong to: itself, or the one an assembled row takes the cell from."""
    while row.cells:
        table, name = plan.reference(table, row, column)
        row = plan.spec(table).row(name)
    return row


def _cell(row: Row, column: Column, jobs: list[Job], position: int, *, of: Row) -> Cell:
    published = of.values[position] if of.values else None
    printed = of.printed[position] if of.printed else published
    if row.kind == "published":
        return Cell(published=published, printed=printed, state="published")
    if row.unavailable:
        return Cell(published=published, printed=printed, state="not built", reason=row.unavailable)
    found = {job: value for job in jobs if (value := number(job, column)) is not None}
    state = State("done") if len(found) == len(jobs) else _why_not(jobs, column)
    return Cell(
        ours=tuple(found.values()),
        seeds=tuple(job.seed for job in found),
        runs=tuple(job.key for job in found),
        published=published,
        printed=printed,
        state="part" if found and state.name != "done" else state.name,
        reason=state.reason,
    )


def number(job: Job, column: Column) -> float | None:
    """What a finished run scored on a column's data set; None where it did not, or not so."""
    content = _content(job, column)
    return (
        None if content is None or column.metric not in content["metrics"] else float(content["metrics"][column.metric])
    )


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
