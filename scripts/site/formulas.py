"""Hook of the documentation site: formulas become MathML at build time, so that a page needs no script.

Formulas are written in dollars, as plain viewers of Markdown show them.

    mkdocs build --strict
"""

from __future__ import annotations

import html
import logging
import re
from collections.abc import Iterable

from latex2mathml.converter import convert
from mkdocs.structure.pages import Page
from mkdocs.structure.toc import AnchorLink

log = logging.getLogger("mkdocs.hooks.formulas")

FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)


def on_page_content(content: str, /, page: Page, **_: object) -> str:
    """Convert the formulas of one page, and leave the signs around those of its headings out of its contents."""
    _without_marks(page.toc)
    return FORMULA.sub(lambda found: _converted(found, page.file.src_uri), content)


def _without_marks(anchors: Iterable[AnchorLink]) -> None:
    for anchor in anchors:
        anchor.title = re.sub(r"\\\((.*?)\\\)", r"\1", anchor.title)
        _without_marks(anchor.children)


def _converted(found: re.Match[str], where: str) -> str:
    """MathML of one formula; a formula that cannot be read is a warning, and so an error of a strict build."""
    latex, block = " ".join(html.unescape(found[3]).split()), found[2] == "["
    try:
        mathml = convert(latex, display="block" if block else "inline")
    except Exception as error:  # of many kinds, and each means the same
        log.warning("%s: the formula %s cannot be read: %s: %s", where, latex, type(error).__name__, error)
        return f"<code>{html.escape(latex)}</code>"
    if unread := re.search(r"<m[io]>(\\[A-Za-z]+)</m[io]>", mathml):
        log.warning("%s: the formula %s holds %s, which is not known", where, latex, unread[1])
    return f'<div class="formula">{mathml}</div>' if block else f'<span class="formula-inline">{mathml}</span>'
