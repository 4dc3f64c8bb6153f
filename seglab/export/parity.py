"""Does an exported file give the maps of its run in fp32 on the CPU? The largest difference over real images says so.

One runnable line: ``python -m seglab.predict run=<id> export=onnx input=photos``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

    from seglab.export.graph import MapGraph
    from seglab.predicting.maps import Maps

TOLERANCE = 1e-4
"""Largest difference of a map value, 0..1, that is let through; an 8-bit map has steps of 4e-3."""

BATCH = 5
"""Another number than the graph was traced with, and with a last batch of another size."""


def largest_difference(run: MapGraph, exported: Maps, images: Tensor) -> float:
    """Compare on images, in batches and the first one by itself.

    Args:
        run: the network it was made of, as the run computes, in float32.
        exported: the file, read back.
        images: uint8 [N,3,S,S].

    Returns:
        Largest absolute difference of two map values; infinite where one is not finite.
    """
    import torch

    worst = 0.0
    with torch.inference_mode():
        for batch in (images[:1], *images.split(BATCH)):
            difference = (run(batch) - exported(batch)).abs().max().item()
            worst = max(worst, difference if np.isfinite(difference) else np.inf)
    return worst


def random_images(count: int, size: int) -> Tensor:
    """Uint8 [N,3,S,S] for a run whose photos are not at hand: blocks of colour under noise, the same every time."""
    import torch

    draw = torch.Generator().manual_seed(0)
    coarse = torch.randint(0, 256, (count, 3, 4, 4), generator=draw).float()
    noise = torch.randn(count, 3, size, size, generator=draw) * 20
    return (torch.nn.functional.interpolate(coarse, (size, size)) + noise).clamp(0, 255).to(torch.uint8)
