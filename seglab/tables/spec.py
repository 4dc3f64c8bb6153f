"""One published table or figure, read from ``conf/table/<id>.yaml`` and checked.

One runnable line: ``python -c "from seglab.tables.spec import load_table; print(load_table('cas_t3').rows[0])"``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from seglab.config import conf_dir
from seglab.tables.checks import check_spec
from seglab.tables.fields import build, fits
from seglab.words import nearest

OURS = "ours"
"""In place of a paper's name: a table of our own, without published numbers."""


@dataclass(frozen=True)
class Column:
    """What one number of a row is.

    Attributes:
        name: heading.
        set: name of a file in ``conf/data``, perhaps with a category: ``voc_coseg/cow``.
        metric: name of a metric as the evaluator writes it.
        better: ``higher`` or ``lower``.
        protocol: name of the protocol the metric is measured by.
        paper_name: heading in the paper, where a stand-in data set changed it; else the same as ``name``.
        mean_of: for a mean over other columns: their headings, or ``*`` for all others; the mean is taken over those
            that the scale has.
        factor: what ours are multiplied by, e.g. 0.01 where the paper prints shares and the metric is in percent.
        overrides: of ``seglab.train``, added to those of every row for the run that is looked at in this column, e.g.
            ``[noise=boundary, noise.rate=0.3]``; columns with equal overrides share their runs.
        group: what the column belongs to; columns of a group form a block of the table and a panel of a plot. Those
            without one, in a table where others have one, belong to all groups.
        x: its position on the horizontal axis of that panel.
    """

    name: str
    set: str
    metric: str
    better: str
    protocol: str = "cas"
    paper_name: str = ""
    mean_of: tuple[str, ...] = ()
    factor: float = 1.0
    overrides: tuple[str, ...] = ()
    group: str = ""
    x: float | None = None


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        name: as printed.
        kind: one of :data:`seglab.tables.checks.KINDS`.
        values: published numbers as they are to be compared, misprints corrected, one per column of the paper's table;
            None = a printed dash. Empty where nothing is published.
        printed: the same as printed, misprints included.
        run: overrides of ``seglab.train`` that train it; empty where nothing is to be trained.
        starts_from: whose finished run the training starts from: ``row``, ``table:row``, or ``table:row|column`` for
            the run that was trained for that column; without a column, the one trained for the same column.
        labels_from: whose runs, one for each class, make the label maps that ``data=pseudo_labels`` trains on.
        trained_on: as that of the table, for this row; ``web/*``: the column's category of that data set.
        metric: measured in place of the columns' own metric; beside ``cells`` that of the rows they come from.
        metric_words: words of the columns' metrics that this row replaces; ``{svm: oracle}``: ``iou_oracle_cow`` of
            ``iou_svm_cow``.
        cells: for a row assembled from others: per column of the paper's table, named as in ``starts_from``.
        difference: for a row that is one row minus another: their names.
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
    labels_from: str | None = None
    trained_on: str | None = None
    metric: str | None = None
    metric_words: Mapping[str, str] | None = None
    cells: tuple[str, ...] = ()
    difference: tuple[str, ...] = ()
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
        paper: short name of the paper; :data:`OURS` for a table that no paper has.
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
            ``overrides``, ``rows``, ``trained_on``, ``columns``, ``seeds``).
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

    @property
    def is_ours(self) -> bool:
        """Whether no paper has the table: its rows and claims are our own."""
        return self.paper == OURS

    def row(self, name: str) -> Row:
        """The row of that name."""
        return next(row for row in self.rows if row.name == name)

    def column(self, paper_name: str) -> Column:
        """The column with that heading in the paper."""
        return next(column for column in self.columns if column.paper_name == paper_name)


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
    columns = tuple(build(Column, c, f"{where}: columns[{i}]") for i, c in enumerate(content.get("columns") or []))
    columns = tuple(replace(c, paper_name=c.paper_name or c.name) for c in columns)
    misprints = content.get("misprints") or {}
    if not isinstance(misprints, Mapping) or not all(isinstance(inner, Mapping) for inner in misprints.values()):
        raise ValueError(f"{where}: misprints={misprints}: expected rows, each with columns and numbers")
    content = {key: value for key, value in content.items() if key != "misprints"}
    rows = []
    for i, raw in enumerate(content.get("rows") or []):
        row = build(Row, raw, f"{where}: rows[{i}]")
        rows.append(_with_misprints(row, columns, misprints.get(row.name, {}), where))
    claims = [build(Claim, c, f"{where}: claims[{i}]") for i, c in enumerate(content.get("claims") or [])]
    for name in misprints:
        if name not in [row.name for row in rows]:
            raise ValueError(f"{where}: misprints: no row '{name}'{nearest(str(name), [row.name for row in rows])}")
    parts = {"columns": columns, "rows": tuple(rows), "claims": tuple(claims)}
    spec = build(TableSpec, {**content, **parts}, where)
    check_spec(spec, where)
    return spec


def _with_misprints(row: Row, columns: Sequence[Column], corrected: Mapping[str, float], where: str) -> Row:
    names = [c.name for c in columns]
    for name in corrected:
        if name not in names:
            raise ValueError(f"{where}: misprints of '{row.name}': no column '{name}'{nearest(str(name), names)}")
        if not fits(corrected[name], float | None):
            raise ValueError(f"{where}: misprints of '{row.name}': {name}={corrected[name]!r}: expected a number")
    values = tuple(corrected.get(n, v) for n, v in zip(names, row.values, strict=False))
    return replace(row, printed=row.values, values=values if len(row.values) == len(names) else row.values)
