"""A line of many points as one of few that looks the same: Ramer, 1972; Douglas and Peucker, 1973.

One runnable line: ``python -c "from seglab.report.page.thin import thinned as t; print(t([(0, 0), (1, 0), (2, 0)]))"``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Point = tuple[float, float]


def thinned(points: Sequence[Point], *, within: float = 0.2) -> list[Point]:
    """Those of the points that a line has to go through to pass all others within a distance; both ends are kept.

    Args:
        points: in the order of the line, in units of the drawing.
        within: distance, in the same units.
    """
    if len(points) < 3:
        return list(points)
    place = np.asarray(points, dtype=float)
    keep, todo = {0, len(points) - 1}, [(0, len(points) - 1)]
    while todo:
        first, last = todo.pop()
        if last - first < 2:
            continue
        away = _away(place[first + 1 : last], place[first], place[last])
        farthest = first + 1 + int(away.argmax())
        if away.max() > within:
            keep.add(farthest)
            todo += [(first, farthest), (farthest, last)]
    return [points[i] for i in sorted(keep)]


def _away(points: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """How far points, float [N,2], lie from the straight line between two others, float [N]."""
    along, offset = end - start, points - start
    length = float(along @ along)
    share = np.clip(offset @ along / length, 0, 1) if length else np.zeros(len(points))
    return np.hypot(*(offset - share[:, None] * along).T)
