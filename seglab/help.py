"""The page that ``--help`` prints: groups, their options and keys, read from the comments in ``conf/``."""

from __future__ import annotations

import re
from pathlib import Path

from seglab.config import conf_dir

WIDTH = 30


def help_page(command: str) -> str:
    """Render the help page of a command.

    Args:
        command: name of a YAML file at the top of ``conf/``.

    Returns:
        Plain text. Nothing but the YAML files is read, so the page appears at once.
    """
    root = conf_dir()
    main = root / f"{command}.yaml"
    parts = [first_comment(main), "", "Keys"]
    parts += _keys(main, "")
    if "  - train" in main.read_text(encoding="utf-8"):
        main = root / "train.yaml"
        parts += _keys(main, "")
    groups = _defaults(main)
    if "data" in dict(groups):  # the evaluation is chosen by the data set, so no command names it among its defaults
        groups.append(("eval", "saliency"))
    # What the command is asked for by its own name, e.g. table=cas_t3.
    if (root / command).is_dir() and command not in dict(groups):
        groups.insert(0, (command, ""))
    for group, default in groups:
        parts += ["", *_group(root / group, group, default)]
        for nested in sorted(p for p in (root / group).iterdir() if p.is_dir()):
            parts += ["", *_group(nested, f"{group}/{nested.name}", "")]
    parts += ["", "Hydra", "  -m key=a,b,c                  sweep: one run for every combination"]
    parts += ["  --cfg job                     print the composed config and stop\n"]
    return "\n".join(parts)


def first_comment(path: Path) -> str:
    """The sentence that heads a YAML file."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#") and "@package" not in line:
            return line.lstrip("# ").strip()
    return ""


def _defaults(path: Path) -> list[tuple[str, str]]:
    found = re.findall(r"^  - (?:optional )?(\w+): (\S+)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return [(group, option) for group, option in found if (conf_dir() / group).is_dir()]


def _group(folder: Path, group: str, default: str) -> list[str]:
    """The options of a group, the default first, each with those of its keys that were not shown before."""
    lines = [f"{group}=..."]
    prefix = f"{group.replace('/', '.')}."
    bases = sorted(folder.glob("_*.yaml"))
    shown = {_name(line) for path in bases for line in _keys(path, prefix)}
    options = [p for p in folder.glob("*.yaml") if not p.stem.startswith("_")]
    for path in sorted(options, key=lambda p: (p.stem != default, p.stem)):
        mark = "  (default)" if path.stem == default else ""
        lines.append(f"  {path.stem:<{WIDTH - 2}}{first_comment(path)}{mark}")
        for line in _keys(path, prefix):
            if _name(line) not in shown:
                shown.add(_name(line))
                lines.append(line)
    if bases:
        lines.append("  all of them")
    return lines + [line for path in bases for line in _keys(path, prefix)]


def _name(line: str) -> str:
    return line.split("=")[0].strip()


def _keys(path: Path, prefix: str) -> list[str]:
    """One line for every commented key of a YAML file; keys of ``defaults`` and ``hydra`` are not shown."""
    lines: list[str] = []
    stack: list[tuple[int, str]] = []
    text = path.read_text(encoding="utf-8")
    prefix = "" if "@package _global_" in text else prefix
    for raw in text.splitlines():
        match = re.match(r"^( *)(\w+):(?:\s+(.*?))?\s*(?:#\s*(.*))?$", raw)
        if not match or raw.lstrip().startswith("#"):
            continue
        indent, key, value, comment = len(match[1]), match[2], match[3] or "", match[4]
        while stack and stack[-1][0] >= indent:
            stack.pop()
        dotted = ".".join([*(k for _, k in stack), key])
        stack.append((indent, key))
        if comment and not key.startswith("_") and not dotted.startswith(("hydra", "defaults", "about")):
            lines.append(f"    {f'{prefix}{dotted}={value}':<{WIDTH}}  {comment}")
    return lines
