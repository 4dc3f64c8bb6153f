"""The training loop, readable from top to bottom; it knows neither the model, nor the loss, nor the data set.

A step's random numbers follow from (seed, epoch, step, rank) and the order of the images from (seed, epoch), so a run
that was stopped anywhere ends with the same weights as an undisturbed one.
"""

from __future__ import annotations

import logging
import math
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor, nn
from tqdm import tqdm

from seglab import checkpoint, distributed, drift, hooks
from seglab.cli import Stopped
from seglab.data.arrays import ArrayDataset
from seglab.data.loader import make_loader
from seglab.data.negatives import WithNegatives
from seglab.data.rng import key_of
from seglab.data.sample import Batch
from seglab.finite import NumberWatch
from seglab.forward import DTYPES, drawing_alike, forward
from seglab.journal import Journal
from seglab.pieces import whole_batch
from seglab.run import Run
from seglab.signals import StopRequest
from seglab.stages import Stages
from seglab.targets import instantiate
from seglab.trackers import Tracker

log = logging.getLogger(__name__)


class Trainer:
    """Trains one model on one data set.

    Args:
        cfg: finalised config of ``seglab.train``.
        run: the run folder, locked by the caller.
        model: network on its device.
        loss: returns named terms; their sum is minimised. One whose ``reads_masks`` is False gets batches without.
        dataset: training images with the masks the loss may see.
        negatives: images without the object, for a loss that uses them.
        device: where to compute.
        tracker: receives the numbers of every epoch.
        validate: called as ``validate(epoch)`` at the end of an epoch; its numbers join the epoch's row.

    Raises:
        ValueError: ``batch_size`` does not fit the data or the number of processes.
    """

    def __init__(
        self,
        cfg: DictConfig,
        *,
        run: Run,
        model: nn.Module,
        loss: nn.Module,
        dataset: ArrayDataset,
        negatives: ArrayDataset | None = None,
        device: torch.device,
        tracker: Tracker,
        validate: Callable[[int], dict[str, float]],
    ) -> None:
        self.cfg, self.run, self.loss, self.device = cfg, run, loss, device
        self.dataset = dataset if negatives is None else WithNegatives(dataset, negatives)
        self.tracker, self.validate = tracker, validate
        self.schedule = instantiate(cfg.schedule)
        unlike = 0 if negatives is None else len(negatives)
        self.stages = Stages(cfg, schedule=self.schedule, loss=loss, images=len(dataset), negatives=unlike)
        self.model = model
        self.network = distributed.wrap(model, device, sync_batchnorm=cfg.runtime.sync_batchnorm)
        if cfg.runtime.compile:
            self.network = torch.compile(self.network)
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.make_optimizer = instantiate(cfg.optim)
        self.optimizer = self.make_optimizer(self.parameters)
        self.dtype = DTYPES[cfg.runtime.precision]
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.dtype is torch.float16)
        pieces = 1 if getattr(loss, "sums_over_pieces", False) else cfg.accumulate
        pieces *= 1 if getattr(loss, "joins_processes", False) else distributed.world()
        if pieces > 1 and getattr(loss, "batch_coupled", False):
            log.warning("this loss couples the images of a batch; it sees batch_size / %d of them at a time", pieces)
        self.epoch = self.step = 0
        self.sums: dict[str, float] = {}
        self.watch = NumberWatch(fp16=self.scaler.is_enabled())
        self.context = drift.context(cfg, dataset, device, negatives=negatives)
        self.journal = Journal(run.path / "log.jsonl")
        self.stop = StopRequest()
        self.saved_at = time.monotonic()

    def fit(self) -> None:
        """Train up to ``schedule.epochs``, from the checkpoint of the run folder where there is one.

        Raises:
            ValueError: the loss or its gradient is not finite.
            Stopped: a signal asked for it; the state is saved.
        """
        self.resume()
        with self.stop:
            while self.epoch < self.schedule.epochs:
                row = self.run_epoch()
                self.epoch, self.step, self.sums, self.watch.skipped = self.epoch + 1, 0, {}, 0
                row.update(self.validate(row["epoch"]))
                self.record(row)
                self.save()
                self.stop_if_asked()

    def run_epoch(self) -> dict[str, Any]:
        """One pass over the training images; returns the epoch's row for the log."""
        self.network.train()
        self.stages.set(self.epoch)
        if self.step == 0 and self.schedule.fresh(self.epoch):
            self.optimizer = self.make_optimizer(self.parameters)
        batches_of_epoch = self.stages.batches(self.epoch)
        lr = self.cfg.optim.lr * self.schedule.lr_factor(self.epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        first, started = self.step, time.perf_counter()
        loader = make_loader(
            self.dataset.for_epoch(self.epoch, seed=self.cfg.seed),
            batches_of_epoch.batches(self.epoch, start_step=first),
            workers=self.cfg.runtime.workers,
            pin_memory=self.device.type == "cuda",
        )
        bar = tqdm(
            total=batches_of_epoch.steps,
            initial=first,
            desc=f"epoch {self.epoch + 1}/{self.schedule.epochs}",
            unit="step",
            leave=False,
            disable=None if distributed.is_main() and self.cfg.runtime.progress else True,
        )
        with bar:
            for batches in _grouped(loader, self.cfg.accumulate):
                terms = self.train_step(batches)
                for name, value in terms.items():
                    # Not finite is only an fp16 step that overflowed and was left out.
                    self.sums[name] = self.sums.get(name, 0.0) + (value if math.isfinite(value) else 0.0)
                self.step += 1
                self.keep_snapshot()
                bar.set_postfix({k: f"{v:.4f}" for k, v in terms.items()}, refresh=False)
                bar.update()
                if self.step < batches_of_epoch.steps:
                    self.stop_if_asked()
                    self.save_if_due()
        seconds = time.perf_counter() - started
        images = (self.step - first) * self.cfg.batch_size
        return {
            "epoch": self.epoch,
            "lr": lr,
            **{f"set_{name}": value for name, value in self.schedule.settings(self.epoch).items()},
            **{k: v / self.step for k, v in self.mean_over_processes().items()},
            **({"skipped_steps": self.watch.skipped} if self.scaler.is_enabled() else {}),
            "seconds": round(seconds, 3),
            "images_per_second": round(images / seconds, 2),
            "peak_memory_mib": self.peak_memory(),
        }

    def train_step(self, batches: list[Batch]) -> dict[str, float]:
        """One optimiser step on the pieces of one batch; returns the loss terms, their sum and the gradient's norm."""
        torch.manual_seed(key_of(self.cfg.seed, self.epoch, self.step, distributed.rank()))
        self.optimizer.zero_grad(set_to_none=True)
        with whole_batch(self.loss, self.network, batches, runtime=self.cfg.runtime, device=self.device):
            sums = self.backward(batches)
        self.scaler.unscale_(self.optimizer)
        norm = torch.nn.utils.get_total_norm([p.grad for p in self.parameters if p.grad is not None])
        # The one moment of a step in which the host waits: a bad number must be seen before the weights change.
        values = dict(zip([*sums, "grad_norm"], torch.stack([*sums.values(), norm]).tolist(), strict=True))
        ids = [name for batch in batches for name in batch["id"]]
        self.watch.check(values, epoch=self.epoch, step=self.step, ids=ids, last=self.run.path / "last.pt")
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return values

    def backward(self, batches: list[Batch]) -> dict[str, Tensor]:
        """Gradients of a step, piece by piece; returns the loss terms and their sum."""
        sums: dict[str, Tensor] = {}
        for number, batch in enumerate(batches):
            last = number == len(batches) - 1
            with nullcontext() if last or distributed.world() == 1 else self.network.no_sync():
                if not getattr(self.loss, "reads_masks", True):
                    batch = {key: value for key, value in batch.items() if key != "mask"}
                logits, moved = forward(self.network, batch, runtime=self.cfg.runtime, device=self.device)
                with drawing_alike(key_of(self.cfg.seed, self.epoch, self.step, "loss"), self.device):
                    terms = self.loss(logits, moved)
                total = torch.stack(list(terms.values())).sum() / len(batches)
                self.scaler.scale(total).backward()
            for name, value in {**terms, "loss": total * len(batches)}.items():
                sums[name] = sums.get(name, 0) + value.detach() / len(batches)
        return sums

    def record(self, row: dict[str, Any]) -> None:
        """Write an epoch's row to ``log.jsonl``, the text log and the tracker."""
        if not distributed.is_main():
            return
        self.journal.add(row)
        left = (self.schedule.epochs - self.epoch) * row["seconds"]
        shown = "  ".join(f"{k} {v:.4f}" for k, v in row.items() if isinstance(v, float) and k not in SILENT)
        log.info("epoch %d/%d  %s  (%.0f s left)", self.epoch, self.schedule.epochs, shown, left)
        self.tracker.scalars({k: v for k, v in row.items() if k != "epoch"}, row["epoch"])

    def mean_over_processes(self) -> dict[str, float]:
        """The epoch's sums of loss terms, averaged over the processes."""
        values = torch.tensor(list(self.sums.values()), dtype=torch.float64, device=self.device)
        values = distributed.sum_(values) / distributed.world()
        return dict(zip(self.sums, values.tolist(), strict=True))

    def peak_memory(self) -> int:
        """Largest memory use so far in MiB: of the device, or of this process on the CPU."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) // 2**20
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 2**10

    def save(self) -> None:
        """Write the whole state of the training to ``last.pt``."""
        self.saved_at = time.monotonic()
        if not distributed.is_main():
            return
        state = {
            "epoch": self.epoch,
            "step": self.step,
            "sums": dict(self.sums),
            "skipped": [self.watch.overflows, self.watch.skipped],
            "context": self.context,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            **hooks.state_of(self.loss),
        }
        checkpoint.save(self.run.path, state)

    def resume(self) -> None:
        """Go on from the run folder's checkpoint, if there is one; log rows beyond it are dropped.

        Raises:
            ValueError: it was made with other settings or images.
        """
        state = checkpoint.load(self.run.path)
        if state is not None:
            allow = bool(self.cfg.runtime.allow_drift)
            drift.check(state.get("context"), self.context, path=self.run.path, allow=allow)
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            if self.scaler.is_enabled():
                self.scaler.load_state_dict(state["scaler"])
            self.epoch, self.step, self.sums = state["epoch"], state["step"], dict(state["sums"])
            self.watch.overflows, self.watch.skipped = state.get("skipped", (0, 0))
            hooks.restore(self.loss, state, path=self.run.path)
            log.info("going on from epoch %d, step %d", self.epoch + 1, self.step + 1)
        if distributed.is_main():
            self.journal.forget_from(self.epoch)

    def keep_snapshot(self) -> None:
        """Write the weights to ``snapshots/`` after a step that the schedule names."""
        number = self.stages.number(self.epoch, self.step)
        if number in self.stages.kept and distributed.is_main():
            path = self.run.path / "snapshots" / f"{number:07d}.safetensors"
            path.parent.mkdir(exist_ok=True)
            checkpoint.save_weights(path, self.model.state_dict())

    def save_if_due(self) -> None:
        """A checkpoint inside a long epoch."""
        if time.monotonic() - self.saved_at > 60 * self.cfg.runtime.save_minutes:
            self.save()

    def stop_if_asked(self) -> None:
        """Save and leave where a signal came, on any process.

        Raises:
            Stopped: the state is saved.
        """
        asked = self.stop.asked
        if distributed.world() > 1:
            flag = torch.tensor([float(asked)], device=self.device)
            asked = bool(distributed.sum_(flag).item())
        if asked:
            self.save()
            raise Stopped(f"stopped in epoch {self.epoch + 1}, step {self.step + 1}; start the same command to go on")


SILENT = ("seconds", "lr")


def _grouped(loader: Any, size: int) -> Iterator[list[Batch]]:
    group: list[Batch] = []
    for batch in loader:
        group.append(batch)
        if len(group) == size:
            yield group
            group = []
    assert not group, "a step's pieces were not all delivered"
