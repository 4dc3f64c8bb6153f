"""Names of data sets, a file of ``conf/data`` or ``<file>/<category>`` for one category of such a set, and of images.

One runnable line: ``python -c "from seglab.data.names import data_overrides; print(data_overrides('voc_coseg/cow'))"``.
"""

from __future__ import annotations

import re
from typing import Any

from seglab.words import quoted


def data_overrides(name: str) -> list[str]:
    """The overrides that choose a data set by its name.

    Args:
        name: ``"duts"``, or ``"voc_coseg/cow"`` for the category ``cow`` of a set with ``data.category``.

    Returns:
        ``["data=duts"]``, or ``["data=voc_coseg", "data.category=cow"]``; a category that Hydra would read as something
        else than text (``2``, ``null``, ``cat (tabby)``) is quoted.
    """
    option, _, category = name.partition("/")
    return [f"data={option}", *([f"data.category={_text(category)}"] if category else [])]


def swept_overrides(names: str) -> list[str]:
    """The overrides of ``data=<names>`` as it is typed, several names with commas included.

    Args:
        names: ``"voc_coseg/cow"``, or ``"voc_coseg/cow,voc_coseg/car"`` for a sweep over categories of one set.

    Returns:
        ``["data=voc_coseg", "data.category=cow,car"]``, for example.

    Raises:
        ValueError: a sweep over categories of several sets.
    """
    parts = [name.strip().partition("/") for name in names.split(",")]
    if len(parts) == 1 or not any(slash for _, slash, _ in parts):
        return data_overrides(names) if len(parts) == 1 else [f"data={names}"]
    option, _, first = next(part for part in parts if part[1])
    if len({part[0] for part in parts}) > 1 or not all(category for *_, category in parts):
        raise ValueError(
            f"data={names}: a sweep over categories is one over a single set, e.g. data={option} "
            f"data.category={first},..."
        )
    values = [_text(category) for *_, category in parts]
    return [f"data={option}", f"data.category={','.join(values)}"]


def _text(category: str) -> str:
    """A category as Hydra has to get it to read text."""
    other = re.fullmatch(r"[\d._e+-]+|null|true|false|[+-]?(nan|inf)|\[[^']*\]", category, flags=re.IGNORECASE)
    return f"'{category}'" if other else quoted(f"={category}")[1:]


def file_name(name: str) -> str:
    """The name as part of a file's name: ``voc_coseg-cow``."""
    return name.replace("/", "-")


def names_of(source: Any, part: str) -> list[str]:
    """The names of the images of a part; of a set that is composed when it is first read without composing it.

    Args:
        source: ``data.source``; one that writes files in ``items`` has ``names``.
        part: ``"train"`` or ``"test"``.

    Raises:
        ValueError: no such part, or files are missing.
    """
    names = getattr(source, "names", None)
    return list(names(part)) if callable(names) else [item.id for item in source.items(part)]
