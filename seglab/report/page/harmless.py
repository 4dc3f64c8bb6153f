"""Whether a drawing could run or load something: it may do neither on a page that is sent by mail.

What counts is what a browser would read as a tag, so that a caption may speak of ``onload=`` or of an address.

One runnable line: ``python -c "from seglab.report.page.harmless import harm; print(harm('<svg onload=alert(1)>'))"``.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser

TAGS = ("script", "iframe", "frame", "object", "embed", "foreignobject", "link", "meta", "base", "form")
TAGS += ("set", "animate")
"""Tags that run or load something, or change what another one does."""
LINKS = ("href", "xlink:href", "src", "srcset", "data", "poster", "action", "formaction", "background")
"""Attributes that name something to load."""
OWN = re.compile(r"\s*(?:#|data:image/|$)", re.IGNORECASE)
LOADING = re.compile(r"url\(\s*[\"']?(?!#|data:image/)|@import|javascript:|expression\(", re.IGNORECASE)
"""In styles and in values of attributes."""


class _Reader(HTMLParser):
    """Finds the first harm."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found = ""
        self.inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside = tag
        if tag in TAGS:
            self._harm(f"<{tag}")
        for name, value in attrs:
            text = value or ""
            loads = name in LINKS and not OWN.match(text)
            if name.startswith("on") or loads or LOADING.search(text):
                self._harm(f"{name}={text[:40]}")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.inside = ""

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside == "style" and (match := LOADING.search(data)):
            self._harm(match[0])

    def _harm(self, what: str) -> None:
        self.found = self.found or what


def harm(html: str) -> str:
    """What a drawing holds that would run or load something; empty where it holds no such thing.

    Args:
        html: markup of a figure.
    """
    reader = _Reader()
    reader.feed(html)
    whole = not reader.rawdata.lstrip().startswith("<")  # the rest of a tag that never ends would take in what follows
    reader.close()
    return reader.found or ("" if whole else "a tag without an end")
