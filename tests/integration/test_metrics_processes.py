"""Metrics and post-processing over two processes equal one process, with uneven and with empty shares."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import multiprocessing

from seglab.metrics.protocol import Protocol
from seglab.metrics.saliency_metrics import SaliencyMetrics
from seglab.metrics.segmentation_metrics import SegmentationMetrics
from seglab.metrics.segmentation_protocol import SegmentationProtocol
from seglab.post.channel import Channel

IMAGES = 7
CASES = {"uneven": 3, "none": 0}  # images of the first process


def outputs() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    masks = (torch.rand(IMAGES, 10, 8, generator=generator) < 0.4).long()
    logits = torch.randn(IMAGES, 2, 10, 8, generator=generator)
    logits[:, 1] += masks
    return logits, masks


def score(indices: list[int], *, sync: bool) -> dict[str, object]:
    logits, masks = outputs()
    post, metric = Channel(), SaliencyMetrics(Protocol(name="cas"))
    for i in indices:
        post.update(logits[i : i + 1], masks[i : i + 1])
    if sync:
        post.sync(dist.all_reduce)
    post.finish()
    for i in indices:
        metric.update(post(logits[i : i + 1]), masks[i : i + 1], torch.tensor([i]))
    regions = SegmentationMetrics(SegmentationProtocol(name="bsds"))
    for i in indices:
        labels_THW = torch.stack([logits[i].argmax(0), (3 * logits[i, 1]).long().clamp(0, 4)])
        regions.update_one(labels_THW, masks[i], i, confidence=logits[i, :, 0, :5])
    return {
        "regions": [regions.compute(), regions.rows(), {k: v.tolist() for k, v in regions.curves().items()}],
        "values": metric.compute(),
        "rows": metric.rows(),
        "precision": metric.curves()["precision"].tolist(),
        "post": post.state(),
    }


def worker(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    for case, first in CASES.items():
        shares = [list(range(first))[::-1], list(range(first, IMAGES))]
        torch.save(score(shares[rank], sync=True), Path(folder) / f"{case}-{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with what each of two processes computed in each case."""
    folder = tmp_path_factory.mktemp("processes")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        multiprocessing.spawn(worker, args=(str(folder),), nprocs=2)
    return folder


@pytest.mark.parametrize("case", ["uneven", "none"])
def test_two_processes_equal_one(results: Path, case: str) -> None:
    alone = score(list(range(IMAGES)), sync=False)
    for rank in (0, 1):
        got = torch.load(results / f"{case}-{rank}.pt", weights_only=True)
        assert got["regions"] == alone["regions"]
        assert got["rows"] == alone["rows"]
        assert got["values"] == pytest.approx(alone["values"], abs=1e-14)
        np.testing.assert_allclose(got["precision"], alone["precision"], atol=1e-14)
        assert got["post"]["channel"] == alone["post"]["channel"] == 1
        assert got["post"]["images"] == IMAGES
        assert got["post"]["correlations"] == pytest.approx(alone["post"]["correlations"], abs=1e-12)
