"""A run as one graph, image to map, and what an exported file says of itself.

The graph takes uint8 [B,3,S,S] (RGB, 0..255) and gives float32 [B,S,S] in 0..1: normalisation, network, read-out and
the choice of the channel are inside, the network in float32. The batch may be of any size.

An image's mean and deviation are computed exactly in the graph: they shift and scale all pixels at once, and the order
in which another engine adds 50,000 float32 numbers alone moved maps by 2e-4.

One runnable line: ``python -m seglab.predict run=<id> export=onnx``.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

import seglab
from seglab.forward import enlarged
from seglab.models.normalise import FLAT, Normalise

if TYPE_CHECKING:
    from seglab.predicting.maps import RunMaps

FORMAT = "seglab-map 1"
"""First thing a reader looks for."""

KEY = "seglab.json"
"""Where the description lies: an extra file of a pt2, a metadata property of an ONNX file."""

INPUT, OUTPUT = "image", "map"


class MapGraph(nn.Module):
    """Network and read-out as one module.

    Args:
        model: network from uint8 images to logits.
        post: read-out from logits to maps; it is fitted.

    Shape:
        image_B3SS: uint8; the result is float32 [B,S,S] in 0..1.
    """

    def __init__(self, model: nn.Module, post: Any) -> None:
        super().__init__()
        self.model = model
        self.post = post

    def forward(self, image_B3SS: Tensor) -> Tensor:
        """Maps of a batch."""
        return self.post(enlarged(self.model(image_B3SS), image_B3SS)).to(torch.float32)


class ExactStandard(nn.Module):
    """What `seglab.models.normalise.Normalise` does in the mode ``per_image``, with sums that have no rounding.

    Shape:
        image_B3SS: uint8; the result is float32 of the same shape.
    """

    def forward(self, image_B3SS: Tensor) -> Tensor:
        """Standardises each image by itself; a row's sums fit into 32 bits, all others into the 53 of a double."""
        whole = image_B3SS.to(torch.int32)
        count = image_B3SS.shape[1] * image_B3SS.shape[2] * image_B3SS.shape[3]
        mean, square = (
            v.sum(3, dtype=torch.int32).to(torch.float64).sum((1, 2)) / count for v in (whole, whole * whole)
        )
        deviation = (square - mean * mean).clamp_min(FLAT**2).sqrt()
        mean, deviation = (v.to(torch.float32)[:, None, None, None] for v in (mean, deviation))
        return (image_B3SS.to(torch.float32) - mean) / deviation


def map_graph(maps: RunMaps, *, exact: bool = True) -> MapGraph:
    """A run's graph on the CPU, a copy of its own, without gradients.

    Args:
        maps: the run.
        exact: with exact means and deviations, to export; False: as the run computes, to compare with.
    """
    model = copy.deepcopy(maps.evaluator.model).cpu().to(memory_format=torch.contiguous_format)
    for name, part in list(model.named_modules()) if exact else ():
        if isinstance(part, Normalise) and part.mode == "per_image":
            parent, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(parent), leaf, ExactStandard())
    graph = MapGraph(model, copy.deepcopy(maps.evaluator.post)).eval()
    return graph.requires_grad_(False)


def traced(graph: MapGraph, size: int) -> torch.export.ExportedProgram:
    """The graph as torch.export sees it; the batch stays open."""
    sample = torch.randint(0, 256, (3, 3, size, size), dtype=torch.uint8)
    with torch.no_grad():
        return torch.export.export(graph, (sample,), dynamic_shapes=({0: torch.export.Dim("batch")},))


def describe(maps: RunMaps, threshold: float | str) -> str:
    """What an exported file says of itself, JSON."""
    content = {
        "format": FORMAT,
        "run": maps.name,
        "weights": maps.weights,
        "size": maps.size,
        "threshold": threshold,
        "read_out": maps.settings["read_out"],
        "input": "uint8 [B,3,S,S], RGB, 0..255, upright by its EXIF tag; resized to S x S by Pillow's bilinear filter",
        "output": "float32 [B,S,S] in 0..1; enlarge bilinearly (align_corners=False) to the photo, then cut or round",
        "precision": "fp32",
        "licence": "none stated; that of the training data and of the first weights may bind",
        "seglab": seglab.__version__,
        "torch": torch.__version__,
    }
    return json.dumps(content)


def read_description(text: str | None, path: Path) -> dict[str, Any]:
    """Check what :func:`describe` wrote.

    Raises:
        ValueError: it is not there or damaged: the file was not written by seglab.
    """
    foreign = f"run={path}: not a file that 'seglab.predict export=...' wrote"
    if text is None:
        raise ValueError(f"{foreign}: it has no description '{KEY}'")
    try:
        content = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{foreign}: its description '{KEY}' is no JSON ({error})") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"{foreign}: expected format '{FORMAT}' in its description '{KEY}'")
    size, threshold = content.get("size"), content.get("threshold")
    cut = threshold == "adaptive" or (isinstance(threshold, float | int) and 0 <= threshold < 1)
    whole = isinstance(size, int) and not isinstance(size, bool) and 1 <= size <= 1 << 14
    if not (whole and cut and isinstance(content.get("run"), str)):
        raise ValueError(f"{foreign}: size, threshold or run in its description '{KEY}' cannot be")
    return content
