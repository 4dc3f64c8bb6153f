"""Griffe extension of the documentation site: docstrings, written for people who read source, as Markdown.

References such as :func:`seglab.data.rng.permutation` become links where their target is documented, else
code; signs that Markdown would take for HTML are escaped.

    mkdocs build --strict
"""

from __future__ import annotations

import re
from typing import Any

import griffe

ROLE = re.compile(r":(?:func|class|mod|meth|attr|data|exc):`~?([\w.]+)`")
CODE = re.compile(r"(``.+?``|`[^`\n]+`)", re.DOTALL)


class Docstrings(griffe.Extension):
    """Rewrites every docstring of the package once it is loaded."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Griffe calls this when a package and its modules are read."""
        self._walk(pkg, pkg)

    def _walk(self, item: griffe.Object, package: griffe.Module) -> None:
        if item.docstring:
            item.docstring.value = readable(item.docstring.value, lambda name: _path(name, item, package))
        for member in item.members.values():
            if not member.is_alias:
                self._walk(member, package)


def readable(text: str, path: Any) -> str:
    """A docstring as Markdown.

    Args:
        text: the docstring.
        path: gives the dotted path of a name, or None where nothing of that name is documented.
    """

    def linked(found: re.Match[str]) -> str:
        target = path(found[1])
        return f"[`{found[1].rpartition('.')[2]}`][{target}]" if target else f"`{found[1]}`"

    return "\n\n".join(_escaped(part, linked) for part in text.split("\n\n"))


def _escaped(paragraph: str, linked: Any) -> str:
    """One paragraph; code that is set in by four blanks stays as it is."""
    if all(line.startswith("    ") for line in paragraph.splitlines()):
        return paragraph
    pieces = CODE.split(paragraph)  # at odd places: code
    pieces[::2] = [re.sub(r"\](\s?)\[", r"]\1\[", re.sub(r"<(?=[A-Za-z/!])", "&lt;", text)) for text in pieces[::2]]
    return ROLE.sub(linked, "".join(pieces))


def _path(name: str, item: griffe.Object, package: griffe.Module) -> str | None:
    """Where a name of a docstring leads, if that has a docstring of its own and is public."""
    for start in (f"{item.module.path}.{name}", f"{item.path}.{name}", name):
        inside = start.removeprefix(f"{package.path}.")
        try:
            found = package[inside]
        except (KeyError, ValueError):
            continue
        if found.is_alias or (found.is_module and found.is_init_module):  # a room has a page, but no part of one
            continue
        if found.docstring and not any(part.startswith("_") for part in inside.split(".")):
            return found.path
    return None
