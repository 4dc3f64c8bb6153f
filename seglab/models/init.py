"""Reading state dicts and fitting them to a network: every key accounted for, never a silent partial load.

load_run_weights(model, read_state("outputs/runs/<id>/model.safetensors"))
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

log = logging.getLogger(__name__)

SHOWN = 5  # keys named of each kind of difference


def read_state(path: str | Path) -> dict[str, Tensor]:
    """Reads a flat state dict from a .safetensors file or a file of torch.save (tensors only, no code is run).

    Raises:
        ValueError: if the file is absent, unreadable, or holds anything but named tensors (config key `init.file`).
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"init.file={path}: no such file; expected a state dict saved as .safetensors or .pth")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the readers raise a dozen types, none of them telling which file it was
        raise ValueError(f"init.file={path}: not readable as a state dict ({error})") from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        held = ", ".join(map(str, list(state)[:SHOWN])) if isinstance(state, Mapping) else type(state).__name__
        raise ValueError(f"init.file={path}: expected named tensors only, found {held}; save the bare state dict")
    return dict(state)


def differences(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> list[str]:
    """One line for each way in which `given` does not fit `own`: missing, unexpected and misshapen keys."""
    shapes = [
        f"{key} {tuple(given[key].shape)} instead of {tuple(own[key].shape)}"
        for key in own
        if key in given and given[key].shape != own[key].shape
    ]
    groups = {
        "missing": [key for key in own if key not in given],
        "unexpected": [key for key in given if key not in own],
        "wrong shape": shapes,
    }
    lines = []
    for name, keys in groups.items():
        if keys:
            more = f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
            lines.append(f"{name} ({len(keys)}): {', '.join(keys[:SHOWN])}{more}")
    return lines


def fit_state(
    module: nn.Module,
    state: Mapping[str, Tensor],
    *,
    source: str,
    ignore: tuple[str, ...] = (),
    last_layer: str | None = None,
) -> None:
    """Loads a state dict into a module; all keys must match but those named here.

    Args:
        module: receives the values.
        state: named tensors.
        source: what the error message calls the state dict.
        ignore: beginnings of keys that the file may hold and the module does not use, such as a classifier's `fc.`.
        last_layer: layer that keeps its fresh values if the file's has another number of classes.

    Raises:
        ValueError: listing the first missing, unexpected and misshapen keys.
    """
    own = module.state_dict()
    given = {key: value for key, value in state.items() if key in own or not key.startswith(ignore)}
    for key in own:
        # Files older than torch 0.4.1 lack these counters, which only a batch-norm without momentum reads.
        if key not in given and key.endswith("num_batches_tracked"):
            given[key] = own[key]
        if last_layer and key.startswith(f"{last_layer}.") and key in given and given[key].shape != own[key].shape:
            log.info("%s: %s %s replaced by fresh %s", source, key, tuple(given[key].shape), tuple(own[key].shape))
            given[key] = own[key]
    problems = differences(own, given)
    if problems:
        raise ValueError(f"{source} does not fit the network; " + "; ".join(problems))
    module.load_state_dict(given)


def load_run_weights(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Starts a model from the weights of a finished run (init=run); every key and shape must match.

    Raises:
        ValueError: listing the first missing, unexpected and misshapen keys (config key `init.run`).
    """
    problems = differences(model.state_dict(), state)
    if problems:
        raise ValueError(
            "init.run: the run's weights do not fit this model; expected a run of the same model settings "
            "(model, model.channels, model.normalise); " + "; ".join(problems)
        )
    model.load_state_dict(state)
