"""The audit as part of a command: the data set of a config, the files of the result, the table on screen.

One runnable line: ``python -c "from seglab.audit.command import run_audit; help(run_audit)"``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from seglab.audit.audit import audit
from seglab.audit.listing import from_listing
from seglab.audit.report import AuditReport
from seglab.audit.subject import Subject, from_source
from seglab.config import conf_dir
from seglab.targets import instantiate


def audit_for_prepare(cfg: DictConfig) -> Path:
    """Audit the data set a config names, write the result and print the table.

    Args:
        cfg: finalised config with ``runtime`` and one of ``data`` (a group option) and ``listing`` (a file of
            ``conf/listing``).

    Returns:
        The page, ``<runtime.outputs>/audit/<name>/audit.md``.

    Raises:
        ValueError: no such files, nothing to audit, or, after everything was written, errors in the data.
    """
    report = run_audit(subject_of(cfg), cfg.runtime)
    page = folder_of(cfg.runtime.outputs, report.subject.name) / "audit.md"
    sys.stdout.write(report.table())
    if report.errors:
        checks = ", ".join(dict.fromkeys(f.check for f in report.errors))
        raise ValueError(f"data={report.subject.name}: {report.verdict()} ({checks}); see '{page}'")
    return page


def run_audit(subject: Subject, runtime: DictConfig) -> AuditReport:
    """Audit and write ``audit.json``, ``audit.md`` and ``suspects.png``.

    Args:
        subject: what to audit.
        runtime: its ``workers``, ``progress`` and ``outputs`` are used.
    """
    report = audit(subject, workers=runtime.workers, progress=runtime.progress)
    report.write(folder_of(runtime.outputs, subject.name))
    return report


def folder_of(outputs: Path | str, name: str) -> Path:
    """Where the audit of a data set is written."""
    return Path(outputs) / "audit" / name


def subject_of(cfg: DictConfig) -> Subject:
    """What a config asks to audit; a data set that is no folders of images and masks is audited by its listing.

    Raises:
        ValueError: neither ``data`` nor ``listing`` is set, the data are drawn by seglab or joined of other sets, or no
            file is there.
    """
    listing = OmegaConf.select(cfg, "listing")
    if listing is None:
        listing = listing_of(cfg)
    if listing is not None:
        subject = from_listing(OmegaConf.to_container(listing, resolve=True), root=cfg.runtime.data_root)
        if not subject.entries:
            places = ", ".join(f"'{place}'" for fault in subject.faults for place in fault.places)
            raise ValueError(
                f"listing={subject.name}: no image found; looked for {places} (runtime.data_root, environment variable "
                "SEGLAB_DATA)"
            )
        return subject
    data: Any = OmegaConf.select(cfg, "data")
    if data is None or data.get("source") is None:
        raise ValueError("audit: expected a data set: data=<name>, or listing=<name>")
    source = instantiate(data.source)
    if sets := data.source.get("sets"):
        raise ValueError(f"data={data.name}: audit the sets it joins one by one: data={', data='.join(sets)}")
    subject = from_source(source, root=cfg.runtime.data_root)
    if subject is None:
        raise ValueError(f"data={data.name}: nothing to audit, seglab draws it")
    if not subject.entries:
        part = next(iter(source.images)) if isinstance(source.images, dict) else "train"
        source.items(part)  # raises the message of what is missing, and where it belongs
    return subject


def listing_of(cfg: DictConfig) -> DictConfig | None:
    """The listing of a data set, by its own name or by ``about.listing``; None where it has none.

    A listing holds what an audit asks for, kinds of masks and names of classes among them, and a source only what a
    training does: where both exist the listing is audited. What is changed in ``data.source`` has no part in that.
    """
    data = OmegaConf.select(cfg, "data")
    if data is None or "about" not in data:
        return None
    path = conf_dir() / "listing" / f"{data.about.get('listing') or data.name}.yaml"
    if not path.is_file():
        return None
    return OmegaConf.create({"runtime": cfg.runtime, "listing": OmegaConf.load(path)}).listing
