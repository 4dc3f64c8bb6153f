"""The audit: look at every file of a data set once, compare all images with each other, and tell what was found.

Nothing is changed and nothing is left out: the files are opened for reading only, and no list is intersected.

One runnable line: ``python -c "from seglab.audit.audit import audit; from seglab.audit.subject import from_pairs;
from seglab.data.pairs import Pairs; print(audit(from_pairs(Pairs('photos', masks='masks', split='8:2'))).table())"``.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from PIL import Image
from tqdm import tqdm

from seglab.audit.checks import file_findings
from seglab.audit.duplicates import duplicates
from seglab.audit.look import Seen, look
from seglab.audit.pair_checks import counts, known_bad, pairing
from seglab.audit.report import AuditReport, sort
from seglab.audit.subject import Subject

BLOCK = 256
"""Entries that are under way at once."""


def audit(subject: Subject, *, workers: int = 1, progress: bool = True) -> AuditReport:
    """Audit a data set.

    Args:
        subject: what to look at.
        workers: threads that open files; at least one is used.
        progress: a progress bar, on a terminal only.

    Returns:
        Everything found; nothing is raised for what the files hold.
    """
    started = time.perf_counter()
    with warnings.catch_warnings():
        # Told as findings: large images (the hard limit stays), damaged EXIF data, odd palettes.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
        seen = list(_look_at_all(subject, max(1, workers), progress))
    found = [*pairing(subject), *file_findings(subject, seen), *counts(subject)]
    found += known_bad(subject, seen, found)
    if subject.alike:
        found += duplicates(seen)
    sizes = {one.entry.image: one.image.bytes for one in seen if one.image}
    sizes |= {one.entry.mask: one.mask.bytes for one in seen if one.mask}
    return AuditReport(
        subject,
        sort(found),
        images={part: sum(e.part == part and e.image is not None for e in subject.entries) for part in subject.parts()},
        files=len(sizes),
        bytes=sum(sizes.values()),
        seconds=time.perf_counter() - started,
        seen=seen,
    )


def _look_at_all(subject: Subject, workers: int, progress: bool) -> Iterator[Seen]:
    """The records of all entries in order, a block at a time, so that a signal stops it soon."""
    entries = subject.entries
    pool = ThreadPoolExecutor(workers)
    try:
        with tqdm(total=len(entries), desc="audit", unit="img", disable=None if progress else True) as bar:
            for start in range(0, len(entries), BLOCK):
                for record in pool.map(lambda entry: look(entry, subject), entries[start : start + BLOCK]):
                    bar.update()
                    yield record
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
