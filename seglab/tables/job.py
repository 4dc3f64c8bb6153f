"""One run that tables ask for: how it is trained, and in which ways it is measured.

A run that several rows or tables ask for is one run, trained once and scored on the test sets of all of them. Rows may
measure it in different ways, a way being the settings of ``eval`` under one protocol: a DeepLab network trained on DUTS
is scored as saliency for one table and as texture regions for another. The run folder has one job and one lock, so the
ways are worked off one after the other by whichever process has it.

One runnable line: ``python -m seglab.table table=cas_supp_t2,cas_t6 status=true``.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from seglab.config import compose
from seglab.run import Run
from seglab.tables.spec import Column


@dataclass(eq=False)
class Job:
    """One run that is asked for.

    Attributes:
        table: name of the first table that asked.
        row: name of its row.
        seed: seed of the run.
        cfg: finalised config; None where it could not be composed.
        problem: why there is no config, in words.
        data_missing: whether the problem is that nothing stands in for its data at this scale.
        where: the data set it is looked at on, where that tells jobs without a config apart.
        start: the job whose finished run this one starts from.
        labels: class -> the job whose finished run makes the label maps of its photos.
        folds: (number of a fold of the training images, number of folds) -> the job of a run like this one without it.
        wanted: protocol -> names of the data sets to score on.
        untrainable: why its training images cannot be read; filled, like ``missing``, by :mod:`seglab.tables.state`.
        missing: data set -> why its test images cannot be read.
        outcome: state and reason that the launch engine gave it, where it did not become done.
    """

    table: str
    row: str
    seed: int
    cfg: DictConfig | None = None
    problem: str = ""
    data_missing: bool = False
    where: str = ""
    start: Job | None = None
    labels: dict[str, Job] = field(default_factory=dict)
    folds: dict[tuple[int, int], Job] = field(default_factory=dict)
    wanted: dict[str, list[str]] = field(default_factory=dict)
    untrainable: str = ""
    missing: dict[str, str] = field(default_factory=dict)
    outcome: tuple[str, str] | None = None
    _ways: dict[str, DictConfig] = field(default_factory=dict, repr=False)

    @cached_property
    def run(self) -> Run | None:
        """The run folder, there or not; None without a config."""
        return Run.for_config(self.cfg) if self.cfg is not None else None

    @property
    def key(self) -> str:
        """Name of the run folder, or what there is to tell jobs apart."""
        on = f" on {self.where}" if self.where else ""
        return self.run.path.name if self.run else f"{self.table}: {self.row}{on}, seed {self.seed}"

    @property
    def needs(self) -> dict[str, Job]:
        """The jobs that have to be finished before this one, each with what it is for, in words."""
        start = {f"its start, '{self.start.row}',": self.start} if self.start is not None else {}
        labels = {f"the network of {category}, '{job.row}',": job for category, job in self.labels.items()}
        return start | labels | {f"its network, '{job.row}',": job for job in self.folds.values()}

    @property
    def is_done(self) -> bool:
        """Whether its run is finished."""
        return self.run is not None and self.run.done

    def want(self, column: Column) -> None:
        """Ask for the data set and protocol of a column."""
        sets = self.wanted.setdefault(column.protocol, [])
        if column.set not in sets:
            sets.append(column.set)

    def measure_as(self, cfg: DictConfig) -> bool:
        """Measure the run by the settings of ``eval`` of another row, too, under the protocol they name.

        Args:
            cfg: config of a row that is the same run.

        Returns:
            False where other settings have that protocol already: their numbers would lie in the same files.
        """
        protocol = cfg.eval.protocol.name
        if protocol in (self.cfg.eval.protocol.name, *self._ways, *self.wanted):
            return measured_by(self.cfg_for(protocol)) == measured_by(cfg)
        self._ways[protocol] = cfg
        return True

    def configs(self) -> list[DictConfig]:
        """Configs for :func:`seglab.train.train`: the first trains; each scores by one protocol."""
        made = []
        for protocol, sets in self.wanted.items() or [(self.cfg.eval.protocol.name, [])]:
            cfg = copy.deepcopy(self.cfg_for(protocol))
            cfg.eval.sets = [name for name in sets if name not in self.missing]
            made.append(cfg)
        return made

    def measurements(self) -> Iterator[tuple[DictConfig, str]]:
        """Config and data set of every score that is wanted and can be had."""
        for protocol, sets in self.wanted.items():
            for name in sets:
                if name not in self.missing:
                    yield self.cfg_for(protocol), name

    def cfg_for(self, protocol: str) -> DictConfig:
        """The config with a protocol, named as in ``conf/eval/protocol``; not to be changed."""
        assert self.cfg is not None
        if protocol == self.cfg.eval.protocol.name:
            return self.cfg
        if protocol not in self._ways:
            cfg = copy.deepcopy(self.cfg)
            with open_dict(cfg):
                cfg.eval.protocol = OmegaConf.create(_protocol(protocol))
            self._ways[protocol] = cfg
        return self._ways[protocol]


def measured_by(cfg: DictConfig) -> dict[str, Any]:
    """The settings of ``eval`` that a run's numbers depend on, and the proposals where these are chosen among."""
    settings = OmegaConf.to_container(cfg.eval, resolve=True)
    others = ("sets", "every", "watch", "samples", "batch_size")
    made = OmegaConf.to_container(cfg, resolve=True).get("proposals") if chooses_proposals(cfg) else None
    return {key: value for key, value in settings.items() if key not in others} | ({"proposals": made} if made else {})


def chooses_proposals(cfg: DictConfig) -> bool:
    """Whether a run is scored by what it chooses among proposals (``eval=rerank``)."""
    return "rerank" in cfg.eval


def _protocol(name: str) -> dict[str, Any]:
    node = compose("evaluate", ["run=none", "data=shapes", f"eval/protocol={name}"]).eval.protocol
    return OmegaConf.to_container(node, resolve=True)
