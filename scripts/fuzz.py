"""Give the readers of files, lists, configs, tables, checkpoints and archives many hostile inputs, and keep a record.

The properties are those of ``tests/fuzz``; here each gets as many inputs as asked for. Prints one line a property,
then the record as a Markdown table; the exit code is 1 if anything was found.

    python scripts/fuzz.py --examples 10000 --seconds 300 --only files lists
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
import traceback
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "tests" / "fuzz"
BATCH = 1000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--examples", type=int, default=1000, help="inputs for each property")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="at most so long for each property")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=[], help="words in the names of properties or files")
    arguments = parser.parse_args()
    os.environ["SEGLAB_FUZZ_EXAMPLES"] = str(arguments.examples)  # read by tests/fuzz/support.py
    sys.path[:0] = [str(FOLDER), str(FOLDER.parents[1])]
    quiet()
    rows, began = [], time.monotonic()
    for path in sorted(FOLDER.glob("test_fuzz_*.py")):
        module = importlib.import_module(path.stem)
        reader = path.stem.removeprefix("test_fuzz_")
        for name, function in list(vars(module).items()):
            wanted = not arguments.only or any(word in f"{reader} {name}" for word in arguments.only)
            if wanted and name.startswith("test_") and hasattr(function, "hypothesis"):
                rows.append((reader, name[5:].replace("_", " "), *hammer(function, arguments)))
                sys.stdout.write(f"{rows[-1]}\n")
                sys.stdout.flush()
    total, found = sum(row[2] for row in rows), sum(bool(row[4]) for row in rows)
    lines = ["| reader | property | inputs | seconds | found |", "|---|---|--:|--:|---|"]
    lines += [f"| {r} | {p} | {n} | {s:.0f} | {f or 'nothing'} |" for r, p, n, s, f in rows]
    lines += [f"| all | | {total} | {time.monotonic() - began:.0f} | {found or 'nothing'} |"]
    sys.stdout.write("\n".join([f"seed {arguments.seed}", *lines, ""]))
    return int(found > 0)


def quiet() -> None:
    """Send what C libraries say of broken files to nowhere."""
    import logging

    logging.disable(logging.CRITICAL)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def hammer(function, arguments) -> tuple[int, float, str]:
    """Inputs tried, seconds, and what was found."""
    from hypothesis import Verbosity, settings

    inner, began, count = function.hypothesis.inner_test, time.monotonic(), 0

    def counted(*args, **kwargs):
        nonlocal count
        count += 1
        return inner(*args, **kwargs)

    function.hypothesis.inner_test = counted
    batch = 0
    while count < arguments.examples and time.monotonic() - began < arguments.seconds:
        size = max(1, min(BATCH, arguments.examples - count))
        rule = settings(settings(), max_examples=size, derandomize=False, verbosity=Verbosity.quiet)
        function._hypothesis_internal_use_settings = rule  # the decorators may be used once only
        function._hypothesis_internal_use_seed = arguments.seed * 1_000_003 + batch
        try:
            function()
        except Exception as error:
            sys.stdout.write(f"{''.join(traceback.format_exception(error))[-3000:]}\n")
            return count, time.monotonic() - began, " ".join(f"{type(error).__name__}: {error}".split())[:120]
        batch += 1
    return count, time.monotonic() - began, ""


if __name__ == "__main__":
    sys.exit(main())
