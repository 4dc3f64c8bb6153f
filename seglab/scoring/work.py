"""Score pairs of files in processes, in constant memory, with the same bytes for any number of processes.

Images are cut into parts of a fixed length; one process scores a part and adds up its sums; parts are taken up in
order. A mask is read once for all methods. At most a few parts a process are under way at a time.
Example: ``for part in score_parts(work, measure, workers=2): ...``
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import connection
from pathlib import Path

from seglab.scoring.faults import Fault
from seglab.scoring.folders import Work
from seglab.scoring.measured import MapFile, Measure, Sums

log = logging.getLogger(__name__)

PART = 8
"""Images of a part; not to be chosen by the number of processes, because sums are added up part by part."""
AHEAD = 4
"""Parts under way per process."""

Kinds = dict[str, tuple[int, str]]
"""What maps were read as -> how many, and the first of them."""


@dataclass
class Part:
    """Scores of some images.

    Attributes:
        rows: method -> (stem, numbers) of its images, in order.
        sums: method -> sums over them.
        faults: what was wrong with files.
        empty: names of mask files without an object.
        kinds: method -> what its maps were read as -> how many, and the first of them.
        images: how many masks were looked at.
    """

    rows: dict[str, list[tuple[str, tuple[float, ...]]]] = field(default_factory=dict)
    sums: dict[str, Sums] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    kinds: dict[str, Kinds] = field(default_factory=dict)
    images: int = 0


Task = tuple[str, Path, list[tuple[str, MapFile]]]
"""Stem, mask file, and the methods' map files."""


def score_parts(work: Work, measure: Measure, *, workers: int) -> Iterator[Part]:
    """Score everything.

    Args:
        work: the pairs.
        measure: what is measured.
        workers: processes; 0 = this one.

    Yields:
        Parts, in the order of the stems.

    Raises:
        ValueError: a process ended abruptly.
    """
    if workers == 0:
        for tasks in _tasks(work):
            yield score_part(measure, tasks)
        return
    pending: deque[Future[Part]] = deque()
    with _pool(workers) as pool:
        try:
            for tasks in _tasks(work):
                pending.append(pool.submit(score_part, measure, tasks))
                if len(pending) >= workers * AHEAD:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        except BrokenProcessPool as error:
            raise ValueError(
                f"one of {workers} scoring processes ended abruptly, killed perhaps, or out of memory; nothing was "
                "written. Start again, with fewer of them if memory is short: runtime.workers=1"
            ) from error


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    # Fresh processes: numba, OpenBLAS and a progress bar have threads, which do not survive a fork.
    context = multiprocessing.get_context("spawn")
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start, initargs=(logging.getLogger().level,))
    try:
        yield pool
    finally:
        if isinstance(sys.exc_info()[1], BrokenProcessPool | ValueError):
            # A process that was just being started when another one died is not ended by the pool, which waits for it.
            for child in set(multiprocessing.active_children()) - others:
                child.kill()
        pool.shutdown(wait=True, cancel_futures=True)


def _start(level: int) -> None:
    """Make a process ready: it leaves Ctrl-C to its parent, and ends with it however that ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(level=level)
    parent = multiprocessing.parent_process()

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _tasks(work: Work) -> Iterator[list[Task]]:
    tasks: list[Task] = []
    for stem in work.stems:
        maps = [(name, work.paths(name, stem)) for name, files in work.maps.items() if stem in files]
        gt = work.gt / work.masks[stem]
        tasks.append((gt.stem, gt, maps))
        if len(tasks) == PART:
            yield tasks
            tasks = []
    if tasks:
        yield tasks


def score_part(measure: Measure, tasks: list[Task]) -> Part:
    """Score some images, whatever is wrong with some of their files."""
    part = Part()
    for stem, gt, maps in tasks:
        part.images += 1
        try:
            mask = measure.truth(gt)
        except Fault as fault:
            part.faults.append(fault)
            continue
        if not measure.has_object(mask):
            part.empty.append(gt.name)
        for name, path in maps:
            try:
                measured = measure.pair(path, mask)
            except Fault as fault:
                part.faults.append(fault)
                continue
            part.rows.setdefault(name, []).append((stem, measured.row))
            count(part.kinds.setdefault(name, {}), {measured.kind: (1, f"{path[0] if type(path) is tuple else path}")})
            if len(part.kinds[name]) == 1:  # else the shapes differ, and the method is a fault
                add(part.sums.setdefault(name, {}), measured.sums)
    return part


def add(total: Sums, sums: Sums) -> None:
    """Add sums to a total, in place."""
    for key, value in sums.items():
        total[key] = total[key] + value if key in total else value


def count(total: Kinds, kinds: Kinds) -> None:
    """Add what maps were read as to a total, in place; the first of a kind stays."""
    for kind, (images, first) in kinds.items():
        before, earlier = total.get(kind, (0, first))
        total[kind] = (before + images, earlier)
