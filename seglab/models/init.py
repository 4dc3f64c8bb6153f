"""Reading state dicts and fitting them to a network: every key accounted for, never a silent partial load.

load_run_weights(model, read_state("outputs/runs/<id>/model.safetensors"))
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

log = logging.getLogger(__name__)

SHOWN = 5  # keys named of each kind of difference
OF_TRAINING = ("weights", "weights_file", "freeze_encoder", "freeze_batchnorm", "frozen", "dropout", "side_outputs")
"""Settings of a model that what it predicts does not depend on: how its weights began, which moved, who judged them."""


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


def differences(own: Mapping[str, Tensor], given: Mapping[str, Tensor], *, shown: int = SHOWN) -> list[str]:
    """One line for each way in which `given` does not fit `own`: missing, unexpected and misshapen keys.

    Args:
        own: the tensors that are there to be filled.
        given: the tensors to fill them with.
        shown: keys named of each kind.
    """
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
            more = f" and {len(keys) - shown} more" if len(keys) > shown else ""
            lines.append(f"{name} ({len(keys)}): {', '.join(keys[:shown])}{more}")
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


def load_run_weights(
    model: nn.Module,
    state: Mapping[str, Tensor],
    *,
    run: Path | None = None,
    settings: Mapping[str, Any] | None = None,
) -> None:
    """Starts a model from the weights of a finished run (init=run); every key and shape must match.

    Weights that fit are loaded with a warning where the settings of the two models differ all the same, as in
    `normalise=none` after `normalise=per_image`. Layers that predict side outputs for a loss that reads them, named by
    the body's `SIDE_HEADS`, may be in one of the two only: they are left out, or start as they are, and that is logged.

    Args:
        model: receives the values.
        state: the run's weights.
        run: folder of the run they come from, for messages and for its `config.yaml`, which names its model.
        settings: this model's settings, the node `model` of the config, to compare with those of the run.

    Raises:
        ValueError: saying how many tensors fit, naming the settings in which the two models differ, and listing the
            first missing, unexpected, misshapen and fitting tensors (config key `init.run`).
    """
    own = model.state_dict()
    source = f"init.run={run.name}" if run else "init.run"
    state, fresh = _with_own_side_heads(model, own, state, source=source)
    there, here = _differing_settings(run, settings) if run and settings else ([], [])
    against = f"that run has {' '.join(there)}, this one {' '.join(here)}" if there else ""
    if problems := differences(own, state, shown=2 if "model" in {t.partition("=")[0] for t in there} else SHOWN):
        fitting = [key for key in own if key in state and state[key].shape == own[key].shape]
        more = f" and {len(fitting) - SHOWN} more" if len(fitting) > SHOWN else ""
        problems += [f"fitting ({len(fitting)}): {', '.join(fitting[:SHOWN])}{more}"] if fitting else []
        raise ValueError(
            f"{source}: the run's weights do not fit this model: {len(fitting)} of its {len(own)} tensors do; "
            f"{'; '.join([against, *problems] if against else problems)}; expected a run of the same model settings "
            "(model, model.channels, model.normalise), or another start: init=scratch, init=imagenet"
        )
    if against:
        log.warning("%s: the weights fit, but %s", source, against)
    model.load_state_dict(state)
    if run:
        log.info("%s: all %d tensors fit", source, len(own) - fresh)


def _with_own_side_heads(
    model: nn.Module, own: Mapping[str, Tensor], state: Mapping[str, Tensor], *, source: str
) -> tuple[Mapping[str, Tensor], int]:
    """The state with those layers for side outputs that the model has, and how many tensors of them it did not have."""
    heads = tuple(f"body.{name}." for name in getattr(getattr(model, "body", None), "SIDE_HEADS", ()))
    left = [key for key in state if key not in own and key.startswith(heads)] if heads else []
    fresh = [key for key in own if key not in state and key.startswith(heads)] if heads else []
    if left:
        log.info("%s: %d tensors for side outputs, which this loss does not read, left out", source, len(left))
    if fresh:
        log.info("%s: no weights for %d tensors for side outputs, which start at random", source, len(fresh))
    kept = {key: value for key, value in state.items() if key not in left} | {key: own[key] for key in fresh}
    return kept, len(fresh)


def _differing_settings(run: Path, settings: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """How a run's model differs from another one: ``["model=unet_small"], ["model=umobv2"]``, as far as it is known."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    try:
        theirs = OmegaConf.to_container(OmegaConf.load(run / "config.yaml").model, resolve=True)
    except (OSError, YAMLError, OmegaConfBaseException) as error:
        log.warning("init.run=%s: the settings of its model are not known (%s)", run.name, error)
        return [], []
    names = [key for key in dict.fromkeys(["_target_", *settings, *theirs]) if key not in OF_TRAINING]
    pairs = [(_shown(key, theirs), _shown(key, settings)) for key in names]
    differing = [(there, here) for there, here in pairs if there != here]
    return [there for there, _ in differing], [here for _, here in differing]


def _shown(key: str, settings: Mapping[str, Any]) -> str:
    value = settings.get(key, "(not set)")
    if key == "_target_":
        return f"model={str(value).rpartition('.')[2]}"
    return f"model.{key}={value}"
