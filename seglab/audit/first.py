"""The audit before the first training on a data set: once for the same files read in the same way.

It changes nothing about a training, not even which files are read. A record that the files were found fit is kept below
``<runtime.outputs>/audit/<name>/checked/``; its name hashes paths, sizes, times and how the files are read, so the next
training looks at the folders only. Sets with errors leave no record and are looked at again.

One runnable line: ``python -c "from seglab.audit.first import audit_before_training; from seglab.config import compose;
audit_before_training(compose('train', ['data=sod']))"``.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from seglab.audit.command import folder_of, listing_of
from seglab.audit.finding import Finding
from seglab.audit.listing import from_listing
from seglab.audit.report import AuditReport, sort
from seglab.audit.subject import Subject, from_source
from seglab.data.pairs import STANDIN
from seglab.targets import instantiate

log = logging.getLogger(__name__)

VERSION = 2
"""Raised when the audit finds more than before, so that sets are looked at again."""

SHOWN = 3
"""Cases of every kind of error in the message."""


def audit_before_training(cfg: DictConfig) -> None:
    """Audit what a run trains on and is scored on, unless that was done for the same files.

    Data drawn by seglab, stand-ins of a scale included, are not audited; ``runtime.audit=false`` leaves it out.

    Args:
        cfg: finalised config of ``conf/train.yaml``; ``runtime`` says where to write and with how many threads to read.

    Raises:
        ValueError: files with which the training would fail or go wrong; one message with the first of every kind.
    """
    if not cfg.runtime.get("audit", True):
        return
    subjects = subjects_of(cfg)
    if not subjects:
        return
    record = folder_of(cfg.runtime.outputs, subjects[0].name) / "checked" / f"{key_of(subjects)}.json"
    if record.is_file():
        return
    reports = _audit_all(subjects, cfg)
    pages = {r.subject.name: str(folder_of(cfg.runtime.outputs, r.subject.name) / "audit.md") for r in reports}
    if any(report.errors for report in reports):
        raise ValueError(_message(reports, pages))
    for report in reports:
        if report.warnings:
            name, checks = report.subject.name, ", ".join(dict.fromkeys(f.check for f in report.warnings))
            log.warning("data=%s: %s (%s), see %s", name, report.verdict(), checks, pages[name])
    from seglab.atomic import write_atomic

    write_atomic(record, json.dumps({r.subject.name: r.verdict() for r in reports}, indent=2) + "\n")


def subjects_of(cfg: DictConfig) -> list[Subject]:
    """The training set with the parts a run uses, then every other set it uses; sets of files only.

    Folders of photos and masks are audited as the run reads them, other layouts by their listing, in all its parts.
    """
    from seglab.data.build import data_of, negative_set

    names = list(dict.fromkeys(cfg.data.name if name == "self" else name for name in cfg.eval.sets))
    negatives = cfg.get("negatives") or {}
    own = ("negative",) if negatives and not negatives.get("data") else ()
    wanted: list[tuple[Any, tuple[str, ...]]] = [
        (cfg.data, ("train", *(("test",) if cfg.data.name in names else ()), *own)),
    ]
    if negatives.get("data") and (other := negative_set(cfg)) is not cfg.data:
        wanted.append((other, ("train",)))
    wanted += [(data_of(cfg, name), ("test",)) for name in names if name != cfg.data.name]
    subjects = []
    for data, parts in wanted:
        subject = from_source(instantiate(data.source), parts=parts, root=cfg.runtime.data_root)
        subject = subject or _listed(data, cfg.runtime)
        if subject is not None and subject.entries and not _is_generated(subject):
            subjects.append(subject)
    return subjects


def _listed(data: DictConfig, runtime: DictConfig) -> Subject | None:
    """A data set by its listing, if that lists the folders the run reads."""
    listing = listing_of(OmegaConf.create({"data": data, "runtime": runtime}))
    if listing is None:
        return None
    subject = from_listing(OmegaConf.to_container(listing, resolve=True), root=runtime.data_root)
    read = {str(Path(path).absolute()) for path in _texts(OmegaConf.to_container(data.source, resolve=True))}
    here = subject.entries and all(str(entry.image.parent) in read for entry in subject.entries if entry.image)
    return subject if here else None


def _texts(node: Any) -> list[str]:
    """Every text in a node of plain types."""
    if isinstance(node, dict | list):
        return [text for value in (node.values() if isinstance(node, dict) else node) for text in _texts(value)]
    return [node] if isinstance(node, str) else []


def key_of(subjects: Sequence[Subject]) -> str:
    """Twenty hexadecimal digits: which files, of what size and time, read how."""
    digest = hashlib.sha256(f"{VERSION}".encode())
    for s in subjects:
        how = (s.name, s.mask, s.threshold, s.values, s.unmasked, s.counts, s.known_bad, s.faults)
        digest.update(repr(how).encode())
        for entry in s.entries:
            digest.update(repr((entry.part, entry.id)).encode())
            for path in (entry.image, entry.mask):
                digest.update(f"{path} {_state(path)}\n".encode())
    return digest.hexdigest()[:20]


def _state(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        found = path.stat()
    except OSError as error:
        return str(error.errno)
    return f"{found.st_size} {found.st_mtime_ns}"


def _is_generated(subject: Subject) -> bool:
    first = next((e.image or e.mask for e in subject.entries), None)
    return first is not None and any((folder / STANDIN).is_file() for folder in first.absolute().parents)


def _audit_all(subjects: Sequence[Subject], cfg: DictConfig) -> list[AuditReport]:
    """Audit every set, and the training images against the images of the other sets."""
    from seglab.audit.audit import audit

    reports: list[AuditReport] = []
    for subject in subjects:
        log.info("data=%s: audit of %d images, once for these files", subject.name, len(subject.entries))
        report = audit(subject, workers=cfg.runtime.workers, progress=cfg.runtime.progress)
        if reports and reports[0].subject.name == cfg.data.name:
            report.findings = sort([*_leaks(reports[0], report), *report.findings])
        report.write(folder_of(cfg.runtime.outputs, subject.name))
        reports.append(report)
    return reports


def _leaks(training: AuditReport, scored: AuditReport) -> list[Finding]:
    """Images of another set that are, exactly or nearly, among the training images."""
    from seglab.audit.duplicates import duplicates

    here, there = training.subject.name, scored.subject.name
    trained = [one for one in training.seen if one.entry.part in ("train", "trainval")]
    both = [replace(one, entry=replace(one.entry, part=f"{here} train")) for one in trained]
    both += [replace(one, entry=replace(one.entry, part=there)) for one in scored.seen]
    return duplicates(both, within=False)


def _message(reports: Sequence[AuditReport], pages: dict[str, str]) -> str:
    lines = []
    for report in reports:
        if not report.errors:
            continue
        name = report.subject.name
        lines.append(f"data={name}: training would fail or go wrong ({pages[name]} tells all):")
        for f in report.errors:
            cases = "; ".join(f"{e.id}: {e.detail}" if e.detail else e.id for e in f.examples[:SHOWN])
            more = f"; and {f.count - SHOWN} more" if f.count > SHOWN else ""
            lines.append(f"  {f.what}, {f.count}: {cases}{more} -> {f.remedy}")
    return "\n".join([*lines, "mend the files; runtime.audit=false leaves this check out"])
