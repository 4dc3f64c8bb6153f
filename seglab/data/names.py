"""Names of data sets: a file of ``conf/data``, or ``<file>/<category>`` for one category of such a set.

One runnable line: ``python -c "from seglab.data.names import data_overrides; print(data_overrides('voc_coseg/cow'))"``.
"""

from __future__ import annotations


def data_overrides(name: str) -> list[str]:
    """The overrides that choose a data set by its name.

    Args:
        name: ``"duts"``, or ``"voc_coseg/cow"`` for the category ``cow`` of a set with ``data.category``.

    Returns:
        ``["data=duts"]``, or ``["data=voc_coseg", "data.category=cow"]``.
    """
    option, _, category = name.partition("/")
    return [f"data={option}", *([f"data.category={category}"] if category else [])]


def file_name(name: str) -> str:
    """The name as part of a file's name: ``voc_coseg-cow``."""
    return name.replace("/", "-")
