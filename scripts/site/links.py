"""Hook of the documentation site: links that lead out of ``docs`` into the checkout.

On a plain viewer such a link opens the file. The site has no file to open, so a module of the package becomes a link to
its part of the API page, and any other file its path in code. A file that is not there is an error of the build.

    mkdocs build --strict
"""

from __future__ import annotations

import logging
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.pages import Page

log = logging.getLogger("mkdocs.hooks.links")

LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(((?:\.\./)+[^)\s#]+)(#[^)]*)?\)")


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, **_: object) -> str:
    """Replace links of one page that leave the folder of the documents."""
    docs = Path(config.docs_dir).resolve()
    source = docs / page.file.src_uri

    def replaced(found: re.Match[str]) -> str:
        text, target = found[1], found[2]
        path = (source.parent / target).resolve()
        if path.is_relative_to(docs):
            return found[0]
        if not path.exists():
            log.warning("%s: %s is not there", page.file.src_uri, target)
            return text
        inside = path.relative_to(docs.parent)
        if inside.suffix == ".py" and inside.parts[0] == "seglab":
            return f"[{text}][{'.'.join(inside.with_suffix('').parts)}]"
        return f"`{inside.as_posix()}`" if text.strip("`") in target else f"{text} (`{inside.as_posix()}`)"

    return LINK.sub(replaced, markdown)
