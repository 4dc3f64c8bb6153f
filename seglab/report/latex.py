r"""A table as LaTeX, to be taken in with ``\input``; it needs the packages booktabs and graphicx."""

from __future__ import annotations

import re
from collections.abc import Sequence

from seglab.report.layout import Layout, Line, Text, arrow, heading, joined, lay_out, reading, scale_sentences
from seglab.tables.values import TableValues

LINES = 48
"""Lines of one float; longer tables are cut between rows."""
SIGNS = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "%_&#${}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "[": "{[}",  # after the end of a line, a bracket or a star would be read as its argument
    "*": "{*}",
    "±": r"$\pm$",
    "\N{MINUS SIGN}": "$-$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "→": r"$\rightarrow$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "\N{GREEK SMALL LETTER ALPHA}": r"$\alpha$",
    "β": r"$\beta$",
    "\N{EN DASH}": "--",
    "†": r"$^\dagger$",
}


def latex_text(values: TableValues) -> str:
    """The whole file: one float per block of columns and, for long tables, per part of the rows."""
    layout = lay_out(values)
    head = [f"% {values.spec.id}, scale {values.scale}; needs \\usepackage{{booktabs,graphicx}}"]
    if not values.columns:
        return "\n".join([*head, "% no columns: the figure only", ""])
    floats = [(title, positions, part) for title, positions in layout.blocks for part in _parts(layout.groups)]
    texts = [_float(values, layout, one, (i, len(floats))) for i, one in enumerate(floats)]
    return "\n\n".join([*head, *texts]) + "\n"


def escape(text: str) -> str:
    """Text as LaTeX prints it."""
    return "".join(SIGNS.get(sign, sign) for sign in text)


def _parts(groups: list[list[Line]]) -> list[list[list[Line]]]:
    """Groups of lines that fit one float each; the lines of a row stay together."""
    parts: list[list[list[Line]]] = [[]]
    for group in groups:
        if parts[-1] and sum(len(g) for g in parts[-1]) + len(group) > LINES:
            parts.append([])
        parts[-1].append(group)
    return parts


def _float(values: TableValues, layout: Layout, one: tuple[str, list[int], list], place: tuple[int, int]) -> str:
    (title, positions, groups), (i, num) = one, place
    part = f"Part {i + 1} of {num}{f', {title}' if title else ''}." if num > 1 else ""
    caption = joined([f"{values.spec.title}.", part, *scale_sentences(values)])
    columns = [layout.columns[p] for p in positions]
    headings = ["row", "", *(f"{heading(c)} {arrow(c)}" for c in columns)]
    lines = [
        r"\begin{table}[tbp]",
        r"\centering",
        rf"\caption{{{escape(caption)}}}",
        rf"\label{{tab:{values.spec.id}-{values.scale}{f'-{i + 1}' if num > 1 else ''}}}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{ll{'r' * len(columns)}}}",
        r"\toprule",
        " & ".join(escape(h) for h in headings) + r" \\",
        r"\midrule",
    ]
    for k, group in enumerate(groups):
        lines += [r"\addlinespace"] if k else []
        lines += [_line(line, positions) for line in group]
    lines += [r"\bottomrule", r"\end{tabular}}", *_below(values, layout, groups, positions), r"\end{table}"]
    return "\n".join(lines)


def _line(line: Line, positions: Sequence[int]) -> str:
    label = escape(line.label) + (f"$^{{{line.note}}}$" if line.note else "")
    return " & ".join([escape(line.row), label, *(_cell(line.cells[i]) for i in positions)]) + r" \\"


def _cell(text: Text) -> str:
    number = re.sub(r"^-(?=\d)", "$-$", escape(text.main))
    number = {"best": rf"\textbf{{{number}}}", "second": rf"\underline{{{number}}}"}.get(text.mark, number)
    number += r"$^\dagger$" if text.dagger else ""
    number += rf" $\pm$ {escape(text.deviation)}" if text.deviation else ""
    number += f" {escape(text.after)}" if text.after else ""
    return number + (f"$^{{{text.note}}}$" if text.note else "")


def _below(values: TableValues, layout: Layout, groups: list[list[Line]], positions: Sequence[int]) -> list[str]:
    """How to read the float, and the footnotes that it uses."""
    shown = [line for group in groups for line in group]
    used = {line.note for line in shown} | {line.cells[i].note for line in shown for i in positions}
    lines = [escape(reading(values))]
    if any(line.cells[i].dagger for line in shown for i in positions):
        lines += [rf"$^\dagger$ {escape(m)}" for m in layout.misprints]
    lines += [f"$^{{{n}}}$ {escape(joined([layout.notes[n - 1]]))}" for n in sorted(used - {None})]
    return [rf"\par\smallskip\parbox{{\linewidth}}{{\footnotesize {line}}}" for line in lines]
