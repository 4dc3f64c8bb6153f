"""Files of maps, masks and labels to arrays, and maps to the size of their masks."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seglab.metrics.pooled import Pooled
from seglab.scoring.faults import Fault
from seglab.scoring.images import read_labels, read_map, read_mask
from seglab.scoring.measure import measure_for
from seglab.scoring.resize import resize_labels, resize_map


def saved(path: Path, values: list, kind: str) -> Path:
    Image.fromarray(np.array(values, kind)).save(path)
    return path


def test_resize_is_that_of_torch() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    for size, other in [((7, 9), (20, 31)), ((20, 31), (7, 9)), ((1, 1), (3, 4)), ((5, 5), (5, 8))]:
        values = rng.random(size)
        want = torch.nn.functional.interpolate(
            torch.from_numpy(values)[None, None], other, mode="bilinear", align_corners=False
        )
        np.testing.assert_allclose(resize_map(values, other), want[0, 0].numpy(), atol=1e-12)
        grey = np.round(255 * values).astype(np.uint8)
        assert np.abs(resize_map(grey, other) / 255 - resize_map(grey / 255, other)).max() <= 0.5 / 255 + 1e-12
        labels = rng.integers(0, 9, size)
        want = torch.nn.functional.interpolate(
            torch.from_numpy(labels)[None, None].double(), other, mode="nearest-exact"
        )
        np.testing.assert_array_equal(resize_labels(labels, other), want[0, 0].numpy())


def test_kinds_of_files(tmp_path: Path) -> None:
    """One method in every way of saving a grey picture gives one array."""
    grey = np.arange(0, 256, dtype=np.uint8).reshape(16, 16)
    grey[0, 0] = 3
    picture = Image.fromarray(grey)
    picture.save(tmp_path / "l.png")
    picture.convert("RGB").save(tmp_path / "rgb.png")
    picture.convert("RGBA").save(tmp_path / "rgba.png")
    picture.convert("LA").save(tmp_path / "la.png")
    picture.convert("P").save(tmp_path / "palette.png")
    picture.save(tmp_path / "b.bmp")
    for path in tmp_path.iterdir():
        np.testing.assert_array_equal(read_map(path), grey, err_msg=path.name)
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    np.testing.assert_allclose(read_map(tmp_path / "deep.png"), grey / 255, atol=1e-15)
    Image.fromarray(grey > 99).save(tmp_path / "bit.png")
    assert set(np.unique(read_map(tmp_path / "bit.png"))) == {0, 255}


def test_labels_of_four_bits(tmp_path: Path) -> None:
    """Pillow stretches a grey PNG of 4 bits to 0..255; as labels its values are the stored ones."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 1, 4, 0, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(b"\0\x01\x2a"))
    path = tmp_path / "a.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + data + chunk(b"IEND", b""))
    assert read_labels(path).tolist() == [[0, 1, 2, 10]]


@pytest.mark.parametrize("kind", ["uint8", "uint16", "int32"])
@pytest.mark.parametrize("top", [1, 255, 65535])
def test_masks_of_two_values_are_read_as_meant(tmp_path: Path, kind: str, top: int) -> None:
    """Of 16 and 32 bits too: nobody means an empty mask by 0 and 1."""
    if kind == "uint8" and top > 255:
        return
    path = saved(tmp_path / f"a.{'tif' if kind == 'int32' else 'png'}", [[0, top], [top, 0]], kind)
    for strict in (True, False):
        assert read_mask(path, strict=strict).tolist() == [[0, 255], [255, 0]]
    empty = saved(tmp_path / "b.png", [[0, 0]], "uint16")
    assert read_mask(empty).tolist() == read_map(empty).tolist() == [[0, 0]]


@pytest.mark.parametrize(
    ("values", "kind", "fault", "words"),
    [
        ([[0, 7, 200]], "uint16", "depth", "values 0, 7, 200, of 65535"),
        ([[0, 128, 255]], "uint16", "depth", "values 0, 128, 255, of 65535"),
        ([[0, 2, 255]], "int32", "depth", "values 0, 2, 255, of 65535"),
        ([[0, 257, 514]], "uint16", "labels", "values 0, 1, 2"),
        ([[0, 70000]], "int32", "range", "values from 0 to 70000"),
        ([[-1, 1]], "int32", "range", "values from -1 to 1"),
        ([[0, 3, 255]], "uint8", "labels", "values 0, 3, 255"),
    ],
)
def test_masks_that_mean_something_else_are_refused(
    tmp_path: Path, values: list, kind: str, fault: str, words: str
) -> None:
    path = saved(tmp_path / "a.tif", values, kind)
    with pytest.raises(Fault, match=words) as caught:
        read_mask(path)
    assert caught.value.kind == fault
    if fault != "range":
        want = np.array(values) >> (0 if kind == "uint8" else 8)
        np.testing.assert_array_equal(read_mask(path, strict=False), want)


def test_dark_maps(tmp_path: Path) -> None:
    """Eight bits in a file of 16, and a map that is nearly black: refused, or taken as they are."""
    deep = saved(tmp_path / "deep.png", [[0, 100, 255]], "uint16")
    black = saved(tmp_path / "black.png", [[0, 1, 1]], "uint8")
    for path, kind, words in ((deep, "depth", "no value above 255, of 65535"), (black, "labels", "values 0 and 1")):
        with pytest.raises(Fault, match=words) as caught:
            read_map(path)
        assert caught.value.kind == kind
    np.testing.assert_array_equal(read_map(deep, strict=False), np.array([[0, 100, 255]]) / 65535)
    np.testing.assert_array_equal(read_map(black, strict=False), [[0, 1, 1]])
    assert read_map(saved(tmp_path / "full.png", [[0, 256]], "uint16")).max() == 256 / 65535


def test_pooled_protocol_takes_grey_values(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", [[0, 3, 255]], "uint8")
    with pytest.raises(Fault, match="values 0, 3, 255"):
        measure_for(Pooled(name="x")).truth(path)
    assert measure_for(Pooled(name="x"), reading="grey").truth(path).tolist() == [[0, 0, 1]]


def test_a_colour_palette_stays_a_fault_without_the_remedy_of_grey(tmp_path: Path) -> None:
    picture = Image.fromarray(np.array([[0, 1]], np.uint8), mode="P")
    picture.putpalette([0, 0, 0, 200, 0, 0])
    picture.save(tmp_path / "a.png")
    for read in (read_map, read_mask):
        with pytest.raises(Fault, match="palette image with the indices 0, 1") as caught:
            read(tmp_path / "a.png", strict=False)
        assert caught.value.kind == "palette"


def test_damaged_pixels_are_seen(tmp_path: Path) -> None:
    """A flipped bit that Pillow passes over, by the checksum of the PNG file."""
    path = tmp_path / "a.png"
    rows = b"".join(b"\0" + bytes([i] * 16) for i in range(16))
    part = b"IDAT" + zlib.compress(rows, 0)
    header = b"IHDR" + struct.pack(">IIBBBBB", 16, 16, 8, 0, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n"
    for body in (header, part, b"IEND"):
        content += struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    path.write_bytes(content)
    assert read_map(path).max() == 15
    path.write_bytes(content[: len(content) - 14] + b"\x01\x02" + content[len(content) - 12 :])
    for read in (read_map, read_mask, read_labels):
        with pytest.raises(Fault, match="checksum differs") as caught:
            read(path)
        assert caught.value.kind == "unreadable"


@pytest.mark.parametrize("read", [read_map, read_mask, read_labels])
def test_content_that_would_start_a_program_is_refused(
    tmp_path: Path, read: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An EPS file named .png: Pillow would call Ghostscript."""
    monkeypatch.setattr("subprocess.check_call", lambda *_, **__: pytest.fail("a program was started"))
    monkeypatch.setattr("subprocess.Popen", lambda *_, **__: pytest.fail("a program was started"))
    text = "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"
    (tmp_path / "a.png").write_text(text)
    with pytest.raises(Fault, match=r"a\.png: \d\d bytes") as caught:
        read(tmp_path / "a.png")
    assert caught.value.kind == "unreadable"
