"""At which scale a table is made: the paper's own data and networks, or what stands in for them.

One runnable line: ``python -m seglab.table table=cas_t3 scale=small status=true``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from omegaconf import DictConfig, OmegaConf

from seglab.config import conf_dir
from seglab.help import first_comment
from seglab.identity import ARITHMETIC
from seglab.tables.expression import matches
from seglab.tables.spec import Column, Row, TableSpec
from seglab.words import nearest

OWN_KEYS = ("title", "data", "models", "overrides", "rows", "trained_on", "columns", "seeds")
"""What a table may change of a scale."""


@dataclass(frozen=True)
class Scale:
    """One scale, as it applies to one table.

    Attributes:
        name: ``paper``, ``small``, ``smoke`` ...
        title: what it changes, in words.
        data: data set -> its stand-ins; None = every set stands for itself; sets not named are left out.
        models: network -> its stand-in; None = every network stands for itself.
        overrides: further overrides of ``seglab.train``.
        rows: those of single rows, {name, or several with ``*``: overrides}; they come last.
        seeds: one run of every row for each.
        trained_on: those of rows that are trained on one data set, {its name at this scale: overrides}.
        kept: headings of the paper's columns that are kept, several with ``*``; None = all.
    """

    name: str
    title: str
    data: Mapping[str, Sequence[str]] | None
    models: Mapping[str, str] | None
    overrides: tuple[str, ...]
    seeds: tuple[int, ...]
    rows: Mapping[str, Sequence[str]] = field(default_factory=dict)
    trained_on: Mapping[str, Sequence[str]] = field(default_factory=dict)
    kept: Sequence[str] | None = None

    def changes(self, row: Row, data: str = "") -> tuple[str, ...]:
        """The overrides that are laid over those of a row that is trained on a data set."""
        own = [o for pattern, overrides in self.rows.items() if matches(row.name, pattern) for o in overrides]
        return (*self.overrides, *self.trained_on.get(data, ()), *own)

    def stand_ins(self, name: str) -> tuple[str, ...]:
        """The data sets that stand for one of the paper's; empty where there is none.

        ``web/*`` in ``data`` speaks of every category that is not named itself; ``*`` in its stand-in is the category.
        """
        if self.data is None:
            return (name,)
        file, _, category = name.partition("/")
        every = self.data.get(f"{file}/*", ()) if category else ()
        return tuple(self.data.get(name, [one.replace("*", category) for one in every]))

    def columns(self, spec: TableSpec) -> tuple[Column, ...]:
        """The columns of a table at this scale: one for every stand-in of a column's data set.

        A mean over columns stays where it is, unless the scale leaves out all of them.
        """
        own = [c for c in spec.columns if not c.mean_of and self.keeps(c)]
        # Headings of a table with one metric on several data sets name these only.
        sets_only = len({c.metric for c in own}) == 1 < len({c.set for c in own})
        sets = {c.set for c in own}
        # Columns that differ in how the rows are trained, on one data set, are not told apart by its name.
        plain = len(sets) == 1 and len(self.stand_ins(*sets)) == 1 and any(c.overrides for c in own)
        found: list[Column] = []
        for c in filter(self.keeps, spec.columns):
            names = [o.set for o in own if "*" in c.mean_of or o.paper_name in c.mean_of]
            if c.mean_of:
                found += [c] if any(map(self.stand_ins, names)) else []
            else:
                names = self.stand_ins(c.set)
                found += [replace(c, set=n) if plain else _stand_in(c, n, sets_only=sets_only) for n in names]
        return tuple(found)

    def keeps(self, column: Column) -> bool:
        """Whether the table has a column at this scale."""
        return self.kept is None or any(matches(column.paper_name, pattern) for pattern in self.kept)


def scale_for(cfg: DictConfig, spec: TableSpec) -> Scale:
    """The scale of a command line, with what the table changes of it.

    Args:
        cfg: finalised config of ``conf/table.yaml``.
        spec: the table.

    Raises:
        ValueError: a table changes something a scale does not have, or ``seeds`` are no seeds.
    """
    settings = OmegaConf.to_container(cfg.scale, resolve=True)
    typed = sorted(key for key in cfg.typed if key.startswith("scale."))
    # What was typed counts for all tables; what a table brings along counts where nothing was typed.
    brought = (spec.scales or {}).get(settings["own"]) or {}
    for key in brought:
        if key not in OWN_KEYS:
            raise ValueError(f"table {spec.id}: scales.{settings['own']}.{key}: no such key{nearest(key, OWN_KEYS)}")
    own = {k: v for k, v in brought.items() if not any(f"{t}.".startswith(f"scale.{k}.") for t in typed)}
    settings |= own
    name, title = settings["name"], settings["title"]
    weighty = [*typed, *(f"runtime.{key}" for key in ARITHMETIC if f"runtime.{key}" in cfg.typed)]
    changes = [f"{key}={OmegaConf.select(cfg, key)}" for key in weighty if key not in ("scale.name", "scale.title")]
    if changes:
        title += f"; changed: {', '.join(changes)}"
    # Numbers of different settings must not meet in one file.
    if changes and "scale.name" not in typed:
        name += "_changed"
    if name != settings["own"] and (conf_dir() / "scale" / f"{name}.yaml").is_file():
        raise ValueError(f"scale.name={name}: that is another scale; choose a name of your own")
    if not re.fullmatch(r"[A-Za-z0-9_]+", name):
        raise ValueError(f"scale.name={name}: expected letters, digits and underscores; files are named by it")
    rows = _lists(settings["rows"]) or {}
    for pattern in rows:
        if not any(matches(row.name, pattern) for row in spec.rows):
            known = nearest(pattern, [row.name for row in spec.rows])
            raise ValueError(f"table {spec.id}: scales.{settings['own']}.rows: no row '{pattern}'{known}")
    kept = settings.get("columns")
    for pattern in kept or []:
        if not any(matches(column.paper_name, pattern) for column in spec.columns):
            known = nearest(pattern, [column.paper_name for column in spec.columns])
            raise ValueError(f"table {spec.id}: scales.{settings['own']}.columns: no column '{pattern}'{known}")
    return Scale(
        name=name,
        title=title,
        data=_lists(settings["data"]),
        models=settings["models"],
        overrides=(*settings["overrides"], *_typed_runtime(cfg)),
        rows=rows,
        trained_on=_lists(settings.get("trained_on")) or {},
        kept=kept,
        seeds=seeds_of(settings["seeds"] if cfg.seeds is None else OmegaConf.to_container(cfg)["seeds"]),
    )


def seeds_of(value: Any) -> tuple[int, ...]:
    """A number of seeds, or the seeds themselves, as a tuple.

    Raises:
        ValueError: neither.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return tuple(range(value))
    if isinstance(value, list) and value and all(isinstance(v, int) and v >= 0 for v in value):
        return tuple(dict.fromkeys(value))
    raise ValueError(f"seeds={value}: expected how many (3 = seeds 0, 1, 2) or a list, e.g. seeds=[0,1,2]")


def _lists(data: Mapping[str, Any] | None) -> dict[str, list[str]] | None:
    return None if data is None else {k: [v] if isinstance(v, str) else list(v or []) for k, v in data.items()}


def _typed_runtime(cfg: DictConfig) -> list[str]:
    """Keys of ``runtime`` on the command line hold for every run, also against the scale's own."""
    keys = [k for k in cfg.typed if k.startswith("runtime.") and k not in ("runtime.outputs", "runtime.data_root")]
    return [f"{key}={OmegaConf.select(cfg, key)}".replace("=None", "=null") for key in keys]


def _stand_in(column: Column, name: str, *, sets_only: bool) -> Column:
    """A column on another data set, which takes the place of the paper's in the heading, or goes before it."""
    if name == column.set:
        return column
    named = column.name.lower().startswith(set_title(column.set).lower())
    what = "" if sets_only else column.name.split(" ", 1)[-1] if named else column.name
    return replace(column, name=f"{set_title(name)} {what}".rstrip(), set=name)


def set_title(name: str) -> str:
    """A data set's name as it is written in a heading: the first words of its file, then its category."""
    file, _, category = name.partition("/")
    path = conf_dir() / "data" / f"{file}.yaml"
    title = re.split("[:,]", first_comment(path))[0] if path.is_file() else file
    return f"{title} {category.replace('_', ' ')}".rstrip()
