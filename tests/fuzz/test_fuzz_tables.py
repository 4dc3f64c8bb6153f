"""Any content of a table file and any claim: a table, or a ValueError that names the file; no code is run."""

from __future__ import annotations

import copy

from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from support import SCRATCH, tripwires, worded

from seglab.config import conf_dir
from seglab.tables.claims import validate
from seglab.tables.expression import Number, Undecided, evaluate, names, parse
from seglab.tables.spec import load_table, parse_table, table_ids

TABLES = [
    OmegaConf.to_container(OmegaConf.load(conf_dir() / "table" / f"{name}.yaml"), resolve=False) for name in table_ids()
]
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 5), st.floats(), st.text(max_size=6),
    st.sampled_from(["[A] > [B]", "ours", "os.system", "higher", "cas", "a/../b", "*", "${oc.env:HOME}", "1e999"]),
)  # fmt: skip
keys = st.one_of(st.sampled_from(["id", "rows", "columns", "name", "kind", "run", "_target_", "check"]), scalars)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(keys.filter(lambda k: k == k), inner, max_size=3)
    ),
    max_leaves=6,
)


def places(node, path: tuple = ()) -> list[tuple]:
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    found = []
    for key, child in items:
        found += [(*path, key), *places(child, (*path, key))]
    return found


@given(
    st.sampled_from(TABLES), st.lists(st.tuples(st.integers(0, 10**6), values), min_size=1, max_size=3), st.booleans()
)
def test_any_change_of_a_table(table, changes, remove: bool) -> None:
    content = copy.deepcopy(table)
    for number, value in changes:
        where = places(content)
        if not where:
            break
        *path, last = where[number % len(where)]
        node = content
        for key in path:
            node = node[key]
        if remove:
            del node[last]
        else:
            node[last] = value
    with tripwires():
        try:
            validate(parse_table(content, "my.yaml"))
        except ValueError as error:
            worded(error)


@given(values)
def test_any_content_as_a_table(content) -> None:
    with tripwires():
        try:
            validate(parse_table(content, "my.yaml"))
        except ValueError as error:
            worded(error, "my.yaml")


YAML = (
    "id: x\n",
    "rows:\n",
    "- name: a\n",
    "  kind: ours\n",
    "&a ",
    "*a",
    "!!python/object/apply:os.system ['id']",
    "? ",
    ": ",
    "{",
    "}",
)
YAML += (
    "[",
    "]",
    "\t",
    "<<: *a\n",
    "'",
    '"',
    "|\n",
    "%TAG ! tag:\n",
    "---\n",
    "!!binary x",
    "0x",
    "\0",
    "\n",
    "1",
    "a",
)


@given(
    st.one_of(st.lists(st.sampled_from(YAML), max_size=12).map(lambda p: "".join(p).encode()), st.binary(max_size=120))
)
def test_any_bytes_as_a_table_file(content: bytes) -> None:
    path = SCRATCH / "my.yaml"
    path.write_bytes(content)
    with tripwires():
        try:
            load_table(str(path))
        except ValueError as error:
            worded(error, "my.yaml")


TOKENS = (
    "[A]",
    "[B|F]",
    "[C*]",
    "[t:A]",
    ">",
    "<",
    "==",
    ">=",
    "and",
    "or",
    "not",
    "+",
    "-",
    "*",
    "/",
    "**",
    "(",
    ")",
    ",",
)
TOKENS += (
    "min",
    "max",
    "mean",
    "best",
    "beats",
    "within",
    "abs",
    "spread",
    "0",
    "1e308",
    "9" * 400,
    "0.5",
    "True",
    "lambda:",
)
TOKENS += (
    "__import__('os').system('id')",
    "x",
    "''",
    "[",
    "]",
    "if",
    "else",
    ":=",
    "1j",
    "nan",
    "{}",
    ".real",
    "\0",
    "0x1f",
)


@given(st.one_of(st.lists(st.sampled_from(TOKENS), max_size=14).map(" ".join), st.text(max_size=30)))
def test_any_text_as_a_claim(text: str) -> None:
    numbers = [Number(0.5, "higher"), Number(0.25, "higher"), Number(1e308, "lower")]
    with tripwires():
        try:
            names(text)
            tree, found = parse(text)
            given_values = {i: (numbers if "*" in name else numbers[i % 3]) for i, name in enumerate(found)}
            assert isinstance(evaluate(tree, given_values, "higher"), bool)
        except (ValueError, Undecided) as error:
            worded(error)
