"""What the head of the page says: what the scales mean, what to type for each table, which runs stand side by side.

One runnable line: ``python -c "from seglab.report.page.overview import scale_words; print(scale_words(['smoke']))"``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from seglab.config import conf_dir
from seglab.help import first_comment

if TYPE_CHECKING:
    from seglab.report.page.tables import ShownTable

OWN_IDS = ("main", "said", "same", "overview", "tables", "gallery", "pictures", "claims", "errata", "runs", "grids")
"""Places of the page that a table's file could be named after."""
TAKEN = re.compile(r"(?:contents|theme|kind)$|(?:paper|title|note|errata|run|show|pick|panel|claim)[-/]")
SEED = re.compile(r"-s(\d+)-[0-9a-f]{10}$")


def scale_words(scales: Iterable[str]) -> dict[str, str]:
    """Scale -> what it means, by the sentence that heads its file; empty for one that ``conf/scale`` does not have.

    Args:
        scales: names, some of them more than once.
    """
    files = {path.stem: path for path in (conf_dir() / "scale").glob("*.yaml")}
    order = [name for name in ("paper", "small_gpu", "small", "smoke") if name in files]
    found = sorted(set(scales), key=lambda name: (order.index(name) if name in order else len(order), name))
    return {name: first_comment(files[name]) if name in files else "" for name in found}


def commands(tables: Sequence[ShownTable]) -> list[tuple[ShownTable, str]]:
    """Every table with what to type to go on with it or to make it again.

    Args:
        tables: in the order of the page.
    """
    plain = "python -m seglab.table table={} scale={}"
    return [(t, t.values.command or plain.format(t.values.spec.id, t.values.scale)) for t in tables]


def anchor(stem: str) -> str:
    """The place of a table on the page: its stem, unless the page itself has a place of that name.

    Args:
        stem: name of the table's files.
    """
    return f"table-{stem}" if stem in OWN_IDS or TAKEN.match(stem) else stem


def images_of(grid: dict[str, Any]) -> str:
    """What tells whether two runs show the same images: their ids, or the seed that held them out; empty = unknown."""
    seed = SEED.search(str(grid.get("run", "")))
    if grid.get("named"):
        return f"{grid.get('set', '')}: {' '.join(map(str, grid.get('ids', ())))}"
    return f"{grid.get('set', '')}, seed {seed[1]}" if seed else ""


def pair(grids: Sequence[dict[str, Any]]) -> tuple[int, int]:
    """Places of the two runs that are shown first: the first one, and the next that shows the same images.

    Args:
        grids: pictures of runs.
    """
    same = (i for i in range(1, len(grids)) if images_of(grids[i]) and images_of(grids[i]) == images_of(grids[0]))
    return 0, next(same, min(1, max(len(grids) - 1, 0)))
