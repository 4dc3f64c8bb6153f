"""Turn Hydra's complaints into one message that names the key, its value and what is expected."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from seglab.config import RANKERS, conf_dir
from seglab.phases import KEYS
from seglab.words import nearest

OPEN = {
    "data.source.sets": (r"data\.source\.sets", "{parent}.<name>=null"),
    "schedule.phases": (r"schedule\.phases(\.[^.]+\.set(\.[^.]+)?)?", "~{parent}.<name>"),
}
"""Mappings to which one may add names: the values of ``conf/`` are a choice, not all there is.

Where they begin -> those that are open, by a pattern, and what leaves a name out.
"""


def opened(parent: str) -> str | None:
    """Where the open mappings begin that the one of this name is among; None = one may not add to it."""
    return next((begin for begin, (pattern, _) in OPEN.items() if re.fullmatch(pattern, parent)), None)


def addable(key: str) -> bool:
    """Whether a key may be added: a name in an open mapping, or what a phase is made of."""
    parent, _, leaf = key.rpartition(".")
    return bool(opened(parent) or (opened(parent.rpartition(".")[0]) == "schedule.phases" and leaf in KEYS))


def explain(error: Exception, command: str) -> str:
    """One readable message for an error of Hydra or OmegaConf.

    Args:
        error: what Hydra raised while it parsed or composed.
        command: the command's name, e.g. ``"train"``.

    Returns:
        Message without a traceback; unknown keys and group options come with the nearest known one.
    """
    text = str(error)
    if found := re.search(r"(?:Could not override|Key) '([\w./@-]+)'", text):
        key, full = found.group(1), re.search(r"full_key: ([\w.]+)", str(error.__cause__ or ""))
        if full and (full[1].startswith(f"{key}.") or opened(full[1])):
            key = full[1]  # what is not there: b of a={b: 1}, or the whole mapping of a name in one
        elif full and key.startswith(f"{full[1]}.") and opened(full[1].rpartition(".")[0]):
            key = full[1]  # a name in an open mapping, and not what is below it
        return not_added(key) if full and full[1] == key and addable(key) else unknown_key(key, command)
    if found := re.search(r"Could not delete from config\. '([\w./-]+)' does not exist", text):
        return unknown_key(found.group(1), command)
    if found := re.search(r"Could not find '([\w./-]+)/([\w.-]+)'|In '[^']*': Could not find '([^']+)'", text):
        group, option = (found.group(1), found.group(2)) if found.group(1) else found.group(3).rsplit("/", 1)
        return unknown_option(group, option)
    if found := re.search(r"Missing mandatory value: ([\w.]+)", text):
        return f"{found.group(1)} is missing: expected {meaning(found.group(1))}"
    if found := re.search(r"Error merging override (.+)", text):
        reason = str(error.__cause__ or "").partition("\n")[0]
        return f"{found.group(1)}: expected a value of the kind that is there{f' ({reason})' if reason else ''}"
    # OmegaConf adds where it was in its own words, line by line.
    text = re.sub(r"\n\s*(?:full_key: .*|(?:object|reference)_type=.*)", "", text)
    return text.split("\nSet the environment variable")[0].strip()


def meaning(key: str) -> str:
    """What a key without a value holds: the comment beside it in ``conf/``."""
    *inner, leaf = key.split(".")
    folder = conf_dir().joinpath(*inner)
    for path in sorted(folder.glob("*.yaml")) if folder.is_dir() else []:
        line = rf"^{re.escape(leaf)}:\s*\?\?\?\s*# (.+)$"
        if found := re.search(line, path.read_text(encoding="utf-8"), flags=re.MULTILINE):
            return found[1]
    return "a value"


def not_added(key: str) -> str:
    """Message for a name in a mapping of :data:`OPEN` that is not there yet."""
    parent, _, leaf = key.rpartition(".")
    options, owner, begin = _keys_below(parent), _group_of(parent), opened(parent)
    here = sorted(set().union(*options.values()))
    if owners := [f"{owner}={option}" for option, keys in options.items() if leaf in keys]:
        known = f" ({', '.join(owners)} has it);"
    else:
        known = f" (known: {', '.join(here)});" if here else ";"
    out = f", and {OPEN[begin][1].format(parent=parent)} to leave one out" if begin else ""
    return f"'{key}' is not there yet{known} write +{key}=... to add it{out}"


def unknown_option(group: str, option: str) -> str:
    """Message for a choice that the group does not offer."""
    offered = sorted(p.stem for p in (conf_dir() / group).glob("*.yaml") if not p.stem.startswith("_"))
    if not offered:
        return f"unknown config group '{group}'{nearest(group, groups())}"
    guess = nearest(option, offered)
    guess = guess if "did you mean" in guess else ""
    return f"{group}={option}: no such option{guess} (offered: {', '.join(offered)})"


def unknown_key(key: str, command: str) -> str:
    """Message for a key that the command does not read."""
    page = f"(see python -m seglab.{command} --help)"
    mine = read_groups(command)
    known = sorted({*mine, *_typed(command)})
    parent, _, leaf = key.replace("/", ".").rpartition(".")
    group = parent.split(".")[0]
    if "/" in key or not parent or (group not in mine and group not in known):
        if key in known:
            return f"'{key}' cannot be changed so in seglab.{command} {page}"
        return f"unknown key '{key}'{_guess(key, known, command)} {page}"
    options = _keys_below(parent)
    for path in _files(command):  # a key inside another of the command's own file
        node = OmegaConf.select(OmegaConf.load(path), parent)
        options |= {f"_{path.stem}": {str(k) for k in node}} if OmegaConf.is_dict(node) else {}
    here = sorted(set().union(*options.values()))
    owner = _group_of(parent)
    if owners := [option for option, keys in options.items() if leaf in keys and not option.startswith("_")]:
        return f"unknown key '{key}' here: it belongs to {', '.join(f'{owner}={o}' for o in owners)}"
    guess = nearest(leaf, here, parent)
    if "did you mean" not in guess and (places := _leaves(command).get(leaf)):
        guess = _these(places)
    return f"unknown key '{key}'{guess} {page}"


def _guess(key: str, known: list[str], command: str) -> str:
    """Half a sentence: where the command has a key of this name, or of a similar one; else what it has at the top."""
    leaves, word = _leaves(command), re.split(r"[./]", key.partition("@")[0])[-1]
    if places := leaves.get(word):
        return _these(places)
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.6) + difflib.get_close_matches(word, leaves, cutoff=0.7)
    best = max(close, key=lambda name: difflib.SequenceMatcher(None, word, name).ratio(), default=None)
    if best is None:
        return f"; known here: {', '.join(known)}"
    return _these([best] if best in known else leaves[best])


def _these(places: list[str]) -> str:
    return f", did you mean {' or '.join(repr(place) for place in places[:3])}?"


def groups() -> list[str]:
    """Names of the config groups, nested ones with a slash."""
    root = conf_dir()
    return sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_dir())


def read_groups(command: str) -> list[str]:
    """Names of the config groups that a command reads, nested ones with a slash."""
    text = "".join(path.read_text(encoding="utf-8") for path in _files(command))
    own = {command, *re.findall(r"^  - (?:optional )?(\w+):", text, flags=re.MULTILINE)}
    if "data" in own:  # the evaluation is chosen by the data set
        own.add("eval")
    return [group for group in groups() if group.split("/")[0] in own]


def _files(command: str) -> list[Path]:
    """The command's file, after that of ``train`` where it is built on it."""
    own = conf_dir() / f"{command}.yaml"
    based = re.search(r"^  - train$", own.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return [conf_dir() / "train.yaml", own] if based else [own]


def _typed(command: str) -> set[str]:
    """Keys at the top that somebody may type: those that seglab sets itself are no help."""
    return {
        key
        for path in _files(command)
        for key in _top_level(path.stem)
        if not re.search(rf"^{key}:.*# set by seglab", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    }


@cache
def _leaves(command: str) -> dict[str, list[str]]:
    """Last part of every key below the command's groups -> whole keys, the shortest first; prose is left out."""
    found: dict[str, set[str]] = {}

    def walk(node: Any, prefix: str) -> None:
        for key in node if OmegaConf.is_dict(node) and not node._is_none() else ():
            if str(key) in ("defaults", "about") or str(key).startswith("_"):
                continue
            found.setdefault(str(key), set()).add(f"{prefix}.{key}")
            if str(key) == "phases":  # hardly ever meant by who types epochs
                continue
            walk(node._get_node(key), f"{prefix}.{key}")

    for group in read_groups(command):
        for path in (conf_dir() / group).glob("*.yaml"):
            if group != command and "@package _global_" not in path.read_text(encoding="utf-8"):
                walk(OmegaConf.load(path), group.replace("/", "."))
    return {leaf: sorted(places, key=lambda place: (place.count("."), place)) for leaf, places in found.items()}


def _top_level(command: str) -> set[str]:
    config = OmegaConf.load(conf_dir() / f"{command}.yaml")
    return {str(k) for k in config if k not in ("defaults", "hydra")}


def _group_of(parent: str) -> str:
    """The config group that a key's parent lies in: ``eval/protocol`` for ``eval.protocol``."""
    parts = parent.split(".")
    nested = "/".join(parts[:2])
    return nested if parts[1:] and (conf_dir() / nested).is_dir() else parts[0]


def _keys_below(parent: str) -> dict[str, set[str]]:
    """Keys that each option of the group offers below ``parent``."""
    group = _group_of(parent)
    inner = parent[len(group) + 1 :]
    found: dict[str, set[str]] = {}
    for path in sorted((conf_dir() / group).glob("*.yaml")):
        config = OmegaConf.load(path)
        if "@package _global_" in path.read_text(encoding="utf-8").split("\n\n")[0]:
            config = config.get(group, OmegaConf.create())
        node = OmegaConf.select(config, inner) if inner else config
        if OmegaConf.is_dict(node):
            found[path.stem] = {str(k) for k in node if k != "defaults" and not str(k).startswith("_")}
    return found


def known_key(key: str, choices: Mapping[str, str | None]) -> bool:
    """Whether some command, or the chosen option of the key's group, has this key."""
    parent, _, leaf = key.rpartition(".")
    if not parent:
        return any(leaf in _top_level(path.stem) for path in conf_dir().glob("*.yaml"))
    chosen = choices.get(parent.split(".")[0])
    if parent == "data.source.runs":  # which categories there are, the source knows
        return True
    if parent == RANKERS:  # names are anybody's
        return bool(_keys_below(parent).get(str(chosen)))
    if addable(key):
        begin = opened(parent) or opened(parent.rpartition(".")[0])
        return bool(begin and _keys_below(begin).get(str(chosen)))
    made_of = _made_of(_group_of(parent), str(chosen))
    return any(leaf in keys for name, keys in _keys_below(parent).items() if name in made_of)


def _made_of(group: str, option: str) -> set[str]:
    """An option of a group and those it is built on, in the same place of the config."""
    path = conf_dir() / group / f"{option}.yaml"
    if not path.is_file():
        return {option}
    defaults = OmegaConf.load(path).get("defaults", [])
    bases = [str(base) for base in defaults if isinstance(base, str) and base != "_self_" and not set(base) & set("/@")]
    return {option}.union(*(_made_of(group, base) for base in bases))
