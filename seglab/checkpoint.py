"""Checkpoints: tensors and plain types only, read with ``weights_only=True``, replaced whole or not at all.

Every record of a ``.pt`` file carries a checksum, which is compared when the file is read;
``model.safetensors`` has one over all its tensors.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import pickle
import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from seglab.atomic import REMEDIES, replacing

log = logging.getLogger(__name__)

KEPT = "What was saved before is kept"
DIGEST = "sha256"
"""Entry of a safetensors file's metadata."""


def save(folder: Path, state: dict[str, Any]) -> None:
    """Write ``last.pt``; the file before it stays as ``previous.pt`` until the next call.

    Args:
        folder: run folder.
        state: tensors, numbers, strings, lists and dicts.

    Raises:
        ValueError: the file cannot be written.
    """
    last, previous = folder / "last.pt", folder / "previous.pt"
    try:
        with replacing(last, keep=previous) as temporary:
            torch.save(state, temporary)
    except (OSError, RuntimeError) as error:  # a full disk: torch's writer answers with a RuntimeError
        if "DataLoader worker" in str(error):
            raise  # torch raises that wherever the process happens to be
        raise _unwritten(last, error) from error


def load(folder: Path) -> dict[str, Any] | None:
    """Read the newest whole checkpoint of a run folder, on the CPU.

    Where ``previous.pt`` has to do, the damaged ``last.pt`` is renamed, so that it never takes the good one's place.

    Returns:
        The state, or None where there is no checkpoint.

    Raises:
        ValueError: checkpoints exist but none is whole, or one holds more than tensors and plain types.
    """
    paths = [p for p in (folder / "last.pt", folder / "previous.pt") if p.exists()]
    for path in paths:
        try:
            _check_sums(path)
            state = torch.load(path, map_location="cpu", weights_only=True)
            if not isinstance(state, dict):
                raise ValueError(f"it holds {type(state).__name__}, no state")
            if path.name == "previous.pt":
                with contextlib.suppress(OSError):  # no last.pt; or another process of the run did it
                    (folder / "last.pt").rename(folder / "last.pt.damaged")
            return state
        except pickle.UnpicklingError as error:
            if found := re.search(r"unsupported global:? (?:GLOBAL )?(\S+)", str(error), flags=re.IGNORECASE):
                what = f"it names {found.group(1)}, more than tensors and plain types"
                raise ValueError(f"{path}: refused, {what}; it was not written by seglab") from error
            log.warning("%s cannot be read (%s)", path, str(error).splitlines()[0])
        except Exception as error:  # what a damaged file makes its readers raise is a long and open list
            log.warning("%s cannot be read (%s)", path, (str(error) or type(error).__name__).splitlines()[0])
    if paths:
        raise ValueError(f"{folder}: no readable checkpoint; start over with runtime.rerun=true")
    return None


def save_weights(path: Path, state: dict[str, Tensor]) -> None:
    """Write a model's state dict as safetensors with its checksum, whole or not at all.

    Raises:
        ValueError: the file cannot be written.
    """
    tensors = {k: v.detach().cpu().contiguous().clone() for k, v in state.items()}
    try:
        with replacing(path) as temporary:
            save_file(tensors, temporary, metadata={DIGEST: _digest(tensors)})
    except Exception as error:  # safetensors has an error class of its own for a full disk
        raise _unwritten(path, error) from error


def load_weights(path: Path) -> dict[str, Tensor]:
    """Read a state dict that :func:`save_weights` wrote.

    Raises:
        ValueError: the file is absent, broken, or its checksum does not fit.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no trained weights there; has the run finished?")
    try:
        with safe_open(path, framework="pt") as file:
            expected = (file.metadata() or {}).get(DIGEST)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, no mapping
    except Exception as error:
        raise ValueError(f"{path}: not a readable safetensors file ({error})") from error
    if expected is not None and expected != _digest(tensors):
        raise ValueError(f"{path}: damaged, its checksum does not fit; train again: runtime.rerun=true")
    return tensors


def _check_sums(path: Path) -> None:
    """Compare the checksums inside a ``.pt`` file; torch's own reader does not look at them."""
    with zipfile.ZipFile(path) as archive:
        if broken := archive.testzip():
            raise zipfile.BadZipFile(f"the checksum of {broken} does not fit")


def _digest(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data if tensor.numel() else b"")
    return digest.hexdigest()


def _unwritten(path: Path, error: Exception) -> ValueError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    if "enforce fail" in reason:  # torch's writer was given less than it wrote, and says no more
        reason = f"broken off; {shutil.disk_usage(path.parent).free / 2**20:.1f} MiB are free there"
    if isinstance(error, OSError) and error.errno in REMEDIES:
        return ValueError(f"{path}: cannot be written ({error.strerror}; {REMEDIES[error.errno]}). {KEPT}")
    return ValueError(f"{path}: cannot be written ({reason}); is the disk full? {KEPT}")
