"""The weights a run kept on its way, and scoring a network at each of them (regularized loss table 1).

They lie in ``<run>/snapshots/<optimiser step>.safetensors``, written by a schedule that keeps some.
One runnable line: ``python -m seglab.train schedule=snapshots eval=correlation data=people loss=ce``.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from seglab import checkpoint
from seglab.models.init import fit_state
from seglab.run import Run
from seglab.targets import instantiate

if TYPE_CHECKING:
    from seglab.data.arrays import ArrayDataset
    from seglab.evaluator import Evaluator

log = logging.getLogger(__name__)

FEWEST = 3
"""Snapshots of a correlation; two always lie on a line."""

REMEDY = "train with schedule=snapshots, which keeps 20 (schedule.count)"


def snapshots_of(run: Run, *, first_step: int = 0, what: str = "eval=correlation") -> list[tuple[int, Path]]:
    """Optimiser step and file of every snapshot of a run, in order of the steps.

    Args:
        run: the run folder.
        first_step: snapshots of earlier steps are left out.
        what: who asks, for the message.

    Raises:
        ValueError: there are fewer than :data:`FEWEST`; the message says how to get them.
    """
    folder = run.path / "snapshots"
    found = sorted((int(path.stem), path) for path in folder.glob("*.safetensors") if path.stem.isdecimal())
    late = [(step, path) for step, path in found if step >= first_step]
    if len(late) < FEWEST:
        from_there = f", {len(late)} of them from step {first_step} on (eval.protocol.first_step)" if first_step else ""
        raise ValueError(
            f"{what}: {run.path.name} has {len(found)} snapshots in {folder}{from_there}: expected {FEWEST} "
            f"or more; {REMEDY}"
        )
    return late


def check_read_out(cfg: DictConfig, post: Any) -> None:
    """Refuse what no series of snapshots can be read out by.

    Raises:
        ValueError: naming the key.
    """
    from seglab.post.channel import Channel

    if not isinstance(post, Channel):
        raise ValueError(
            f"eval.post={cfg.eval.post._target_}: it is fitted to the last weights and says nothing of earlier ones: "
            "expected eval/post=channel or object with eval=correlation, and a loss that gives probabilities"
        )
    if cfg.eval.resolution != "network":
        raise ValueError(f"eval.resolution={cfg.eval.resolution}: expected network with eval=correlation")


def check_schedule(cfg: DictConfig, *, what: str = "eval=correlation") -> None:
    """Refuse a training that would keep too few snapshots, before it starts; ``what`` is who asks, for the message.

    Raises:
        ValueError: saying which schedule keeps them.
    """
    # Of a long training; one that is too short for its snapshots says so itself.
    if len(instantiate(cfg.schedule).snapshots([1000] * 1000)) < FEWEST:
        raise ValueError(f"{what} needs {FEWEST} snapshots or more, and this schedule keeps fewer; {REMEDY}")


def score_run(evaluator: Evaluator, run: Run, dataset: ArrayDataset, desc: str) -> Any:
    """The metrics of a run on a data set: of its network, or of every snapshot where the metrics ask for that.

    Args:
        evaluator: its network is left as it was.
        run: the run folder.
        dataset: the test images.
        desc: name of the progress bar.

    Raises:
        ValueError: too few snapshots, or one does not fit the network.
    """
    metrics = instantiate(evaluator.cfg.eval.metrics)
    if hasattr(metrics, "measure"):  # those that need more than a look at every image, such as eval=rerank
        metrics.measure(evaluator, run, dataset, desc)
        return metrics
    if not getattr(metrics, "over_snapshots", False):
        evaluator.fill(metrics, dataset, desc)
        return metrics
    found, model = snapshots_of(run, first_step=metrics.protocol.first_step), evaluator.model
    kept = {key: value.detach().clone() for key, value in model.state_dict().items()}
    try:
        for number, (step, path) in enumerate(found, start=1):
            fit_state(model, checkpoint.load_weights(path), source=str(path))
            metrics.start(step, last=number == len(found))
            evaluator.fill(metrics, dataset, f"{desc}, snapshot {number}/{len(found)}")
    finally:
        model.load_state_dict(kept)
    log.info("%s: %d snapshots, steps %d to %d", desc, len(found), found[0][0], found[-1][0])
    return metrics
