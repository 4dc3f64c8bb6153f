"""What an audit found, as JSON, as Markdown and as a table on screen.

One runnable line: ``python -c "from seglab.audit.report import AuditReport; help(AuditReport.write)"``.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seglab.audit.finding import LEVELS, Finding
from seglab.audit.look import Seen
from seglab.audit.subject import Subject

SCHEMA = 1
"""Raised when a key of audit.json changes its meaning."""

WIDTH = 118
SHOWN = 3
"""Cases of a finding on screen."""

PAGE = 12
"""Cases of a finding in Markdown; audit.json has more."""


@dataclass
class AuditReport:
    """The result of one audit.

    Attributes:
        subject: what was audited.
        findings: what was found, errors first.
        images: images of every part.
        files: number of files opened.
        bytes: their size.
        seconds: wall time.
        seen: what every file holds.
        drawn: whether there is a contact sheet beside the report.
    """

    subject: Subject
    findings: list[Finding]
    images: dict[str, int]
    files: int
    bytes: int
    seconds: float
    seen: list[Seen] = field(default_factory=list)
    drawn: bool = False

    @property
    def errors(self) -> list[Finding]:
        """What makes training fail or go wrong."""
        return [f for f in self.findings if f.level == "error"]

    @property
    def warnings(self) -> list[Finding]:
        """What may make numbers mean something else than they seem to."""
        return [f for f in self.findings if f.level == "warning"]

    def of(self, check: str, part: str | None = None) -> list[Finding]:
        """The findings of a check; with ``part``, of that part."""
        return [f for f in self.findings if f.check == check and part in (None, f.part)]

    def verdict(self) -> str:
        """``2 errors, 1 warning``: the number of cases, of all checks together."""
        counts = [
            (sum(f.count for f in kind), word) for kind, word in ((self.errors, "error"), (self.warnings, "warning"))
        ]
        told = [f"{n} {word}{'s' if n > 1 else ''}" for n, word in counts if n]
        return ", ".join(told) or "nothing suspicious"

    def as_dict(self) -> dict[str, Any]:
        """Plain types in a stable order; paths are below the root of the subject, so machines agree."""
        subject = self.subject
        return {
            "schema": SCHEMA,
            "name": subject.name,
            "title": subject.title,
            "verdict": self.verdict(),
            "images": self.images,
            "published": subject.counts,
            "files": self.files,
            "bytes": self.bytes,
            "reading": {
                "mask": subject.mask,
                "threshold": subject.threshold,
                "values": None if subject.values is None else {str(k): v for k, v in sorted(subject.values.items())},
                "unmasked": subject.unmasked,
            },
            "findings": [
                {
                    "check": f.check,
                    "level": f.level,
                    "part": f.part,
                    "count": f.count,
                    "what": f.what,
                    "remedy": f.remedy,
                    "examples": [{"id": e.id, "detail": e.detail} for e in f.examples],
                }
                for f in self.findings
            ],
            "seconds": round(self.seconds, 2),
        }

    def write(self, folder: Path, *, sheet: bool = True) -> Path:
        """Write ``audit.json``, ``audit.md`` and, where there is something to be seen, ``suspects.png``.

        Args:
            folder: made if it is not there.
            sheet: whether to draw the contact sheet.

        Returns:
            The Markdown page.
        """
        from seglab.atomic import write_atomic
        from seglab.audit.sheet import draw_sheet

        folder.mkdir(parents=True, exist_ok=True)
        (folder / "suspects.png").unlink(missing_ok=True)  # that of an earlier audit
        self.drawn = sheet and draw_sheet(self, folder / "suspects.png")
        write_atomic(folder / "audit.json", json.dumps(self.as_dict(), indent=2) + "\n")
        return write_atomic(folder / "audit.md", self.markdown())

    def heading(self) -> str:
        """One line: name, number of images of each part, verdict."""
        parts = ", ".join(f"{count} {part or 'alone'}" for part, count in self.images.items())
        return f"{self.subject.name}: {parts or 'no images'}; {self.files} files; {self.verdict()}"

    def table(self) -> str:
        """The findings as lines of at most 118 signs: level, check, count, first cases, what to do."""
        lines = [self.heading()]
        for f in self.findings:
            name = f"{f.check} ({f.part})" if f.part else f.check
            lines.append(f"  {f.level:<7}  {name:<26}  {f.count:>6}  {f.what}")
            for example in f.examples[:SHOWN]:
                lines.append(textwrap.shorten(f"{'':<39}{_case(example.id, example.detail)}", 2 * WIDTH))
                lines[-1] = "\n".join(
                    textwrap.wrap(lines[-1], WIDTH, initial_indent=" " * 47, subsequent_indent=" " * 49)
                )
            if len(f.examples) > SHOWN:
                lines.append(f"{'':<47}and {f.count - SHOWN} more" if f.level != "note" else f"{'':<47}...")
            if f.level != "note" and f.remedy != "none":
                lines.append(f"{'':<47}-> {f.remedy}")
        return "\n".join(lines) + "\n"

    def markdown(self) -> str:
        """A page: the table, every finding with its first cases, the contact sheet."""
        lines = [f"# Audit of {self.subject.title or self.subject.name}", "", self.heading() + ".", ""]
        lines += ["| level | check | count | what | what to do |", "|---|---|--:|---|---|"]
        for f in self.findings:
            name = f"{f.check} ({f.part})" if f.part else f.check
            lines.append(f"| {f.level} | {name} | {f.count} | {f.what} | {f.remedy} |")
        for level in LEVELS:
            for f in (f for f in self.findings if f.level == level and f.examples):
                lines += ["", f"## {f.level}: {f.what}{f' ({f.part})' if f.part else ''}, {f.count}", ""]
                lines += [f"* {_case(_quoted(e.id), _quoted(e.detail))}" for e in f.examples[:PAGE]]
                if f.count > PAGE and len(f.examples) > PAGE:
                    lines.append(f"* and {f.count - PAGE} more" + (", see audit.json" if f.count <= 50 else ""))
        if self.drawn:
            lines += ["", "## Suspects", "", "![suspects](suspects.png)"]
        return "\n".join(lines) + "\n"


def sort(findings: Sequence[Finding]) -> list[Finding]:
    """Errors, warnings, notes; within a level as they were found."""
    return sorted(findings, key=lambda f: LEVELS.index(f.level))


def _case(name: str, detail: str) -> str:
    return f"{name}: {detail}" if detail else name


def _quoted(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
