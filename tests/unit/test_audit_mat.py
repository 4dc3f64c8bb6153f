"""The audit of annotations by several people: MATLAB files, hostile ones among them."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from PIL import Image

from seglab.audit.audit import audit
from seglab.audit.subject import Entry, Subject
from seglab.data.mat import read_bsds

SIZE = (96, 72)


def picture(path, seed: int) -> None:
    dice = np.random.default_rng(seed)
    Image.fromarray(dice.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize(SIZE, 3).save(path)


def ids(report, check) -> set[str]:
    return {example.id for finding in report.of(check) for example in finding.examples}


def mat(path, *, size=SIZE, low=1, people=2, boundaries=1, without=()):
    from scipy.io import savemat

    cells = np.empty((1, people), dtype=object)
    for i in range(people):
        shape = size[::-1]
        cells[0, i] = {
            "Segmentation": np.full(shape, low, np.uint16),
            "Boundaries": np.full(shape, boundaries, np.uint8),
        }
        for key in without if i == people - 1 else ():
            del cells[0, i][key]
    savemat(path, {"groundTruth": cells}, do_compression=True)


def nested(path, depth=50_000):
    """Cells within cells: SciPy walks them by recursion in C and would end the process."""

    def element(kind, data):
        return struct.pack("<II", kind, len(data)) + data + b"\0" * (-len(data) % 8)

    head = element(6, struct.pack("<II", 1, 0)) + element(5, struct.pack("<ii", 1, 1)) + element(1, b"")
    lengths = [len(head)]
    for _ in range(depth):
        lengths.append(lengths[-1] + 8 + len(head))
    body = b"".join(struct.pack("<II", 14, length) + head for length in reversed(lengths))
    packed = zlib.compress(body)
    start = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
    path.write_bytes(start + struct.pack("<II", 15, len(packed)) + packed)


def test_annotations_of_several_people(tmp_path):
    from seglab.data import mat as module

    entries = []
    for name in ("good", "small", "zero", "edges", "cut", "bomb", "deep", "other"):
        picture(tmp_path / f"{name}.jpg", len(entries))
        mat(tmp_path / f"{name}.mat")
        entries.append(Entry("train", name, tmp_path / f"{name}.jpg", tmp_path / f"{name}.mat"))
    mat(tmp_path / "small.mat", size=(90, 72))
    mat(tmp_path / "zero.mat", low=0, people=3)
    mat(tmp_path / "edges.mat", boundaries=2)
    (tmp_path / "cut.mat").write_bytes((tmp_path / "good.mat").read_bytes()[:200])
    packed = zlib.compress(b"\0" * (module.LARGEST + 1000))
    bomb = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + struct.pack("<II", 15, len(packed)) + packed
    (tmp_path / "bomb.mat").write_bytes(bomb)
    nested(tmp_path / "deep.mat")
    (tmp_path / "other.mat").write_text("no MATLAB file, but long enough to have a header" * 10)
    report = audit(Subject("x", entries, mask="mat", root=tmp_path), progress=False)
    assert ids(report, "unreadable") == {"cut.mat", "bomb.mat", "deep.mat", "other.mat"}
    assert ids(report, "annotation") == {"zero.mat", "edges.mat"}
    assert ids(report, "size-mismatch") == {"small"}
    assert {e.id: e.detail for e in report.of("annotators")[0].examples} == {"2": "3 images", "3": "1 images"}
    details = {e.id: e.detail for e in report.of("unreadable")[0].examples}
    assert "unpacks to more than" in details["bomb.mat"]
    assert "deep" in details["deep.mat"]


def test_what_an_annotator_lacks(tmp_path):
    entries = []
    for name, without in (("good", ()), ("edges", ("Boundaries",)), ("segments", ("Segmentation",))):
        picture(tmp_path / f"{name}.jpg", len(entries))
        mat(tmp_path / f"{name}.mat", without=without)
        entries.append(Entry("train", name, tmp_path / f"{name}.jpg", tmp_path / f"{name}.mat"))
    report = audit(Subject("x", entries, mask="mat", root=tmp_path), progress=False)
    assert {f.check: [e.detail for e in f.examples] for f in report.errors} == {
        "annotation": ["annotator 2: no Segmentation"]
    }
    (told,) = report.of("no-boundaries")
    assert (told.level, [e.id for e in told.examples]) == ("warning", ["edges.mat"])
    assert read_bsds(tmp_path / "edges.mat").boundaries_AHW.shape == (2, 72, 96)  # the reader allows it
