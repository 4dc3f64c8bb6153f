"""What a training can read is never an error of the audit: odd metadata, later frames, and files damaged at random."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from audit_folder import disc, grey_mask, photo

from seglab.audit.audit import audit
from seglab.audit.subject import from_pairs
from seglab.data.cache import load
from seglab.data.pairs import Pairs

SMALL = (24, 16)
TEXT = b"Exif\0\0MM\0*\0\0\0\x08\0\x01" + struct.pack(">HHI4s", 274, 2, 3, b"up\0\0") + b"\0\0\0\0"
"""EXIF whose orientation is a text."""
NINE = b"Exif\0\0MM\0*\0\0\0\x08\0\x01" + struct.pack(">HHIHH", 274, 3, 1, 9, 0) + b"\0\0\0\0"
"""EXIF whose orientation is 9, of 1 to 8."""
TURNED = b"Exif\0\0MM\0*\0\0\0\x08\0\x01" + struct.pack(">HHIHH", 274, 3, 1, 6, 0) + b"\0\0\0\0"
BROKEN = b"Exif\0\0this is no TIFF file at all"


def pair(root, image=None, mask=None, *, suffix="png", **save):
    """Images and masks, two pairs: a sound one and the given one; ``save`` has options ``image_`` and ``mask_``."""
    options = {
        kind: {k[len(kind) + 1 :]: v for k, v in save.items() if k.startswith(kind)} for kind in ("image", "mask")
    }
    for kind in ("img", "gt"):
        (root / kind).mkdir(exist_ok=True)
    photo(1, SMALL).save(root / "img" / "sound.png")
    label = grey_mask(disc(SMALL) * 255)
    label.save(root / "gt" / "sound.png")
    (image or photo(2, SMALL)).save(root / "img" / f"odd.{suffix}", **options["image"])
    (mask or label).save(root / "gt" / f"odd.{suffix if suffix == 'tif' else 'png'}", **options["mask"])
    return source(root)


def source(root, **options) -> Pairs:
    return Pairs(str(root / "img"), masks=str(root / "gt"), name="odd", split="train", **options)


def second_frame_lost(path) -> None:
    """Leave the second directory of a TIFF without any entry."""
    data = bytearray(path.read_bytes())
    (first,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, first)
    (second,) = struct.unpack_from("<I", data, first + 2 + 12 * count)
    data[second : second + 6] = bytes(6)
    path.write_bytes(data)


def report_of(pairs: Pairs):
    return audit(from_pairs(pairs), progress=False)


def notes(report) -> dict[str, str]:
    return {e.id: e.detail for f in report.of("metadata") for e in f.examples}


def test_a_mask_with_broken_exif_is_read(tmp_path):
    pairs = pair(tmp_path, mask_exif=BROKEN)
    load(pairs.items("train"), size=8)
    report = report_of(pairs)
    assert not report.errors
    assert notes(report)["gt/odd.png"].startswith("orientation: not a TIFF file")


@pytest.mark.parametrize(
    ("exif", "told"),
    [(TEXT, "orientation: 'up' is none of 1 to 8"), (NINE, "orientation: 9 is")],
    ids=["text", "nine"],
)
def test_an_orientation_that_is_none_turns_nothing_and_stops_nothing(exif, told, tmp_path):
    pairs = pair(tmp_path, suffix="jpg", image_exif=exif)
    load(pairs.items("train"), size=8)
    report = report_of(pairs)
    assert not report.errors
    assert not report.of("exif")
    assert notes(report)["img/odd.jpg"].startswith(told)


def test_only_the_first_frame_of_a_tiff_has_to_be_whole(tmp_path):
    more = {"save_all": True, "append_images": [photo(3, SMALL)]}
    label = {"save_all": True, "append_images": [grey_mask(disc(SMALL))]}
    pairs = pair(
        tmp_path,
        suffix="tif",
        **{f"image_{k}": v for k, v in more.items()},
        **{f"mask_{k}": v for k, v in label.items()},
    )
    for kind in ("img", "gt"):
        second_frame_lost(tmp_path / kind / "odd.tif")
    load(pairs.items("train"), size=8)
    report = report_of(pairs)
    assert not report.errors
    assert set(notes(report)) == {"img/odd.tif", "gt/odd.tif"}
    assert notes(report)["img/odd.tif"].startswith("frames: ")


def test_a_tiff_mask_that_pillow_turns_is_not_called_turned(tmp_path):
    lying = grey_mask(disc(SMALL[::-1]) * 255).convert("RGB")
    pairs = pair(tmp_path, mask=lying, suffix="tif", mask_exif=TURNED)
    load(pairs.items("train"), size=8)
    report = report_of(pairs)
    assert not report.errors
    assert not report.of("mask-exif")


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_whatever_can_be_loaded_is_no_error(tmp_path):
    """A hundred and fifty files with bytes changed at random, most of them in the metadata."""
    dice = np.random.default_rng(0)
    frames = {"save_all": True, "append_images": [photo(3, SMALL)]}
    made = {
        "jpg": {"image_exif": TURNED, "image": photo(2, SMALL[::-1])},
        "png": {"image_exif": TURNED, "image": photo(2, SMALL[::-1]), "mask_exif": TEXT},
        "tif": {f"image_{k}": v for k, v in frames.items()},
    }
    loaded = 0
    for suffix, options in made.items():
        root = tmp_path / suffix
        root.mkdir()
        pairs = pair(root, suffix=suffix, **options)
        assert not report_of(pairs).errors
        for turn in range(50):
            path = sorted((root / ("gt" if turn % 3 == 0 else "img")).glob("odd.*"))[0]
            whole = path.read_bytes()
            data = bytearray(whole)
            for _ in range(1 + turn % 3):
                reach = len(data) if suffix == "tif" else min(len(data), 130)
                data[dice.integers(2, reach)] = dice.integers(0, 256)
            path.write_bytes(data)
            try:
                load(pairs.items("train"), size=8)
            except Exception:
                built = False
            else:
                built = True
            report = report_of(source(root))
            assert built is (not report.errors), (suffix, turn, [e for f in report.errors for e in f.examples])
            loaded += built
            path.write_bytes(whole)
    assert 30 < loaded < 130
