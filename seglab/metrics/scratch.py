"""Work arrays that are used again for the next image: fresh memory costs more than the arithmetic done in it.

Example: ``from seglab.metrics.scratch import scratch; scratch("map", (321, 481), np.float64)``
"""

from __future__ import annotations

import threading

import numpy as np

LARGEST = 64 * 2**20  # bytes kept per array; images beyond it pay for fresh memory instead of holding on to it
_LOCAL = threading.local()


def scratch(name: str, shape: tuple[int, ...], dtype: type) -> np.ndarray:
    """Array with undefined contents, valid until this thread asks for the same name again.

    Args:
        name: one per use; two arrays needed at the same time need two names.
        shape: its shape.
        dtype: its type.

    Returns:
        C-contiguous array. It must not leave the function that asked for it.
    """
    size = int(np.prod(shape))
    need = size * np.dtype(dtype).itemsize
    if need > LARGEST:
        return np.empty(shape, dtype)
    held = _LOCAL.__dict__.get(name)
    if held is None or held.nbytes < need:
        held = _LOCAL.__dict__[name] = np.empty(need, np.uint8)
    return held[:need].view(dtype).reshape(shape)
