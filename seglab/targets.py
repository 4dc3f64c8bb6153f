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

ROOMS = ("data", "losses", "metrics", "models", "phases", "post", "proposals", "rerank", "schedule", "trackers")

ALLOWED_MODULES = (
    *(f"seglab.{room}." for room in ROOMS),
    "torch.nn.",
    "torch.optim.",
    "torchvision.models.",
    "segmentation_models_pytorch.",
)
"""Modules whose callables a config may name."""

DEEPEST = 40
"""Nodes inside nodes that a config may have."""

LOADERS = frozenset({"from_pretrained", "load_state_dict_from_url", "load"})
"""Names inside those modules that read files of a kind that can carry code."""


SWITCHES = frozenset({"_args_", "_convert_", "_recursive_"})
"""Keys by which Hydra would build a node in another way than it was checked."""


def check_targets(cfg: DictConfig) -> None:
    """Resolve every ``_target_`` against the allowlist and bind its keys, before any data is read.

    Raises:
        ValueError: naming the config key and the nearest valid one.
    """
    for path, node in _targets(cfg, ""):
        target = locate(node._target_, key=f"{path}._target_")
        partial = node.get("_partial_", False)
        if not isinstance(partial, bool):
            raise ValueError(f"{path}._partial_={partial}: expected true or false")
        keys = {str(k) for k in node if str(k) not in ("_target_", "_partial_")}
        _check_signature(target, keys, path, partial=partial)


def _targets(node: Any, path: str, depth: int = 0) -> Iterator[tuple[str, DictConfig]]:
    """Every node with a ``_target_``, those included that an interpolation leads to.

    Raises:
        ValueError: an interpolation makes a node, as ``${oc.create:...}`` does: nobody could have looked at it before.
    """
    if depth > DEEPEST:
        raise ValueError(f"{path[:60]}: a value that contains itself, or is nested more than {DEEPEST} deep")
    if not isinstance(node, DictConfig | ListConfig) or node._is_none():
        return
    if isinstance(node, DictConfig) and "_target_" in node:
        yield path, node
    keys = node if isinstance(node, DictConfig) else range(len(node))
    for key, child in [(key, node._get_node(key)) for key in keys]:
        below = f"{path}.{key}" if path else str(key)
        if child._is_interpolation():
            text, child = str(child._value()), child._maybe_dereference_node()
            if child is None:
                continue  # it has no value; whoever reads it says so
            whole = isinstance(child, DictConfig | ListConfig)
            if (whole and ":" in text) or isinstance(child._value(), dict | list) > whole:
                raise ValueError(f"{below}={text}: an interpolation that makes a node, which a config may not hold")
            if not whole and "${" in str(child._value()):
                raise ValueError(f"{below}={text}: an interpolation whose value is one again is not followed")
        yield from _targets(child, below, depth + 1)


def locate(target: str, *, key: str) -> Any:
    """Import the object a config names, if the allowlist permits it.

    Args:
        target: dotted path.
        key: config key that holds it, for the message.

    Raises:
        ValueError: not allowed, or not found. The check is repeated on the module in which the object
            was really defined, so an alias such as ``seglab.cli.os.system`` gains nothing.
    """
    if not isinstance(target, str):
        raise ValueError(f"{key}={target}: expected the dotted name of a class or function")
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
    try:
        parameters = inspect.signature(target).parameters
    except (ValueError, TypeError) as error:  # a function of a compiled module does not tell
        raise ValueError(f"{path}._target_: what it takes is not known ({error})") from error
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    known = [n for n, p in parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    for key in sorted(keys - set(known)):
        if not open_ended or key in SWITCHES:
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

    if not isinstance(node, DictConfig) or "_target_" not in node:
        raise ValueError(f"{str(node)[:100]}: expected a node with _target_, which says what is to be built")
    for path, inner in _targets(node, "config"):
        locate(inner._target_, key=f"{path}._target_")
        if not isinstance(inner.get("_partial_", False), bool) or SWITCHES & set(map(str, inner)):
            raise ValueError(f"{path}: expected no {', '.join(sorted(SWITCHES))}, and _partial_ true or false")
    try:
        return hydra_instantiate(node, *args, **kwargs, _convert_="all")
    except TypeError as error:  # Hydra's own; those of constructors come wrapped
        raise ValueError(f"{node._get_full_key(None)}: {error}") from error
    except InstantiationException as error:
        if isinstance(error.__cause__, ValueError):
            raise error.__cause__ from None
        if isinstance(error.__cause__, TypeError | AttributeError):  # a word where a number belongs, for example
            raise ValueError(f"{node._get_full_key(None)}: {error.__cause__}") from error
        raise
