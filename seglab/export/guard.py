"""Is a pt2 file only what seglab writes? Asked of its bytes before torch.export reads them.

``torch.export.load`` must not be given a file from elsewhere: it unpickles weights, constants and example inputs
without limits and evaluates size expressions as Python (with torch 2.15 each of the four runs code); it also starts
compiled libraries of the archive, imports modules named by containers, and puts names and guards into generated code.
So this module refuses every file that holds more than raw tensors and a graph of known numeric operations: no pickle at
all, and names, strings and expressions of known kinds only. Files written by seglab hold nothing else, see
:mod:`seglab.export.torch_file`.

One runnable line: ``python -c "import sys; from pathlib import Path; from seglab.export.guard import check_archive;
p = Path(sys.argv[1]); print(check_archive(p.read_bytes(), p))" model.pt2``.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

from seglab.export.graph import KEY
from seglab.export.numeric import NUMERIC

MODEL = "models/model.json"
SAMPLE = "data/sample_inputs/model.pt"
WEIGHTS, CONSTANTS = "data/weights/model_weights_config.json", "data/constants/model_constants_config.json"
DESCRIPTION = f"extra/{KEY}"
PLAIN = {MODEL, SAMPLE, WEIGHTS, CONSTANTS, DESCRIPTION, "archive_format", "archive_version", "byteorder"}
PLAIN |= {".data/version", ".data/serialization_id"}
TENSOR = re.compile(r"data/(weights/weight|constants/tensor)_\d+")


_OTHER = re.compile(r"_operator\.(add|sub|mul|floordiv|mod|neg|eq|ne|ge|gt|le|lt|getitem)")
_WORDS = (
    "bilinear",
    "circular",
    "constant",
    "cpu",
    "floor",
    "none",
    "reflect",
    "replicate",
    "tanh",
    "trunc",
    "TRAINING",
)
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DOTTED = re.compile(r"(?:[A-Za-z0-9_]+(?:\.[A-Za-z0-9_]+)*)?")
_VERSION = re.compile(r"[A-Za-z0-9_.+-]*")
# sympy's own spelling, e.g. Mul(Integer(3), Symbol('s40', positive=True, integer=True)), or s40*3; no other call.
_EXPRESSION = re.compile(
    r"(?:Symbol\('[su]\d+'(?:, (?:positive|integer|nonnegative)=(?:True|False))*\)"
    r"|Integer\(-?\d{1,18}\)|(?:Mul|Add|Max|Min)\(|[su]\d+|\d{1,18}|[-+*/,() ])*"
)
_NEVER = ("metadata", "guards_code", "treespec_namedtuple_fields", "custom_obj_values")
_KINDS = ("as_operator", "as_graph", "as_custom_obj", "as_string_to_argument", "custom_obj", "token")
_NAMES = ("name", "as_name", "as_names", "forward_arg_names")
_CONTAINERS = (None, "builtins.tuple", "builtins.list", "builtins.dict")


def check_archive(content: bytes, path: Path) -> str:
    """Refuse a pt2 that could do more than compute.

    Args:
        content: the bytes of the file; load these, not the file, which may be another one by then.
        path: for messages.

    Returns:
        The file's description of itself, JSON, see :func:`seglab.export.graph.read_description`.

    Raises:
        ValueError: the file is damaged, or holds what seglab does not write; the message names it.
    """
    try:
        records = _records(content)
        if records[SAMPLE]:
            raise _Refused(f"pickled data in '{SAMPLE}'")
        for name in (WEIGHTS, CONSTANTS):
            _check_payload(json.loads(records[name]))
        _check(json.loads(records[MODEL]), "")
    except _Refused as refusal:
        raise ValueError(
            f"run={path}: refused, it holds {refusal}, which 'seglab.predict export=torch_export' does not write and "
            "which could run code; expected a file it wrote"
        ) from refusal
    except Exception as error:  # of zip, torch's reader, JSON, or for a missing part: the file is not whole
        reason = f"{type(error).__name__}: {error}".strip().splitlines()[0]
        raise ValueError(
            f"run={path}: not a whole pt2 file ({len(content)} bytes; {reason}); export it again"
        ) from error
    return records.get(DESCRIPTION, b"null").decode("utf-8", errors="replace")


class _Refused(Exception):
    """What was found."""


def _records(content: bytes) -> dict[str, bytes]:
    """The records that are no tensors, read by the reader that torch.export uses."""
    from torch.export.pt2_archive import PT2ArchiveReader

    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise _Refused("compressed members")
    if len({member.filename.partition("/")[0] for member in members}) != 1:
        raise _Refused("more than one root folder")
    with PT2ArchiveReader(io.BytesIO(content)) as reader:
        names = list(reader.get_file_names())
        if len({name.lower() for name in names}) != len(members):
            raise _Refused("two members of one name")
        for name in names:
            if name not in PLAIN and not TENSOR.fullmatch(name):
                raise _Refused(f"'{name}'")
        return {name: reader.read_bytes(name) for name in names if name in PLAIN}


def _check_payload(config: dict[str, Any]) -> None:
    """Tensors must lie in the archive as raw numbers."""
    for entry in config["config"].values():
        if entry["use_pickle"] is not False or not re.fullmatch(r"(weight|tensor)_\d+", entry["path_name"]):
            raise _Refused(f"pickled data in '{entry['path_name']}'")


def _check(value: Any, key: str) -> None:
    """Walk through the description of the graph; every string must be of the kind its key takes."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if (name in _NEVER and inner) or name in _KINDS:
                raise _Refused(f"'{name}'")
            if not _DOTTED.fullmatch(name):
                raise _Refused(f"the name {name!r}")
            _check(inner, name)
    elif isinstance(value, list):
        for inner in value:
            _check(inner, key)
    elif isinstance(value, str):
        _check_word(value, key)


def _check_word(word: str, key: str) -> None:
    if key == "target":
        fits = _OTHER.fullmatch(word) is not None or _is_numeric(word)
    elif key == "expr_str":
        fits = _EXPRESSION.fullmatch(word) is not None and "**" not in word
    elif key in ("in_spec", "out_spec"):
        _check_tree(json.loads(word)[1])
        return
    elif key in _NAMES:
        fits = _IDENTIFIER.fullmatch(word) is not None
    elif key in ("as_string", "as_strings", "type", "verifiers"):
        fits = word in _WORDS
    elif key == "torch_version":
        fits = _VERSION.fullmatch(word) is not None
    else:
        fits = _DOTTED.fullmatch(word) is not None
    if not fits:
        raise _Refused(f"{'the operation' if key == 'target' else key or 'text'} {word[:80]!r}")


def _is_numeric(target: str) -> bool:
    parts = target.split(".")
    return len(parts) == 5 and parts[:3] == ["torch", "ops", "aten"] and parts[3] in NUMERIC and parts[4].isidentifier()


def _check_tree(spec: dict[str, Any]) -> None:
    """How inputs and outputs are nested; other containers could import modules."""
    context = spec["context"]
    if spec["type"] not in _CONTAINERS or context not in (None, "null", "[]"):
        raise _Refused(f"the container {spec['type']!r}")
    for child in spec["children_spec"]:
        _check_tree(child)
