"""The audit of files: a folder that holds every fault, and clean images that must not be named."""

from __future__ import annotations

import json

import numpy as np
import pytest
from audit_folder import SIZE, disc, filled, grey_mask, ids, photo
from PIL import Image

from seglab.audit.audit import audit
from seglab.audit.finding import CHECKS, LEVELS
from seglab.audit.subject import Entry, KnownBad, Subject, from_pairs


@pytest.fixture
def folder(tmp_path):
    return filled(tmp_path)


def test_clean_images_are_not_named(folder):
    report = folder.report()
    assert {f.check for f in report.findings} == {"mask-styles", "object-share"}
    assert report.verdict() == "nothing suspicious"
    assert report.images == {"train": 4, "test": 2}
    assert report.files == 12
    assert report.bytes == sum(p.stat().st_size for place in ("img", "gt") for p in (folder.root / place).iterdir())


def test_every_fault_is_found_and_nothing_else(folder, tmp_path):
    image, mask = tmp_path / "img", tmp_path / "gt"
    # Files that cannot be read, all of them named
    for stem in ("truncated", "zero", "text", "maskless_bytes"):
        folder.add(stem)
    photo(50).save(image / "truncated.png", format="JPEG", quality=95)
    (image / "truncated.png").write_bytes((image / "truncated.png").read_bytes()[:900])
    (image / "zero.png").write_bytes(b"")
    (image / "text.png").write_text("<html>not found</html>")
    (mask / "maskless_bytes.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    # Kinds of images
    turned = Image.Exif()
    turned[274] = 6
    folder.add("turned", image=photo(51), suffix=".jpg", save={"exif": turned}, mask=grey_mask(disc(SIZE[::-1]) * 255))
    folder.add("turned_wrong", image=photo(52), suffix=".jpg", save={"exif": turned}, mask=grey_mask(disc() * 255))
    folder.add("cmyk", image=photo(53).convert("CMYK"), suffix=".jpg")
    deep = np.asarray(photo(54).convert("L")).astype(np.uint16) * 257
    folder.add("deep", image=Image.fromarray(deep))
    clear = photo(55).convert("RGBA")
    clear.putalpha(Image.fromarray(disc() * np.uint8(255)))
    folder.add("clear", image=clear)
    folder.add("palette", image=photo(56).quantize(32))
    folder.add("grey", image=photo(57).convert("L"))
    folder.add("float", image=Image.fromarray(np.asarray(photo(58).convert("L"), np.float32)), suffix=".tif")
    folder.add("lying", image=photo(59), save={"format": "JPEG"})
    folder.add("film", image=photo(60), save={"save_all": True, "append_images": [photo(61)], "default_image": False})
    # Masks
    graded = np.linspace(0, 39, disc().size).reshape(disc().shape).astype(np.uint8) * 6
    folder.add("levels", mask=grey_mask(graded))
    folder.add("coloured", mask=Image.merge("RGB", [grey_mask(disc() * 200), *[grey_mask(disc() * 10)] * 2]))
    folder.add("indexed", mask=grey_mask(disc() * 2).convert("P"))
    folder.add("empty", mask=grey_mask(disc() * 0))
    folder.add("full", mask=grey_mask(disc() * 0 + 255))
    folder.add("ones", mask=grey_mask(disc()))
    folder.add("bit", mask=grey_mask(disc() * 255).convert("1"))
    folder.add("smaller", mask=grey_mask(disc((90, 72)) * 255))
    folder.add("smeared")
    (mask / "smeared.png").unlink()
    grey_mask(disc() * 255).save(mask / "smeared.jpg")
    folder.add("seethrough", mask=Image.merge("LA", [grey_mask(disc() * 255), grey_mask(disc() * 0 + 9)]))
    folder.add("tilted")
    grey_mask(disc() * 255).save(mask / "tilted.png", exif=turned)
    report = folder.report()
    expected = {
        "unreadable": {"img/truncated.png", "img/zero.png", "img/text.png", "gt/maskless_bytes.png"},
        "image-mode": {"img/float.tif"},
        "size-mismatch": {"turned_wrong", "smaller"},
        "mask-values": {"gt/levels.png", "gt/coloured.png", "gt/indexed.png", "gt/smeared.jpg"},
        "mask-lossy": {"gt/smeared.jpg"},
        "mask-alpha": {"gt/seethrough.png"},
        "mask-exif": {"gt/tilted.png"},
        "exif": {"img/turned.jpg", "img/turned_wrong.jpg"},
        "cmyk": {"img/cmyk.jpg"},
        "sixteen-bit": {"img/deep.png"},
        "alpha": {"img/clear.png"},
        "palette": {"img/palette.png"},
        "grey": {"img/grey.png"},
        "wrong-suffix": {"img/lying.png"},
        "several-frames": {"img/film.png"},
        "empty-mask": {"empty"},
        "full-mask": {"full"},
        "mask-mixed": {"gt/ones.png"},
    }
    found = {f.check for f in report.findings} - {"mask-styles", "object-share"}
    assert found == set(expected)
    for check, names in expected.items():
        assert ids(report, check) == names, check
        assert sum(f.count for f in report.of(check)) == len(names), check
    details = {e.id: e.detail for f in report.findings for e in f.examples}
    assert details["img/zero.png"] == "0 bytes"
    assert "40 values" in details["gt/levels.png"]
    assert "before it is turned" in next(e.detail for e in report.of("size-mismatch")[0].examples if "wrong" in e.id)
    assert "image 96x72, mask 90x72" in {e.id: e.detail for e in report.of("size-mismatch")[0].examples}["smaller"]
    for name in ("clean", "turned.jpg"):
        assert not any(name in e.id for f in report.errors for e in f.examples)
    assert not any(str(tmp_path) in e.id + e.detail for f in report.findings for e in f.examples)


def test_graded_masks_are_a_note_where_a_threshold_cuts_them(folder):
    graded = np.linspace(0, 255, disc().size).reshape(disc().shape)
    folder.add("levels", mask=grey_mask(graded))
    folder.add("labels", mask=grey_mask(disc()))
    report = folder.report(threshold=0.5)
    assert ids(report, "mask-graded") == {"gt/levels.png"}
    assert ids(report, "mask-values") == {"gt/labels.png"}
    assert {f.check for f in report.errors} == {"mask-values"}


def test_a_known_bad_file_is_told_with_its_source(folder):
    folder.add("old", mask=grey_mask(disc((90, 72)) * 255))
    subject = from_pairs(folder.source())
    subject.known_bad = [
        KnownBad("old", "sizes differ", "someone/somewhere#1", "size"),
        KnownBad("clean0", "sizes differ", "someone/somewhere#2", "size"),
        KnownBad("clean1", "wrong object", "someone/somewhere#3"),
        KnownBad("elsewhere", "sizes differ", "someone/somewhere#4", "size"),
    ]
    report = audit(subject, progress=False)
    assert ids(report, "known-bad") == {"clean0"}
    assert ids(report, "known-bad-here") == {"old", "clean1"}
    assert "known: someone/somewhere#1" in report.of("size-mismatch")[0].examples[0].detail


def test_labels_void_and_absent_classes(tmp_path):
    entries = []
    for i, part in enumerate(("train", "train", "val")):
        photo(i).save(tmp_path / f"{i}.jpg")
        label = disc().astype(np.uint8) * (2 if part == "train" else 1)
        label[:3] = 255
        if i == 1:
            label[0, 0] = 7
        Image.fromarray(label).save(tmp_path / f"{i}.png")
        entries.append(Entry(part, str(i), tmp_path / f"{i}.jpg", tmp_path / f"{i}.png"))
    names = {0: "ground", 1: "cat", 2: "dog", 255: "void"}
    report = audit(Subject("x", entries, mask="labels", values=names, root=tmp_path), progress=False)
    assert ids(report, "mask-values") == {"1.png"}
    assert "labels 7 are none of the 4" in report.of("mask-values")[0].examples[0].detail
    assert ids(report, "absent-class") == {"1 cat", "2 dog", "7"}
    assert {e.id: e.detail for e in report.of("labels")[0].examples}["255 void"] == "train 2, val 1"


def test_a_picture_above_pillows_limit_is_an_error_and_is_not_decoded(folder, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 96 * 72 // 3)
    report = folder.report()
    assert len(ids(report, "unreadable")) == 12
    assert "exceeds limit" in report.of("unreadable")[0].examples[0].detail
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 96 * 72 - 1)  # a warning of Pillow, which is told by 'huge'
    assert not folder.report().errors


def test_a_file_that_would_start_another_program_is_not_opened(folder, tmp_path, monkeypatch):
    from PIL import EpsImagePlugin

    def start(*_, **__):
        raise AssertionError("Ghostscript would be started")

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", start)
    folder.add("page")
    photo(80).save(tmp_path / "img" / "page.png", format="EPS")
    report = folder.report()
    assert {e.id: e.detail for e in report.of("unreadable")[0].examples}["img/page.png"].startswith(
        "no image, or of no"
    )
    report.write(tmp_path / "out")


def test_the_result_is_written_plain_ordered_and_without_places(folder, tmp_path):
    folder.add("empty", mask=grey_mask(disc() * 0))
    folder.add("zero")
    (tmp_path / "img" / "zero.png").write_bytes(b"")
    report = folder.report()
    page = report.write(tmp_path / "out")
    first = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert [f["level"] for f in first["findings"]] == sorted((f["level"] for f in first["findings"]), key=LEVELS.index)
    assert {f["check"] for f in first["findings"]} == {"unreadable", "empty-mask", "mask-styles", "object-share"}
    assert first["schema"] == 1
    assert first["images"] == {"train": 6, "test": 2}
    text = (tmp_path / "out" / "audit.json").read_text() + page.read_text()
    assert str(tmp_path) not in text
    assert "suspects.png" in page.read_text()
    with Image.open(tmp_path / "out" / "suspects.png") as sheet:
        assert sheet.width > 800
        assert len(np.unique(np.asarray(sheet.convert("L")))) > 50
    again = folder.report()
    assert {**again.as_dict(), "seconds": 0} == {**first, "seconds": 0}
    table = report.table()
    assert max(map(len, table.splitlines())) <= 120
    for words in ("img/zero.png: 0 bytes", "2 errors" if len(report.errors) > 1 else "1 error", "-> "):
        assert words in table


def test_every_check_has_words():
    for check, (level, what, remedy) in CHECKS.items():
        assert level in LEVELS, check
        assert what, check
        assert remedy, check


def test_flat_images_alone_are_no_copies_of_each_other():
    from seglab.audit.hashes import near_pairs

    alike = near_pairs(np.zeros(3, np.uint64), np.zeros(3, np.uint64), np.full((3, 32, 32), 7, np.uint8))
    assert alike == ([], False)
