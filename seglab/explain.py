"""Turn Hydra's complaints into one message that names the key, its value and what is expected."""

from __future__ import annotations

import re
from collections.abc import Mapping

from omegaconf import OmegaConf

from seglab.config import conf_dir
from seglab.words import nearest


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
        return unknown_key(found.group(1), command)
    if found := re.search(r"Could not find '([\w./-]+)/([\w.-]+)'|In '[^']*': Could not find '([^']+)'", text):
        group, option = (found.group(1), found.group(2)) if found.group(1) else found.group(3).rsplit("/", 1)
        return unknown_option(group, option)
    return text.split("\nSet the environment variable")[0].strip()


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
    if "/" in key or "." not in key:
        known = sorted({*groups(), *_top_level(command)})
        if key in known:
            return f"'{key}' cannot be changed so in seglab.{command} (see python -m seglab.{command} --help)"
        return f"unknown key '{key}'{nearest(key, known)} (see python -m seglab.{command} --help)"
    parent, _, leaf = key.rpartition(".")
    options = _keys_below(parent)
    known = sorted(set().union(*options.values()))
    group = parent.split(".")[0]
    if not known and group not in {*groups(), *_top_level(command)}:
        return unknown_key(group, command)
    if owners := [option for option, keys in options.items() if leaf in keys and not option.startswith("_")]:
        return f"unknown key '{key}' here: it belongs to {', '.join(f'{group}={o}' for o in owners)}"
    return f"unknown key '{key}'{nearest(leaf, known, parent)} (see python -m seglab.{command} --help)"


def groups() -> list[str]:
    """Names of the config groups, nested ones with a slash."""
    root = conf_dir()
    return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_dir())


def _top_level(command: str) -> set[str]:
    config = OmegaConf.load(conf_dir() / f"{command}.yaml")
    return {str(k) for k in config if k not in ("defaults", "hydra")}


def _keys_below(parent: str) -> dict[str, set[str]]:
    """Keys that each option of the group offers below ``parent``."""
    group, _, inner = parent.partition(".")
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
    return any(leaf in keys for name, keys in _keys_below(parent).items() if name == chosen or name.startswith("_"))
