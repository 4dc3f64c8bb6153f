"""A plain table, methods as rows and metrics as columns, as Markdown and LaTeX: best bold, second underlined.

Example: ``print(Grid(columns=[("MAE", "lower")], rows={"a": [0.1], "b": [0.2]}, digits=3).markdown())``
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from seglab.report.latex import escape
from seglab.report.layout import rank
from seglab.report.markdown import escape as escape_markdown

NONE = "\N{EN DASH}"
ARROWS = {"higher": "↑", "lower": "↓", "": ""}


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Numbers to be shown.

    Args:
        columns: heading and better direction: ``higher``, ``lower``, or empty for a count that nobody wins.
        rows: name -> one number a column; NaN is shown as a dash.
        digits: decimals; counts have none.
        corner: heading of the names.
    """

    columns: Sequence[tuple[str, str]]
    rows: dict[str, Sequence[float]]
    digits: int
    corner: str = "method"

    def text(self, number: float, better: str) -> str:
        """A number as it is shown."""
        digits = self.digits if better or not float(number).is_integer() else 0
        return NONE if math.isnan(number) else f"{number:.{digits}f}"

    def marks(self) -> list[dict[str, str]]:
        """For each column row -> ``best`` or ``second``; what looks equal is equal."""
        marks = []
        for i, (_, better) in enumerate(self.columns):
            shown = {name: round(numbers[i], self.digits) for name, numbers in self.rows.items()}
            marks.append(rank(shown, better) if better else {})
        return marks

    def markdown(self) -> str:
        """The table in Markdown, readable as it stands."""
        wrap = {"best": "**{}**", "second": "<u>{}</u>"}
        lines = [[self.corner, *(f"{escape_markdown(h)} {ARROWS[b]}".strip() for h, b in self.columns)]]
        lines += [[escape_markdown(name), *cells] for name, cells in self._cells(wrap)]
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        rule = ["-" * widths[0], *("-" * (w - 1) + ":" for w in widths[1:])]
        padded = [
            [t.rjust(w) if i else t.ljust(w) for i, (t, w) in enumerate(zip(line, widths, strict=True))]
            for line in lines
        ]
        return "\n".join(f"| {' | '.join(line)} |" for line in [padded[0], rule, *padded[1:]])

    def latex(self, *, caption: str, label: str) -> str:
        r"""A float of LaTeX, to be taken in with ``\input``; it needs the packages booktabs and graphicx."""
        wrap = {"best": r"\textbf{{{}}}", "second": r"\underline{{{}}}"}
        heads = [escape(self.corner), *(escape(f"{h} {ARROWS[b]}".strip()) for h, b in self.columns)]
        return "\n".join(
            [
                r"% needs \usepackage{booktabs,graphicx}",
                r"\begin{table}[tbp]",
                r"\centering",
                rf"\caption{{{escape(caption)}}}",
                rf"\label{{{label}}}",
                r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
                rf"\begin{{tabular}}{{l{'r' * len(self.columns)}}}",
                r"\toprule",
                " & ".join(heads) + r" \\",
                r"\midrule",
                *(" & ".join([escape(name), *cells]) + r" \\" for name, cells in self._cells(wrap)),
                r"\bottomrule",
                r"\end{tabular}}",
                r"\end{table}",
                "",
            ]
        )

    def _cells(self, wrap: dict[str, str]) -> list[tuple[str, list[str]]]:
        marks = self.marks()
        return [
            (
                name,
                [
                    wrap.get(marks[i].get(name, ""), "{}").format(self.text(number, self.columns[i][1]))
                    for i, number in enumerate(numbers)
                ],
            )
            for name, numbers in self.rows.items()
        ]
