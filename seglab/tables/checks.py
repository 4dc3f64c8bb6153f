"""What a table has to fulfil as a whole, each mistake one message that names the file and the key.

Used by :mod:`seglab.tables.spec`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from seglab.config import conf_dir
from seglab.tables.reference import RunsOf
from seglab.words import nearest

if TYPE_CHECKING:
    from seglab.tables.spec import Column, Row, TableSpec

KINDS = ("ours", "published", "extra", "start")
"""ours: trained by the paper's authors, to be reproduced; published: quoted by them; extra: not in the paper; start:
trained for other rows to start from or to take labels from, not shown."""
WAYS = ("run", "cells", "difference", "unavailable")
"""Where the numbers of a row come from; a row has one of them."""

RESERVED = ("seed", "data", "data.category", "runtime.outputs", "runtime.data_root")
"""Keys that no column can set: they follow from the table's seeds, from a column's ``set`` and from the scale."""


def check_spec(spec: TableSpec, where: str) -> None:
    """Check a table.

    Args:
        spec: read from a file.
        where: the file, for messages.

    Raises:
        ValueError: naming the file and the key.
    """
    for group, names in (("rows", [r.name for r in spec.rows]), ("columns", [c.name for c in spec.columns])):
        if twice := sorted({n for n in names if names.count(n) > 1}):
            raise ValueError(f"{where}: {group}: '{twice[0]}' appears more than once")
    if spec.trained_on not in ("row", "column"):
        raise ValueError(f"{where}: trained_on={spec.trained_on}: expected row or column")
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
    _check_columns(spec, where)
    for row in spec.rows:
        _check_row(spec, row, f"{where}: row '{row.name}'")


def _check_columns(spec: TableSpec, where: str) -> None:
    own = [c.name for c in spec.columns if not c.mean_of]
    for column in spec.columns:
        if column.better not in ("higher", "lower"):
            raise ValueError(f"{where}: column '{column.name}': better={column.better}: expected higher or lower")
        for name in column.mean_of:
            if name != "*" and name not in own:
                raise ValueError(f"{where}: column '{column.name}': mean_of: no column '{name}'{nearest(name, own)}")
        _check_overrides(column, f"{where}: column '{column.name}': overrides")


def _check_overrides(column: Column, place: str) -> None:
    """What a column adds to the rows' overrides; whether they compose is seen for each row, by its own."""
    if column.overrides and column.mean_of:
        raise ValueError(f"{place}: the column is a mean of others; expected them there")
    keys = [override.partition("=")[0].strip() for override in column.overrides]
    for key, override in zip(keys, column.overrides, strict=True):
        if "=" not in override or not re.fullmatch(r"[A-Za-z_][\w./@]*", key):
            raise ValueError(f"{place}: '{override}': expected <key>=<value>, e.g. noise.rate=0.3")
        if key in RESERVED:
            raise ValueError(f"{place}: '{override}': expected another key; the table itself sets {key}")
        if keys.count(key) > 1:
            raise ValueError(f"{place}: {key} appears more than once")


def _check_row(spec: TableSpec, row: Row, place: str) -> None:
    if row.kind not in KINDS:
        raise ValueError(f"{place}: kind={row.kind}: expected {', '.join(KINDS)}")
    for key, given in (("values", row.values), ("cells", row.cells), ("run", row.run)):
        if not isinstance(given, tuple):
            raise ValueError(f"{place}: {key}={given}: expected a list")
        if given and key != "run" and len(given) != len(spec.columns):
            raise ValueError(f"{place}: {len(given)} {key} for {len(spec.columns)} columns")
    ways = [k for k in WAYS if getattr(row, k)]
    if row.kind == "published" and ways:
        raise ValueError(f"{place}: kind=published is not trained; found {', '.join(ways)}")
    if row.kind != "published" and len(ways) != 1:
        raise ValueError(f"{place}: expected one of {', '.join(WAYS)}; found {', '.join(ways) or 'none'}")
    if row.kind == "start" and (row.values or not row.run):
        raise ValueError(f"{place}: kind=start is trained and not shown; expected run, and no values")
    for key in ("starts_from", "labels_from", "trained_on", "metric", "metric_words"):
        if getattr(row, key) and not row.run and not (key == "metric" and row.cells):
            raise ValueError(f"{place}: {key}={getattr(row, key)}: the row is not trained; expected it beside run")
    if row.trained_on and row.trained_on not in ("row", "column") and not re.fullmatch(r"\w+/\*", row.trained_on):
        raise ValueError(
            f"{place}: trained_on={row.trained_on}: expected row, column, or <data set>/* for the column's category"
        )
    _check_references(spec, row, place)


def _check_references(spec: TableSpec, row: Row, place: str) -> None:
    """Find what a row says of rows of its own table; other tables are looked at where they are read."""
    names = [r.name for r in spec.rows]
    for key in ("starts_from", "labels_from"):
        if (text := getattr(row, key)) and not (wanted := RunsOf.read(text)).table:
            if wanted.row not in names:
                raise ValueError(f"{place}: {key}={text}: no such row{nearest(wanted.row, names)}")
            if not spec.row(wanted.row).run:
                raise ValueError(f"{place}: {key}={text}: that row is not trained; expected one with run")
    chain = [row.name]
    while (start := spec.row(chain[-1]).starts_from) and not (wanted := RunsOf.read(start)).table:
        if wanted.row not in names:
            break  # said where that row is looked at
        if wanted.row in chain:
            raise ValueError(f"{place}: starts_from={row.starts_from}: the rows start from each other")
        chain.append(wanted.row)
    for text in row.cells:
        cell = RunsOf.read(text)
        if not cell.table and (cell.row not in names or spec.row(cell.row).cells):
            raise ValueError(f"{place}: cells: '{text}': no such row with numbers of its own{nearest(text, names)}")
        if not cell.table and (metric := spec.row(cell.row).metric) and row.metric != metric:
            raise ValueError(f"{place}: cells: '{text}': it is measured by metric={metric}, expected the same here")
    if row.difference and (len(row.difference) != 2 or row.name in row.difference):
        raise ValueError(f"{place}: difference={list(row.difference)}: expected two other rows, minuend first")
    for name in row.difference:
        if name not in names or spec.row(name).difference or spec.row(name).kind in ("published", "start"):
            raise ValueError(f"{place}: difference: '{name}': no such row with numbers of ours{nearest(name, names)}")
