"""Score a trained network: logits, read-out, metrics, files.

The read-out (which output channel is the object) is fitted on held-out clean images, once per model, never on a test
image (CAS section 4.2).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from seglab import distributed
from seglab.atomic import write_atomic
from seglab.data.arrays import ArrayDataset
from seglab.data.build import data_of, test_data, test_sets
from seglab.data.loader import make_loader, shard
from seglab.data.sample import Batch
from seglab.forward import enlarged, forward
from seglab.identity import resolved
from seglab.post.region_maps import RegionMaps
from seglab.post.shown import clicked_images, fit_post
from seglab.run import Run, result_stem
from seglab.snapshots import check_read_out, check_schedule, score_run
from seglab.targets import instantiate
from seglab.words import nearest, told

log = logging.getLogger(__name__)


class Evaluator:
    """Fits the read-out of one model and scores it on data sets.

    Args:
        cfg: config with ``data``, ``eval`` and ``runtime``.
        model: trained network on its device.
        device: where to compute.
    """

    def __init__(self, cfg: DictConfig, model: nn.Module, device: torch.device) -> None:
        self.cfg, self.model, self.device = cfg, model, device
        self.post = read_out(cfg)

    @torch.inference_mode()
    def logits(self, dataset: ArrayDataset, desc: str) -> Iterator[tuple[Batch, Tensor]]:
        """This process's share of the data set, batch by batch, with float32 logits [B,M,H,W]."""
        for batch in self.batches(dataset, desc):
            logits, moved = forward(self.model, batch, runtime=self.cfg.runtime, device=self.device)
            yield moved, logits if kind_of(self.post) == "classes" else enlarged(logits, moved["image"])

    def batches(self, dataset: ArrayDataset, desc: str) -> Iterator[Batch]:
        """This process's share of the data set, batch by batch, on the CPU; the network is ready to be asked."""
        self.model.eval()
        rank, world, size = distributed.rank(), distributed.world(), self.cfg.eval.batch_size
        batches = shard(len(dataset), batch_size=size, rank=rank, world=world)
        pinned = self.device.type == "cuda"
        loader = make_loader(dataset, batches, workers=self.cfg.runtime.workers, pin_memory=pinned)
        quiet = None if distributed.is_main() and self.cfg.runtime.progress else True
        yield from tqdm(loader, desc=desc, unit="batch", leave=False, disable=quiet)

    def fit(self, val: ArrayDataset, *, trained: DictConfig | None = None) -> dict[str, Any]:
        """Fit the read-out on held-out clean images, or on images alone; returns its state as plain types.

        Args:
            val: the images held out, perhaps none.
            trained: config of the training; None = the evaluator's own.

        Raises:
            ValueError: nothing is held out and the read-out needs it, or a click is wrong.
        """
        self.post = instantiate(self.cfg.eval.post)
        if not self.post.learns:
            return self.post.state()
        return fit_post(self, val, self.cfg if trained is None else trained)

    def score(self, dataset: ArrayDataset, desc: str) -> Any:
        """The metrics object, filled with every image of the data set once."""
        metrics = instantiate(self.cfg.eval.metrics)
        self.fill(metrics, dataset, desc)
        return metrics

    def fill(self, metrics: Any, dataset: ArrayDataset, desc: str) -> None:
        """Show the metrics every image of the data set once, as the network is now."""
        original = self.cfg.eval.resolution == "original"
        for batch, logits in self.logits(dataset, desc):
            whole_scores = original and kind_of(self.post) == "classes"  # scores are resized, then the largest is taken
            found = None if whole_scores else self.post(logits, batch["image"])
            if isinstance(found, RegionMaps):
                score_regions(metrics, found, batch, dataset, original=original)
            elif original:
                for row, index in enumerate(batch["index"].tolist()):
                    image, mask = dataset.original(index)
                    if whole_scores:
                        seen = (image,) if getattr(self.post, "reads_images", False) else ()
                        whole = self.post.at_size(logits[row], mask.shape, *seen)
                    else:
                        whole = resize(found[row : row + 1], mask.shape)[0]
                    metrics.update_one(whole, torch.from_numpy(mask.astype(np.int64)), index)
            elif getattr(metrics, "reads_images", False):
                metrics.update(found, batch["mask"], batch["index"], batch["image"])
            else:
                metrics.update(found, batch["mask"], batch["index"])

    def check_watch(self) -> None:
        """Refuse what the metrics (``eval.watch``) or the read-out (clicks) cannot use, before any training.

        All processes call it.

        Raises:
            ValueError: naming it and what is offered; or the metrics need snapshots that the training does not keep.
        """
        if getattr(self.post, "clicks", None):
            clicked_images(self.cfg, self.post.clicks)
        metrics = instantiate(self.cfg.eval.metrics)
        if getattr(metrics, "over_snapshots", False):
            check_schedule(self.cfg)
        if hasattr(metrics, "check_training"):
            metrics.check_training(self.cfg)
        metrics.update_one(torch.zeros(8, 8), torch.ones(8, 8, dtype=torch.int64), distributed.rank())
        offered = sorted(metrics.compute())
        for name in self.cfg.eval.watch:
            if name not in offered:
                raise ValueError(f"eval.watch={name}: no such metric{nearest(name, offered)}")

    def run(self, run: Run, names: Sequence[str] | None = None) -> dict[str, dict[str, float]]:
        """Score the model on test sets and write ``eval/<set>-<protocol>.json`` with its CSV.

        Args:
            run: the run folder.
            names: test sets; None = those of ``eval.sets``.

        Returns:
            ``{set: {metric: value}}``.
        """
        results, names = {}, test_sets(self.cfg) if names is None else names
        if not names:
            log.info("data=%s: nothing is scored, data.test_sets is empty", self.cfg.data.name)
        for name in names:
            self.check_free(run, name)
            dataset = test_data(self.cfg, name)
            metrics = score_run(self, run, dataset, name)
            # Every process takes part in adding up, one writes.
            results[name], rows, curves = metrics.compute(), metrics.rows(), metrics.curves()
            if distributed.is_main():
                self.write(run, name, dataset, results[name], rows, curves, found=getattr(metrics, "found", None))
            log.info("%s: %s", name, told(results[name]))
        return results

    def write(
        self,
        run: Run,
        name: str,
        dataset: ArrayDataset,
        values: dict[str, float],
        rows: list[dict[str, float]],
        curves: dict[str, np.ndarray],
        *,
        found: dict[str, Any] | None = None,
    ) -> None:
        """Write one set's numbers, each beside what it was measured by and what was ``found`` on the way."""
        stem = result_stem(self.cfg, name)
        measured = {"found": found, "metrics": values} if found else {"metrics": values}
        content = {"set": name, "images": len(dataset), **self.settings(name, run), **measured}
        run.write_json(f"{stem}.json", content)
        names = pd.DataFrame({"id": dataset.ids})
        table = names.join(pd.DataFrame(rows).set_index("index")) if rows else names
        write_atomic(run.path / f"{stem}.csv", table.to_csv(index=False))
        if curves:
            write_atomic(run.path / f"{stem}-curves.csv", pd.DataFrame(curves).to_csv(index=False))

    def check_free(self, run: Run, name: str) -> None:
        """Refuse to write over numbers of a set that were measured with other settings, before they are measured.

        Raises:
            ValueError: naming the file and the settings.
        """
        stem = result_stem(self.cfg, name)
        there, wanted = run.read_json(f"{stem}.json") or {}, self.settings(name, run)
        if other := [key for key in wanted if key in there and there[key] != json.loads(json.dumps(wanted[key]))]:
            raise held_otherwise(run, stem, other)

    def settings(self, name: str, run: Run | None = None) -> dict[str, Any]:
        """Everything a number depends on besides weights and images, as plain types.

        Args:
            name: of the set.
            run: the run folder, for metrics that depend on other runs, too.
        """
        protocol = instantiate(self.cfg.eval.protocol).to_dict()
        # Masks are cut when they are read: source.threshold is the rule that was applied.
        protocol.pop("mask_above", None)
        parts = {"data": data_of(self.cfg, name), "runtime": self.cfg.runtime, "seed": self.cfg.get("seed")}
        whole = OmegaConf.create(parts)
        metrics = instantiate(self.cfg.eval.metrics)
        more = metrics.settings_of(self.cfg, run) if hasattr(metrics, "settings_of") else {}
        return {
            "resolution": self.cfg.eval.resolution,
            "size": self.cfg.data.size,
            "precision": self.cfg.runtime.precision,
            "protocol": protocol,
            "source": resolved(whole)["data"]["source"],
            "read_out": OmegaConf.to_container(self.cfg.eval.post, resolve=True),
            "post": self.post.state(),
            **more,
        }


SCORED = {"regions": "regions", "semantic": "classes"}
"""Task -> what its metrics score; those of every other task score maps."""
READ_OUTS = {
    "regions": "kmeans, meanshift or argmax",
    "classes": "classes, or class_prototypes for a loss on embeddings",
    "maps": "another eval/post",
}
"""What is scored -> read-outs that give it."""


def kind_of(post: Any) -> str:
    """What a read-out gives: ``maps``, ``regions`` or ``classes``."""
    return getattr(post, "gives", "regions" if getattr(post, "regions", False) else "maps")


def read_out(cfg: DictConfig) -> Any:
    """The read-out of a config, new; its metrics are looked at, too.

    Raises:
        ValueError: a value outside its range, a protocol of another task, or a read-out that gives what the task's
            metrics do not score.
    """
    post, metrics = instantiate(cfg.eval.post), instantiate(cfg.eval.metrics)
    given, scored = kind_of(post), SCORED.get(cfg.eval.task, "maps")
    if given != scored:
        other = next((f", or eval={task}" for task, kind in SCORED.items() if kind == given), "")
        raise ValueError(
            f"eval.post={cfg.eval.post._target_}: it gives {given}, and eval.task={cfg.eval.task} is scored on "
            f"{scored}: expected {READ_OUTS[scored]}{other if scored == 'maps' else ''}"
        )
    if scored == "classes":
        check_classes(cfg, outputs=None if post.learns else cfg.model.channels)
    if getattr(metrics, "over_snapshots", False):
        check_read_out(cfg, post)
    if hasattr(metrics, "check_config"):
        metrics.check_config(cfg)
    return post


def check_classes(cfg: DictConfig, *, outputs: int | None) -> None:
    """Refuse test sets whose classes are not those of the data, and a network with another number of outputs.

    Raises:
        ValueError: naming both.
    """
    own = list(cfg.data.classes)
    if outputs is not None and outputs != len(own):
        raise ValueError(
            f"data={cfg.data.name}: it has {len(own)} classes, and the network has model.channels={outputs}: expected "
            "an output for each class"
        )
    for name in test_sets(cfg):
        if (other := list(data_of(cfg, name).get("classes") or [])) != own:
            raise ValueError(
                f"eval.sets: the classes of data={name} are {other}, those of data={cfg.data.name} are {own}: expected "
                "the same names in the same order"
            )


def held_otherwise(run: Run, stem: str, keys: Sequence[str]) -> ValueError:
    """The error for numbers that were measured with other settings."""
    return ValueError(
        f"{run.path / stem}.json holds numbers measured with other settings ({', '.join(keys)}); give this measurement "
        "a name of its own: eval.protocol.name=<name>"
    )


def score_regions(metrics: Any, found: RegionMaps, batch: Batch, dataset: ArrayDataset, *, original: bool) -> None:
    """Score the segmentations of a batch against all annotators of each image."""
    for row, index in enumerate(batch["index"].tolist()):
        drawn = dataset.annotations(index, original=original)
        labels_THW = resize(found.labels_BTHW[row], drawn.segments_AHW.shape[1:])
        metrics.update_one(labels_THW, drawn, index, confidence=found.confidence_BTR[row])


def resize(maps_BHW: Tensor, size: tuple[int, ...]) -> Tensor:
    """Predictions at another height and width: maps (float) bilinearly, classes (int) by the nearest pixel."""
    if maps_BHW.is_floating_point():
        return F.interpolate(maps_BHW[:, None], size, mode="bilinear", align_corners=False)[:, 0]
    return F.interpolate(maps_BHW[:, None].double(), size, mode="nearest-exact")[:, 0].to(maps_BHW.dtype)
