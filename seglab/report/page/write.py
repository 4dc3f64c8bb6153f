"""Put a page together and write it: one file, nothing is loaded from anywhere.

One runnable line: ``python -m seglab.report runtime.outputs=outputs``.
"""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seglab.report.page.budget import fit, weight
from seglab.report.page.claims import SIGNS, WORDS, claims_board, counts
from seglab.report.page.collect import Found
from seglab.report.page.errata import errata, paper_place, paper_title
from seglab.report.page.figure import Figure
from seglab.report.page.harmless import harm
from seglab.report.page.overview import anchor, commands, images_of, pair, scale_words
from seglab.report.page.run_view import RunView, now, number, run_view
from seglab.report.page.tables import shown_table
from seglab.tables.claims import STATES as VERDICTS
from seglab.tables.spec import load_table

if TYPE_CHECKING:
    from jinja2 import Environment

log = logging.getLogger(__name__)

ASSETS = Path(__file__).parent / "assets"
MB = 1_000_000
ATTEMPTS = 4
SLACK = 2000
"""Bytes that a page may miss its limit by."""
MOST_SHOWN, MOST_LOGGED = 30, 6
"""Lines on what was made smaller or left out, on the page and in the log."""
KIND_TITLES = {
    "noise": "Noise",
    "alpha": "Alpha",
    "pr": "Precision and recall",
    "loss_profile": "Loss profile",
    "sparse_outputs": "Sparse outputs",
    "training": "Training",
    "annealing": "Annealing",
    "iou_uoi": "IOU and UOI",
    "samples": "Samples",
    "other": "Other figures",
}


def write_page(found: Found, file: Path, *, title: str, runs: str, limit: float) -> Path:
    """Make the page.

    Args:
        found: what it shows.
        file: where to write it.
        title: its heading.
        runs: ``all``, ``tables`` (those that a table uses) or ``none``.
        limit: MB that the file may have.

    Returns:
        The file.
    """
    from seglab.atomic import write_atomic

    content = page_content(found, title=title, runs=runs)
    environment = environment_of()
    room = int(limit * MB) - len(render(environment, content).encode())
    notes: list[str] = []
    if room < 0 and any(view.curves for view in content["runs"]):
        content["runs"] = [_without_curves(view) for view in content["runs"]]
        notes.append("left out: the curves of the runs")
        room = int(limit * MB) - len(render(environment, content).encode())
    figures, grids = _figures(found, room, notes, every=runs == "all")
    content |= {"figures": figures, "grids": grids, "pair": pair(grids)}
    text, told = _within(environment, content, notes, limit=int(limit * MB))
    if notes or told:
        log.info("limit=%g MB: %s", limit, "; ".join(shortened([*notes, *told], MOST_LOGGED)))
    size = len(text.encode()) / MB
    if size > limit:
        log.warning("the page has %.1f MB without any picture, more than limit=%g; try runs=tables", size, limit)
    file.parent.mkdir(parents=True, exist_ok=True)
    log.info("%s, %d figures, %.2f MB", found.summary(), len(figures), size)
    return write_atomic(file, text)


def _within(
    environment: Environment, content: dict[str, Any], notes: Sequence[str], *, limit: int
) -> tuple[str, list[str]]:
    """The text with its pictures as small as the limit wants them, and what was done to them."""
    bare = len(render(environment, content | {"figures": [], "grids": []}).encode())
    room, told, text = limit - bare, [], ""
    for _ in range(ATTEMPTS):
        figures, grids, told = fit(content["figures"], content["grids"], room=room)
        said = shortened([*notes, *told], MOST_SHOWN)
        text = render(environment, content | {"figures": figures, "grids": grids, "left_out": said})
        over = len(text.encode()) - limit
        if over <= 0 or not (figures or grids):
            break
        room -= over + SLACK  # what is around a picture was guessed
    return text, told


def shortened(lines: Sequence[str], most: int) -> list[str]:
    """The first lines, and how many more there are."""
    return [*lines[:most], *([f"and {len(lines) - most} more"] if len(lines) > most else [])]


def page_content(found: Found, *, title: str, runs: str) -> dict[str, Any]:
    """What the template is given, without figures.

    Args:
        found: what the page shows.
        title: its heading.
        runs: ``all``, ``tables`` or ``none``.
    """
    from seglab.environment import git_state

    used = found.used_by()
    wanted = {"all": set(found.runs), "tables": set(used), "none": set()}[runs]
    views = [run_view(page, used.get(name, ())) for name, page in found.runs.items() if name in wanted]
    tables = []
    for stem, stored in found.tables.items():
        pages = {p.path.name: p.id for p in found.runs_of(stem) if p.id in wanted}
        tables.append(shown_table(stored, pages))
    load = cache(load_table)
    rows = claims_board({stem: stored.values for stem, stored in found.tables.items()}, load)
    git = git_state()
    return {
        "title": title,
        "made": now(),
        "code": f"{git['commit'][:10]}{' with uncommitted changes' if git['dirty'] else ''}" if git else "",
        "found": found,
        "empty": found.empty,
        "outputs": str(found.outputs),
        "machines": _tally(views, "machine", "device"),
        "commits": _commits(views),
        "papers": sorted({t.values.spec.paper for t in tables}, key=lambda paper: (paper_place(paper), paper)),
        "scales": scale_words(t.values.scale for t in tables),
        "commands": commands(tables),
        "tables": tables,
        "board": rows,
        "board_counts": counts(rows),
        "verdicts": VERDICTS,
        "errata": errata(load),
        "runs": views,
        "run_ids": {view.page.path.name: view.page.id for view in views},
        "figures": [],
        "grids": [],
        "pair": (0, 0),
        "left_out": [],
    }


def _figures(found: Found, room: int, notes: list[str], *, every: bool) -> tuple[list[Figure], list[dict]]:
    """Figures, and pictures of every run or of those that a table uses; what fails to draw costs itself only."""
    from seglab.report.page.figures import figures_of
    from seglab.report.page.grids import grids_of

    room = max(room, 0)
    runs = found.whole_runs()
    values = {stem: stored.values for stem, stored in found.tables.items()}
    figures: list[Figure] = []
    grids: list[dict] = []
    try:
        figures = figures_of(found.outputs, values, runs, limit_bytes=int(room * 0.6))
    except Exception as error:  # a page without figures is of more use than none
        log.warning("figures are left out: %s: %s", type(error).__name__, error, exc_info=error)
        notes.append(f"figures could not be drawn: {type(error).__name__}: {error}")
    rest = room - weight(figures, [])
    try:
        wanted = {run.path: run for of_table in runs.values() for run in of_table}
        wanted |= {page.path: page.run for page in found.runs.values() if every and page.whole}
        grids = grids_of(list(wanted.values()), limit_bytes=max(rest, 0))
    except Exception as error:
        log.warning("pictures of runs are left out: %s: %s", type(error).__name__, error, exc_info=error)
        notes.append(f"pictures of runs could not be made: {type(error).__name__}: {error}")
    return [figure for figure in figures if _harmless(figure, notes)], grids


def _harmless(figure: Figure, notes: list[str]) -> bool:
    if not (found := harm(figure.html)):
        return True
    log.warning("figure %s is left out: it holds '%s'", figure.id, found)
    notes.append(f"figure '{figure.title}' is left out: it holds '{found}'")
    return False


def environment_of() -> Environment:
    """Jinja with everything escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(ASSETS),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"number": number, "anchor": anchor, "images": images_of}
    made.globals |= {"signs": SIGNS, "words": WORDS, "paper_title": paper_title, "kind_titles": KIND_TITLES}
    return made


def render(environment: Environment, content: Mapping[str, Any]) -> str:
    """The page as text.

    Args:
        environment: from :func:`environment_of`.
        content: from :func:`page_content`.
    """
    from markupsafe import Markup

    style, script = ((ASSETS / name).read_text(encoding="utf-8").strip() for name in ("page.css", "page.js"))
    # The only script that may run is ours, known by its hash: also where a text should slip through the escaping.
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template("page.html.j2").render(
        content, style=Markup(style), script=Markup(script), script_hash=allowed
    )


def _without_curves(view: RunView) -> RunView:
    return replace(view, curves=())


def _tally(views: Sequence[RunView], *keys: str) -> list[tuple[str, int]]:
    """What the runs say of themselves, each value with the number of runs that say it."""
    found: dict[str, int] = {}
    for view in views:
        words = ", ".join(str(view.page.env[key]) for key in keys if view.page.env.get(key))
        if words:
            found[words] = found.get(words, 0) + 1
    return sorted(found.items(), key=lambda item: -item[1])


def _commits(views: Sequence[RunView]) -> list[tuple[str, int]]:
    found: dict[str, int] = {}
    for view in views:
        git = view.page.env.get("git")
        if isinstance(git, dict) and git.get("commit"):
            name = f"{str(git['commit'])[:10]}{' with uncommitted changes' if git.get('dirty') else ''}"
            found[name] = found.get(name, 0) + 1
    return sorted(found.items(), key=lambda item: -item[1])
