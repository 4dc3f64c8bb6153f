"""For every pixel the nearest object pixel: exact Euclidean feature transform, column pass then row pass.

Maurer, Qi, Raghavan, TPAMI 2003. Of several at equal distance the one in the leftmost column counts, then the upper
one, as in ``scipy.ndimage.distance_transform_edt(return_indices=True)``.
Example: ``from seglab.metrics.nearest import nearest_object; nearest_object(mask_HW)``
"""

from __future__ import annotations

import numba
import numpy as np

from seglab.metrics.scratch import scratch


def nearest_object(mask_HW: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates of the nearest object pixel.

    Args:
        mask_HW: bool [H, W] with at least one True pixel.

    Returns:
        Row and column of the nearest object pixel, int32 [H, W] each, valid until the next call in this thread.

    Raises:
        ValueError: the mask has no object.
    """
    if not mask_HW.any():
        raise ValueError("mask without object: no pixel has a nearest object pixel")
    row_HW, near_y_HW, near_x_HW = scratch("nearest", (3, *mask_HW.shape), np.int32)
    _nearest(mask_HW, row_HW, near_y_HW, near_x_HW)
    return near_y_HW, near_x_HW


@numba.njit(cache=True, nogil=True)
def _nearest(mask_HW, row_HW, near_y_HW, near_x_HW):
    height, width = mask_HW.shape
    _nearest_in_column(mask_HW, row_HW)
    columns = np.empty(width, np.int64)  # candidates of a row, left to right
    sites = np.empty(width, np.int64)  # those of them that are nearest to some point of the row
    offsets = np.empty(width, np.int64)  # their squared vertical distances
    first, last = height, -1
    for y in range(height):
        for x in range(width):
            if mask_HW[y, x]:
                first, last = min(first, y), y
                break
    for y in range(first, last + 1):
        count = 0
        for x in range(width):
            # Of a run of object pixels only the two ends can be nearest to any other pixel of the row.
            inside = 0 < x < width - 1 and row_HW[y, x - 1] == y and row_HW[y, x + 1] == y and row_HW[y, x] == y
            if row_HW[y, x] >= 0 and not inside:
                columns[count] = x
                count += 1
        count = _envelope(columns, count, row_HW[y], y, sites, offsets)
        _fill(sites, offsets, count, row_HW[y], y, near_y_HW[y], near_x_HW[y])
    for start, stop, step in ((first - 1, -1, -1), (last + 1, height, 1)):
        count = 0
        for x in range(width):
            if row_HW[first, x] >= 0:
                columns[count] = x
                count += 1
        for y in range(start, stop, step):
            # Away from the object a cell, being convex, ends for good: the next row looks at this row's sites only.
            count = _envelope(columns, count, row_HW[y], y, sites, offsets)
            columns[:count] = sites[:count]
            _fill(sites, offsets, count, row_HW[y], y, near_y_HW[y], near_x_HW[y])


@numba.njit(cache=True, nogil=True)
def _envelope(columns, count, row_W, y, sites, offsets):
    """Keep the candidates whose parabola (x - column)^2 + offset is lowest somewhere; returns how many."""
    last = -1
    for i in range(count):
        x = columns[i]
        offset = np.int64(row_W[x] - y) ** 2
        while last >= 1:
            a, b = sites[last] - sites[last - 1], x - sites[last]
            if b * (offsets[last] - offsets[last - 1]) + a * (offsets[last] - offset) <= a * b * (a + b):
                break
            last -= 1
        last += 1
        sites[last] = x
        offsets[last] = offset
    return last + 1


@numba.njit(cache=True, nogil=True)
def _fill(sites, offsets, count, row_W, y, near_y_W, near_x_W):
    """Give each pixel of a row its site; an object pixel is its own."""
    begin = 0
    for i in range(count):
        site = sites[i]
        end = row_W.size
        if i + 1 < count:
            # The next site is strictly nearer right of the point at which the two parabolas meet.
            other = sites[i + 1]
            difference = other * other + offsets[i + 1] - site * site - offsets[i]
            end = min(end, int(np.floor(difference / (2 * (other - site)))) + 1)
        if end > begin:
            near_x_W[begin:end] = site
            near_y_W[begin:end] = row_W[site]
            begin = end
    for x in range(row_W.size):
        if row_W[x] == y:
            near_x_W[x] = x
            near_y_W[x] = y


@numba.njit(cache=True, nogil=True)
def _nearest_in_column(mask_HW, row_HW):
    """Row of the nearest object pixel of the same column, the upper one of two at equal distance; -1 without one."""
    height, width = mask_HW.shape
    for x in range(width):
        row_HW[0, x] = 0 if mask_HW[0, x] else -1
    for y in range(1, height):
        for x in range(width):
            row_HW[y, x] = y if mask_HW[y, x] else row_HW[y - 1, x]
    for y in range(height - 2, -1, -1):
        for x in range(width):
            below, above = row_HW[y + 1, x], row_HW[y, x]
            if below > y and (above < 0 or below - y < y - above):
                row_HW[y, x] = below
