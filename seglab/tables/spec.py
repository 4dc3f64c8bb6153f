"""One published table or figure, read from ``conf/table/<id>.yaml`` and checked.

One runnable line: ``python -c "from seglab.tables.spec import load_table; print(load_table('cas_t3').rows[0])"``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from seglab.config import conf_dir
from seglab.words import nearest

KINDS = ("ours", "published", "extra")
"""ours: trained by the paper's authors, to be reproduced; published: quoted by them; extra: not in the paper."""


@dataclass(frozen=True)
class Column:
    """What one number of a row is.

    Attributes:
        name: heading.
        set: name of a file in ``conf/data``.
        metric: name of a metric as the evaluator writes it.
        better: ``higher`` or ``lower``.
        protocol: name of the protocol the metric is measured by.
        paper_name: heading in the paper, where a stand-in data set changed it; else the same as ``name``.
    """

    name: str
    set: str
    metric: str
    better: str
    protocol: str = "cas"
    paper_name: str = ""


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        name: as printed.
        kind: one of :data:`KINDS`.
        values: published numbers as they are to be compared, misprints corrected, one per column of the paper's table;
            None = a printed dash. Empty where nothing is published.
        printed: the same as printed, misprints included.
        run: overrides of ``seglab.train`` that train it; empty where nothing is to be trained.
        starts_from: name of the row whose finished run the training starts from.
        cells: for a row assembled from others: per column of the paper's table, ``row`` or ``table:row``.
        unavailable: why a row of kind ``ours`` cannot be trained yet.
        series: line of a plot it belongs to.
        x: its position on that line.
    """

    name: str
    kind: str
    values: tuple[float | None, ...] = ()
    printed: tuple[float | None, ...] = ()
    run: tuple[str, ...] = ()
    starts_from: str | None = None
    cells: tuple[str, ...] = ()
    unavailable: str | None = None
    series: str | None = None
    x: float | None = None


@dataclass(frozen=True)
class Claim:
    """One statement of the paper.

    Attributes:
        text: in words.
        check: expression over rows, see :mod:`seglab.tables.claims`; None = prose that a table cannot decide.
        columns: metric names or headings (``*`` allowed) the check is made for, one by one; empty = all columns.
        at_least: in how many of these columns it has to hold; None = in all.
    """

    text: str
    check: str | None = None
    columns: tuple[str, ...] = ()
    at_least: int | None = None


@dataclass(frozen=True)
class TableSpec:
    """A whole table; a figure is a table with ``figures``, perhaps without columns.

    Attributes:
        id: name of the file.
        paper: short name of the paper.
        title: caption as printed.
        source: where it is printed.
        protocol: how the authors trained and measured.
        columns: as in the paper.
        rows: as in the paper, extra ones included.
        claims: statements to check.
        notes: misprints, contradictions, our readings.
        trained_on: ``row``: a row's overrides name its training data; ``column``: each column's data set is also what
            its row was trained on.
        scales: per scale, changes of the scale's own settings for this table (``title``, ``data``, ``models``,
            ``overrides``, ``seeds``).
        figures: nodes with a ``_target_`` in ``seglab.report.figures``, drawn from the rows.
    """

    id: str
    paper: str
    title: str
    source: str
    protocol: str
    columns: tuple[Column, ...] = ()
    rows: tuple[Row, ...] = ()
    claims: tuple[Claim, ...] = ()
    notes: tuple[str, ...] = ()
    trained_on: str = "row"
    scales: Mapping[str, Mapping[str, Any]] | None = None
    figures: tuple[Mapping[str, Any], ...] = ()

    def row(self, name: str) -> Row:
        """The row of that name."""
        return next(row for row in self.rows if row.name == name)


def table_ids() -> list[str]:
    """Names of all tables in ``conf/table``."""
    return sorted(path.stem for path in (conf_dir() / "table").glob("*.yaml") if not path.stem.startswith("_"))


def load_table(name: str) -> TableSpec:
    """Read and check ``conf/table/<name>.yaml``.

    Args:
        name: name of the file, or the path of a YAML file of one's own.

    Raises:
        ValueError: no such table, a key it does not have, or values that do not fit its columns.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else conf_dir() / "table" / f"{name}.yaml"
    if not path.is_file():
        raise ValueError(f"table={name}: no such table{nearest(name, table_ids())}")
    try:
        # Not resolved: a table is text and numbers, and nothing of the environment belongs on its page.
        content = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    except (OmegaConfBaseException, YAMLError, OSError, ValueError, AssertionError, RecursionError) as error:
        raise ValueError(f"{path}: {' '.join(str(error).split()) or 'not keys and values'}") from error
    spec = parse_table(content, str(path))
    if path.parent != conf_dir() / "table" and spec.id in table_ids():
        raise ValueError(f"{path}: id: '{spec.id}' is a table of seglab, whose files would be replaced; choose another")
    return spec


def parse_table(content: dict[str, Any], where: str) -> TableSpec:
    """Turn the content of a table file into a spec.

    Args:
        content: plain types.
        where: the file, for messages.

    Raises:
        ValueError: naming the file and the key.
    """
    if not isinstance(content, Mapping):
        raise ValueError(f"{where}: expected keys and values, found {type(content).__name__}")
    for key in ("columns", "rows", "claims"):
        if not isinstance(content.get(key) or [], list):
            raise ValueError(f"{where}: {key}={content[key]!r}: expected a list")
    columns = tuple(_build(Column, c, f"{where}: columns[{i}]") for i, c in enumerate(content.get("columns") or []))
    columns = tuple(replace(c, paper_name=c.paper_name or c.name) for c in columns)
    misprints = content.get("misprints") or {}
    if not isinstance(misprints, Mapping) or not all(isinstance(inner, Mapping) for inner in misprints.values()):
        raise ValueError(f"{where}: misprints={misprints}: expected rows, each with columns and numbers")
    content = {key: value for key, value in content.items() if key != "misprints"}
    rows = []
    for i, raw in enumerate(content.get("rows") or []):
        row = _build(Row, raw, f"{where}: rows[{i}]")
        rows.append(_with_misprints(row, columns, misprints.get(row.name, {}), where))
    claims = [_build(Claim, c, f"{where}: claims[{i}]") for i, c in enumerate(content.get("claims") or [])]
    for name in misprints:
        if name not in [row.name for row in rows]:
            raise ValueError(f"{where}: misprints: no row '{name}'{nearest(str(name), [row.name for row in rows])}")
    parts = {"columns": columns, "rows": tuple(rows), "claims": tuple(claims)}
    spec = _build(TableSpec, {**content, **parts}, where)
    _check(spec, where)
    return spec


def _with_misprints(row: Row, columns: Sequence[Column], corrected: Mapping[str, float], where: str) -> Row:
    names = [c.name for c in columns]
    for name in corrected:
        if name not in names:
            raise ValueError(f"{where}: misprints of '{row.name}': no column '{name}'{nearest(str(name), names)}")
        if not _fits(corrected[name], float | None):
            raise ValueError(f"{where}: misprints of '{row.name}': {name}={corrected[name]!r}: expected a number")
    values = tuple(corrected.get(n, v) for n, v in zip(names, row.values, strict=False))
    return replace(row, printed=row.values, values=values if len(row.values) == len(names) else row.values)


def _build(cls: type, content: Any, where: str) -> Any:
    if not isinstance(content, Mapping):
        raise ValueError(f"{where}: expected keys and values, found {content!r}")
    known = [f.name for f in fields(cls)]
    for key in content:
        if key not in known:
            raise ValueError(f"{where}: unknown key '{key}'{nearest(str(key), known)}")
    arguments, hints = {}, get_type_hints(cls)
    for key, value in content.items():
        if value is None:
            continue
        arguments[key] = tuple(value) if isinstance(value, list) else value
        if not _fits(arguments[key], hints[key]):
            raise ValueError(f"{where}: {key}={value!r}: expected {_in_words(hints[key])}")
    if absent := [f.name for f in fields(cls) if f.default is MISSING and f.name not in arguments]:
        raise ValueError(f"{where}: missing {', '.join(absent)}: expected {'values' if absent[1:] else 'a value'}")
    return cls(**arguments)


def _fits(value: Any, hint: Any) -> bool:
    """Whether a plain value is of the kind a field holds."""
    if (origin := get_origin(hint)) is tuple:
        return isinstance(value, tuple) and all(_fits(inner, get_args(hint)[0]) for inner in value)
    if origin in (Union, UnionType):
        return any(_fits(value, option) for option in get_args(hint))
    if hint in (int, float):
        return isinstance(value, int | hint) and not isinstance(value, bool)
    return isinstance(value, origin or hint)


def _in_words(hint: Any) -> str:
    known = {tuple: "a list", str: "text", int: "a whole number", float: "a number", Mapping: "keys and values"}
    options = [o for o in get_args(hint) if o is not type(None)] if get_origin(hint) in (Union, UnionType) else [hint]
    kind = get_origin(options[0]) or options[0]
    inner = f" of {_in_words(get_args(options[0])[0])}" if kind is tuple else ""
    return known.get(kind, "keys and values" if issubclass(kind, Mapping) else kind.__name__) + inner


def _check(spec: TableSpec, where: str) -> None:
    for group, names in (("rows", [r.name for r in spec.rows]), ("columns", [c.name for c in spec.columns])):
        if twice := sorted({n for n in names if names.count(n) > 1}):
            raise ValueError(f"{where}: {group}: '{twice[0]}' appears more than once")
    if spec.trained_on not in ("row", "column"):
        raise ValueError(f"{where}: trained_on={spec.trained_on}: expected row or column")
    for column in spec.columns:
        if column.better not in ("higher", "lower"):
            raise ValueError(f"{where}: column '{column.name}': better={column.better}: expected higher or lower")
    if not re.fullmatch(r"[A-Za-z0-9_]+", spec.id):
        raise ValueError(f"{where}: id={spec.id}: expected letters, digits and underscores; files are named by it")
    scales = sorted(path.stem for path in (conf_dir() / "scale").glob("*.yaml"))
    for scale in spec.scales or {}:
        if scale not in scales:
            raise ValueError(f"{where}: scales.{scale}: no such scale{nearest(str(scale), scales)}")
    for figure in spec.figures:
        if not isinstance(figure, Mapping) or not re.fullmatch(r"[A-Za-z0-9_]+", str(figure.get("name", ""))):
            raise ValueError(
                f"{where}: figures: {figure}: expected _target_ and a name of letters, digits, underscores"
            )
    _check_rows(spec, where)


def _check_rows(spec: TableSpec, where: str) -> None:
    names = [r.name for r in spec.rows]
    for row in spec.rows:
        place = f"{where}: row '{row.name}'"
        if row.kind not in KINDS:
            raise ValueError(f"{place}: kind={row.kind}: expected {', '.join(KINDS)}")
        for key, given in (("values", row.values), ("cells", row.cells), ("run", row.run)):
            if not isinstance(given, tuple):
                raise ValueError(f"{place}: {key}={given}: expected a list")
            if given and key != "run" and len(given) != len(spec.columns):
                raise ValueError(f"{place}: {len(given)} {key} for {len(spec.columns)} columns")
        ways = [k for k in ("run", "cells", "unavailable") if getattr(row, k)]
        if row.kind != "published" and len(ways) != 1:
            raise ValueError(f"{place}: expected one of run, cells, unavailable; found {', '.join(ways) or 'none'}")
        if row.kind == "published" and ways:
            raise ValueError(f"{place}: kind=published is not trained; found {', '.join(ways)}")
        _check_start(spec, row, place)
        for cell in row.cells:
            if ":" not in cell and (cell not in names or spec.row(cell).cells):
                raise ValueError(f"{place}: cells: '{cell}': no such row with numbers of its own{nearest(cell, names)}")


def _check_start(spec: TableSpec, row: Row, place: str) -> None:
    names, chain = [r.name for r in spec.rows], [row.name]
    while start := spec.row(chain[-1]).starts_from:
        if start not in names:
            raise ValueError(f"{place}: starts_from={start}: no such row{nearest(start, names)}")
        if not spec.row(start).run:
            raise ValueError(f"{place}: starts_from={start}: that row is not trained; expected one with run")
        if start in chain:
            raise ValueError(f"{place}: starts_from={start}: the rows start from each other")
        chain.append(start)
