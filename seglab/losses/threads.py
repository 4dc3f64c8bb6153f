"""Shares the work of compiled loops, which let go of the interpreter lock, over Python threads.

    python -c "from seglab.losses.threads import share; print(share(lambda first, last: last - first, 8))"

Why not numba's own threads: these survive a fork and two callers at once, which numba's thread layers do not.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch

_pool: ThreadPoolExecutor | None = None
_pool_size = 0


def _forget_pool() -> None:
    """After a fork the child has none of the parent's threads."""
    global _pool, _pool_size
    _pool, _pool_size = None, 0


os.register_at_fork(after_in_child=_forget_pool)


def share(work: Callable[[int, int], int | None], units: int) -> list[int | None]:
    """Call work(first, last) on contiguous shares of the units, one per torch thread, and return the answers."""
    global _pool, _pool_size
    threads = min(torch.get_num_threads(), units)
    if threads <= 1:
        return [work(0, units)]
    if _pool_size < threads - 1:
        _pool, _pool_size = ThreadPoolExecutor(threads - 1, thread_name_prefix="seglab-loss"), threads - 1
    cuts = [units * k // threads for k in range(threads + 1)]
    others = [_pool.submit(work, cuts[k], cuts[k + 1]) for k in range(1, threads)]
    return [work(cuts[0], cuts[1]), *(other.result() for other in others)]
