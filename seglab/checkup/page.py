"""The doctor's facts as one page of Markdown.

One runnable line: ``python -c "from seglab.checkup.page import page; print(page({}))"``.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from seglab.checkup.fact import Fact, presentable

WIDTH = 100


def page(parts: Mapping[str, Sequence[Fact]]) -> str:
    """The page: what is wrong first, each with its remedy; then everything that was found.

    Args:
        parts: heading -> facts, in order.

    Returns:
        Markdown, at most :data:`WIDTH` columns.
    """
    parts = presented(parts)
    found = [fact for facts in parts.values() for fact in facts]
    broken, notes = ([f for f in found if f.level == level] for level in ("broken", "note"))
    lines = [f"# seglab doctor: {verdict(broken, notes)}"]
    for word, facts in (("BROKEN", broken), ("NOTE", notes)):
        for fact in facts:
            lines += wrapped(f"- {word} **{fact.name}**: {fact.text}; **{fact.remedy or 'see below'}**")
    for heading, facts in parts.items():
        lines += ["", f"## {heading}"]
        for fact in facts:
            if fact.level == "ok":
                lines += wrapped(f"- {fact.name}: {fact.text}")
    return "\n".join([*lines, ""])


def verdict(broken: Sequence[Fact], notes: Sequence[Fact]) -> str:
    """The page in half a sentence."""
    worth = f", {len(notes)} worth a look" if notes else ""
    if broken:
        return f"{len(broken)} broken{worth}; no run can work until what is broken is mended"
    return f"a run can work{worth}"


def wrapped(line: str) -> list[str]:
    """A list entry over as many lines as it needs."""
    return textwrap.wrap(line, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def presented(parts: Mapping[str, Sequence[Fact]]) -> dict[str, list[Fact]]:
    """The same facts, each of their texts as it may be pasted."""
    return {
        heading: [Fact(**{key: presentable(text) for key, text in asdict(fact).items()}) for fact in facts]
        for heading, facts in parts.items()
    }


def as_json(parts: Mapping[str, Sequence[Fact]]) -> str:
    """The same facts for a program."""
    shown = presented(parts)
    return json.dumps({heading: [asdict(fact) for fact in facts] for heading, facts in shown.items()}, indent=2) + "\n"
