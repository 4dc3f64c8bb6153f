"""Any bytes as image or mask: an array of the promised kind, or a ValueError that names the file."""

from __future__ import annotations

import io
import itertools
import struct
import warnings
import zlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support import SCRATCH, mutated, worded

from seglab.data.files import read_image, read_mask

FORMATS = {
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16"),
    "JPEG": ("L", "RGB", "CMYK"),
    "BMP": ("1", "L", "P", "RGB", "RGBA"),
    "WEBP": ("RGB", "RGBA"),
    "TIFF": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I;16", "I", "F"),
    "GIF": ("1", "L", "P"),
}
OPTIONS = {
    "TIFF": ({}, {"compression": "tiff_lzw"}, {"compression": "tiff_adobe_deflate"}),
    "WEBP": ({}, {"lossless": True}),
    "JPEG": ({}, {"progressive": True}),
}


def encoded(kind: str, mode: str, options: dict, value: int) -> bytes | None:
    grey = np.zeros((9, 7), np.uint8)
    grey[2:6, 1:5] = value
    if mode in ("I", "F", "I;16"):
        dtype = {"I": np.int32, "F": np.float32, "I;16": np.uint16}[mode]
        image = Image.fromarray(grey.astype(dtype) * 257)
    elif mode == "LAB":
        image = Image.merge("LAB", [Image.fromarray(grey)] * 3)
    elif mode == "P":
        image = Image.fromarray(grey).convert("P")
    else:
        image = Image.fromarray(grey).convert(mode)
    file = io.BytesIO()
    try:
        image.save(file, kind, **options)
    except (OSError, ValueError, RuntimeError):  # this kind cannot hold that
        return None
    return file.getvalue()


CORPUS = [
    (kind, content)
    for kind, modes in FORMATS.items()
    for mode, options, value in itertools.product(modes, OPTIONS.get(kind, ({},)), (1, 128, 255))
    if (content := encoded(kind, mode, options, value)) is not None
]
MAGICS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"BM", b"RIFF\x10\0\0\0WEBPVP8 ", b"II*\0", b"MM\0*", b"GIF89a")
MAGICS += (b"%!PS-Adobe-3.0 EPSF-3.0\n", b"8BPS\0\1", b"P6 ", b"SIMPLE  =", b"\0\0\1\0", b"\x93NUMPY", b"qoif", b"icns")


def chunk(kind: bytes, data: bytes, wrong: bool = False) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data) ^ wrong)


@st.composite
def pngs(draw) -> bytes:
    """PNG files with a header of any content, its checksums right or wrong."""
    side = st.one_of(st.integers(0, 40), st.sampled_from([2**31 - 1, 2**32 - 1, 20_000, 65_536]))
    width, height = draw(side), draw(side)
    depth, colour = draw(st.sampled_from([1, 2, 4, 8, 16, 3, 0])), draw(st.sampled_from([0, 2, 3, 4, 6, 1, 7]))
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, draw(st.integers(0, 2)))
    wrong = draw(st.booleans()) and draw(st.booleans())
    body = chunk(b"IHDR", head, wrong)
    for kind in draw(
        st.lists(st.sampled_from([b"PLTE", b"tRNS", b"eXIf", b"iCCP", b"zTXt", b"gAMA", b"acTL"]), max_size=2)
    ):
        body += chunk(kind, draw(st.binary(max_size=48)))
    rows = draw(st.one_of(st.just(bytes(4096)), st.binary(max_size=64)))
    body += chunk(b"IDAT", zlib.compress(rows), wrong)
    return MAGICS[0] + body + (chunk(b"IEND", b"") if draw(st.booleans()) else b"")


changes = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 65535), st.binary(max_size=6)), min_size=1, max_size=4)
contents = st.one_of(
    st.binary(max_size=200),
    st.builds(bytes.__add__, st.sampled_from(MAGICS), st.binary(max_size=200)),
    pngs(),
    st.builds(lambda pair, c: mutated(pair[1], c), st.sampled_from(CORPUS), changes),
    st.builds(lambda pair, c: mutated(pair[1], c), st.sampled_from(CORPUS), changes),
)
labels = st.dictionaries(st.integers(0, 255), st.integers(0, 255), min_size=1, max_size=4)
thresholds = st.one_of(st.none(), st.floats(0, 1, exclude_min=True), st.sampled_from([0.5, 1.0]))


def read(reader, content: bytes, **options):
    """The array, or None where it was refused as promised."""
    path = SCRATCH / "image.png"
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return reader(path, **options)
        except ValueError as error:
            worded(error, path)
            return None


@given(contents)
def test_any_bytes_as_an_image(content: bytes) -> None:
    found = read(read_image, content)
    if found is not None:
        assert found.dtype == np.uint8
        assert found.ndim == 3
        assert found.shape[2] == 3
        assert found.size


@given(contents, thresholds)
def test_any_bytes_as_a_mask(content: bytes, threshold: float | None) -> None:
    found = read(read_mask, content, threshold=threshold)
    if found is not None:
        assert found.dtype == np.uint8
        assert found.ndim == 2
        assert found.size
        assert set(np.unique(found).tolist()) <= {0, 1}


@given(contents, labels)
def test_any_bytes_as_a_mask_with_labels(content: bytes, values: dict[int, int]) -> None:
    found = read(read_mask, content, values=values)
    if found is not None:
        assert found.dtype == np.uint8
        assert found.ndim == 2
        assert set(np.unique(found).tolist()) <= set(values.values())


@given(st.sampled_from(CORPUS), st.integers(0, 65535), st.sampled_from([{}, {"threshold": 0.5}, {"image": True}]))
def test_a_file_cut_off_is_refused_or_read_whole(pair, place: int, options: dict) -> None:
    kind, content = pair
    reader = read_image if options else read_mask
    options = {k: v for k, v in options.items() if k != "image"} if reader is read_mask else {}
    whole = read(reader, content, **options)
    part = read(reader, content[: place * len(content) // 65536], **options)
    if part is not None and whole is not None:
        np.testing.assert_array_equal(part, whole, err_msg=f"{kind} cut off at {place * len(content) // 65536}")


@given(
    st.sampled_from([content for kind, content in CORPUS if kind == "PNG"]),
    st.integers(0, 65535),
    st.integers(0, 7),
)
def test_a_flipped_bit_of_a_png_never_changes_pixels(content: bytes, place: int, bit: int) -> None:
    whole = read(read_image, content)
    other = read(read_image, mutated(content, [(4, place, bytes(bit))]))
    if other is not None and whole is not None:
        np.testing.assert_array_equal(other, whole)
