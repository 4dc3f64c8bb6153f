"""The audit of what belongs together: pairing, lists, counts, and the audit before a training."""

from __future__ import annotations

import logging
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from seglab.audit.audit import audit
from seglab.audit.command import audit_for_prepare
from seglab.audit.first import audit_before_training, key_of, subjects_of
from seglab.audit.subject import from_pairs, known_bad
from seglab.config import compose
from seglab.data.pairs import Pairs


def picture(path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    dice = np.random.default_rng(seed)
    Image.fromarray(dice.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize((64, 48), 3).save(path)


def label(path, value: int = 255) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = np.zeros((48, 64), np.uint8)
    mask[10:30, 20:40] = value
    Image.fromarray(mask).save(path)


@pytest.fixture
def root(tmp_path):
    for i in range(8):
        picture(tmp_path / "img" / f"p{i}.jpg", i)
        label(tmp_path / "gt" / f"p{i}.png")
    return tmp_path


def source(root, **options) -> Pairs:
    return Pairs(str(root / "img"), masks=str(root / "gt"), name="mine", **{"split": "6:2", **options})


def cases(report, check) -> dict[str, str]:
    return {e.id: e.detail for f in report.of(check) for e in f.examples}


def look(pairs, **options):
    return audit(from_pairs(pairs, **options), progress=False)


def test_a_sound_set_has_the_parts_that_training_reads(root):
    pairs = source(root)
    subject = from_pairs(pairs)
    for part in ("train", "test"):
        assert [e.id for e in subject.entries if e.part == part] == [item.id for item in pairs.items(part)]
    assert not subject.faults
    assert {e.part for e in from_pairs(pairs, parts=["train"]).entries} == {"train"}


def test_everything_that_does_not_match_is_told_at_once(root):
    picture(root / "img" / "bare.jpg", 20)
    picture(root / "img" / "bare2.jpg", 21)
    label(root / "gt" / "orphan.png")
    picture(root / "img" / "p1.png", 22)
    (root / "train.txt").write_text("p0\np1\np2\ngone\np2\nbare\n")
    (root / "test.txt").write_text("p3\np4\np0\n")
    lists = {"train_list": str(root / "train.txt"), "test_list": str(root / "test.txt")}
    report = look(source(root, split=None, **lists))
    assert cases(report, "absent") == {"gone": "in train.txt"}
    assert set(cases(report, "in-both-parts")) == {"p0"}
    assert set(cases(report, "list-broken")) == {"train.txt"}
    assert "p2" in cases(report, "list-broken")["train.txt"]
    assert cases(report, "double-stem") == {"p1": "img/p1.jpg and img/p1.png"}
    assert set(cases(report, "no-mask")) == {"img/bare.jpg"}  # bare2 is on no list: the lists decide
    assert {f.level for f in report.findings if f.check in ("absent", "no-mask", "double-stem")} == {"error"}
    report = look(source(root))
    assert set(cases(report, "no-mask")) == {"img/bare.jpg", "img/bare2.jpg"}
    assert set(cases(report, "no-image")) == {"gt/orphan.png"}
    with pytest.raises(ValueError, match="two image files"):
        source(root).items("train")


def test_a_name_in_another_unicode_form_does_not_match_and_is_told_as_that(root):
    composed, apart = "caf\u00e9", "cafe\u0301"
    picture(root / "img" / f"{composed}.jpg", 20)
    label(root / "gt" / f"{apart}.png")
    picture(root / "img" / "bar\u00e9.jpg", 21)
    told = "the same name in another Unicode form (NFC, NFD) is there"
    report = look(source(root))
    assert cases(report, "no-mask") == {f"img/{composed}.jpg": told, "img/bar\u00e9.jpg": ""}
    assert cases(report, "no-image") == {f"gt/{apart}.png": told}
    (root / "train.txt").write_text(f"p0\n{composed}\n")
    (root / "test.txt").write_text("p1\n")
    lists = {"split": None, "train_list": str(root / "train.txt"), "test_list": str(root / "test.txt")}
    assert cases(look(source(root, **lists)), "no-mask") == {f"img/{composed}.jpg": told}
    (root / "gt" / f"{apart}.png").rename(root / "gt" / f"{composed}.png")
    (root / "train.txt").write_text(f"p0\n{apart}\n")
    report = look(source(root, **lists))
    assert cases(report, "absent") == {apart: f"in train.txt; {told}"}
    assert any("(NFC, NFD) is there, rename one" in fault.hint for fault in report.subject.faults)
    (root / "train.txt").write_text(f"{apart}\n")
    (root / "test.txt").write_text("")
    assert [f.alike for f in from_pairs(source(root, **lists)).faults if f.kind == "empty"] == [(apart,)]


def test_lone_files_are_looked_into_too(root):
    (root / "img" / "bare.jpg").write_bytes(b"")
    assert set(cases(look(source(root)), "unreadable")) == {"img/bare.jpg"}


def test_images_that_need_no_mask_are_a_note(root):
    picture(root / "img" / "bare.jpg", 20)
    report = look(source(root, unmasked="skip"))
    assert set(cases(report, "skipped")) == {"img/bare.jpg"}
    assert not report.errors
    assert sum(report.images.values()) == 8
    (root / "all.txt").write_text("p0\nbare\n")
    report = look(source(root, unmasked="skip", split=None, train_list=str(root / "all.txt")))
    assert set(cases(report, "absent")) == {"bare"}  # listed, so it is meant to have one


def test_missing_folders_and_lists_are_findings(root):
    report = look(Pairs(str(root / "img"), masks=str(root / "no"), split="test"), root=root)
    assert cases(report, "folder-missing") == {"no": "mask"}
    assert not report.of("no-mask")
    report = look(source(root, split=None, train_list=str(root / "nolist.txt")))
    assert set(cases(report, "list-missing")) == {"nolist.txt"}
    report = look(Pairs({"train": str(root / "img")}, masks={"train": str(root / "gt")}))
    assert report.images == {"train": 8}
    assert not report.errors


def test_counts_are_compared_with_the_published_ones(root):
    report = look(source(root, about={"counts": {"total": 9, "train": 6}}))
    assert cases(report, "counts") == {"total": "8 found, 9 published"}
    assert report.verdict() == "1 warning"
    part = look(source(root, about={"counts": {"total": 9, "train": 5}}), parts=["train"])
    assert cases(part, "counts") == {"train": "6 found, 5 published"}  # of the whole nothing is known


def test_known_bad_files_need_a_source(root):
    with pytest.raises(ValueError, match=r"about\.known_bad.*expected id, why, source"):
        known_bad([{"id": "x"}], "mine")
    bad = {"id": "p0", "why": "sizes differ", "source": "a/b#1", "fault": "size"}
    report = look(source(root, about={"known_bad": [bad]}))
    assert cases(report, "known-bad") == {"p0": "sizes differ (a/b#1)"}


def settings(root, *more):
    names = {"data.images": root / "img", "data.masks": root / "gt", "runtime.outputs": root / "out"}
    return compose("train", ["data=pairs", *(f"{k}={v}" for k, v in names.items()), *more])


def test_the_command_writes_prints_and_fails_on_errors(root, capsys):
    cfg = settings(root)
    page = audit_for_prepare(cfg)
    assert page == root / "out" / "audit" / "pairs" / "audit.md"
    assert capsys.readouterr().out.startswith("pairs: 6 train, 2 test; 16 files; nothing suspicious")
    (root / "img" / "p0.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match=r"data=pairs: 1 error \(unreadable\); see '.*audit\.md'"):
        audit_for_prepare(cfg)
    assert "img/p0.jpg: 0 bytes" in capsys.readouterr().out
    assert "0 bytes" in page.read_text()
    with pytest.raises(ValueError, match="data=shapes: nothing to audit"):
        audit_for_prepare(compose("train"))
    with pytest.raises(ValueError, match=r"image folder .*nowhere' not found"):
        audit_for_prepare(compose("train", ["data=pairs", f"data.images={root / 'nowhere'}", "data.masks=x"]))


def test_before_a_training_the_same_files_are_looked_at_once(root, caplog, monkeypatch):
    cfg = settings(root)
    audit_before_training(cfg)
    assert (root / "out" / "audit" / "pairs" / "audit.json").is_file()
    with monkeypatch.context() as patch:
        patch.setattr("seglab.audit.audit.audit", None)  # would fail if it were called
        audit_before_training(cfg)
        audit_before_training(settings(root, "loss=ce", "seed=3"))
    (root / "img" / "p1.jpg").write_bytes((root / "img" / "p0.jpg").read_bytes())
    with caplog.at_level(logging.WARNING):
        audit_before_training(cfg)
    assert "data=pairs: 1 warning (" in caplog.text
    os.truncate(root / "img" / "p2.jpg", 300)
    label(root / "gt" / "p3.png", 77)
    for _ in range(2):  # what is wrong is not remembered as right
        with pytest.raises(ValueError, match="training would fail") as error:
            audit_before_training(cfg)
    for words in ("img/p2.jpg", "gt/p3.png", "audit.md", "runtime.audit=false"):
        assert words in str(error.value)


def test_only_the_parts_that_are_used_can_stop_a_training(root):
    test = source(root, split="8:2").items("test")[0]
    os.truncate(test.image, 100)
    with pytest.raises(ValueError, match="cannot be read"):
        audit_before_training(settings(root))
    audit_before_training(settings(root, "eval.sets=[shapes]"))


def test_a_leak_from_the_training_images_into_another_set_is_told(root, monkeypatch, caplog):
    for i in range(3):
        picture(root / "ECSSD" / "images" / f"e{i}.jpg", 50 + i)
        label(root / "ECSSD" / "ground_truth_mask" / f"e{i}.png")
    trained = source(root, split="8:2").items("train")[0]
    (root / "ECSSD" / "images" / "e1.jpg").write_bytes(trained.image.read_bytes())
    cfg = settings(root, "eval.sets=[ecssd]", f"runtime.data_root={root}")
    audit_before_training(cfg)
    assert "data=ecssd: 2 warnings (leak, counts)" in caplog.text
    text = (root / "out" / "audit" / "ecssd" / "audit.json").read_text()
    assert f'"{trained.id} = e1"' in text
    assert "pairs train+ecssd" in text


def test_generated_data_are_not_audited(tmp_path):
    from seglab.data.standin import write_standins

    write_standins(["ecssd", "duts"], tmp_path / "data")
    cfg = compose("train", ["data=duts", "eval.sets=[self,ecssd,shapes]", f"runtime.data_root={tmp_path / 'data'}"])
    assert subjects_of(cfg) == []
    assert subjects_of(compose("train")) == []


def test_the_key_changes_with_a_file_and_with_the_reading(root):
    def key(**options):
        return key_of([from_pairs(source(root, **options))])

    first = key()
    assert key() == first
    assert len({first, key(threshold=0.5), key(mask_values={0: 0, 255: 1}), key(split_seed=1)}) == 4
    os.utime(root / "gt" / "p3.png", ns=(1, 1))
    assert key() != first


def test_the_audit_needs_no_torch():
    names = ["audit", "command", "duplicates", "first", "hashes", "listing", "mat", "report", "sheet"]
    code = f"import sys; import {', '.join(f'seglab.audit.{n}' for n in names)}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
