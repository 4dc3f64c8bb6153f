"""At original resolution classes are read out of resized scores; nothing is read out that is then thrown away."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch

from seglab.evaluator import Evaluator


class Post:
    """A read-out of classes that refuses to be asked at the network's size."""

    gives = "classes"

    def at_size(self, logits_KHW: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        return torch.full(size, int(logits_KHW.argmax()))

    def __call__(self, logits: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        raise AssertionError("read out for nothing")


def test_classes_at_original_size_are_read_out_once() -> None:
    seen = []
    batch = {"index": torch.tensor([0, 1]), "image": None, "mask": None}
    logits = torch.zeros(2, 3, 1, 1)
    logits[0, 1], logits[1, 2] = 1, 1
    stub = SimpleNamespace(
        cfg=SimpleNamespace(eval=SimpleNamespace(resolution="original")),
        logits=lambda dataset, desc: [(batch, logits)],
        post=Post(),
    )
    metrics = SimpleNamespace(update_one=lambda found, mask, index: seen.append((found.unique().tolist(), found.shape)))
    dataset = SimpleNamespace(original=lambda index: (None, np.zeros((5, 7), np.uint8)))
    Evaluator.fill(stub, metrics, dataset, "x")
    assert seen == [([1], (5, 7)), ([2], (5, 7))]
