"""Hook of the documentation site: pages of the API from the source tree, and patterns in the navigation.

A room (a package below ``seglab``) is one page that lists its modules and documents each; no list of modules is kept by
hand. In ``nav`` of ``mkdocs.yml`` a pattern stands for the pages it matches, and pages that are not there are left out.

    mkdocs build --strict
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

PACKAGE = "seglab"
COMMANDS, CORE = "commands", "core"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the API and spell the navigation out."""
    root = Path(config.config_file_path).parent
    rooms = rooms_of(root / PACKAGE, root / "conf")
    for name, text in {"index": _index(rooms), **{name: _page(name, room) for name, room in rooms.items()}}.items():
        files.append(File.generated(config, f"api/{name}.md", content=text))
    pages = {file.src_uri: _title(file) for file in files.documentation_pages()}
    named = {uri for uri in _strings(config.nav) if "*" not in uri}
    config.nav = _spelled_out(config.nav, pages, named)
    return files


def rooms_of(package: Path, conf: Path) -> dict[str, dict[str, Path]]:
    """Room -> {dotted module: file}; modules that lie in no room are commands (they have a config) or the core.

    Args:
        package: folder of the package.
        conf: folder of the configs.
    """
    rooms: dict[str, dict[str, Path]] = {COMMANDS: {}, CORE: {}}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        if "." in path.stem or path.stem in ("__init__", "__main__"):
            continue
        room = ".".join(parts[:-1]) or (COMMANDS if (conf / f"{path.stem}.yaml").is_file() else CORE)
        rooms.setdefault(room, {})[".".join((PACKAGE, *parts))] = path
    for path in sorted(package.glob("*/__main__.py")):  # commands that are folders
        rooms[COMMANDS][f"{PACKAGE}.{path.parent.name}.__main__"] = path
    return {name: rooms[name] for name in (COMMANDS, CORE, *sorted(set(rooms) - {COMMANDS, CORE}))}


def first_sentence(path: Path) -> str:
    """What a module says of itself, up to the first full stop or the first empty line."""
    doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    paragraph = " ".join(doc.partition("\n\n")[0].split())
    return re.split(r"(?<=[^.]\.)(?<!\bal\.)(?<!\bEq\.)(?<!\bEqs\.)(?<!e\.g\.)\s", paragraph)[0].rstrip(":")


def _about(room: str, modules: dict[str, Path]) -> str:
    if room == COMMANDS:
        return "What `python -m seglab.<name>` runs."
    if room == CORE:
        return "What all rooms stand on: config, identity of a run, the training loop, files."
    return first_sentence(next(iter(modules.values())).parent / "__init__.py")


def _index(rooms: dict[str, dict[str, Path]]) -> str:
    rows = [f"| [{name}]({name}.md) | {_cell(_about(name, room))} | {len(room)} |" for name, room in rooms.items()]
    head = (
        "# API\n\nA page for each room of the package, made from the docstrings. Shapes are written with letters that"
    )
    tail = "each module explains: B batch, M or K channels, H W pixels, h w cells of a coarse grid.\n"
    return "\n".join([head, tail, "| room | what is in it | modules |", "|---|---|---|", *rows, ""])


def _page(name: str, modules: dict[str, Path]) -> str:
    heading = name if name in (COMMANDS, CORE) else f"{PACKAGE}.{name}"
    rows = [
        f"| [`{dotted.rpartition('.')[2]}`][{dotted}] | {_cell(first_sentence(path))} |"
        for dotted, path in modules.items()
        if path.stem != "__main__"
    ]
    rows += [
        f"| [`{path.parent.name}`][{dotted}] | {_cell(first_sentence(path))} |"
        for dotted, path in modules.items()
        if path.stem == "__main__"
    ]
    blocks = [f"::: {dotted}\n" for dotted in modules]
    table = ["| module | what it is |", "|---|---|", *rows, ""]
    return "\n".join([f"# {heading}\n", _about(name, modules) + "\n", *table, *blocks])


def _cell(text: str) -> str:
    """A sentence in a table, where Markdown finds no column, no reference and no HTML in it."""
    text = re.sub(r"\](\s?)\[", r"]\1\\[", text.replace("|", "\\|"))
    return text if "`" in text else text.replace("<", "&lt;")


def _title(file: File) -> str:
    """Heading of a page."""
    found = re.search(r"^# (.+)$", file.content_string, flags=re.MULTILINE)
    return found[1].strip() if found else file.src_uri


def _strings(nav: Any) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    for item in nav if isinstance(nav, list) else nav.values() if isinstance(nav, dict) else ():
        yield from _strings(item)


def _spelled_out(nav: list[Any], pages: dict[str, str], named: set[str]) -> list[Any]:
    """The navigation with patterns replaced by pages, without pages that are not there and empty sections."""
    out: list[Any] = []
    for item in nav:
        if isinstance(item, dict):
            (title, below), *_ = item.items()
            if isinstance(below, list):
                below = _spelled_out(below, pages, named)
                out += [{title: below}] if below else []
            elif below in pages:
                out.append(item)
        elif "*" in item:
            depth = item.count("/")
            found = (uri for uri in pages if fnmatch(uri, item) and uri.count("/") == depth and uri not in named)
            out += sorted(found, key=lambda uri: (uri not in ("api/commands.md", "api/core.md"), uri))
        elif item in pages:
            out.append(item)
    return out
