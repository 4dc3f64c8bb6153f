"""Keys and values of a file, made into a dataclass whose annotations say what fits.

One runnable line: ``python -c "from seglab.tables.fields import fits; print(fits(3, int | None))"``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from seglab.words import nearest


def build(cls: type, content: Any, where: str) -> Any:
    """Make a dataclass of keys and values.

    Args:
        cls: a dataclass; lists become tuples, null leaves a field at its default.
        content: plain types.
        where: file and place in it, for messages.

    Raises:
        ValueError: an unknown key, a value of another kind, a field without a value.
    """
    if not isinstance(content, Mapping):
        raise ValueError(f"{where}: expected keys and values, found {content!r}")
    known = [f.name for f in fields(cls)]
    for key in content:
        if key not in known:
            raise ValueError(f"{where}: unknown key '{key}'{nearest(str(key), known)}")
    arguments, hints = {}, get_type_hints(cls)
    for key, value in content.items():
        if value is None:
            continue
        arguments[key] = tuple(value) if isinstance(value, list) else value
        if not fits(arguments[key], hints[key]):
            raise ValueError(f"{where}: {key}={value!r}: expected {in_words(hints[key])}")
    if absent := [f.name for f in fields(cls) if f.default is MISSING and f.name not in arguments]:
        raise ValueError(f"{where}: missing {', '.join(absent)}: expected {'values' if absent[1:] else 'a value'}")
    return cls(**arguments)


def fits(value: Any, hint: Any) -> bool:
    """Whether a plain value is of the kind a field holds."""
    if (origin := get_origin(hint)) is tuple:
        return isinstance(value, tuple) and all(fits(inner, get_args(hint)[0]) for inner in value)
    if origin in (Union, UnionType):
        return any(fits(value, option) for option in get_args(hint))
    if hint in (int, float):
        return isinstance(value, int | hint) and not isinstance(value, bool)
    return isinstance(value, origin or hint)


def in_words(hint: Any) -> str:
    """What a field holds, for a message."""
    known = {tuple: "a list", str: "text", int: "a whole number", float: "a number", Mapping: "keys and values"}
    options = [o for o in get_args(hint) if o is not type(None)] if get_origin(hint) in (Union, UnionType) else [hint]
    kind = get_origin(options[0]) or options[0]
    inner = f" of {in_words(get_args(options[0])[0])}" if kind is tuple else ""
    return known.get(kind, "keys and values" if issubclass(kind, Mapping) else kind.__name__) + inner
