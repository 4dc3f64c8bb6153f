"""The proposals that runs of ``eval=rerank`` are scored with: made before the runs, image by image, and told of.

One runnable line: ``python -m seglab.table table=segnet_t2 scale=smoke status=true``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from omegaconf import DictConfig, OmegaConf

from seglab.launch.work import Work
from seglab.tables.job import Job, chooses_proposals
from seglab.tables.state import has_result


class Proposals:
    """Works for the proposals of all jobs, one set of works for a folder of proposals, however many runs are scored.

    Args:
        slots: shares that the images of a folder are cut into, at most.
    """

    def __init__(self, *, slots: int) -> None:
        self.slots = slots
        self._made: dict[str, list[Work]] = {}

    def before(self, job: Job) -> list[Work]:
        """What has to be done before a job can be scored; empty where that needs no proposals, or has its numbers.

        Raises:
            ValueError: the settings of the proposals are wrong, or their data cannot be read.
        """
        found: dict[str, Work] = {}
        for cfg in proposals_wanted(job):
            key = key_of(cfg)
            if key not in self._made:
                from seglab.proposals.works import works_for

                self._made[key] = works_for(cfg, slots=self.slots, parts=parts_of(cfg))
            found |= {work.key: work for work in self._made[key]}
        return list(found.values())


def proposals_wanted(job: Job) -> Iterator[DictConfig]:
    """Configs that choose among proposals and lack numbers; ``eval.sets`` says on which sets."""
    for cfg in job.configs() if job.cfg is not None else ():
        if not chooses_proposals(cfg):
            continue
        cfg.eval.sets = [name for name in cfg.eval.sets if not (job.is_done and has_result(job.run, cfg, name))]
        if cfg.eval.sets:
            yield cfg


def parts_of(cfg: DictConfig) -> tuple[str, ...]:
    """Parts of the data whose proposals are needed: rankers that learn do so on those of the training part."""
    return ("train", "test") if OmegaConf.select(cfg, "eval.rerank.folds", default=0) else ("test",)


def key_of(cfg: DictConfig) -> str:
    """What decides which proposals a config needs."""
    node = OmegaConf.create({key: cfg[key] for key in ("data", "proposals", "runtime")})
    content = OmegaConf.to_container(node, resolve=False)
    return json.dumps([content, list(cfg.eval.sets), parts_of(cfg)], sort_keys=True, default=str)


def proposals_status(jobs: Iterable[Job]) -> list[str]:
    """A line for every folder of proposals that runs still wait for: how many of its images are done."""
    from seglab.proposals.place import Place

    lines: dict[str, str] = {}
    parts: dict[str, set[str]] = {}
    for job in jobs:
        for cfg in proposals_wanted(job):
            key = json.dumps(OmegaConf.to_container(cfg.proposals)) + str(cfg.data.name)
            if cfg.proposals.folder is not None or parts.get(key, set()) >= set(parts_of(cfg)):
                continue
            parts[key] = {*parts.get(key, ()), *parts_of(cfg)}
            try:
                place = Place.of(cfg)
                store = place.store()
                there = [store.has(id, part) for part in sorted(parts[key]) for id in place.names(part)]
                lines[key] = f"proposals of {cfg.data.name}: {sum(there)} of {len(there)} images in {place.folder}"
            except ValueError as error:
                lines[key] = f"proposals of {cfg.data.name}: {error}"
    return list(lines.values())
