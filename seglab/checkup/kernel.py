"""Compiled kernels: a small one made by numba, and the folder that keeps them; runs in a process of its own.

One runnable line: ``python -c "from seglab.checkup.kernel import facts; print(*facts())"``.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from seglab.checkup.fact import Fact, brief


def facts() -> Iterator[Fact]:
    """Whether numba compiles, counts right, and can keep what it compiled."""
    try:
        from numba import get_num_threads, njit

        @njit
        def triangle(n):
            total = 0
            for i in range(n):
                total += i
            return total

        result = triangle(1001)
    except Exception as error:  # an absent package, a NumPy it does not know, a compiler that fails
        reason = brief(error)
        yield Fact("numba", f"cannot compile ({reason})", "broken", "pip install --upgrade numba")
        return
    if result != 500500:
        yield Fact("numba", f"a compiled sum gives {result}, not 500500", "broken", "reinstall numba and llvmlite")
        return
    yield Fact("numba", f"compiles; {get_num_threads()} threads; {cache_place()}")


def cache_place() -> str:
    """Where compiled kernels are kept; without a place each process compiles them again, some seconds each."""
    package = Path(__file__).resolve().parents[1]
    asked = os.environ.get("NUMBA_CACHE_DIR")
    for folder in [Path(asked)] if asked else [package / "losses" / "__pycache__", Path.home() / ".cache" / "numba"]:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return f"kept in {folder}"
        except OSError:
            continue
    return "nowhere to keep kernels (set NUMBA_CACHE_DIR), they are compiled again by every process"
