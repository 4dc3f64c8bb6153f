"""Versions: seglab and how it is installed, Python, the packages it needs and those it can use.

One runnable line: ``python -c "from seglab.checkup.software import facts; print(*facts())"``.
"""

from __future__ import annotations

import json
import platform
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from seglab import __version__
from seglab.checkup.fact import Fact

NEEDED = re.compile(r"^([A-Za-z0-9._-]+)\s*(?:>=\s*([0-9.]+))?[^;]*(?:;\s*extra\s*==\s*['\"]([\w-]+)['\"])?")


def facts() -> Iterator[Fact]:
    """Facts about the software."""
    yield seglab_fact()
    yield conf_fact()
    build = platform.python_build()[1]
    good = sys.version_info >= (3, 11)
    text = f"{platform.python_version()} ({platform.python_implementation()}, {build}), {sys.executable}"
    yield Fact("python", text, "ok" if good else "broken", "" if good else "seglab needs Python 3.11 or newer")
    yield from package_facts()


def seglab_fact() -> Fact:
    """Version, commit and kind of installation."""
    from seglab.environment import git_state

    git = git_state()
    code = f"commit {git['commit'][:10]}{' with changes' if git['dirty'] else ''}" if git else "no git checkout"
    try:
        origin = metadata.distribution("seglab").read_text("direct_url.json")
        editable = json.loads(origin or "{}").get("dir_info", {}).get("editable", False)
        how = "installed in place (pip install -e)" if editable else "installed as a package"
    except metadata.PackageNotFoundError:
        how = "not installed, found on the path"
    return Fact("seglab", f"{__version__}, {code}, {how}, in {Path(__file__).resolve().parents[1]}")


def conf_fact() -> Fact:
    """The folder of YAML files."""
    try:
        from seglab.config import conf_dir

        return Fact("config", f"{conf_dir()}, {len(list(conf_dir().rglob('*.yaml')))} files")
    except (ImportError, FileNotFoundError) as error:
        return Fact("config", str(error), "broken", "reinstall seglab: pip install seglab")


def requirements() -> dict[str, tuple[str, str]]:
    """Package -> (oldest version that will do, extra that asks for it or ""), from the checkout or the installation.

    Raises:
        importlib.metadata.PackageNotFoundError: seglab is not installed.
    """
    found: dict[str, tuple[str, str]] = {}
    for line in written() or metadata.requires("seglab") or []:
        if match := NEEDED.match(line):
            name, oldest, extra = match[1].lower(), match[2] or "", match[3] or ""
            # What some use needs is asked for by that use, though the developers' extra may come first.
            if name not in found or not extra or found[name][1] == "dev":
                found[name] = (oldest, extra)
    return found


def written() -> list[str]:
    """The requirements of a checkout, which are newer than what was noted when it was installed; empty elsewhere."""
    path = Path(__file__).resolve().parents[2] / "pyproject.toml"
    project = tomllib.loads(path.read_text(encoding="utf-8")).get("project", {}) if path.is_file() else {}
    if project.get("name") != "seglab":
        return []
    extras = project.get("optional-dependencies", {})
    return project["dependencies"] + [f"{line}; extra == '{name}'" for name in extras for line in extras[name]]


def package_facts() -> Iterator[Fact]:
    """What is needed, and what only some uses need, each in one line; what is wrong in lines of its own."""
    try:
        wanted = requirements()
    except metadata.PackageNotFoundError:
        wanted = {}
        yield Fact("requirements", "unknown: seglab is not installed", "note", "install it: pip install -e .")
    core = [name for name, (_, extra) in wanted.items() if not extra]
    fine = []
    for name in core:
        have, oldest = installed(name), wanted[name][0]
        if have is None:
            yield Fact(name, "absent", "broken", f"pip install '{name}>={oldest}'")
        elif oldest and not reaches(have, oldest):
            yield Fact(name, f"{have} is too old", "broken", f"pip install --upgrade '{name}>={oldest}'")
        else:
            fine.append(f"{name} {have}{f' (>={oldest})' if oldest else ''}")
    yield Fact("needed", ", ".join(fine) or "unknown")
    names = [name for name, (_, extra) in wanted.items() if extra not in ("", "dev")]
    have = {name: installed(name) for name in names}
    yield Fact("present extras", ", ".join(f"{n} {v}" for n, v in have.items() if v) or "none")
    yield Fact("absent extras", ", ".join(n for n, v in have.items() if not v) or "none")
    for name, version in have.items():
        oldest = wanted.get(name, ("", ""))[0]
        if version and oldest and not reaches(version, oldest):
            yield Fact(name, f"{version} is too old", "note", f"pip install --upgrade '{name}>={oldest}'")


def installed(name: str) -> str | None:
    """Version of a package; None where it is absent."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def reaches(version: str, oldest: str) -> bool:
    """Whether a version is at least another, by their leading numbers: ``2.11.0+cu130`` reaches ``2.11``."""

    def numbers(text: str) -> list[int]:
        found = [int(n) for n in re.match(r"\d*(?:\.\d+)*", text)[0].split(".") if n]
        return (found + [0] * 4)[:4]

    return numbers(version) >= numbers(oldest)
