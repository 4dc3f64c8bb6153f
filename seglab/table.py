"""Regenerate published tables: ``python -m seglab.table table=cas_t3 scale=small``.

Trains or resumes the runs that are missing, scores them, and writes ours beside the published numbers, with their
difference and the paper's claims checked. The last lines on stdout are the files.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf

from seglab.cli import run_command
from seglab.words import nearest

if TYPE_CHECKING:
    from seglab.composed import Store
    from seglab.launch.work import Outcome, Work
    from seglab.tables.plan import Job, Plan
    from seglab.tables.spec import Row
    from seglab.tables.values import TableValues

log = logging.getLogger(__name__)


def table(cfg: DictConfig) -> None:
    """Make tables.

    Args:
        cfg: finalised config of ``conf/table.yaml``.

    Raises:
        ValueError: no such table or row; or, after everything else was done, cells that have no number.
        seglab.cli.Stopped: a signal stopped it; the same command goes on.
    """
    from seglab.composed import remembered
    from seglab.config import conf_dir
    from seglab.launch.engine import check_launch

    check_launch(cfg.launch)
    if cfg.runtime.rerun:
        raise ValueError("runtime.rerun=true: a table trains only what is missing; remove run folders that are to go")
    with remembered(Path(cfg.runtime.outputs) / "cache" / "composed.json", conf_dir()) as composed:
        make(cfg, composed)


def make(cfg: DictConfig, composed: Store) -> None:
    """Plan, train, write; see :func:`table`."""
    from seglab.report.status import status_text
    from seglab.tables.plan import Plan
    from seglab.tables.proposals import proposals_status

    plan = Plan(cfg)
    chosen = choose(cfg, plan)
    jobs = {name: [(row, plan.row_jobs(name, row)) for row in rows] for name, rows in chosen.items()}
    wanted = [job for rows in jobs.values() for _, of_row in rows for job in of_row]
    look_for_data(cfg, plan, wanted)
    composed.save()  # training may take days
    if not cfg.status and not cfg.render:
        train_what_is_missing(cfg, plan, wanted)
    for name, rows in jobs.items():
        sys.stdout.write(status_text(f"{plan.spec(name).id}, scale {plan.scale(name).name}", rows))
    sys.stdout.writelines(f"{line}\n" for line in proposals_status(wanted))
    if cfg.status:
        return
    lacking = write(cfg, plan, chosen)
    if lacking and not cfg.render:
        raise ValueError(message(lacking))


def choose(cfg: DictConfig, plan: Plan) -> dict[str, list[Row]]:
    """The tables that were asked for, each with the rows to be trained.

    Raises:
        ValueError: no such table, or no such row.
    """
    from seglab.tables.spec import table_ids

    asked = OmegaConf.to_container(cfg.tables) if OmegaConf.is_list(cfg.tables) else str(cfg.tables).split(",")
    names = list(dict.fromkeys(n for a in asked for n in (table_ids() if a == "all" else [str(a).strip()])))
    only = [] if cfg.only is None else list(cfg.only) if OmegaConf.is_list(cfg.only) else [cfg.only]
    patterns = [str(pattern) for pattern in only]
    for name in names:
        check_table(plan, name)
    chosen = {name: [r for r in plan.spec(name).rows if is_wanted(r.name, patterns)] for name in names}
    known = [row.name for name in names for row in plan.spec(name).rows]
    for pattern in patterns:
        if not any(is_wanted(name, [pattern]) for name in known):
            raise ValueError(f"only={pattern}: no such row{nearest(pattern, known)}")
    return {name: rows for name, rows in chosen.items() if rows or not patterns}


def check_table(plan: Plan, name: str) -> None:
    """Find mistakes in claims, figures and references before anything is trained.

    Raises:
        ValueError: naming the table and what is wrong.
    """
    from seglab.report.figures.draw import check_figure
    from seglab.tables.claims import validate

    spec = plan.spec(name)
    validate(spec)
    for node in spec.figures:
        check_figure(spec.id, node)
    for row in spec.rows:
        for key in ("cells", "starts_from", "labels_from"):
            named = getattr(row, key) or ()
            for text in (named,) if isinstance(named, str) else named:
                try:
                    plan.check_reference(text, name)
                except ValueError as error:
                    raise ValueError(f"table={spec.id}: row '{row.name}': {key}: {error}") from error


def is_wanted(row: str, patterns: list[str]) -> bool:
    """Whether a row's name contains one of the patterns; no pattern wants every row."""
    # Only * is special: names of rows have brackets.
    wanted = [".*".join(map(re.escape, pattern.lower().split("*"))) for pattern in patterns]
    return not wanted or any(re.search(pattern, row.lower()) for pattern in wanted)


def look_for_data(cfg: DictConfig, plan: Plan, jobs: list[Job]) -> None:
    """Generate what a scale generates, and note in unfinished jobs what is missing on disk."""
    from seglab.tables.state import find_data

    if cfg.scale.generated and not cfg.status and not cfg.render:
        from seglab.data.standin import write_standins

        write_standins(plan.sets(), plan.data_root)
    if not cfg.scale.generated or plan.data_root.is_dir():
        for job in jobs:
            find_data(job)


def train_what_is_missing(cfg: DictConfig, plan: Plan, jobs: list[Job]) -> None:
    """Bring every job as far as it can be brought; what fails is told by its folder.

    Raises:
        seglab.cli.Stopped: a signal stopped it.
    """
    from seglab.launch.engine import run_all
    from seglab.proposals.make import slots_of
    from seglab.tables.plan import in_order
    from seglab.tables.proposals import Proposals
    from seglab.tables.state import state_of

    proposals, before = Proposals(slots=slots_of(cfg.launch)), {}
    todo: dict[str, Job] = {}
    for job in in_order(jobs):
        lacking = [(what, j) for what, j in job.needs.items() if j.key not in todo and not j.is_done]
        if lacking:
            what, other = lacking[0]
            job.outcome = ("failed", f"{what} {other.key}: {': '.join(filter(None, state_of(other)))}")
        elif job.run is not None and state_of(job).name not in ("done", "data missing"):
            try:
                before[job.key] = proposals.before(job)
            except ValueError as error:
                job.outcome = ("failed", str(error))
                continue
            todo[job.key] = job
    if not todo:
        return
    made = {work.key: work for works in before.values() for work in works}
    works = [*made.values(), *(as_work(job, todo, [work.key for work in before[job.key]]) for job in todo.values())]
    parts = f", {len(made)} parts of proposals to make before" if made else ""
    log.info("%d runs to train, resume or score%s", len(todo), parts)
    ended: list[str] = []

    def on_change(work: Work, outcome: Outcome | None) -> None:
        if outcome is None:
            log.info("start %s", work.key)
            return
        ended.append(work.key)
        log.info("%d/%d %s: %s %s", len(ended), len(works), work.key, outcome.state, outcome.reason)

    for key, outcome in run_all(works, cfg.launch, outputs=plan.outputs, on_change=on_change).items():
        if outcome.state != "done" and key in todo:
            todo[key].outcome = (outcome.state, outcome.reason)


def as_work(job: Job, todo: dict[str, Job], before: Sequence[str] = ()) -> Work:
    """A job as the engine takes it, after those it needs and after the works ``before``."""
    from seglab.launch.work import Work

    return Work(
        key=job.key,
        folder=str(job.run.path),
        configs=tuple(OmegaConf.to_yaml(cfg) for cfg in job.configs()),
        after=(*before, *(other.key for other in job.needs.values() if other.key in todo)),
    )


def write(cfg: DictConfig, plan: Plan, chosen: dict[str, list[Row]]) -> list[str]:
    """Write tables and figures; returns a line for every chosen cell that should have a number and has none."""
    from seglab.environment import git_state
    from seglab.report.figures.draw import draw_figures
    from seglab.report.tables import write_tables
    from seglab.tables.claims import board
    from seglab.tables.collect import collect

    root = Path(cfg.runtime.outputs)
    git = git_state()
    code = f"{git['commit'][:10]}{'-dirty' if git['dirty'] else ''}" if git else None
    lacking: list[str] = []
    for name, rows in chosen.items():
        values = collect(plan, name, code=code)
        stem = values.spec.id if values.scale == "paper" else f"{values.spec.id}-{values.scale}"
        figures, undrawn = draw_figures(plan, name, values, root / "figures" / stem)
        if len(rows) < len(plan.spec(name).rows):
            undrawn = []  # not all rows were asked for, so a figure of all of them cannot be expected
        verdicts = board(values, lambda other: collect(plan, other, code=code))
        for path in write_tables(values, verdicts, root / "tables", stem, figures):
            sys.stdout.write(f"{path}\n")
        for path in figures:
            sys.stdout.write(f"{path}\n")
        lacking += [f"{values.spec.id}: {line}" for line in [*without_number(values, rows), *undrawn]]
    return lacking


def without_number(values: TableValues, rows: list[Row]) -> list[str]:
    """Rows that should have numbers and do not, each with its first reason."""
    lines = []
    for row in rows:
        if row.kind in ("published", "start") or row.unavailable:
            continue
        for column in values.columns:
            cell = values.cells[row.name, column.name]
            if cell.state != "done":
                reason = f": {cell.reason}" if cell.reason else ""
                lines.append(f"'{row.name}', {column.name}: {cell.state}{reason}")
                break
    return lines


def message(lacking: list[str]) -> str:
    """One message for all that is missing."""
    shown = "\n  ".join(lacking[:20])
    more = f"\n  and {len(lacking) - 20} more" if len(lacking) > 20 else ""
    return f"{len(lacking)} rows or figures are not complete; the others are written:\n  {shown}{more}"


def complete(arguments: list[str]) -> list[str]:
    """Hydra would take ``table=`` for a config group; the tables are read one by one, so it is a value.

    Raises:
        ValueError: no table was named.
    """
    from seglab.tables.spec import table_ids

    found = [a for a in arguments if re.match(r"(tables?)=", a)]
    if not found:
        raise ValueError(f"table is missing: table=<name>, table=all, or several with commas: {', '.join(table_ids())}")
    names = found[-1].split("=", 1)[1].strip("[]")
    return [*(a for a in arguments if a not in found), f"tables=[{names}]"]


def main() -> None:
    """The command line."""
    sys.exit(run_command("table", table, prepare=complete))


if __name__ == "__main__":
    main()
