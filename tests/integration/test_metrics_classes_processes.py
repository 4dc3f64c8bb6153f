"""Metrics of objects, classes and CRF losses, and prototypes, over two processes equal one process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import multiprocessing

from seglab.metrics.crf_correlation import CrfCorrelation
from seglab.metrics.crf_protocol import CrfProtocol
from seglab.metrics.object import ObjectMetrics
from seglab.metrics.pooled import Pooled
from seglab.metrics.semantic import SemanticMetrics
from seglab.post.class_prototypes import ClassPrototypes

IMAGES = 7
CASES = {"uneven": 3, "none": 0}  # images of the first process
NAMES = ["background", "cow", "bus"]


def score(indices: list[int], *, sync: bool) -> dict[str, object]:
    generator = torch.Generator().manual_seed(4)
    masks = torch.randint(0, 3, (IMAGES, 10, 8), generator=generator)
    masks[torch.rand(IMAGES, 10, 8, generator=generator) < 0.1] = 255
    images = torch.randint(0, 256, (IMAGES, 3, 10, 8), generator=generator, dtype=torch.uint8)
    logits = torch.randn(IMAGES, 3, 10, 8, generator=generator)
    whole = ObjectMetrics(Pooled(name="regularized_paper"))
    semantic = SemanticMetrics(Pooled(name="voc_miou", classes=3), classes=NAMES)
    crf, post = CrfCorrelation(CrfProtocol(name="crf_correlation")), ClassPrototypes(classes=3)
    binary = torch.where(masks == 2, 0, masks)
    for i in indices:
        post.update(logits[i : i + 1], masks[i : i + 1])
        whole.update(logits[i : i + 1, 1].sigmoid(), binary[i : i + 1], [i])
        semantic.update(logits[i : i + 1].argmax(1), masks[i : i + 1], [i])
    for number in range(3):
        crf.start(number, last=number == 2)
        for i in indices:
            maps = (logits[i : i + 1, 1] + number * (binary[i : i + 1] == 1)).sigmoid()
            crf.update(maps, binary[i : i + 1], [i], images[i : i + 1])
    if sync:
        post.sync(dist.all_reduce)
    post.finish()
    metrics = {"object": whole, "semantic": semantic, "crf": crf}
    return {
        "values": {name: metric.compute() for name, metric in metrics.items()},
        "rows": {name: metric.rows() for name, metric in metrics.items()},
        "curves": {name: values.tolist() for name, values in crf.curves().items()},
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
        assert got["values"] == alone["values"]  # whole numbers, and means in the order of the images
        assert got["rows"] == alone["rows"]
        assert got["curves"] == alone["curves"]
        assert got["post"]["images"] == IMAGES
        np.testing.assert_allclose(got["post"]["prototypes"], alone["post"]["prototypes"], atol=1e-12)
