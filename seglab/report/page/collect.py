"""Everything a page is made of, found below an outputs folder; what is damaged is listed and left out.

One runnable line: ``python -c "from pathlib import Path; from seglab.report.page.collect import collect_page;
print(collect_page(Path('outputs')).summary())"``.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from seglab.config import conf_dir
from seglab.report.page.runs import RunPage, find_runs, seed_numbers
from seglab.report.page.stored import StoredTable, read_table
from seglab.run import Run
from seglab.words import nearest

log = logging.getLogger(__name__)

STATES = ("done", "running", "stopped", "not started", "failed", "damaged")
"""Of a run folder, as they are listed."""


@dataclass
class Found:
    """What lies in an outputs folder.

    Attributes:
        outputs: the folder.
        tables: by stem, in the order of the page.
        runs: by the ids of their pages.
        damaged: (file, why) of tables that cannot be read.
    """

    outputs: Path
    tables: dict[str, StoredTable] = field(default_factory=dict)
    runs: dict[str, RunPage] = field(default_factory=dict)
    damaged: list[tuple[str, str]] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to show."""
        return not (self.tables or self.runs or self.damaged)

    def page_of(self, run: str, scale: str) -> RunPage | None:
        """The run of a name that a table at a scale uses: that scale's own folder comes first.

        Args:
            run: name of the run folder.
            scale: of the table.
        """
        others = [page for page in self.runs.values() if page.path.name == run]
        return self.runs.get(f"{scale}/{run}") or self.runs.get(run) or (others[0] if others else None)

    def runs_of(self, stem: str) -> list[RunPage]:
        """The runs that a table uses, each once, those that are there."""
        values = self.tables[stem].values
        pages = {page.id: page for run in values.runs if (page := self.page_of(run.id, values.scale))}
        return list(pages.values())

    def whole_runs(self) -> dict[str, list[Run]]:
        """Stem -> its runs that figures may be drawn from."""
        return {stem: [page.run for page in self.runs_of(stem) if page.whole] for stem in self.tables}

    def used_by(self) -> dict[str, list[str]]:
        """Id of a run -> stems of the tables that use it."""
        found: dict[str, list[str]] = {}
        for stem in self.tables:
            for page in self.runs_of(stem):
                found.setdefault(page.id, []).append(stem)
        return found

    def states(self) -> dict[str, int]:
        """How many runs are in which state."""
        tally = Counter(page.state for page in self.runs.values())
        return {state: tally[state] for state in STATES if tally[state]}

    def summary(self) -> str:
        """What was found, in one line."""
        states = ", ".join(f"{number} {state}" for state, number in self.states().items())
        return f"{len(self.tables)} tables, {len(self.runs)} runs ({states or 'none'})"


def collect_page(outputs: Path, *, tables: Sequence[str] = ("all",)) -> Found:
    """Look through an outputs folder.

    Args:
        outputs: ``runtime.outputs``.
        tables: names, with the scale (``cas_t3-small``) or without, or ``all``; ``none`` for no table.

    Raises:
        ValueError: there is no such folder, or no table of a name in it.
    """
    if not outputs.is_dir():
        raise ValueError(
            f"runtime.outputs={outputs}: there is no such folder; expected one that seglab.train or seglab.table wrote "
            "to, e.g. after: python -m seglab.table table=cas_t3 scale=smoke"
        )
    found = Found(outputs, runs={page.id: page for page in find_runs(outputs)})
    for path in _chosen(outputs / "tables", tables):
        scale = path.stem.partition("-")[2] or "paper"
        try:
            found.tables[path.stem] = read_table(path, by_seed=partial(_by_seed, found, scale))
        except (ValueError, OSError) as error:
            log.warning("%s", error)
            found.damaged.append((path.name, str(error)))
    return found


def _by_seed(found: Found, scale: str, names: Sequence[str], column: object, row: object) -> object:
    known = {name: page for name in names if (page := found.page_of(name, scale))}
    return seed_numbers(known, names, column, row)


def _chosen(folder: Path, tables: Sequence[str]) -> list[Path]:
    """Files of the tables that are asked for, those of a paper's scale first, then as their names are read."""
    files = {path.stem: path for path in folder.glob("*.csv")} if folder.is_dir() else {}
    wanted = [str(name).strip() for name in tables]
    if "none" in wanted:
        return []
    stems = set(files) if "all" in wanted else set()
    for name in (w for w in wanted if w != "all"):
        own = {stem for stem in files if name in (stem, stem.partition("-")[0])}
        if not own:
            raise ValueError(f"tables={name}: no such table in {folder}{nearest(name, list(files))}")
        stems |= own
    scales = ["paper", *sorted(path.stem for path in (conf_dir() / "scale").glob("*.yaml") if path.stem != "paper")]

    def place(stem: str) -> tuple:
        name, _, scale = stem.partition("-")
        scale = scale or "paper"
        # Tables before figures, cas_fig_s9 before cas_fig_s10.
        natural = [(len(part), part) for part in name.split("_")]
        return (name.split("_")[0], "_fig_" in name, natural, scales.index(scale) if scale in scales else len(scales))

    return [files[stem] for stem in sorted(stems, key=place)]
