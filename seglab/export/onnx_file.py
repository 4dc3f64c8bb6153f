"""A run as an ONNX file, and predicting with one through onnxruntime.

A file that comes from elsewhere cannot make this process read or write another file: external data are refused, and so
are functions and operators beyond ONNX's own. One runnable line: ``python -m seglab.predict run=<id> export=onnx``.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from seglab.export.graph import INPUT, KEY, OUTPUT, MapGraph, read_description

if TYPE_CHECKING:
    from torch import Tensor

NEEDED = ("onnx", "onnxscript", "onnxruntime")


def needed(name: str) -> ModuleType:
    """Import a package of the extra ``export``.

    Raises:
        ValueError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ValueError(f"ONNX files need the package {name}: pip install 'seglab[export]'") from error


def write_onnx(graph: MapGraph, size: int, path: Path, description: str) -> None:
    """Write a graph as one ONNX file, weights inside.

    Args:
        graph: see :func:`seglab.export.graph.map_graph`.
        size: side of its images, pixels.
        path: file to write.
        description: see :func:`seglab.export.graph.describe`.

    Raises:
        ValueError: a package is missing, or the graph has an operation ONNX does not offer.
    """
    import torch

    for name in NEEDED:
        needed(name)
    onnx = needed("onnx")
    sample = torch.randint(0, 256, (3, 3, size, size), dtype=torch.uint8)
    speakers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    before = [speaker.level for speaker in speakers]
    for speaker in speakers:
        speaker.setLevel(logging.ERROR)
    try:
        with torch.no_grad():
            program = torch.onnx.export(
                graph,
                (sample,),
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                input_names=[INPUT],
                output_names=[OUTPUT],
                external_data=False,
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(
            f"export=onnx: the network does not fit into ONNX ({reason}); try export=torch_export"
        ) from error
    finally:
        for speaker, level in zip(speakers, before, strict=True):
            speaker.setLevel(level)
    model = program.model_proto
    # Where each node came from, with paths of this machine: nobody's business, and half of a small file.
    del model.graph.metadata_props[:]
    for part in (*model.graph.node, *model.graph.value_info, *model.graph.initializer, *model.graph.input):
        del part.metadata_props[:]
    for part in model.graph.node:
        part.doc_string = ""
    onnx.helper.set_model_props(model, {KEY: description})
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())


class OnnxMaps:
    """An ONNX file that :func:`write_onnx` wrote, behind the call of :class:`seglab.predicting.maps.Maps`.

    Args:
        path: the file.
        threads: CPU threads; None = onnxruntime's own choice.

    Raises:
        ValueError: a package is missing, or the file is damaged or was not written by seglab.
    """

    def __init__(self, path: Path, *, threads: int | None = None) -> None:
        from seglab.predicting.maps import digest

        runtime = needed("onnxruntime")
        content = path.read_bytes()
        described = read_description(checked(content, path).get(KEY), path)
        options = runtime.SessionOptions()
        options.log_severity_level = 3
        if threads:
            options.intra_op_num_threads = threads
        try:
            self.session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors share no base but this
            reason = str(error).strip().splitlines()[0]
            raise ValueError(f"run={path}: onnxruntime does not load it ({reason})") from error
        self.name, self.size, self.threshold = described["run"], described["size"], described["threshold"]
        self.weights, self.settings = digest(path), {"engine": "onnx"}
        given, expected = self.session.get_inputs()[0], [3, self.size, self.size]
        if given.name != INPUT or given.type != "tensor(uint8)" or list(given.shape[1:]) != expected:
            raise ValueError(f"run={path}: its input is {given.name} {given.type} {given.shape}, not {expected}")

    def __call__(self, image_B3SS: Tensor) -> Tensor:
        """See :class:`seglab.predicting.maps.Maps`."""
        import torch

        return torch.from_numpy(self.session.run([OUTPUT], {INPUT: image_B3SS.numpy()})[0])


def checked(content: bytes, path: Path) -> dict[str, str]:
    """Refuse a damaged file, and one that reaches beyond itself; returns its properties.

    Args:
        content: the bytes of the file.
        path: for the message.

    Raises:
        ValueError: see above.
    """
    onnx = needed("onnx")
    try:
        model = onnx.load_from_string(content)
    except Exception as error:  # protobuf's DecodeError, a type of whichever protobuf is installed
        raise ValueError(
            f"run={path}: not a whole ONNX file ({len(content)} bytes; {error}); copy or export it again"
        ) from error
    if not model.graph.node:
        raise ValueError(f"run={path}: not a whole ONNX file ({len(content)} bytes, no operations); export it again")
    if domains := sorted({i.domain for i in model.opset_import} - {"", "ai.onnx"}) or [f.name for f in model.functions]:
        raise ValueError(f"run={path}: refused, it uses operators of its own ({', '.join(domains)})")
    for tensor in _tensors(model.graph):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise ValueError(
                f"run={path}: refused, its tensor '{tensor.name}' lies in another file; expected one file with all data"
            )
    return {prop.key: prop.value for prop in model.metadata_props}


def _tensors(graph: Any) -> Iterator[Any]:
    """Every tensor stored in a graph, in the attributes of its nodes, and in the graphs inside it."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
            if attribute.HasField("g"):
                yield from _tensors(attribute.g)
            for inner in attribute.graphs:
                yield from _tensors(inner)
