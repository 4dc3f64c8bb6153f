"""Run folders as the page shows them; one that is half written or damaged is listed with its reason.

One runnable line: ``python -c "from pathlib import Path; from seglab.report.page.runs import find_runs;
print([run.id for run in find_runs(Path('outputs'))])"``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from seglab.data.names import file_name
from seglab.launch.work import is_locked
from seglab.run import Run
from seglab.tables.spec import Column, Row

LONGEST = 200_000
"""Characters of a file that are read; no config or log of a run's own making comes near."""
NOT_DRAWN = ("epoch", "step", "lr", "seconds", "images_per_second", "peak_memory_mib", "grad_norm", "time", "phase")


@dataclass
class RunPage:
    """One run folder.

    Attributes:
        id: name of the folder, after that of the folder of its scale: ``smoke/sod-unet_small-cas-s0-0123456789``.
        path: the folder.
        state: ``done``, ``running``, ``stopped``, ``failed``, ``not started`` or ``damaged``.
        reason: why it is not done, in words.
        problems: one line for every file that cannot be read.
        config: parsed ``config.yaml``; empty where it cannot be read.
        parts: top-level key of the config -> its YAML text.
        env: content of ``env.json``.
        noise: content of ``noise.json``.
        results: content of the files in ``eval/``.
        rows: rows of ``log.jsonl``.
        finished: what ``DONE`` says.
    """

    id: str
    path: Path
    state: str = "done"
    reason: str = ""
    problems: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    parts: dict[str, str] = field(default_factory=dict)
    env: dict[str, Any] = field(default_factory=dict)
    noise: dict[str, Any] = field(default_factory=dict)
    results: list[dict[str, Any]] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    finished: str = ""

    @property
    def whole(self) -> bool:
        """Whether figures may be drawn from it."""
        return self.state == "done"

    @property
    def run(self) -> Run:
        """The folder as other code takes it."""
        return Run(self.path)

    def at(self, key: str, default: Any = "") -> Any:
        """A value of the config by its dotted key; references to other keys are followed once."""
        node: Any = self.config
        for part in key.split("."):
            node = node.get(part) if isinstance(node, dict) else None
        if isinstance(node, str) and (found := re.fullmatch(r"\$\{([\w.]+)\}", node)) and found[1] != key:
            return self.at(found[1], default)
        return default if node is None else node

    def curves(self) -> tuple[dict[str, list], dict[str, list]]:
        """Loss terms and validation measures, each name -> list of (epoch, value) of finite numbers."""
        losses: dict[str, list] = {}
        validation: dict[str, list] = {}
        for row in self.rows:
            if not _finite(row.get("epoch")):
                continue
            for key, value in row.items():
                if key in NOT_DRAWN or not _finite(value):
                    continue
                kind, name = (validation, key[4:]) if key.startswith("val_") else (losses, key)
                kind.setdefault(name, []).append((row["epoch"], value))
        return losses, validation


def find_runs(outputs: Path) -> list[RunPage]:
    """All run folders below ``outputs/runs`` and ``outputs/<scale>/runs``, by name.

    Args:
        outputs: ``runtime.outputs``.
    """
    found = []
    for folder in (outputs / "runs", *sorted(outputs.glob("*/runs"))):
        prefix = "" if folder.parent == outputs else f"{folder.parent.name}/"
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            if path.is_dir() and not path.name.startswith("."):
                found.append(read_run(path, f"{prefix}{path.name}"))
    return found


def read_run(path: Path, name: str) -> RunPage:
    """Read one folder; nothing that lies in it raises.

    Args:
        path: the folder.
        name: its id on the page.
    """
    page = RunPage(name, path)
    text = _text(page, "config.yaml")
    if text is not None:
        page.parts = _parts(text)
        try:
            content = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
            if not isinstance(content, dict):
                raise ValueError("no keys and values")
            page.config = content
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            page.problems.append(f"config.yaml: {_one_line(error)}")
    page.env, page.noise = _keys(page, "env.json"), _keys(page, "noise.json")
    for file in sorted((path / "eval").glob("*.json")):
        content = _keys(page, f"eval/{file.name}")
        if isinstance(content.get("metrics"), dict):
            page.results.append({"file": file.name, **content})
        elif content:
            page.problems.append(f"eval/{file.name}: no metrics in it")
    page.rows = _log(page)
    page.finished = (_text(page, "DONE") or "").strip()
    _judge(page)
    return page


def _judge(page: RunPage) -> None:
    """How far the run is, and why it is no further."""
    if (page.path / "DONE").is_file():
        page.state = "done"
        if not page.config:
            page.problems[:0] = [] if page.problems else ["config.yaml: it is not there"]
        if page.problems:
            page.state, page.reason = "damaged", "; ".join(page.problems)
        return
    if is_locked(page.path):
        page.state, page.reason = "running", f"{len(page.rows)} epochs so far"
    elif (page.path / "FAILED").is_file():
        words = (_text(page, "FAILED") or "").strip().splitlines()
        page.state, page.reason = "failed", words[-1].strip() if words else "no reason was written"
    elif page.problems or not page.config:
        page.state = "damaged"
        page.reason = "; ".join(page.problems) or "no config.yaml, so it is no run that was started by seglab"
    elif page.rows or (page.path / "last.pt").is_file():
        page.state, page.reason = "stopped", f"after {len(page.rows)} epochs; the same command goes on"
    else:
        page.state, page.reason = "not started", "no epoch is finished"


def _text(page: RunPage, name: str) -> str | None:
    file = page.path / name
    try:
        if not file.is_file():
            return None
        with open(file, encoding="utf-8") as opened:
            text = opened.read(LONGEST + 1)
    except (OSError, UnicodeDecodeError) as error:
        page.problems.append(f"{name}: {_one_line(error)}")
        return None
    if len(text) > LONGEST and name != "log.jsonl":
        page.problems.append(f"{name}: longer than {LONGEST} characters, not read")
        return None
    return text


def _keys(page: RunPage, name: str) -> dict[str, Any]:
    text = _text(page, name)
    if text is None:
        return {}
    try:
        content = json.loads(text)
        if not isinstance(content, dict):
            raise ValueError("no keys and values")
    except (ValueError, RecursionError) as error:
        page.problems.append(f"{name}: {_one_line(error)}")
        return {}
    return content


def _log(page: RunPage) -> list[dict[str, Any]]:
    found = []
    lines = (_text(page, "log.jsonl") or "").splitlines()
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            if number < len(lines) or not sum(map(len, lines)) > LONGEST - 1:  # the last may be cut by us
                page.problems.append(f"log.jsonl: line {number}: {_one_line(error)}")
            continue
        if isinstance(row, dict):
            found.append(row)
    return found


def _parts(text: str) -> dict[str, str]:
    """Top-level key -> its lines, so that a config can be opened part by part."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if match := re.match(r"([\w.-]+):", line):
            found[match[1]] = []
        if found:
            found[next(reversed(found))].append(line)
    return {key: "\n".join(lines) for key, lines in found.items()}


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def seed_numbers(
    known: dict[str, RunPage], names: Sequence[str], column: Column, row: Row
) -> tuple[tuple[int, float], ...] | None:
    """Seed and number of each run of a cell, or None where one of them cannot be found.

    Args:
        known: run pages by the names of their folders.
        names: of the run folders.
        column: which set, protocol and metric.
        row: may measure something else than its column says.
    """
    metric = row.metric or column.metric
    for word, other in (row.metric_words or {}).items():
        metric = "_".join(other if w == word else w for w in metric.split("_"))
    stem, found = f"{file_name(column.set)}-{column.protocol}", []
    for name in names:
        page = known.get(name)
        results = (
            [r for r in page.results if re.fullmatch(rf"{re.escape(stem)}(-\w+)?\.json", r["file"])] if page else []
        )
        value = results[0]["metrics"].get(metric) if len(results) == 1 else None
        seed = page.at("seed", None) if page else None
        if not _finite(value) or not isinstance(seed, int):
            return None
        found.append((seed, float(value)))
    return tuple(found)
