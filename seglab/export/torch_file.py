"""A run as a torch.export file (pt2), and predicting with one.

Written without example inputs and without notes on where each operation came from, so that the file holds no pickle and
no paths of this machine; read only after :mod:`seglab.export.guard` has let it through.

One runnable line: ``python -m seglab.predict run=<id> export=torch_export``.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from seglab.export.graph import KEY, MapGraph, read_description, traced
from seglab.export.guard import check_archive

if TYPE_CHECKING:
    from torch import Tensor


def write_torch(graph: MapGraph, size: int, path: Path, description: str) -> None:
    """Write a graph as one pt2 file, weights inside.

    Args:
        graph: see :func:`seglab.export.graph.map_graph`.
        size: side of its images, pixels.
        path: file to write.
        description: see :func:`seglab.export.graph.describe`.
    """
    import torch

    program = traced(graph, size)
    program._example_inputs = None  # they would be pickled; there is no public way to leave them out
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ():
            node.meta = {key: value for key, value in node.meta.items() if key in ("val", "tensor_meta")}
    content = io.BytesIO()
    torch.export.save(program, content, extra_files={KEY: description})
    path.write_bytes(content.getvalue())


class TorchMaps:
    """A pt2 file that :func:`write_torch` wrote, behind the call of :class:`seglab.predicting.maps.Maps`.

    Args:
        path: the file.

    Raises:
        ValueError: the file is damaged, was not written by seglab, or could run code.
    """

    def __init__(self, path: Path) -> None:
        import torch

        from seglab.predicting.maps import digest

        content = path.read_bytes()
        described = read_description(check_archive(content, path), path)
        self.name, self.size, self.threshold = described["run"], described["size"], described["threshold"]
        self.weights, self.settings = digest(path), {"engine": "torch_export"}
        try:
            self.module = torch.export.load(io.BytesIO(content)).module()
            tried = self(torch.zeros(1, 3, self.size, self.size, dtype=torch.uint8))
        except Exception as error:  # what torch raises for a file of another version, or a damaged graph
            reason = f"{type(error).__name__}: {error}".strip().splitlines()[0]
            raise ValueError(
                f"run={path}: torch {torch.__version__} does not load it ({reason}); it was written by torch "
                f"{described.get('torch')}: export the run again"
            ) from error
        if tried.shape != (1, self.size, self.size) or tried.dtype != torch.float32:
            raise ValueError(f"run={path}: gives {tried.dtype} {list(tried.shape)}, not maps of {self.size} pixels")

    def __call__(self, image_B3SS: Tensor) -> Tensor:
        """See :class:`seglab.predicting.maps.Maps`."""
        import torch

        with torch.inference_mode():
            return self.module(image_B3SS)
