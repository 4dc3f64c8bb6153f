"""Score a trained network: logits, read-out, metrics, files.

The read-out (which output channel is the object) is fitted on held-out clean images, once per model, never on a test
image (CAS section 4.2).
"""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from seglab import distributed
from seglab.data.arrays import ArrayDataset
from seglab.data.build import test_data, test_sets
from seglab.data.loader import make_loader, shard
from seglab.data.sample import Batch
from seglab.forward import forward
from seglab.run import Run, write_atomic
from seglab.targets import instantiate

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
        self.post = instantiate(cfg.eval.post)

    @torch.inference_mode()
    def logits(self, dataset: ArrayDataset, desc: str) -> Iterator[tuple[Batch, Tensor]]:
        """This process's share of the data set, batch by batch, with float32 logits [B,M,H,W]."""
        self.model.eval()
        rank, world, size = distributed.rank(), distributed.world(), self.cfg.eval.batch_size
        batches = shard(len(dataset), batch_size=size, rank=rank, world=world)
        loader = make_loader(dataset, batches, workers=self.cfg.runtime.workers)
        quiet = None if distributed.is_main() and self.cfg.runtime.progress else True
        for batch in tqdm(loader, desc=desc, unit="batch", leave=False, disable=quiet):
            logits, moved = forward(self.model, batch, runtime=self.cfg.runtime, device=self.device)
            yield moved, logits

    def fit(self, val: ArrayDataset) -> dict[str, Any]:
        """Fit the read-out on held-out clean images; returns its state as plain types.

        Raises:
            ValueError: nothing is held out and the read-out needs it.
        """
        self.post = instantiate(self.cfg.eval.post)
        for batch, logits in self.logits(val, "read-out"):
            self.post.update(logits, batch["mask"])
        self.post.sync(distributed.sum_, device=self.device)
        self.post.finish()
        return self.post.state()

    def score(self, dataset: ArrayDataset, desc: str) -> Any:
        """The metrics object, filled with every image of the data set once."""
        metrics = instantiate(self.cfg.eval.metrics).to(self.device)
        for batch, logits in self.logits(dataset, desc):
            if self.cfg.eval.resolution == "network":
                metrics.update(self.post(logits), batch["mask"], batch["index"])
                continue
            for row, index in enumerate(batch["index"].tolist()):
                _, mask = dataset.original(index)
                whole = F.interpolate(logits[row : row + 1], mask.shape, mode="bilinear", align_corners=False)
                metrics.update_one(self.post(whole)[0], torch.from_numpy(np.ascontiguousarray(mask)), index)
        return metrics

    def run(self, run: Run) -> dict[str, dict[str, float]]:
        """Score the model on every set of ``eval.sets`` and write ``eval/<set>-<protocol>.json`` with its CSV.

        Returns:
            ``{set: {metric: value}}``.
        """
        results = {}
        for name in test_sets(self.cfg):
            dataset = test_data(self.cfg, name)
            metrics = self.score(dataset, name)
            # Every process takes part in adding up, one writes.
            results[name], rows, curves = metrics.compute(), metrics.rows(), metrics.curves()
            if distributed.is_main():
                self.write(run, name, dataset, results[name], rows, curves)
            log.info("%s: %s", name, "  ".join(f"{k} {v:.4f}" for k, v in results[name].items()))
        return results

    def write(
        self,
        run: Run,
        name: str,
        dataset: ArrayDataset,
        values: dict[str, float],
        rows: list[dict[str, float]],
        curves: dict[str, np.ndarray],
    ) -> None:
        """Write one set's numbers, each beside the protocol it was measured by."""
        protocol = self.cfg.eval.protocol
        suffix = "" if self.cfg.eval.resolution == "network" else f"-{self.cfg.eval.resolution}"
        stem = f"eval/{name}-{protocol.name}{suffix}"
        content = {
            "set": name,
            "images": len(dataset),
            "resolution": self.cfg.eval.resolution,
            "size": self.cfg.data.size,
            "protocol": OmegaConf.to_container(protocol, resolve=True),
            "post": self.post.state(),
            "metrics": values,
        }
        run.write_json(f"{stem}.json", content)
        write_atomic(run.path / f"{stem}.csv", to_csv(rows, dataset.ids))
        table = [dict(zip(curves, values, strict=True)) for values in zip(*curves.values(), strict=True)]
        write_atomic(run.path / f"{stem}-curves.csv", _csv(list(curves), table))


def to_csv(rows: list[dict[str, float]], ids: list[str]) -> str:
    """Per-image values as CSV, in the order of the data set."""
    names = [k for k in rows[0] if k != "index"] if rows else []
    ordered = sorted(rows, key=lambda r: r["index"])
    return _csv(["id", *names], [{"id": ids[int(row["index"])]} | {k: row[k] for k in names} for row in ordered])


def _csv(names: list[str], rows: list[dict[str, Any]]) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()
