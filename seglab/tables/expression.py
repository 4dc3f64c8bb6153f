"""The small language in which the claims of a table are written, read with ``ast`` and a whitelist.

``[row]``, ``[row|column]`` and ``[table:row]`` stand for numbers; ``*`` in a name stands for all that match. Everything
else is comparisons, ``and or not``, ``+ - * /``, numbers and the functions of :data:`FUNCTIONS`.

One runnable line: ``python -c "from seglab.tables.expression import names; print(names('[A [1]] > max([B], [C*])'))"``.
"""

from __future__ import annotations

import ast
import itertools
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from seglab.words import nearest

PLACE = "reference_"


class Undecided(Exception):
    """The numbers are there, but the expression has no value for them, e.g. a division by zero."""


class Number(float):
    """A table's number that remembers which direction is the better one.

    Args:
        value: the number.
        better: ``higher`` or ``lower``.
    """

    better: str

    def __new__(cls, value: float, better: str) -> Number:
        """Make a float with a direction; arithmetic gives a plain float again."""
        number = super().__new__(cls, value)
        number.better = better
        return number


def matches(name: str, pattern: str) -> bool:
    """Whether a name fits a pattern, in which ``*`` and ``?`` are special and brackets are not."""
    return fnmatchcase(name, pattern.replace("[", "[[]"))


def names(text: str) -> list[str]:
    """What stands in brackets, in order; brackets inside brackets belong to the name.

    Raises:
        ValueError: a bracket without its partner.
    """
    return split(text)[1]


def split(text: str) -> tuple[str, list[str]]:
    """Replace every bracket by an identifier.

    Returns:
        The expression with ``reference_0``, ``reference_1`` ... and the content of the brackets.

    Raises:
        ValueError: a bracket without its partner.
    """
    plain, found, depth, start = [], [], 0, 0
    for i, sign in enumerate(text):
        if sign == "[":
            if depth == 0:
                start = i + 1
            depth += 1
        elif sign == "]":
            depth -= 1
            if depth < 0:
                raise ValueError(f"']' without '[' at '{text[: i + 1][-20:]}'")
            if depth == 0:
                plain.append(f" {PLACE}{len(found)} ")
                found.append(text[start:i].strip())
        elif depth == 0:
            plain.append(sign)
    if depth:
        raise ValueError(f"'[' without ']' at '{text[start - 1 :][:20]}'")
    return "".join(plain), found


def parse(text: str) -> tuple[ast.expr, list[str]]:
    """Read an expression and refuse everything that is not on the whitelist.

    Args:
        text: e.g. ``[A] > [B] > 0.5``.

    Returns:
        The tree and the content of its brackets.

    Raises:
        ValueError: with the offending part.
    """
    plain, found = split(text)
    try:
        tree = ast.parse(plain.strip(), mode="eval").body
        _check(tree, len(found))
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"'{text}' is not an expression ({getattr(error, 'msg', 'too deep')})") from error
    if not found:
        raise ValueError(f"'{text}' names no row; rows are written in brackets")
    if not _is_truth(tree):
        raise ValueError(f"'{text}' is a number; expected a comparison")
    return tree, found


def evaluate(tree: ast.expr, values: Mapping[int, Any], better: str | None) -> bool:
    """The truth of an expression.

    Args:
        tree: from :func:`parse`.
        values: per bracket a :class:`Number`, or a list of them for a name with ``*``.
        better: direction of numbers that come from arithmetic; None where no single column is looked at.

    Raises:
        Undecided: a division by zero, a number too large, an expression too deep.
        ValueError: a list where a number is expected, a wrong number of arguments.
    """
    try:
        return bool(_Evaluator(values, better).visit(tree))
    except (OverflowError, RecursionError) as error:
        raise Undecided("a number is too large, or the expression too deep") from error


def _same(a: float, b: float) -> bool:
    # 0.931 - 0.928 is to be 0.003, as it is on paper.
    return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)


COMPARISONS: dict[type[ast.cmpop], Callable[[float, float], bool]] = {
    ast.Gt: lambda a, b: a > b and not _same(a, b),
    ast.Lt: lambda a, b: a < b and not _same(a, b),
    ast.GtE: lambda a, b: a >= b or _same(a, b),
    ast.LtE: lambda a, b: a <= b or _same(a, b),
    ast.Eq: _same,
    ast.NotEq: lambda a, b: not _same(a, b),
}
ARITHMETIC: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def _mean(numbers: Sequence[float]) -> float:
    return math.fsum(numbers) / len(numbers)


def _spread(numbers: Sequence[float]) -> float:
    return max(numbers) - min(numbers)


FUNCTIONS: dict[str, tuple[int, int | None]] = {
    "min": (1, None),
    "max": (1, None),
    "mean": (1, None),
    "spread": (1, None),
    "abs": (1, 1),
    "best": (2, None),
    "beats": (2, None),
    "within": (3, 3),
}
"""Name -> fewest and most arguments. The first four, and ``best`` after its first argument, take lists."""
OVER_LISTS: dict[str, Callable[[Sequence[float]], float]] = {"min": min, "max": max, "mean": _mean, "spread": _spread}
TRUTHS = ("best", "beats", "within")


def _is_truth(node: ast.AST) -> bool:
    """Whether a node of a whitelisted tree gives true or false, not a number."""
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, ast.Not)
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in TRUTHS
    return isinstance(node, ast.Compare | ast.BoolOp)


def _check(node: ast.AST, num_references: int) -> None:
    if isinstance(node, ast.Constant):
        if type(node.value) not in (int, float) or not abs(node.value) <= 1e300:  # larger ones may be no float
            raise ValueError(f"'{ast.unparse(node)}' is not a number")
    elif isinstance(node, ast.Name):
        if node.id not in [f"{PLACE}{i}" for i in range(num_references)]:
            raise ValueError(f"'{node.id}' is not known here; rows are written in brackets")
    elif isinstance(node, ast.Call):
        _check_call(node)
    elif isinstance(node, ast.Compare):
        for sign in node.ops:
            if type(sign) not in COMPARISONS:
                raise ValueError(f"'{_shown(node)}' is not allowed; expected one of > < >= <= == !=")
    elif isinstance(node, ast.BinOp):
        if type(node.op) not in ARITHMETIC:
            raise ValueError(f"'{_shown(node)}' is not allowed; expected one of + - * /")
    elif isinstance(node, ast.UnaryOp):
        if not isinstance(node.op, ast.Not | ast.USub | ast.UAdd):
            raise ValueError(f"'{_shown(node)}' is not allowed")
    elif not isinstance(node, ast.BoolOp):
        raise ValueError(f"'{_shown(node)}' is not allowed in a claim")
    wants_truth = isinstance(node, ast.BoolOp) or (isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not))
    for part in _parts(node):
        _check(part, num_references)
        if _is_truth(part) != wants_truth:
            raise ValueError(
                f"'{_shown(part)}' is {'a number' if wants_truth else 'true or false'}, not what fits here"
            )


def _parts(node: ast.AST) -> list[ast.expr]:
    children = node.args if isinstance(node, ast.Call) else ast.iter_child_nodes(node)
    return [child for child in children if isinstance(child, ast.expr)]


def _check_call(node: ast.Call) -> None:
    name = node.func.id if isinstance(node.func, ast.Name) else _shown(node.func)
    if name not in FUNCTIONS:
        raise ValueError(f"unknown function '{name}'{nearest(name, list(FUNCTIONS))}")
    if node.keywords or any(isinstance(argument, ast.Starred) for argument in node.args):
        raise ValueError(f"'{name}' takes plain arguments only")
    fewest, most = FUNCTIONS[name]
    if len(node.args) < fewest or (most is not None and len(node.args) > most):
        wanted = f"{fewest}" if most == fewest else f"at least {fewest}"
        raise ValueError(f"'{name}' takes {wanted} arguments, found {len(node.args)}")


def _shown(node: ast.AST) -> str:
    return ast.unparse(node).replace(PLACE, "row ")[:60]


class _Evaluator:
    """Walks a tree that :func:`parse` let through."""

    def __init__(self, values: Mapping[int, Any], better: str | None) -> None:
        self.values, self.better = values, better

    def visit(self, node: ast.expr) -> Any:
        return getattr(self, type(node).__name__)(node)

    def number(self, node: ast.expr) -> float:
        value = self.visit(node)
        if isinstance(value, list):
            raise ValueError("a name with * gives several numbers; put it into min, max, mean, spread or best")
        return value

    def several(self, nodes: Sequence[ast.expr]) -> list[float]:
        found = [self.visit(node) for node in nodes]
        return [number for value in found for number in (value if isinstance(value, list) else [value])]

    def Constant(self, node: ast.Constant) -> float:
        return node.value

    def Name(self, node: ast.Name) -> Any:
        return self.values[int(node.id.removeprefix(PLACE))]

    def BinOp(self, node: ast.BinOp) -> float:
        try:
            return ARITHMETIC[type(node.op)](float(self.number(node.left)), float(self.number(node.right)))
        except ZeroDivisionError as error:
            raise Undecided("division by zero") from error

    def UnaryOp(self, node: ast.UnaryOp) -> Any:
        if isinstance(node.op, ast.Not):
            return not self.visit(node.operand)
        value = self.number(node.operand)
        return -value if isinstance(node.op, ast.USub) else value

    def BoolOp(self, node: ast.BoolOp) -> bool:
        # All parts are looked at, so that a mistake in a later one is found whatever the first one says.
        parts = [self.visit(part) for part in node.values]
        return all(parts) if isinstance(node.op, ast.And) else any(parts)

    def Compare(self, node: ast.Compare) -> bool:
        terms = [self.number(part) for part in (node.left, *node.comparators)]
        return all(COMPARISONS[type(s)](a, b) for s, a, b in zip(node.ops, terms, terms[1:], strict=False))

    def Call(self, node: ast.Call) -> Any:
        name = node.func.id
        if name in OVER_LISTS:
            return OVER_LISTS[name](self.several(node.args))
        if name == "best":
            first = self.number(node.args[0])
            return all(not self.ahead(other, first) for other in self.several(node.args[1:]))
        terms = [self.number(part) for part in node.args]
        if name == "abs":
            return abs(terms[0])
        if name == "beats":
            return all(self.ahead(a, b) for a, b in itertools.pairwise(terms))
        return COMPARISONS[ast.LtE](abs(terms[0] - terms[1]), terms[2])

    def ahead(self, a: float, b: float) -> bool:
        better = getattr(a, "better", None) or getattr(b, "better", None) or self.better
        if better is None:
            raise ValueError("best and beats need numbers of a column to know which direction is better")
        return COMPARISONS[ast.Gt if better == "higher" else ast.Lt](a, b)
