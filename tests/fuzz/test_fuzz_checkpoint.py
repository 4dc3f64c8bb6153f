"""Any bytes as a checkpoint: its state, the state before it, or a ValueError; never code, never another error."""

from __future__ import annotations

import io
import logging
import pickle
import shutil
import zipfile
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import SCRATCH, mutated, tripwires, worded

from seglab import checkpoint

STATE = {"model": {"w": torch.arange(6.0).reshape(2, 3)}, "epoch": 3, "history": [1.0, 2.0], "name": "x"}


@pytest.fixture(autouse=True, scope="module")
def silence() -> Iterator[None]:
    """No warnings of thousands of damaged checkpoints; other tests look at what is logged."""
    logger = logging.getLogger(checkpoint.__name__)
    before = logger.level
    logger.setLevel(logging.ERROR)
    yield
    logger.setLevel(before)


def saved() -> bytes:
    folder = SCRATCH / "whole"
    folder.mkdir(exist_ok=True)
    checkpoint.save(folder, STATE)
    return (folder / "last.pt").read_bytes()


WHOLE = saved()


class Evil:
    def __reduce__(self):
        return __import__("os").system, ("touch /tmp/seglab-fuzz-was-here",)


def with_pickle(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(WHOLE)) as old, zipfile.ZipFile(file, "w") as new:
        for info in old.infolist():
            new.writestr(info.filename, content if info.filename.endswith("data.pkl") else old.read(info))
    return file.getvalue()


OPCODES = st.lists(
    st.sampled_from([b"c", b"cos\nsystem\n", b"R", b"o", b"i", b"\x93", b"(", b"t", b"}", b"]", b".", b"\x80\2",
                     b"Vtouch x\n", b"b", b"\x81", b"Q", b"P1\n", b"cbuiltins\neval\n", b"ctorch\nload\n", b"S'id'\n",
                     b"ctorch._utils\n_rebuild_tensor_v2\n", b"N", b"K\1", b"\x8c\1a", b"a", b"s", b"u", b"\x94"]),
    max_size=12,
).map(b"".join)  # fmt: skip
changes = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 65535), st.binary(max_size=6)), min_size=1, max_size=3)
contents = st.one_of(
    changes.map(lambda c: mutated(WHOLE, c)),
    OPCODES.map(with_pickle),
    OPCODES,
    st.binary(max_size=200),
    st.sampled_from([pickle.dumps(Evil()), with_pickle(pickle.dumps(Evil(), 2)), b""]),
)


@given(contents, st.booleans())
def test_any_bytes_as_a_checkpoint(content: bytes, previous: bool) -> None:
    folder = SCRATCH / "run"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "last.pt").write_bytes(content)
    if previous:
        (folder / "previous.pt").write_bytes(WHOLE)
    damaged = str(folder / "last.pt.damaged")
    with tripwires(f"os.rename({str(folder / 'last.pt')!r}, {damaged!r}"):  # what is damaged is set aside
        try:
            found = checkpoint.load(folder)
        except ValueError as error:
            worded(error, folder)
            return
    assert found is not None
    if previous and content != WHOLE and isinstance(found, dict) and found.keys() == STATE.keys():
        assert torch.equal(found["model"]["w"], STATE["model"]["w"]), "changed weights were read without a word"
