"""Checkpoints: tensors and plain types only, read with ``weights_only=True``, replaced whole or not at all."""

from __future__ import annotations

import logging
import os
import pickle
import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

log = logging.getLogger(__name__)


def save(folder: Path, state: dict[str, Any]) -> None:
    """Write ``last.pt``; the file before it stays as ``previous.pt`` until the next call.

    Args:
        folder: run folder.
        state: tensors, numbers, strings, lists and dicts.

    Raises:
        ValueError: the file cannot be written.
    """
    temporary, last, previous = folder / "last.pt.tmp", folder / "last.pt", folder / "previous.pt"
    try:
        with open(temporary, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
    except (OSError, RuntimeError) as error:  # a full disk: torch's writer answers with a RuntimeError
        temporary.unlink(missing_ok=True)
        reason = str(error).splitlines()[0]
        raise ValueError(f"{last}: cannot be written ({reason}); is the disk full? The one before is kept") from error
    if last.exists():
        # A hard link first: at no moment is there neither a last.pt nor a previous.pt.
        previous.unlink(missing_ok=True)
        os.link(last, previous)
    os.replace(temporary, last)


def load(folder: Path) -> dict[str, Any] | None:
    """Read the newest readable checkpoint of a run folder, on the CPU.

    Returns:
        The state, or None where there is no checkpoint.

    Raises:
        ValueError: checkpoints exist but none can be read, or one holds more than tensors and plain types.
    """
    paths = [p for p in (folder / "last.pt", folder / "previous.pt") if p.exists()]
    for path in paths:
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            if found := re.search(r"unsupported GLOBAL (\S+)", str(error), flags=re.IGNORECASE):
                what = f"it names {found.group(1)}, more than tensors and plain types"
                raise ValueError(f"{path}: refused, {what}; it was not written by seglab") from error
            log.warning("%s cannot be read (%s)", path, str(error).splitlines()[0])
        except (RuntimeError, EOFError, OSError) as error:
            log.warning("%s cannot be read (%s)", path, str(error).splitlines()[0])
    if paths:
        raise ValueError(f"{folder}: no readable checkpoint; start over with runtime.rerun=true")
    return None


def save_weights(path: Path, state: dict[str, Tensor]) -> None:
    """Write a model's state dict as safetensors, whole or not at all."""
    temporary = path.with_name(f"{path.name}.tmp")
    save_file({k: v.detach().cpu().contiguous().clone() for k, v in state.items()}, temporary)
    os.replace(temporary, path)


def load_weights(path: Path) -> dict[str, Tensor]:
    """Read a state dict that :func:`save_weights` wrote.

    Raises:
        ValueError: the file is absent or broken.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no trained weights there; has the run finished?")
    try:
        return load_file(path)
    except Exception as error:
        raise ValueError(f"{path}: not a readable safetensors file ({error})") from error
