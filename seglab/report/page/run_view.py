"""What the page of one run says: its settings in a few words, its results, and its curves.

One runnable line: ``python -c "from seglab.report.page.run_view import thinned; print(thinned([(0, 1.0)]))"``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from seglab.report.page.runs import RunPage
from seglab.report.page.svg import curve_svg

MOST_POINTS = 120
"""Of a curve; more cannot be told apart on a page."""
MOST_LINES = 8
"""Of a plot: there are so many colours."""
FRACTION = 1.5
"""Measures that stay below this share a plot."""


@dataclass(frozen=True)
class RunView:
    """A run, ready to be written.

    Attributes:
        page: what lies in its folder.
        words: label -> value, for the list of runs and the head of its page.
        facts: label -> value of its environment and noise.
        curves: (title, svg).
        tables: stems of the tables that use it.
    """

    page: RunPage
    words: dict[str, str]
    facts: list[tuple[str, str]]
    curves: tuple[tuple[str, str], ...]
    tables: tuple[str, ...]


def run_view(page: RunPage, tables: Sequence[str], *, with_curves: bool = True) -> RunView:
    """Arrange one run.

    Args:
        page: from :func:`seglab.report.page.runs.read_run`.
        tables: stems of the tables that use it.
        with_curves: whether curves are drawn.
    """
    return RunView(page, _words(page), _facts(page), tuple(_curves(page)) if with_curves else (), tuple(tables))


def thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most :data:`MOST_POINTS` of the points, the first and the last among them."""
    if len(points) <= MOST_POINTS:
        return list(points)
    step = (len(points) - 1) / (MOST_POINTS - 1)
    return [points[round(i * step)] for i in range(MOST_POINTS)]


def _words(page: RunPage) -> dict[str, str]:
    rate = page.at("noise.rate", None)
    noise = str(page.at("noise._target_")).rpartition(".")[2].lower()
    name = str(page.at("name"))
    parts = name.split("-")
    return {
        "data": parts[0] if len(parts) > 2 else str(page.at("data.name")),
        "model": parts[1] if len(parts) > 2 else str(page.at("model._target_")).rpartition(".")[2],
        "loss": "-".join(parts[2:]) if len(parts) > 2 else str(page.at("loss._target_")).rpartition(".")[2],
        "noise": f"{noise} {rate:g}" if isinstance(rate, int | float) and rate else "none" if page.config else "",
        "seed": str(page.at("seed")),
        "epochs": str(_epochs(page)),
    }


def _epochs(page: RunPage) -> int | str:
    wanted = page.at("schedule.epochs", None)
    done = len({row.get("epoch") for row in page.rows})
    return f"{done} of {wanted}" if wanted is not None and done != wanted and page.state != "done" else done


def _facts(page: RunPage) -> list[tuple[str, str]]:
    env, noise = page.env, page.noise
    git = env.get("git") if isinstance(env.get("git"), dict) else {}
    commit = f"{str(git.get('commit'))[:10]}{' with uncommitted changes' if git.get('dirty') else ''}" if git else ""
    packages = env.get("packages") if isinstance(env.get("packages"), dict) else {}
    seconds, memory = env.get("seconds"), env.get("peak_mib")
    facts = [
        ("finished", page.finished),
        ("took", f"{seconds:.0f} s" if isinstance(seconds, int | float) else ""),
        ("peak memory", f"{memory:.0f} MiB" if isinstance(memory, int | float) else ""),
        ("device", _text(env.get("device"))),
        ("machine", _text(env.get("machine"))),
        ("processes, threads", f"{env.get('processes')}, {env.get('threads')}" if "processes" in env else ""),
        ("commit", commit or ("outside a checkout" if env else "")),
        ("versions", ", ".join(f"{name} {version}" for name, version in packages.items())),
        ("python, seglab", f"{env.get('python')}, {env.get('seglab')}" if "python" in env else ""),
        ("command line", " ".join(map(str, env["arguments"])) if isinstance(env.get("arguments"), list) else ""),
    ]
    shown = {k: v for k, v in noise.items() if not isinstance(v, list | dict) and not k.endswith("sha256")}
    facts += [("noise", ", ".join(f"{key} {_text(value)}" for key, value in shown.items()))]
    return [(label, value) for label, value in facts if value]


def _text(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, float):
        return f"{value:.4g}"
    return json.dumps(value, default=str)


def _curves(page: RunPage) -> list[tuple[str, str]]:
    losses, validation = page.curves()
    plots = [("loss", "loss", losses)] if losses else []
    together = {n: p for n, p in validation.items() if all(abs(v) <= FRACTION for _, v in p)}
    plots += [("held-out images", "value", together)] if together else []
    plots += [(f"held-out images: {n}", n, {n: p}) for n, p in validation.items() if n not in together][:3]
    found = []
    for title, label, lines in plots:
        series = []
        for number, (name, points) in enumerate(list(lines.items())[:MOST_LINES]):
            kept = thinned(points)
            x, y = [e for e, _ in kept], [v for _, v in kept]
            series.append((name, x, y, None, None, number > 3, "circle" if len(kept) <= 30 else None))
        svg = curve_svg(series, x_label="epoch", y_label=label, title=title)
        found.append((title, svg))
    return found


def number(value: Any) -> str:
    """A number as it is set in a list of results; other things as text."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _text(value)
    if isinstance(value, int) or not math.isfinite(value):
        return str(value)
    return f"{value:.4f}" if abs(value) < 100 else f"{value:.2f}"


def now() -> str:
    """The moment, as a page says it."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
