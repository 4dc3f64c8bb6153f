"""Which runs a table needs: every row, data set and seed, composed to a config and so to a run folder.

A run that several rows or tables ask for is one run, see :mod:`seglab.tables.job`.

One runnable line: ``python -m seglab.table table=all status=true``.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from seglab.config import compose
from seglab.data.pairs import DataMissing
from seglab.tables.job import Job
from seglab.tables.scale import Scale, scale_for
from seglab.tables.spec import Column, Row, TableSpec, load_table


class Plan:
    """The runs behind some tables.

    Args:
        cfg: finalised config of ``conf/table.yaml``.
    """

    def __init__(self, cfg: DictConfig) -> None:
        self.cfg = cfg
        self.jobs: dict[str, Job] = {}
        self._asked: dict[tuple[str, str, str | None, int], Job] = {}
        self._composed: dict[tuple[str, ...], DictConfig | ValueError] = {}
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
        """All jobs of a row, with the test sets of its columns noted in them."""
        found: dict[str, Job] = {}
        for column in self.columns(table):
            for job in self.cell_jobs(table, row, column):
                job.want(column)
                found.setdefault(job.key, job)
        if row.run and not self.spec(table).columns:  # a figure: it needs the runs, not their scores
            for seed in self.scale(table).seeds:
                job = self._job(table, row, None, seed)
                found.setdefault(job.key, job)
        return list(in_order(found.values()))

    def cell_jobs(self, table: str, row: Row, column: Column) -> list[Job]:
        """The jobs of one cell, one per seed; empty where nothing is to be run."""
        if row.cells:
            other, name = self.reference(table, row, column)
            return self.cell_jobs(other, self.spec(other).row(name), column)
        if not row.run:
            return []
        domain = column.set if self.spec(table).trained_on == "column" else None
        return [self._job(table, row, domain, seed) for seed in self.scale(table).seeds]

    def reference(self, table: str, row: Row, column: Column) -> tuple[str, str]:
        """Table and row that an assembled row takes a cell from."""
        names = [c.paper_name for c in self.spec(table).columns]
        other, _, name = row.cells[names.index(column.paper_name)].rpartition(":")
        return other or table, name

    def row_config(self, table: str, row: Row, job: Job) -> DictConfig:
        """The config of one of a row's own jobs with the settings of ``eval`` that the row itself asks for."""
        domain = job.cfg.data.name if self.spec(table).trained_on == "column" else None
        return job.cfg_for(self._config(table, row, domain).eval.protocol.name)

    def _job(self, table: str, row: Row, domain: str | None, seed: int) -> Job:
        asked = (table, row.name, domain, seed)
        if asked not in self._asked:
            job = self._new_job(table, row, domain, seed)
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

    def _new_job(self, table: str, row: Row, domain: str | None, seed: int) -> Job:
        job = Job(self.spec(table).id, row.name, seed)
        try:
            cfg = copy.deepcopy(self._config(table, row, domain))
        except ValueError as error:
            job.problem, job.data_missing = str(error), isinstance(error, DataMissing)
            return job
        cfg.seed = seed
        if row.starts_from:
            start = self._job(table, self.spec(table).row(row.starts_from), domain, seed)
            if start.run is None:
                job.problem = f"its start, '{row.starts_from}', cannot be made: {start.problem}"
                return job
            job.start = start
            cfg.init = OmegaConf.create({"weights": None, "file": None, "run": str(start.run.path)})
        job.cfg = cfg
        return job

    def _config(self, table: str, row: Row, domain: str | None) -> DictConfig:
        """A row's config at this scale, without its seed."""
        scale = self.scale(table)
        groups = tuple(o for o in row.run if "." not in o.split("=")[0])
        data, model, *_ = self._compose(groups).name.split("-")
        stand_ins = (domain,) if domain else scale.stand_ins(data)
        if not stand_ins:
            raise DataMissing(f"data={data}: nothing stands in for it at scale={scale.name}")
        changed = [f"data={stand_ins[0]}", f"model={(scale.models or {}).get(model, model)}"]
        places = [f"runtime.outputs={self.outputs}", f"runtime.data_root={self.data_root}"]
        return self._compose(_last_of_each((*row.run, *changed, *scale.overrides, *places)))

    def _compose(self, overrides: tuple[str, ...]) -> DictConfig:
        if overrides not in self._composed:
            try:
                self._composed[overrides] = compose("train", list(overrides))
            except ValueError as error:
                self._composed[overrides] = error
        found = self._composed[overrides]
        if isinstance(found, ValueError):
            raise found
        return found

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
        trained = [job.cfg.data.name for job in self.jobs.values() if job.cfg is not None]
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
    """Each job once, with those it starts from before it."""
    seen: set[str] = set()

    def visit(job: Job) -> Iterator[Job]:
        if job.key not in seen:
            seen.add(job.key)
            if job.start is not None:
                yield from visit(job.start)
            yield job

    for job in jobs:
        yield from visit(job)


def _last_of_each(overrides: Iterable[str]) -> tuple[str, ...]:
    """Of several overrides of one key the last; Hydra would refuse some of them."""
    last: dict[str, str] = {}
    for override in overrides:
        key = override.split("=")[0]
        last.pop(key, None)
        last[key] = override
    return tuple(last.values())
