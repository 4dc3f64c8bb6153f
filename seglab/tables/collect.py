"""Read what the runs of a table say into its cells."""

from __future__ import annotations

from seglab.run import Run
from seglab.tables.plan import Job, Plan
from seglab.tables.spec import Column, Row
from seglab.tables.state import State, differing, state_of
from seglab.tables.values import Cell, RunInfo, TableValues


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
        for job in plan.row_jobs(table, row):
            if job.run is not None and job.run.done:
                runs.setdefault((row.name, job.key), run_info(job.run, row.name, job.seed))
    return TableValues(
        spec=spec,
        scale=scale.name,
        scale_title=scale.title,
        columns=columns,
        cells=cells,
        seeds=scale.seeds,
        runs=tuple(runs.values()),
        code=code,
    )


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
    numbers: dict[int, float] = {}
    for job in jobs:
        value = number(job, column)
        if value is not None:
            numbers[job.seed] = value
    state = State("done") if len(numbers) == len(jobs) else _why_not(jobs, column)
    return Cell(
        ours=tuple(numbers.values()),
        seeds=tuple(numbers),
        published=published,
        printed=printed,
        state="part" if numbers and state.name != "done" else state.name,
        reason=state.reason,
    )


def number(job: Job, column: Column) -> float | None:
    """What a finished run scored on a column's data set; None where it did not.

    Raises:
        ValueError: the run has numbers for this data set, but not this metric.
    """
    if job.run is None or not job.run.done:
        return None
    content = job.run.read_json(f"eval/{column.set}-{column.protocol}.json")
    if content is None or differing(content, job.cfg_for(column.protocol)):
        return None
    if column.metric not in content["metrics"]:
        raise ValueError(
            f"{job.run.path}/eval/{column.set}-{column.protocol}.json: no metric '{column.metric}': "
            f"expected one of {', '.join(sorted(content['metrics']))}"
        )
    return float(content["metrics"][column.metric])


def _why_not(jobs: list[Job], column: Column) -> State:
    """The state of the first run that lacks the number."""
    for job in jobs:
        if number(job, column) is not None:
            continue
        if column.set in job.missing:
            return State("data missing", job.missing[column.set])
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
