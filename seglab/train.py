"""Train a network and score it: ``python -m seglab.train loss=cas data=duts noise.rate=0.5``.

A finished run is not trained again, an interrupted one goes on where it stopped. The last line on stdout is the run
folder.
"""

from __future__ import annotations

import logging
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf

from seglab import distributed
from seglab.atomic import os_message
from seglab.cli import run_command
from seglab.run import Run
from seglab.words import told

if TYPE_CHECKING:
    import torch
    from torch import nn

    from seglab.data.arrays import ArrayDataset
    from seglab.data.build import TrainingData

log = logging.getLogger(__name__)


def train(cfg: DictConfig) -> Path:
    """Train and score what a config describes; the run folder it lands in is returned.

    Args:
        cfg: finalised config of ``conf/train.yaml``, see :func:`seglab.config.compose`.

    Raises:
        ValueError: a mistake in config or data, or a loss that is not finite.
        seglab.cli.Stopped: a signal stopped the training; the state is saved.
    """
    _ = cfg.init.run  # said before anything is read, where it is missing
    run = Run.for_config(cfg)
    if not run.done or cfg.runtime.rerun:
        with distributed.process_group(device := setup_torch(cfg)):
            trained = train_alone(cfg, run, device)
        if trained:
            return run.path
    log.info("done already: %s (runtime.rerun=true starts over)", run.path)
    score_what_is_missing(cfg, run)
    show_results(run)
    return run.path


def train_alone(cfg: DictConfig, run: Run, device: torch.device) -> bool:
    """Train and score with the run folder locked; False where another process has finished the run meanwhile."""
    if not distributed.is_main():
        if distributed.broadcast(None):
            return False
        distributed.barrier()
        with failures_told(cfg, run):
            work(cfg, run, device)
        return True
    with run.lock():
        # Looked at again: another process may have held the lock and finished while this one got ready.
        if distributed.broadcast(run.done and not cfg.runtime.rerun):
            return False
        with text_log(run.path):
            run.start(cfg)
            if cfg.runtime.rerun:
                run.clear()
            distributed.barrier()
            with failures_told(cfg, run):
                work(cfg, run, device)
            run.mark("DONE", time.strftime("%Y-%m-%dT%H:%M:%S%z"))
    return True


@contextmanager
def failures_told(cfg: DictConfig, run: Run) -> Iterator[None]:
    """Leave the traceback of whatever ends the block in ``FAILED``, and in torchrun's report of its processes.

    The process that fails first writes; those that only lose their partner do not write over it.
    """
    from seglab.faults import MachineFault, explained

    try:
        yield
    except Exception as error:
        known = explained(error, cfg)
        where = f"rank {distributed.rank()}\n" if distributed.world() > 1 else ""
        if not (isinstance(known, MachineFault) and known.secondary and (run.path / "FAILED").is_file()):
            try:
                run.mark("FAILED", where + "".join(traceback.format_exception(error)))
            except OSError as unwritten:  # on a full disk, say; the error itself is what counts
                log.warning("%s", os_message(unwritten))
        distributed.report_failure(error)
        if known is error:
            raise
        raise known from error


def work(cfg: DictConfig, run: Run, device: torch.device) -> None:
    """Everything between a started run folder and a finished one, in every process."""
    from seglab import checkpoint
    from seglab.data.scored import check_scored
    from seglab.environment import environment
    from seglab.evaluator import Evaluator, read_out
    from seglab.fold_lists import check_start, keep_list
    from seglab.hooks import informed
    from seglab.samples import save_samples
    from seglab.stages import check_stages, choice
    from seglab.targets import instantiate
    from seglab.trackers import Tracker
    from seglab.trainer import Trainer

    started = time.perf_counter()
    # A mistake in these is said before the data are read.
    read_out(cfg)
    schedule, loss = instantiate(cfg.schedule), instantiate(cfg.loss)
    check_scored(cfg, reads_masks=getattr(loss, "reads_masks", True))
    check_stages(cfg, schedule=schedule, loss=loss)
    data = audited_data(cfg)
    check_start(cfg, data.images)
    if not data.labelled and getattr(loss, "reads_masks", True):
        raise ValueError(
            f"data={cfg.data.name} has no masks, and loss={choice(cfg)} learns from masks: expected loss=regularized, "
            "or data with masks"
        )
    model = build_model(cfg, device)
    check_inputs(cfg, model, data.train)
    evaluator = Evaluator(cfg, model, device)
    evaluator.check_watch()
    if evaluator.post.needs_fit and not len(data.val):
        evaluator.fit(data.val)  # a read-out that needs held-out images says so now, not after the training
    tracker = instantiate(cfg.tracker) if distributed.is_main() else Tracker()
    tracker.start(run.path, OmegaConf.to_container(cfg, resolve=True))

    def validate(epoch: int) -> dict[str, float]:
        done = epoch + 1
        if not len(data.val) or (done % cfg.eval.every and done < schedule.epochs):
            return {}
        evaluator.fit(data.val)
        values = evaluator.score(data.val, "validation").compute()
        if distributed.is_main() and cfg.eval.samples:
            path = run.path / "samples" / f"epoch-{done:04d}.png"
            save_samples(evaluator, data.val, path, count=cfg.eval.samples)
            tracker.image("samples", path, epoch)
        return {f"val_{k}": values[k] for k in cfg.eval.watch}

    if distributed.is_main():
        run.write_json("noise.json", data.noise)
        keep_list(run, data.images)
        run.write_json("env.json", environment(device))
    trainer = Trainer(
        cfg,
        run=run,
        model=model,
        loss=informed(loss, data.noise).to(device),
        dataset=data.train,
        negatives=data.negatives,
        device=device,
        tracker=tracker,
        validate=validate,
    )
    try:
        trainer.fit()
        state = evaluator.fit(data.val)
    finally:
        tracker.close()  # also after a failure: the next run of a sweep opens its own
    if distributed.is_main():
        checkpoint.save_weights(run.path / "model.safetensors", model.state_dict())
        run.write_json("post.json", state)
    evaluator.run(run)
    if distributed.is_main():
        seconds = time.perf_counter() - started
        run.write_json("env.json", environment(device) | {"seconds": seconds, "peak_mib": trainer.peak_memory()})


def audited_data(cfg: DictConfig) -> TrainingData:
    """The training data, once the files of the test sets are found and those of all sets are looked through."""
    from seglab.audit.first import audit_before_training
    from seglab.data.build import check_test_sets, training_data

    check_test_sets(cfg)
    with distributed.main_first():
        if distributed.is_main():
            audit_before_training(cfg)
    return training_data(cfg)


def setup_torch(cfg: DictConfig) -> torch.device:
    """Threads, determinism and device of this process."""
    import torch

    if cfg.runtime.threads:
        torch.set_num_threads(cfg.runtime.threads)
    if (wanted := bool(cfg.runtime.deterministic)) != torch.are_deterministic_algorithms_enabled():
        torch.use_deterministic_algorithms(wanted)  # imports torch's compiler, two seconds, even to set what is set
    return distributed.pick_device(cfg.runtime.device)


def build_model(cfg: DictConfig, device: torch.device) -> nn.Module:
    """The network with its first weights, the same for the same seed; then those of ``init.run`` where it is set."""
    import torch

    from seglab import checkpoint
    from seglab.data.rng import key_of
    from seglab.models.init import load_run_weights
    from seglab.targets import instantiate

    torch.manual_seed(key_of(cfg.seed, "weights"))
    with distributed.main_first():  # one process downloads, the others find the file
        model = instantiate(cfg.model)
    if cfg.init.run:
        folder = Path(cfg.init.run)
        weights = checkpoint.load_weights(folder / "model.safetensors")
        load_run_weights(model, weights, run=folder, settings=cfg.model)
    model = model.to(device)
    return model.to(memory_format=torch.channels_last) if cfg.runtime.channels_last else model


def check_inputs(cfg: DictConfig, model: nn.Module, dataset: ArrayDataset) -> None:
    """Refuse a network that takes another number of channels than the images have.

    Raises:
        ValueError: naming both.
    """
    wanted, found = getattr(model, "inputs", 3), dataset.images.shape[1]
    if wanted != found:
        raise ValueError(
            f"data={cfg.data.name}: its images have {found} channels, the network takes {wanted}: expected a model of "
            f"{found} inputs (model=mlp_10 model.inputs={found} takes any number)"
        )


def score_what_is_missing(cfg: DictConfig, run: Run) -> None:
    """Score a finished run on the sets, protocol and resolution asked for, where that was not done yet.

    Raises:
        ValueError: it was done by other settings of the same name.
    """
    from seglab.data.build import test_sets
    from seglab.evaluate import trained_evaluator
    from seglab.evaluator import held_otherwise
    from seglab.run import result_stem
    from seglab.tables.state import differing

    names = []
    for name in test_sets(cfg):
        there = run.read_json(f"{result_stem(cfg, name)}.json")
        if there is None:
            names.append(name)
        elif other := [key for key in differing(there, cfg) if key != "source"]:
            raise held_otherwise(run, result_stem(cfg, name), other)
    if not names:
        return
    with distributed.process_group(device := setup_torch(cfg)), run.lock() if distributed.is_main() else nullcontext():
        trained_evaluator(run, cfg, device).run(run, names)


def show_results(run: Run) -> None:
    """Log the numbers of a finished run."""
    for path in sorted((run.path / "eval").glob("*.json")):
        metrics = run.read_json(f"eval/{path.name}")["metrics"]
        log.info("%s: %s", path.stem, told(metrics))


@contextmanager
def text_log(folder: Path) -> Iterator[None]:
    """Copy the log into ``train.log`` while a run is worked on."""
    handler = TextLog(folder / "train.log", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        with suppress(OSError):  # what is still in its buffer does not fit on a full disk; told already
            handler.close()


class TextLog(logging.FileHandler):
    """A log file that a full disk silences, with one line about it instead of a traceback a message."""

    silent = False

    def handleError(self, record: logging.LogRecord) -> None:
        """Tell the first failure on stderr."""
        if not self.silent:
            self.silent = True
            sys.stderr.write(f"seglab: {self.baseFilename} cannot be written ({sys.exc_info()[1]})\n")


if __name__ == "__main__":
    sys.exit(run_command("train", train))
