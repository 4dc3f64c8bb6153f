"""Write a table as Markdown, CSV and LaTeX.

Used by ``python -m seglab.table table=cas_t3 scale=small``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from seglab.atomic import write_atomic
from seglab.report.csvfile import csv_text
from seglab.report.latex import latex_text
from seglab.report.markdown import markdown_text
from seglab.tables.claims import BoardLine
from seglab.tables.values import TableValues


def write_tables(
    values: TableValues, claims_board: Sequence[BoardLine], folder: Path, stem: str, figures: Sequence[Path] = ()
) -> list[Path]:
    """Write ``<stem>.md``, ``<stem>.csv`` and ``<stem>.tex``, each whole or not at all.

    Args:
        values: the table at one scale.
        claims_board: from :func:`seglab.tables.claims.board`.
        folder: where to write.
        stem: name of the files without suffix.
        figures: files of figures to be shown in the Markdown.

    Returns:
        The files, in this order.
    """
    texts = {
        "md": markdown_text(values, claims_board, folder, figures),
        "csv": csv_text(values),
        "tex": latex_text(values),
    }
    return [write_atomic(folder / f"{stem}.{suffix}", text) for suffix, text in texts.items()]
