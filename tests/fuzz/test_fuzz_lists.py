"""Any bytes as a list of names: names that can be file stems, or a ValueError that names the list."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st
from support import SCRATCH, worded

from seglab.data.files import SUFFIXES
from seglab.data.lists import read_list

PIECES = (
    "a",
    "0001",
    " ",
    "\t",
    "\n",
    "\r\n",
    "\r",
    "\0",
    "\x0b",
    "\x1c",
    "\x85",
    "\u2028",
    "\u2029",
    "\ufeff",
    "/",
    "..",
)
PIECES += (
    ".jpg",
    ".PNG",
    ".tif",
    "é",
    "e\u0301",
    "\u3000",
    "\u202e",
    "\x1b[31m",
    "x" * 300,
    "\U0001f600",
    "'",
    '"',
    ",",
)
texts = st.lists(st.sampled_from(PIECES), max_size=30).map("".join)
clean = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=12)


def read(content: bytes) -> list[str] | None:
    path = SCRATCH / "list.txt"
    path.write_bytes(content)
    try:
        return read_list(path)
    except ValueError as error:
        worded(error, path, visible=True)
        return None


@given(st.one_of(st.binary(max_size=400), texts.map(lambda t: t.encode()), texts.map(lambda t: t.encode("utf-16"))))
def test_any_bytes_as_a_list(content: bytes) -> None:
    found = read(content)
    if found is not None:
        assert found
        assert len(set(found)) == len(found)
        for name in found:
            assert name
            assert not any(unicodedata.category(sign) == "Cc" for sign in name)
        lines = content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n").split("\n")
        assert len(found) == sum(bool(line.strip()) for line in lines)


@given(st.lists(clean, min_size=1, max_size=8, unique=True), st.sampled_from(["\n", "\r\n", "\r"]), st.booleans())
def test_names_come_back_whatever_the_line_ends(names: list[str], end: str, bom: bool) -> None:
    names = [name for name in names if not name.lower().endswith(SUFFIXES)]
    if names:
        assert read((("\ufeff" if bom else "") + end.join(names) + end).encode()) == names
