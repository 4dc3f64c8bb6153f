"""What a config may call: every ``_target_`` is on an allowlist, exists, and takes the keys it is given.

Hydra would import and call anything. A config that came from elsewhere must not be able to run ``os.system`` or to
unpickle a file, so the check is made on the object's own module, not only on the name that was written.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from omegaconf import DictConfig, ListConfig

from seglab.words import nearest

ALLOWED_MODULES = (
    *(f"seglab.{room}." for room in ("data", "losses", "metrics", "models", "post", "schedule", "trackers")),
    "torch.nn.",
    "torch.optim.",
    "torchvision.models.",
    "segmentation_models_pytorch.",
)
"""Modules whose callables a config may name."""

LOADERS = frozenset({"from_pretrained", "load_state_dict_from_url", "load"})
"""Names inside those modules that read files of a kind that can carry code."""


def check_targets(cfg: DictConfig) -> None:
    """Resolve every ``_target_`` against the allowlist and bind its keys, before any data is read.

    Raises:
        ValueError: naming the config key and the nearest valid one.
    """
    for path, node in _targets(cfg, ""):
        target = locate(node._target_, key=f"{path}._target_")
        keys = {str(k) for k in node if str(k) not in ("_target_", "_partial_")}
        _check_signature(target, keys, path, partial=bool(node.get("_partial_", False)))


def _targets(node: Any, path: str) -> Iterator[tuple[str, DictConfig]]:
    if isinstance(node, DictConfig):
        if "_target_" in node:
            yield path, node
        children = [(str(k), node._get_node(k)) for k in node]
    elif isinstance(node, ListConfig):
        children = [(str(i), node._get_node(i)) for i in range(len(node))]
    else:
        return
    for key, child in children:
        if isinstance(child, DictConfig | ListConfig) and not child._is_none() and not child._is_interpolation():
            yield from _targets(child, f"{path}.{key}" if path else key)


def locate(target: str, *, key: str) -> Any:
    """Import the object a config names, if the allowlist permits it.

    Args:
        target: dotted path.
        key: config key that holds it, for the message.

    Raises:
        ValueError: not allowed, or not found. The check is repeated on the module in which the object
            was really defined, so an alias such as ``seglab.cli.os.system`` gains nothing.
    """
    allowed = (*ALLOWED_MODULES, *plugin_modules(os.environ.get("SEGLAB_ALLOW", "")))
    try:
        return _find(target, allowed)
    except ValueError as error:
        raise ValueError(f"{key}={target}: {error}") from error.__cause__


@cache
def _find(target: str, allowed: tuple[str, ...]) -> Any:
    from hydra.utils import get_object

    refusal = f"not allowed; a config may call only {', '.join(a + '*' for a in allowed)}"
    names = target.split(".")
    if not target.startswith(allowed) or names[-1].startswith("_") or names[-1] in LOADERS:
        raise ValueError(refusal)
    try:
        found = get_object(target)
    except Exception as error:
        raise ValueError(f"no such object ({error.__cause__ or error})") from error
    if not callable(found) or not f"{getattr(found, '__module__', '')}.".startswith(allowed):
        raise ValueError(refusal)
    return found


@cache
def plugin_modules(listed: str) -> tuple[str, ...]:
    """Module prefixes that installed plugins (entry points ``seglab.plugins``) and a list add to the allowlist.

    Args:
        listed: modules with commas between them, the value of SEGLAB_ALLOW.
    """
    names = [point.value.split(":")[0] for point in entry_points(group="seglab.plugins")]
    names += [name for name in listed.split(",") if name.strip()]
    return tuple(f"{name.strip().rstrip('.')}." for name in names)


def _check_signature(target: Any, keys: set[str], path: str, *, partial: bool) -> None:
    parameters = inspect.signature(target).parameters
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    known = [n for n, p in parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    for key in sorted(keys - set(known)):
        if not open_ended:
            raise ValueError(f"unknown key '{path}.{key}'{nearest(key, known, path)}")
    missing = [n for n in known if parameters[n].default is inspect.Parameter.empty and n not in keys]
    if missing and not partial:
        raise ValueError(f"missing key '{path}.{missing[0]}', needed by {target.__qualname__}")


def instantiate(node: DictConfig, *args: Any, **kwargs: Any) -> Any:
    """Build what a checked config node names; nodes inside it are built first.

    Raises:
        ValueError: as :func:`locate`; and whatever the constructor raises, unwrapped.
    """
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate as hydra_instantiate

    for path, inner in _targets(node, "config"):
        locate(inner._target_, key=f"{path}._target_")
    try:
        return hydra_instantiate(node, *args, **kwargs, _convert_="all")
    except InstantiationException as error:
        if isinstance(error.__cause__, ValueError):
            raise error.__cause__ from None
        if isinstance(error.__cause__, TypeError | AttributeError):  # a word where a number belongs, for example
            raise ValueError(f"{node._get_full_key(None)}: {error.__cause__}") from error
        raise
