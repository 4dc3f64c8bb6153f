"""Fetch, unpack and check a data set: ``python -m seglab.prepare data=duts``.

What has a direct address is fetched (``conf/download``); for the rest the message says where to get it and where to put
it. Then the images and masks are audited. Without ``data``: a table of what there is. The last line on stdout is the
page of the audit, or the folder of the data where nothing is audited.
"""

from __future__ import annotations

import difflib
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf

from seglab.cli import run_command
from seglab.config import conf_dir
from seglab.words import nearest

if TYPE_CHECKING:
    from seglab.fetch.recipe import Recipe
    from seglab.fetch.state import State

log = logging.getLogger(__name__)

VALUED = ("--cfg", "-c", "--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd", "--info", "-i")
VALUED += ("--package", "-p", "--experimental-rerun")
"""Flags of Hydra whose value is the next argument."""

FOLDERS = ("runtime.data_root", "runtime.outputs")

HOW = {name: "your own" for name in ("pairs", "photos", "class_folders", "web")}
HOW |= {"saliency_all": "joined"}
HOW |= {name: "composed" for name in ("texture_mosaic", "fabrics", "fabrics_single", "fabrics_web", "collage")}
HOW |= {"pseudo_labels": "made by runs", "pseudo_labels_voc": "made by runs"}
"""How data sets without a recipe come to be; any other is drawn."""


def prepare(cfg: DictConfig) -> Path | None:
    """Prepare one data set, or list them all.

    Args:
        cfg: finalised config of ``conf/prepare.yaml``.

    Returns:
        The page of the audit, or the folder of the data; None where a table was printed or nothing is to be done.

    Raises:
        ValueError: the set cannot be fetched, something in it is wrong, or the audit found errors.
    """
    for key in ("audit", "fetch", "force", "keep"):
        if cfg[key] not in (True, False):
            raise ValueError(f"{key}={cfg[key]}: expected true or false")
    for key, kind, low in (("timeout", int | float, 0.001), ("retries", int, 0)):
        if not isinstance(cfg[key], kind) or isinstance(cfg[key], bool) or cfg[key] < low:
            raise ValueError(
                f"{key}={cfg[key]}: expected a {'whole number' if kind is int else 'number'}, {low} or more"
            )
    for key in FOLDERS:
        refuse_home(key, str(OmegaConf.select(cfg, key)))
    data, node, listing = (cfg.get(key) for key in ("data", "download", "listing"))
    if data is None and node is None and listing is None:
        sys.stdout.write(table(Path(cfg.runtime.data_root)))
        return None
    if node is not None:
        bring(cfg)
    elif data is not None and not OmegaConf.is_missing(data, "name") and is_drawn(data):
        log.info("data=%s is drawn by seglab, there is nothing to prepare", data.name)
        return None
    if not cfg.audit or (data is None and listing is None):
        return Path(cfg.runtime.data_root)
    from seglab.audit.command import audit_for_prepare

    return audit_for_prepare(cfg)


def is_drawn(data: DictConfig) -> bool:
    """Whether a data set has no files: its source takes no images, and joins no other sets."""
    return not {"images", "photos", "sets"} & set(data.source)


def bring(cfg: DictConfig) -> None:
    """Fetch what is missing of the recipes that the data need.

    Raises:
        ValueError: it cannot be fetched; the message says what to do.
    """
    from seglab.fetch.get import by_hand, get
    from seglab.fetch.recipe import load_recipe, recipe_from
    from seglab.fetch.state import State
    from seglab.fetch.task import Patience

    root = Path(cfg.runtime.data_root)
    recipe = recipe_from(OmegaConf.to_container(cfg.download))
    state = State(root, recipe)
    if state.whole and not cfg.force:
        log.info("%s is there", recipe.name)
        for pattern, found in state.lacking(recipe.expect).items():  # as the archive gave them, see its record
            log.warning("%s: %s: %d files, %d expected", recipe.name, pattern, found, dict(recipe.expect)[pattern])
        return
    if not cfg.fetch:
        message = by_hand(state, "files are missing (fetch=false)")
        if state.words() == "absent" or not cfg.audit:
            raise ValueError(message)
        log.warning(message)
        return
    options = {
        "force": cfg.force,
        "keep": cfg.keep,
        "patience": Patience(timeout=cfg.timeout, retries=cfg.retries),
        "progress": cfg.runtime.progress,
    }
    for name in cfg.also:
        if needs(state, part := load_recipe(name)):
            get(part, root, **options)
    get(recipe, root, **options)


def needs(state: State, part: Recipe) -> bool:
    """Whether files are missing that this other recipe gives; a set may need only some of another one's."""
    shared = set(dict(part.expect)) & set(state.lacking(state.recipe.expect))
    return bool(shared)


def table(root: Path) -> str:
    """What can be prepared and how much of it is there."""
    from seglab.fetch.recipe import load_recipe, recipe_names
    from seglab.fetch.state import State

    rows = [("data", "below " + str(root), "how", "download", "what it is")]
    for name in recipe_names():
        recipe = load_recipe(name)
        size = f"{recipe.bytes / 1e6:.0f} MB" if recipe.bytes else "unknown" if recipe.files else "-"
        how = "fetched" if recipe.files else "by hand"
        rows.append((name, State(root, recipe).words(), how, size, recipe.title))
    for name in sorted(set(data_names()) - set(recipe_names())):
        source = OmegaConf.load(conf_dir() / "data" / f"{name}.yaml")
        parts = list((source.get("about") or {}).get("download") or [])
        how = HOW.get(name) or (f"with {', '.join(parts)}" if parts else "drawn")
        there = State(root, load_recipe(parts[0])).words() if len(parts) == 1 else "-"
        rows.append((name, there, how, "-", first_words("data", name)))
    for name in sorted(set(listing_names()) - set(recipe_names()) - set(data_names())):
        rows.append((name, "-", "audit only", "-", first_words("listing", name)))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)).rstrip() for row in rows
    ]
    return "\n".join(lines) + "\n"


def first_words(group: str, name: str) -> str:
    """What a YAML says of itself, short."""
    from seglab.help import first_comment

    text = first_comment(conf_dir() / group / f"{name}.yaml").split(": ", 1)[-1]
    return text if len(text) < 60 else f"{text[:57]}..."


def data_names() -> list[str]:
    """Names of ``conf/data``."""
    return sorted(path.stem for path in (conf_dir() / "data").glob("*.yaml") if not path.stem.startswith("_"))


def listing_names() -> list[str]:
    """Names of ``conf/listing``: sets that can be audited, whether or not they can be fetched or trained on."""
    return sorted(path.stem for path in (conf_dir() / "listing").glob("*.yaml"))


def offered_names() -> list[str]:
    """What ``data=`` may name: data sets, what can be fetched, what can be audited."""
    from seglab.fetch.recipe import recipe_names

    return sorted({*data_names(), *recipe_names(), *listing_names()})


def check_form(arguments: list[str]) -> None:
    """Refuse what is neither ``key=value`` nor a flag; ``sod`` was meant to be ``data=sod``.

    Raises:
        ValueError: naming the first such argument, and what was meant.
    """
    for before, argument in zip(["", *arguments], arguments, strict=False):
        if "=" in argument or argument.startswith(("-", "~")) or before in VALUED:
            continue
        offered = offered_names()
        close = [argument] if argument in offered else difflib.get_close_matches(argument, offered, n=1)
        close = [] if "/" in argument else close  # a path
        meant = f"did you mean data={close[0]}?" if close else "expected key=value, e.g. data=duts"
        raise ValueError(f"{argument or repr(argument)}: {meant}")


def refuse_home(key: str, folder: str) -> None:
    """Refuse a folder below ``~``: shells read that as the home folder, seglab and Hydra do not.

    Raises:
        ValueError: with the path that is meant.
    """
    if folder.startswith("~"):
        where = " (environment variable SEGLAB_DATA)" if key == FOLDERS[0] else ""
        raise ValueError(f"{key}={folder}{where}: '~' is not read here; expected {key}={os.path.expanduser(folder)}")


def complete(arguments: list[str]) -> list[str]:
    """Add the recipes of ``conf/download`` that ``data=`` needs; a name that only they know stands for its recipe.

    Args:
        arguments: command line, e.g. ``["data=duts"]``.

    Raises:
        ValueError: no such data set, or several, or an argument that is no ``key=value``.
    """
    from seglab.fetch.recipe import recipe_names

    check_form(arguments)
    given = dict(a.split("=", 1) for a in arguments if "=" in a)
    for key in FOLDERS:
        refuse_home(key, given.get(key, "").strip("'\""))
    if "download" in given:
        raise ValueError(f"download={given['download']}: chosen by data; type data={given['download']}")
    name = given.get("data")
    if name is None:
        if others := [key for key in given if key.startswith(("data.", "download."))]:
            raise ValueError(f"data is missing: {others[0]} belongs to a data set, e.g. data=duts")
        return arguments
    offered = offered_names()
    if "," in name:
        raise ValueError(f"data={name}: one data set at a time")
    typed, (name, _, category) = name, name.partition("/")  # voc_coseg/cow: the files are those of voc_coseg
    if name not in offered or (category and name not in data_names()):
        name = typed
        guess = nearest(name, offered)
        guess = guess if "did you mean" in guess else ""
        raise ValueError(f"data={name}: no such data set{guess} (offered: {', '.join(offered)})")
    rest = [a for a in arguments if not a.startswith("data=")]
    if name not in data_names():
        known = {"download": recipe_names(), "listing": listing_names()}
        return [*(f"{group}={name}" for group, names in known.items() if name in names), *rest]
    about = OmegaConf.load(conf_dir() / "data" / f"{name}.yaml").get("about", {})
    recipes = list(about.get("download") or ([name] if name in recipe_names() else []))
    # How the set is scored is not asked here, and its metrics would import torch.
    rest += ["~eval"]
    if not recipes:
        return [f"data={typed}", *rest]
    return [f"data={typed}", f"download={recipes[-1]}", f"also=[{','.join(recipes[:-1])}]", *rest]


def main() -> None:
    """The command line."""
    sys.exit(run_command("prepare", prepare, prepare=complete))


if __name__ == "__main__":
    main()
