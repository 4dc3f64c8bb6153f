"""Where the configuration is, how it is composed, and what is checked before any data is read.

One runnable line: ``python -c "from seglab.config import compose; print(compose('train', ['loss=ce']).name)"``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf, open_dict

from seglab import interpolations as interpolations  # registered before any config is read
from seglab.composed import Composed, store
from seglab.data.names import swept_overrides
from seglab.proposals.recipe import choose_folder
from seglab.rules import ABSENT, check_values
from seglab.run import Run
from seglab.targets import check_targets
from seglab.words import nearest

RANKERS = "eval.rerank.rankers"
"""A mapping of names of one's own."""
CLICKS = "eval.post.clicks"
"""A key that only some read-outs take, and none has unless it is typed: numbers of a run do not depend on it."""


def conf_dir() -> Path:
    """The folder of YAML files: inside the package of a wheel, beside the package in a checkout.

    Raises:
        FileNotFoundError: the installation is broken, neither place exists.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / "conf", package.parent / "conf"):
        if (folder / "train.yaml").is_file():
            return folder
    raise FileNotFoundError(f"no conf/train.yaml in {package} or beside it: reinstall seglab")


def compose(command: str, overrides: list[str] | None = None) -> DictConfig:
    """Compose a command's config as its command line would, ready for use.

    Args:
        command: name of a YAML file at the top of ``conf/``, e.g. ``"train"``.
        overrides: Hydra overrides, e.g. ``["loss=cas", "noise.rate=0.5"]``.

    Returns:
        The finalised config, see :func:`finalise`.

    Raises:
        ValueError: an override names something that does not exist.
    """
    overrides = as_hydra_reads(overrides or [])
    for override in overrides:
        # Composing must not import anything: hydra.searchpath=[pkg://...] would. The command line has its own way.
        if re.match(r"[+~ \t]*hydra(?![\w-])", override):
            raise ValueError(f"{override}: Hydra's own settings belong on the command line")
    kept = store()
    made = kept.get(command, overrides) if kept else None
    if made is None:
        made = by_hydra(command, overrides)
        if kept:
            kept.put(command, overrides, made)
    return finalise(*made)


def by_hydra(command: str, overrides: list[str]) -> Composed:
    """What Hydra itself makes of overrides.

    Raises:
        ValueError: an override names something that does not exist.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from hydra.initialize import get_gh_backup, restore_gh_from_backup

    from seglab.explain import explain

    outer = get_gh_backup()  # a command line that is running, perhaps
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            cfg = hydra_compose(command, overrides, return_hydra_config=True)
    except HydraException as error:
        raise ValueError(explain(error, command)) from error
    except RecursionError as error:
        raise ValueError("an override refers to itself or is nested too deep") from error
    finally:
        restore_gh_from_backup(outer)
    choices, given = dict(cfg.hydra.runtime.choices), list(cfg.hydra.overrides.task)
    with open_dict(cfg):
        del cfg["hydra"]
    return Composed(cfg, choices, given)


def as_hydra_reads(arguments: Sequence[str]) -> list[str]:
    """Overrides as Hydra has to get them.

    A run's id is text (``init.run=12e4567890`` would be a number, an infinite one), and a data set's name may have a
    category (``data=voc_coseg/cow`` is ``data=voc_coseg data.category=cow``). ``data.source.runs.cow=<id>`` adds to a
    mapping that is not there yet, which Hydra wants to be told by ``++``; so it is with a ranker of one's own
    (``eval.rerank.rankers.mine=[network]``), and ``eval.rerank.rankers={...}`` are all of them, not some more.
    ``proposals=<folder>`` is ``proposals.folder=<folder>``; ``eval.post.clicks=<file>`` adds to the read-out. In
    ``overrides=[data.size=32]`` the inner overrides are text.

    Args:
        arguments: command line; every key that ends in ``run`` is looked at, several ids with commas included.

    Raises:
        ValueError: a sweep over categories of several data sets, or ``proposals`` is neither an option nor a folder.
    """
    found = []
    for argument in choose_folder(arguments):
        key, _, value = argument.partition("=")
        if key == "data" and (conf_dir() / "data" / f"{re.split('[/,]', value)[0]}.yaml").is_file():
            found += swept_overrides(value)
            continue
        one_of_runs, name = key.lstrip("+").startswith("data.source.runs."), key.lstrip("+").split(".")[-1]
        if (name in ("run", "category") or one_of_runs) and not set(value) & set("'\"[]{}()"):
            value = ",".join(f"'{v}'" if re.fullmatch(r"\d+(e\d+)?", v) else v for v in value.split(","))
            argument = f"{key}={value}"
        if name == "overrides" and re.fullmatch(r"\[[^\[\]{}()'\"]+\]", value):  # [a=b] without quotes is none to Hydra
            value = ",".join(f"'{one.strip()}'" for one in value[1:-1].split(","))
            argument = f"{key}=[{value}]"
        if key.lstrip("+") == RANKERS and value.startswith("{") and f"~{RANKERS}" not in found:
            found.append(f"~{RANKERS}")
        if one_of_runs or key.lstrip("+") == CLICKS or f"{key.lstrip('+')}.".startswith(f"{RANKERS}."):
            argument = f"++{argument.lstrip('+')}"
        found.append(argument)
    return found


def finalise(cfg: DictConfig, choices: Mapping[str, str | None], overrides: list[str]) -> DictConfig:
    """Give a composed config its name and check everything that can be checked before data is read.

    Args:
        cfg: composed config, changed in place.
        choices: Hydra's group choices, e.g. ``{"data": "duts", "loss": "cas"}``.
        overrides: the overrides it was composed with.

    Raises:
        ValueError: unknown key, forbidden or unknown ``_target_``, or a value outside its range.
    """
    check_added_keys(cfg, choices, overrides)
    check_groups(cfg, choices)
    cfg.name = "-".join(str(choices[group]) for group in ("data", "model", "loss") if group in choices)
    if "typed" in cfg:
        cfg.typed = [override.split("=")[0].lstrip("+") for override in overrides]
    check_values(cfg)
    check_targets(cfg)
    if choices.get("init") == "run" and OmegaConf.select(cfg, "init.run", default=ABSENT) is None:
        raise ValueError("init.run=None: expected a finished run: its folder, name or id; init=scratch takes none")
    if OmegaConf.select(cfg, "init.run") not in (None, ""):
        # However it was typed, it is one experiment: identity() looks at the folder's name.
        wanted = cfg.init.run
        if not isinstance(wanted, str | int) or isinstance(wanted, bool):
            raise ValueError(
                f"init.run={wanted}: expected a run's folder, name or id; quote an id: init.run=\"'12e4567890'\""
            )
        cfg.init.run = str(Run.find(str(wanted), cfg.runtime.outputs).path)
    whole_names(cfg)
    return cfg


def whole_names(cfg: DictConfig) -> None:
    """Runs that make pseudo-labels by their whole names: typed by name or by id, it is one experiment.

    Raises:
        ValueError: no run has that id.
    """
    runs = OmegaConf.select(cfg, "data.source.runs")
    for category, run in (runs or {}).items():
        if re.fullmatch(r"[0-9a-f]{10}", str(run)):
            runs[category] = Run.find(str(run), cfg.runtime.outputs).path.name


def check_groups(cfg: DictConfig, choices: Mapping[str, str | None]) -> None:
    """Refuse ``eval.protocol=cas``, which puts a word where the keys of an option belong: ``eval/protocol=cas``.

    Raises:
        ValueError: with what to write.
    """
    for group, option in choices.items():
        value = OmegaConf.select(cfg, path := group.replace("/", "."), default=ABSENT)
        # An option that lies at the top of the config, such as experiment=..., has no node of its own.
        if option is None or value is ABSENT or OmegaConf.is_dict(value):
            continue
        offered = sorted(p.stem for p in (conf_dir() / group).glob("*.yaml") if not p.stem.startswith("_"))
        wanted = value if value in offered else option
        raise ValueError(
            f"{path}={value}: expected one of the options of {group} ({', '.join(offered)}), changed key by key; "
            f"write {group}={wanted}"
        )


def check_added_keys(cfg: DictConfig, choices: Mapping[str, str | None], overrides: list[str]) -> None:
    """Refuse keys added with ``+`` that nobody reads, and keys taken out with ``~`` that somebody does.

    Constructors check their own arguments: what is added to them, and what they miss.

    Raises:
        ValueError: naming the key.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser

    from seglab.explain import addable, known_key

    for override in OverridesParser.create().parse_overrides(overrides):
        key = override.key_or_group
        if override.is_delete():
            _check_deletion(cfg, key, choices)
        # Hydra lets '+' through for a new key only; '++' may also be an odd way to change one that is there.
        added = override.is_add() or (override.is_force_add() and not known_key(key, choices))
        if not added or "/" in key or (conf_dir() / key).is_dir() or (addable(key) and known_key(key, choices)):
            continue
        parent, _, leaf = key.rpartition(".")
        node = OmegaConf.select(cfg, parent) if parent else cfg
        if isinstance(node, DictConfig) and "_target_" in node:
            continue
        if parent == RANKERS:
            raise ValueError(f"unknown key '{key}' here: it belongs to eval=rerank")
        known = [str(k) for k in node if k != leaf] if isinstance(node, DictConfig) else []
        raise ValueError(f"unknown key '{key}'{nearest(leaf, known, parent)}; seglab reads no such key, even with '+'")


def _check_deletion(cfg: DictConfig, key: str, choices: Mapping[str, str | None]) -> None:
    # An experiment taken back changes nothing; what fetches data scores nothing, and leaves that group out itself.
    if key == "experiment" or (key == "eval" and "download" in choices):
        return
    if (conf_dir() / key).is_dir():
        offered = sorted(p.stem for p in (conf_dir() / key).glob("*.yaml") if not p.stem.startswith("_"))
        raise ValueError(f"~{key}: '{key}' cannot be left out; choose one of its options: {', '.join(offered)}")
    from seglab.explain import opened

    if opened(key.rpartition(".")[0]) == "schedule.phases":  # which say themselves what they cannot do without
        return
    parent = OmegaConf.select(cfg, key.rpartition(".")[0]) if "." in key else cfg
    needed = key == "schedule.phases" or key.endswith("._target_")
    if not isinstance(parent, DictConfig) or "_target_" not in parent or needed:
        raise ValueError(f"~{key}: '{key}' cannot be left out; give it another value")
