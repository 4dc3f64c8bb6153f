"""Which runs a table needs: every row, data set and seed, composed to a config and so to a run folder.

A run that several rows or tables ask for is one run, see :mod:`seglab.tables.job`. A column may add overrides to the
rows' own, so that rows are losses and columns are kinds and rates of noise.

One runnable line: ``python -m seglab.table table=all status=true``.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from seglab.data.pairs import DataMissing
from seglab.tables.configs import Configs, first_stand_in, with_overrides
from seglab.tables.folds import add_folds
from seglab.tables.job import Job
from seglab.tables.reference import Place, RunsOf
from seglab.tables.scale import Scale, scale_for
from seglab.tables.spec import Column, Row, TableSpec, load_table
from seglab.words import nearest


class Plan:
    """The runs behind some tables.

    Args:
        cfg: finalised config of ``conf/table.yaml``.
    """

    def __init__(self, cfg: DictConfig) -> None:
        self.cfg = cfg
        self.jobs: dict[str, Job] = {}
        self.configs = Configs(outputs=self.outputs, data_root=self.data_root)
        self._asked: dict[tuple[str, str, Place | None, int], Job] = {}
        self._open: list[tuple[str, str, Place | None, int]] = []
        self._specs: dict[str, TableSpec] = {}
        self._scales: dict[str, Scale] = {}

    def spec(self, table: str) -> TableSpec:
        """A table by the name it was asked for."""
        if table not in self._specs:
            spec = load_table(table)
            if spec.id in {known.id for name, known in self._specs.items() if name != spec.id}:
                raise ValueError(f"table={table}: id: another table that was asked for has the id '{spec.id}', too")
            self._specs[table] = self._specs[spec.id] = spec
        return self._specs[table]

    def scale(self, table: str) -> Scale:
        """The scale as it applies to a table."""
        if table not in self._scales:
            self._scales[table] = scale_for(self.cfg, self.spec(table))
        return self._scales[table]

    def columns(self, table: str) -> tuple[Column, ...]:
        """The columns of a table at this scale."""
        return self.scale(table).columns(self.spec(table))

    def row_jobs(self, table: str, row: Row) -> list[Job]:
        """All jobs of a row, those it starts from before it, with the test sets of its columns noted in them.

        Those of a row that is not shown are the ones that the other rows of its table asked for.
        """
        if row.kind == "start":
            for other in self.spec(table).rows:
                if other.kind != "start":
                    self.row_jobs(table, other)
            return list(in_order(job for (t, name, *_), job in self._asked.items() if (t, name) == (table, row.name)))
        found: dict[str, Job] = {}
        for column in self.columns(table):
            if column.mean_of:
                continue
            for job in self.cell_jobs(table, row, column):
                job.want(column)
                add_folds(job, column.protocol, known=self.jobs)
                found.setdefault(job.key, job)
        if row.run and not self.spec(table).columns:  # a figure: it needs the runs, not their scores
            for seed in self.scale(table).seeds:
                job = self._job(table, row, None, seed)
                found.setdefault(job.key, job)
        return list(in_order(found.values()))

    def cell_jobs(self, table: str, row: Row, column: Column) -> list[Job]:
        """The jobs of one cell, one per seed; of two rows where it is their difference, of all columns of a mean.

        Empty where nothing is to be run.
        """
        if column.mean_of:
            return [job for other in self.averaged(table, column) for job in self.cell_jobs(table, row, other)]
        if row.difference:
            rows = [self.spec(table).row(name) for name in row.difference]
            return [job for other in rows for job in self.cell_jobs(table, other, column)]
        place = Place(self.spec(table).column(column.paper_name).set, column.set, column.overrides)
        if row.cells:
            wanted = self.reference(table, row, column)
            return [self._job_of(wanted, table, place, seed) for seed in self.scale(wanted.table).seeds]
        return [self._job(table, row, place, seed) for seed in self.scale(table).seeds] if row.run else []

    def averaged(self, table: str, column: Column) -> list[Column]:
        """The columns that one with ``mean_of`` is the mean of, as they are at this scale."""
        everything = "*" in column.mean_of
        own = [c for c in self.columns(table) if not c.mean_of]
        return [c for c in own if everything or c.paper_name in column.mean_of]

    def reference(self, table: str, row: Row, column: Column) -> RunsOf:
        """What an assembled row takes a cell from."""
        names = [c.paper_name for c in self.spec(table).columns]
        wanted = RunsOf.read(row.cells[names.index(column.paper_name)])
        return replace(wanted, table=wanted.table or table)

    def row_config(self, table: str, row: Row, job: Job) -> DictConfig:
        """The config of one of a row's own jobs with the settings of ``eval`` that the row itself asks for."""
        trained_on = row.trained_on or self.spec(table).trained_on
        domain = None if trained_on == "row" else job.cfg.data.name
        last = next((c.overrides for c in self.columns(table) if not c.mean_of), ())
        cfg = self.configs.of(with_overrides(row, last), self.scale(table), domain, last=last)
        return job.cfg_for(cfg.eval.protocol.name)

    def check_reference(self, text: str, table: str) -> None:
        """Find the row that a row of ``table`` names, and its column.

        Raises:
            ValueError: there is no such table, row or column; the row is not trained.
        """
        wanted = RunsOf.read(text)
        spec = self.spec(wanted.table or table)
        columns = [c.paper_name for c in spec.columns if not c.mean_of]
        for what, name, known in (
            ("row with runs", wanted.row, [row.name for row in spec.rows if row.run]),
            ("column", wanted.column, columns),
        ):
            if name and name not in known:
                raise ValueError(f"'{text}': no {what} '{name}' in {spec.id}{nearest(name, known)}")

    def _job_of(self, wanted: RunsOf, table: str, place: Place | None, seed: int) -> Job:
        """The job that a reference names, for a row of ``table`` that is looked at on ``place``."""
        other = wanted.table or table
        spec = self.spec(other)
        if place is not None and other != table:
            place = replace(place, overrides=())  # a row of another table is trained as that table says
        if wanted.column:
            column = spec.column(wanted.column)
            paper = column.set
            stand_ins = self.scale(other).stand_ins(paper)
            if not stand_ins:
                problem = f"data={paper}: nothing stands in for it at scale={self.scale(other).name}"
                return Job(spec.id, wanted.row, seed, problem=problem, data_missing=True)
            place = Place(paper, stand_ins[0], column.overrides)
        return self._job(other, spec.row(wanted.row), place, seed)

    def _job(self, table: str, row: Row, place: Place | None, seed: int) -> Job:
        if place is not None and not self._is_local(table, row):
            place = Place("", "", place.overrides) if place.overrides else None
        asked = (table, row.name, place, seed)
        if asked in self._open:
            raise ValueError(f"table={table}: row '{row.name}': starts_from: the rows start from each other")
        if asked not in self._asked:
            self._open.append(asked)
            job = self._new_job(table, with_overrides(row, place.overrides if place else ()), place, seed)
            self._open.remove(asked)
            # The same run may belong to other rows and tables: they share the job.
            known = self.jobs.setdefault(job.key, job)
            if job.cfg is not None and not known.measure_as(job.cfg):
                known = Job(
                    job.table,
                    row.name,
                    seed,
                    problem=(
                        f"'{known.row}' of {known.table} is the same run, but measured by other settings of eval under "
                        "the same protocol; give these a name of their own: eval.protocol.name=<name> in the row, "
                        "protocol: <name> in the columns"
                    ),
                )
            self._asked[asked] = known
        return self._asked[asked]

    def _new_job(self, table: str, row: Row, place: Place | None, seed: int) -> Job:
        job = Job(self.spec(table).id, row.name, seed, where=place.words if place else "")
        try:
            domain, last = self._domain(table, row, place), place.overrides if place else ()
            cfg = copy.deepcopy(self.configs.of(row, self.scale(table), domain, last=last))
            labels = self.configs.label_places(row, self.scale(table)) if row.labels_from else {}
        except ValueError as error:
            job.problem, job.data_missing = str(error), isinstance(error, DataMissing)
            return job
        cfg.seed = seed
        for category, photos in labels.items():
            photos = replace(photos, overrides=place.overrides if place else ())
            job.labels[category] = self._job_of(RunsOf.read(row.labels_from), table, photos, seed)
        if row.starts_from:
            job.start = self._job_of(RunsOf.read(row.starts_from), table, place, seed)
        for what, other in job.needs.items():
            if other.run is None:
                job.problem, job.data_missing = f"{what} cannot be made: {other.problem}", other.data_missing
                return job
        if job.start:
            cfg.init = OmegaConf.create({"weights": None, "file": None, "run": str(job.start.run.path)})
        if job.labels:
            cfg.data.source.runs = {category: made.run.path.name for category, made in job.labels.items()}
        job.cfg = cfg
        return job

    def _is_local(self, table: str, row: Row) -> bool:
        """Whether a row is trained anew for every data set it is looked at on."""
        if (row.trained_on or self.spec(table).trained_on) != "row":
            return True
        start = RunsOf.read(row.starts_from) if row.starts_from else None
        if start is None or start.column:
            return False
        other = start.table or table
        return self._is_local(other, self.spec(other).row(start.row))

    def _domain(self, table: str, row: Row, place: Place | None) -> str | None:
        """The data set a row trains on, as it is at this scale; None = the one its own overrides name."""
        rule = row.trained_on or self.spec(table).trained_on
        if place is None or rule == "row":
            return None
        if rule == "column":
            return place.set
        if not place.category:
            raise ValueError(f"trained_on={rule}: {place.paper} has no category; expected columns such as a_set/cow")
        return first_stand_in(self.scale(table), rule.replace("*", place.category))

    @property
    def outputs(self) -> Path:
        """Folder below which this scale's runs lie."""
        return Path(self.cfg.scale.outputs).absolute()

    @property
    def data_root(self) -> Path:
        """Folder of the data sets: the user's, or the generated ones."""
        return self.outputs / "data" if self.cfg.scale.generated else Path(self.cfg.runtime.data_root).absolute()

    def sets(self) -> list[str]:
        """Names of all data sets the jobs so far train or score on."""
        trained = [job.cfg.data.name for job in self.jobs.values() if job.cfg is not None and not job.labels]
        scored = [name for job in self.jobs.values() for sets in job.wanted.values() for name in sets]
        drawn = [str(f["data"]) for table in list(self._specs) for f in self.figures(table) if f.get("data")]
        return sorted({*trained, *scored, *drawn})

    def figures(self, table: str) -> list[dict[str, Any]]:
        """The figures of a table at this scale: a data set that one names is replaced by its first stand-in.

        Where nothing stands in for it, ``data`` is empty.
        """
        nodes = [dict(node) for node in self.spec(table).figures]
        for node in nodes:
            if node.get("data"):
                node["data"] = next(iter(self.scale(table).stand_ins(str(node["data"]))), "")
        return nodes


def in_order(jobs: Iterable[Job]) -> Iterator[Job]:
    """Each job once, with those it needs before it."""
    seen: set[str] = set()

    def visit(job: Job) -> Iterator[Job]:
        if job.key not in seen:
            seen.add(job.key)
            for needed in job.needs.values():
                yield from visit(needed)
            yield job

    for job in jobs:
        yield from visit(job)
