"""Draw the figures of a table that its runs are there for, and only those whose content changed."""

from __future__ import annotations

import copy
import hashlib
import importlib
import inspect
import json
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omegaconf import open_dict

from seglab.atomic import write_atomic
from seglab.identity import identity, resolved
from seglab.report.figures.context import FigureContext
from seglab.run import Run
from seglab.tables.job import measured_by
from seglab.tables.plan import Plan
from seglab.tables.values import TableValues
from seglab.targets import plugin_modules
from seglab.words import nearest

log = logging.getLogger(__name__)

OWN_KEYS = ("_target_", "needs_runs")
"""Keys of a figure's node that are not options of its function."""


def draw_figures(plan: Plan, table: str, values: TableValues, stem: Path) -> tuple[list[Path], list[str]]:
    """Draw all figures of a table.

    Args:
        plan: where the runs are.
        table: name of the table.
        values: its numbers.
        stem: path of the files without the figure's own name and suffix.

    Returns:
        The files, drawn now or before; and a line for every figure that could not be drawn.

    Raises:
        ValueError: a figure names a function that may not be called, or an option it does not take.
    """
    files: list[Path] = []
    undrawn: list[str] = []
    context = context_of(plan, table, values, stem)
    for node in plan.figures(table):
        why = why_not(context, node)
        if not why:
            try:
                files += draw(context, node)
            except Exception as error:  # its data are missing, perhaps; tables and other figures are still made
                log.debug("figure %s", node["name"], exc_info=error)
                why = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        if why:
            undrawn.append(f"figure '{node['name']}' not drawn: {why}")
    return files, undrawn


def why_not(context: FigureContext, node: Mapping[str, Any]) -> str:
    """What a figure still waits for; empty where it can be drawn.

    A figure beside a table is drawn from the numbers that are there; one that stands alone waits for its networks.
    """
    values = context.values
    if node.get("data") == "":
        return f"nothing stands in for its data set at scale={values.scale}"
    if values.columns:
        return "" if any(cell.ours for cell in values.cells.values()) else "no row has numbers"
    if not node.get("needs_runs", True):
        return ""
    named = node.get("rows") or [node[key] for key in ("row",) if key in node]
    lacking = [name for name in named or context.configs if name not in context.runs]
    return f"needs the runs of {', '.join(map(repr, lacking))}" if lacking else ""


def context_of(plan: Plan, table: str, values: TableValues, stem: Path) -> FigureContext:
    """Configs and finished runs of all rows, those that the table itself does not show included."""
    configs, runs = {}, {}
    for row in plan.spec(table).rows:
        jobs = [job for job in plan.row_jobs(table, row) if job.run is not None and row.run]
        needed = {id(other) for job in jobs for other in job.needs.values()}
        own = [job for job in jobs if id(job) not in needed]
        if own:
            configs[row.name] = plan.row_config(table, row, own[0])
        if done := tuple(job.run for job in own if job.run.done):
            runs[row.name] = done
    runtime = copy.deepcopy(plan.cfg.runtime)
    with open_dict(runtime):
        runtime.data_root, runtime.outputs = str(plan.data_root), str(plan.outputs)
    return FigureContext(values=values, configs=configs, runs=runs, stem=stem, runtime=runtime)


def draw(context: FigureContext, node: Mapping[str, Any]) -> list[Path]:
    """Draw one figure, unless the files of the same content are there."""
    function = check_figure(context.values.spec.id, node)
    options = {key: value for key, value in node.items() if key not in OWN_KEYS}
    made = context.stem.parent / ".drawn" / f"{context.stem.name}-{node['name']}.json"
    key = content_key(context, node, Path(inspect.getsourcefile(function)).parent)
    there = json.loads(made.read_text(encoding="utf-8")) if made.is_file() else {}
    files = [Path(file) for file in there.get("files", [])]
    if there.get("key") == key and all(file.is_file() for file in files):
        return files
    context.stem.parent.mkdir(parents=True, exist_ok=True)
    if not (files := function(context, **options)):
        raise ValueError("there is nothing to draw, see the log")
    write_atomic(made, json.dumps({"key": key, "files": [str(file) for file in files]}, indent=2) + "\n")
    return files


def check_figure(table: str, node: Mapping[str, Any]) -> Callable[..., list[Path]]:
    """The function of a figure, with the options it is given checked.

    Raises:
        ValueError: naming the table and the figure.
    """
    function = figure_function(str(node.get("_target_")))
    known = list(inspect.signature(function).parameters)
    for key in node:
        if key not in known and key not in OWN_KEYS:
            raise ValueError(
                f"table={table}: figure '{node['name']}': unknown option '{key}'{nearest(str(key), known)}"
            )
    return function


def figure_function(target: str) -> Callable[..., list[Path]]:
    """The function a figure names, which a run's config could not call.

    Raises:
        ValueError: it is no function of this folder or of a plugin.
    """
    allowed = ("seglab.report.figures.", *plugin_modules(os.environ.get("SEGLAB_ALLOW", "")))
    module, _, name = target.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name, None) if target.startswith(allowed) else None
    except ImportError as error:
        raise ValueError(f"figures._target_={target}: no such figure ({error})") from error
    shaped = inspect.isfunction(found) and [*inspect.signature(found).parameters][:2] == ["context", "name"]
    if not shaped or not f"{found.__module__}.".startswith(allowed):
        raise ValueError(f"figures._target_={target}: expected a function in {', '.join(a + '*' for a in allowed)}")
    return found


def content_key(context: FigureContext, node: Mapping[str, Any], sources: Path) -> str:
    """Hash of everything a figure shows: numbers, runs, options, and the code that draws it."""
    values = context.values
    content = {
        "node": dict(node),
        "scale": [values.scale, values.scale_title],
        "table": asdict(values.spec),
        "cells": [[list(place), asdict(cell)] for place, cell in values.cells.items()],
        "configs": {
            name: [identity(cfg), resolved(cfg)["data"], measured_by(cfg)] for name, cfg in context.configs.items()
        },
        "runs": {name: [finished(run) for run in runs] for name, runs in context.runs.items()},
        "code": [path.read_text(encoding="utf-8") for path in sorted(sources.glob("*.py"))],
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def finished(run: Run) -> list[str]:
    """Name of a run and the moment it was finished."""
    return [run.path.name, (run.path / "DONE").read_text(encoding="utf-8").strip()]
