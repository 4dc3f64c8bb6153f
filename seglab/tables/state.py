"""How far a run is, read from its folder: no index, no database, so nothing can disagree with the files."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

from seglab.data.names import names_of
from seglab.identity import resolved
from seglab.launch.work import is_locked
from seglab.run import Run, result_stem
from seglab.tables.job import Job
from seglab.targets import instantiate


class State(NamedTuple):
    """State of a run or cell, one of :data:`seglab.tables.values.STATES`, and why, in words."""

    name: str
    reason: str = ""


def state_of(job: Job) -> State:
    """How far a job's run is. Numbers that can still be had (``job.missing`` excepted) make it ``part``."""
    if job.run is None:
        return State("data missing" if job.data_missing else "failed", job.problem)
    run = job.run
    if run.done:
        if other := other_settings(job):
            return State("failed", other)
        lacking = [name for cfg, name in job.measurements() if not has_result(run, cfg, name)]
        if lacking and job.outcome is not None:
            return State(*job.outcome)
        return State("part", f"not scored yet on {', '.join(lacking)}") if lacking else State("done")
    if is_locked(run.path):
        return State("running", progress(run, job.cfg))
    if job.outcome is not None:
        return State(*job.outcome)
    if (run.path / "FAILED").is_file():
        return State("failed", last_line(run.path / "FAILED"))
    if job.untrainable:
        return State("data missing", job.untrainable)
    if (run.path / "last.pt").is_file():
        return State("stopped", progress(run, job.cfg))
    return State("not run")


def has_result(run: Run, cfg: DictConfig, name: str) -> bool:
    """Whether the numbers of a test set are there, by the config's protocol."""
    return (run.path / f"{result_stem(cfg, name)}.json").is_file()


def other_settings(job: Job) -> str:
    """Says which numbers of a finished run were measured otherwise than its table wants them; empty where none were."""
    for cfg, name in job.measurements():
        content = job.run.read_json(f"{result_stem(cfg, name)}.json")
        if content is not None and (keys := differing(content, cfg)):
            return (
                f"{job.run.path / result_stem(cfg, name)}.json was measured with other settings than the table's "
                f"({', '.join(keys)}); move it away, and it will be measured again"
            )
    return ""


def differing(content: dict[str, Any], cfg: DictConfig) -> list[str]:
    """Keys by which stored numbers differ from what a config would measure."""
    protocol = OmegaConf.to_container(cfg.eval.protocol, resolve=True)
    protocol = {k: v for k, v in protocol.items() if k not in ("_target_", "mask_above")}  # masks are cut when read
    found = [f"protocol.{k}" for k, v in protocol.items() if content["protocol"].get(k, v) != v]
    wanted = {
        "resolution": cfg.eval.resolution,
        "size": cfg.data.size,
        "precision": cfg.runtime.precision,
        "read_out": OmegaConf.to_container(cfg.eval.post, resolve=True),
    }
    if "rerank" in content and "rerank" in cfg.eval:
        wanted |= instantiate(cfg.eval.metrics).settings_of(cfg, None)
    found += [k for k, v in wanted.items() if content.get(k, v) != v]
    if "source" in content and content["source"] != _source(_Key(cfg, content["set"], "test")):
        found.append("source")
    return found


def progress(run: Run, cfg: DictConfig) -> str:
    """``epoch 12/30``."""
    log = run.path / "log.jsonl"
    rows = log.read_text(encoding="utf-8").count("\n") if log.is_file() else 0
    return f"epoch {rows}/{instantiate(cfg.schedule).epochs}"


def last_line(path: Path) -> str:
    """The message at the end of a traceback."""
    lines = path.read_text(encoding="utf-8").strip().splitlines()
    return lines[-1].strip() if lines else "no reason was written"


def find_data(job: Job) -> None:
    """Note in an unfinished job which of its data cannot be read, and why."""
    if job.cfg is None:
        return
    if not job.run.done and not job.labels:
        job.untrainable = _why_missing(job.cfg, job.cfg.data.name, "train")
    elif not job.run.done:  # its training data are made by other runs: they are there, or the reason is theirs
        lacking = next(((what, other) for what, other in job.needs.items() if other.untrainable), None)
        job.untrainable = f"{lacking[0]} cannot be trained: {lacking[1].untrainable}" if lacking else ""
    for cfg, name in list(job.measurements()):
        if not has_result(job.run, cfg, name) and (why := _why_missing(cfg, name, "test")):
            job.missing[name] = why


def _why_missing(cfg: DictConfig, name: str, part: str) -> str:
    return _look(_Key(cfg, name, part))


class _Key:
    """A data set and its part, equal where the same files would be looked at."""

    def __init__(self, cfg: DictConfig, name: str, part: str) -> None:
        self.cfg, self.name, self.part = cfg, name, part
        own = name == cfg.data.name
        source = (str(cfg.data.source), cfg.seed) if own else ""  # points are drawn by the run's seed
        self.value = (name, source, str(cfg.runtime.data_root), part)

    def __hash__(self) -> int:
        return hash(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.value == other.value


@cache
def _source(key: _Key) -> dict[str, Any]:
    """Where a data set's images are and how its masks are read, as the evaluator writes it."""
    from seglab.data.build import data_of

    whole = OmegaConf.create({"data": data_of(key.cfg, key.name), "runtime": key.cfg.runtime, "seed": key.cfg.seed})
    return resolved(whole)["data"]["source"]


@cache
def _look(key: _Key) -> str:
    from seglab.data.build import data_of

    try:
        names_of(instantiate(data_of(key.cfg, key.name).source), key.part)
    except ValueError as error:
        return str(error)
    return ""
