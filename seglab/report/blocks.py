"""Which columns of a table stand side by side, where they are too many for one line.

Used by :func:`seglab.report.layout.lay_out`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from seglab.tables.spec import Column

WIDEST = 8
"""Columns side by side; more than that are cut into blocks, by metric where that is possible."""


def blocks(columns: Sequence[Column]) -> list[tuple[str, list[int]]]:
    """Cut columns into blocks that can be read side by side: by group, else by metric where each has several.

    Columns without a group, where others have one, stand in every block; a block's metrics stand one after the other.
    """
    if groups := list(dict.fromkeys(c.group for c in columns if c.group)):
        return [part for group in groups for part in _group_blocks(columns, group)]
    everything = list(range(len(columns)))
    if len(columns) <= WIDEST:
        return [("", everything)] if columns else []
    metrics = list(dict.fromkeys(c.metric for c in columns))
    parts = [[i for i in everything if columns[i].metric == m] for m in metrics]
    if len(metrics) == 1 or min(len(part) for part in parts) < 3:
        parts = [everything]
    found = []
    for part in parts:
        endings = {columns[i].paper_name.split(" ")[-1] for i in part}
        title = "columns" if len(parts) == 1 else endings.pop() if len(endings) == 1 else columns[part[0]].metric
        num = math.ceil(len(part) / WIDEST)
        size = math.ceil(len(part) / num)
        pieces = [part[i : i + size] for i in range(0, len(part), size)]
        found += [(f"{title} {i + 1} of {num}" if num > 1 else title, p) for i, p in enumerate(pieces)]
    return found


def _group_blocks(columns: Sequence[Column], group: str) -> list[tuple[str, list[int]]]:
    """The columns of a group, cut where they are too many."""
    metrics = list(dict.fromkeys(c.metric for c in columns))
    own = [i for i, c in enumerate(columns) if c.group in ("", group)]
    own.sort(key=lambda i: metrics.index(columns[i].metric))
    num = math.ceil(len(own) / WIDEST)
    size = math.ceil(len(own) / num)
    pieces = [own[i : i + size] for i in range(0, len(own), size)]
    return [(f"{group} {i + 1} of {num}" if num > 1 else group, p) for i, p in enumerate(pieces)]
