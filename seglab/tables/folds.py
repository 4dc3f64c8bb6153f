"""The fold networks that a row's rankers learn from: runs like its own, each without one fold of the training images.

No table names them; they follow from ``eval.rerank.folds`` of a row that is scored (Cogswell et al. 2014, section 5).

One runnable line: ``python -m seglab.table table=segnet_t2 scale=smoke status=true``.
"""

from __future__ import annotations

import copy

from omegaconf import DictConfig, OmegaConf

from seglab.folds import fold_config
from seglab.tables.job import Job


def add_folds(job: Job, protocol: str, *, known: dict[str, Job]) -> None:
    """Let a job need its fold networks, where the rankers it is measured by under a protocol learn from them.

    Args:
        job: the job; left as it is without a config.
        protocol: name of the protocol.
        known: all jobs by their keys; new ones are added.
    """
    of = OmegaConf.select(job.cfg_for(protocol), "eval.rerank.folds", default=0) if job.cfg is not None else 0
    for number in range(of):
        if (number, of) not in job.folds:
            job.folds[number, of] = fold_job(job, number, of=of, known=known)


def fold_job(job: Job, number: int, *, of: int, known: dict[str, Job]) -> Job:
    """The job of one fold network, after that of the fold network it starts from.

    Args:
        job: the job on all training images.
        number: the fold that is left out, 0..of-1.
        of: number of folds.
        known: all jobs by their keys; the new one is added.
    """
    chain = [job]
    while chain[-1].start is not None:
        chain.append(chain[-1].start)
    made = {str(one.run.path): one.cfg for one in chain}

    def config(folder: str) -> DictConfig:
        return copy.deepcopy(made[folder])

    cfg = fold_config(job.cfg, number=number, of=of, configs=config)
    start = job.start
    if start is not None and cfg.init.run != job.cfg.init.run:
        start = fold_job(start, number, of=of, known=known)
    row = f"{job.row}, without fold {number + 1} of {of}"
    new = Job(job.table, row, job.seed, cfg=cfg, where=job.where, start=start, labels=job.labels)
    return known.setdefault(new.key, new)
