"""All figures of the HTML report: drawn as SVG where numbers are at hand, else the pictures of ``outputs/figures``.

One runnable line: ``python -m seglab.report``.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from seglab.report.figures.context import FigureContext
from seglab.report.page.curves import curve_figures
from seglab.report.page.figure import KINDS, Figure, figure_id
from seglab.report.page.flips import flips_figure
from seglab.report.page.loss_profile import profile_figures
from seglab.report.page.pictures import Placed, placed
from seglab.report.page.pr_curves import pr_figures
from seglab.report.page.svgtext import escaped
from seglab.report.page.training import annealing_figure, training_figure
from seglab.run import Run
from seglab.tables.values import TableValues
from seglab.words import some

log = logging.getLogger(__name__)

PREVIEW = re.compile(r"(?P<run>.+-s\d+-[0-9a-f]{10})-noise")
"""Names of the pictures of ``python -m seglab.preview``."""
PREVIEWS = 8
"""Of these at the most, the newest ones."""


def figures_of(
    outputs: Path, tables: Mapping[str, TableValues], runs: Mapping[str, Sequence[Run]], *, limit_bytes: int
) -> list[Figure]:
    """Figures of the page, by kind and, within a kind, in the order of the tables.

    Args:
        outputs: holds ``figures``.
        tables: stem, ``cas_t3-small`` -> numbers.
        runs: stem -> the finished runs of that table.
        limit_bytes: of all figures together. Over it the largest pictures are made smaller, then left out, then the
            largest drawings; the log says which.

    Returns:
        Figures; one that could not be drawn says why.
    """
    made: list[Figure | Placed] = []
    for stem, values in tables.items():
        made += table_figures(outputs / "figures", stem, values, runs.get(stem, ()))
    made += previews(outputs / "figures")
    kept = within(made, limit_bytes)
    found = _unique(sorted(kept, key=lambda figure: KINDS.index(figure.kind)))
    log.info("%d figures, %.2f MB", len(found), sum(len(figure.html) for figure in found) / 1e6)
    return found


def table_figures(folder: Path, stem: str, values: TableValues, runs: Sequence[Run]) -> list[Figure | Placed]:
    """The figures of one table.

    Args:
        folder: of pictures.
        stem: of the table, with its scale.
        values: its numbers.
        runs: its finished runs.
    """
    found: list[Figure | Placed] = [
        *_tried(stem, "curves", lambda: curve_figures(stem, values)),
        *_tried(stem, "precision-recall", lambda: pr_figures(stem, values, runs)),
    ]
    drawn = {figure.id for figure in found}
    context = context_of(folder / stem, values, runs)
    for node in values.spec.figures:
        own = [f for f in _node_figures(folder, stem, context, node) if f.id not in drawn]
        function = str(node.get("_target_", "")).rpartition(".")[2]
        there = bool(own) or figure_id(stem, str(node["name"])) in drawn
        file = folder / f"{stem}-{node['name']}.png"
        whole = there and not any(_is_reason(figure) for figure in own)
        if file.is_file() and (not whole or function == "iou_flips"):  # whose picture also shows the label map
            found.append(placed(file, stem, values, node, also=there))
        found += own
    return found


def context_of(stem: Path, values: TableValues, runs: Sequence[Run]) -> FigureContext:
    """What the functions of :mod:`seglab.report.figures` read: the finished runs of every row."""
    known = {run.path.name: run for run in runs}
    by_row: dict[str, tuple[Run, ...]] = {}
    for info in values.runs:
        if info.id in known:
            by_row[info.row] = (*by_row.get(info.row, ()), known[info.id])
    return FigureContext(values=values, configs={}, runs=by_row, stem=stem)


def _node_figures(folder: Path, stem: str, context: FigureContext, node: Mapping[str, Any]) -> list[Figure]:
    """A table's figure as drawings; empty where it is one of pictures, or where there is nothing to draw."""
    name = str(node["name"])
    function = str(node.get("_target_", "")).rpartition(".")[2]
    chosen = {key: node[key] for key in ("rows", "metric") if key in node}
    if function == "loss_profile":
        options = {key: node[key] for key in ("alpha", "pairs") if key in node}
        return _tried(stem, name, lambda: profile_figures(stem=stem, **options))
    if function == "training_curve":
        return _tried(stem, name, lambda: [training_figure(context, stem, name=name, **chosen)])
    if function == "annealing_curve":
        return _tried(stem, name, lambda: [annealing_figure(context, stem, name=name, **chosen)])
    if function == "iou_flips":
        data, file = str(node.get("data", "")), folder / f"{stem}-{name}.csv"
        return _tried(stem, name, lambda: [flips_figure(file, stem, context.values, name=name, data=data)])
    return []


def _tried(stem: str, name: str, make: Callable[[], Iterable[Figure | None]]) -> list[Figure]:
    """Figures, or one that says why there is none: a damaged file costs its figure, not the page."""
    try:
        return [figure for figure in make() if figure is not None]
    except Exception as error:
        why = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        log.warning("figure '%s' of %s is not drawn: %s", name, stem, why)
        log.debug("figure '%s' of %s", name, stem, exc_info=error)
        return [_reason(stem, name, why)]


def _reason(stem: str, name: str, why: str) -> Figure:
    text = f'<p class="reason">Not drawn: {escaped(why)}</p>'
    return Figure(figure_id(stem, name, "reason"), f"{stem}: {name}", "", text, "other", stem)


def _is_reason(figure: Figure) -> bool:
    return figure.html.startswith('<p class="reason">')


def previews(folder: Path) -> list[Placed]:
    """What ``python -m seglab.preview`` drew of the masks of a run."""
    files = sorted(
        (file for file in folder.glob("*-noise.png") if PREVIEW.fullmatch(file.stem)),
        key=lambda file: file.stat().st_mtime,
        reverse=True,
    )
    if len(files) > PREVIEWS:
        log.info("%d previews of noise: the newest %d are shown", len(files), PREVIEWS)
    found = []
    for file in files[:PREVIEWS]:
        run = PREVIEW.fullmatch(file.stem)["run"]
        words = "training images with their masks before and after the noise"
        figure = Figure(figure_id(file.stem), f"Masks that {run} is trained on", f"{words}; run {run}.", "", "samples")
        found.append(Placed(file, figure, f"{words}, run {run}"))
    return found


def within(made: Sequence[Figure | Placed], limit_bytes: int) -> list[Figure]:
    """Figures that fit together, in their order; what is made smaller or left out is told in the log.

    Args:
        made: drawings and pictures.
        limit_bytes: of all of them.
    """
    sources: dict[int, Placed] = {}
    kept: dict[int, Figure] = {}
    for i, one in enumerate(made):
        if isinstance(one, Placed):
            sources[i] = one
            kept[i] = _picture(one)
        else:
            kept[i] = one
    smaller, gone = 0, []
    while kept and sum(len(figure.html.encode()) for figure in kept.values()) > limit_bytes:
        i = max(kept, key=lambda i: (i in sources, len(kept[i].html)))
        if i in sources and (less := sources[i].smaller) is not None:
            sources[i], kept[i], smaller = less, _picture(less), smaller + 1
        else:
            gone.append(kept.pop(i).id)
    if smaller or gone:
        lost = f", left out {some(gone).replace('name', 'figure', 1)}" if gone else ""
        log.warning("limit=%.2f MB of figures: made smaller %d times%s", limit_bytes / 1e6, smaller, lost)
    return [kept[i] for i in sorted(kept)]


def _picture(one: Placed) -> Figure:
    try:
        return one.drawn()
    except ValueError as error:
        log.warning("figure '%s': %s", one.figure.title, error)
        return _reason(one.figure.table, one.file.stem, str(error))


def _unique(figures: Sequence[Figure]) -> list[Figure]:
    """Figures whose ids differ: a later one of the same id is not shown, which the log says."""
    found: dict[str, Figure] = {}
    for figure in figures:
        if found.setdefault(figure.id, figure) is not figure:
            log.warning("figure '%s': another one has the id %s; left out", figure.title, figure.id)
    return list(found.values())
