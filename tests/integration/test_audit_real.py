"""The audit on real data: what their description states is what is found, and nothing that is not there."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from seglab.audit.audit import audit
from seglab.audit.command import subject_of
from seglab.audit.report import AuditReport
from seglab.audit.subject import from_pairs
from seglab.config import compose, conf_dir
from seglab.data.pairs import Pairs


def report_of(name: str, data_root: Path) -> AuditReport:
    if (conf_dir() / "data" / f"{name}.yaml").is_file():
        cfg = compose("evaluate", ["run=none", f"data={name}", f"runtime.data_root={data_root}"])
    else:
        node = OmegaConf.load(conf_dir() / "listing" / f"{name}.yaml")
        cfg = OmegaConf.create({"runtime": {"data_root": str(data_root)}, "listing": node})
    return audit(subject_of(cfg), workers=2, progress=False)


def told(report: AuditReport, check: str) -> dict[str, str]:
    return {e.id: e.detail for f in report.of(check) for e in f.examples}


@pytest.fixture(scope="module")
def sod(data_root):
    return report_of("sod", data_root)


def test_sod_is_sound(sod):
    assert sod.images == {"train": 200, "test": 100}
    assert sod.files == 600
    assert not sod.errors
    assert not sod.warnings
    styles = told(sod, "mask-styles")
    assert styles["1 bit"] == "298 masks"
    assert styles["0/255"] == "2 masks"
    assert len([name for name in styles if name.endswith(".png")]) == 2


def test_sod_masks_cover_from_half_a_percent_to_98_percent(sod):
    shares = [one.mask.share for one in sod.seen]
    assert 0.005 <= min(shares) <= 0.0055
    assert 0.97 <= max(shares) <= 0.98


def test_people_have_the_published_lists_and_no_copies(data_root):
    report = report_of("people", data_root)
    assert report.images == {"train": 229, "test": 58}
    assert report.subject.counts == {"train": 229, "test": 58}
    assert {f.check for f in report.findings} == {"mask-styles", "object-share"}
    assert told(report, "mask-styles") == {"0/255": "287 masks"}


def test_msra_mini(data_root):
    report = report_of("msra_mini", data_root)
    assert sum(report.images.values()) == 18
    assert report.verdict() == "nothing suspicious"
    assert {one.image.size for one in report.seen} == {(400, 300), (300, 400)}


def test_camvid_has_all_classes_in_both_parts_and_void_everywhere(data_root):
    report = report_of("camvid", data_root)
    assert report.images == {"train": 32, "val": 16}
    assert not report.errors
    labels = told(report, "labels")
    assert len(labels) == 12
    assert labels["255 void"] == "train 32, val 16"
    assert not report.of("absent-class")
    assert all(one.mask.mode == "P" for one in report.seen)
    assert {one.image.size for one in report.seen} == {(320, 240)}
    # Neighbouring frames of a film look alike; they are no copies.
    assert {f.check for f in report.warnings} <= {"near-copies", "near-leak"}


def test_bsds_annotations_fit_their_photos(data_root):
    report = report_of("bsds500", data_root)
    assert report.images == {"train": 200, "val": 100}
    assert not report.errors
    assert not report.warnings
    assert set(told(report, "part-absent").values()) == {"test"}
    assert {one.image.size for one in report.seen} == {(481, 321), (321, 481)}
    numbers = {int(n): int(text.split()[0]) for n, text in told(report, "annotators").items()}
    assert sum(numbers.values()) == 300
    assert min(numbers) == 4  # 8143 and 254054
    assert max(numbers) == 9  # 169012
    assert sum(count for n, count in numbers.items() if 5 <= n <= 8) == 297


def test_textures_have_two_parts_of_24_and_no_copies(data_root):
    report = report_of("textures", data_root)
    assert report.images == {"train": 24, "test": 24}
    assert report.findings == []


def test_maps_are_compared_with_masks_of_the_same_size(data_root):
    report = report_of("sod_maps", data_root)
    assert report.images == {"maps": 60}
    assert not report.errors
    assert sum(f.count for f in report.of("unlisted")) == 240


def test_other_layouts_than_pairs_are_audited_before_a_training(data_root, tmp_path):
    from seglab.audit.first import audit_before_training, subjects_of
    from seglab.config import compose

    cfg = compose("train", ["data=camvid", f"runtime.outputs={tmp_path}", f"runtime.data_root={data_root}"])
    audit_before_training(cfg)
    assert (tmp_path / "audit" / "camvid" / "audit.md").is_file()
    # The listing is of the folders below the data root; other folders are not audited by it.
    elsewhere = ["data.source.images=/a", "data.source.masks=/b", f"runtime.data_root={data_root}"]
    assert subjects_of(compose("train", ["data=camvid", *elsewhere])) == []


def test_real_faults_in_real_photos_are_found(data_root, tmp_path):
    """The same photo once more, smaller, saved again, mirrored, cut off in the middle, in a folder of real ones."""
    from PIL import Image

    stems = sorted(p.stem for p in (data_root / "BSDS500/data/images/val").glob("*.jpg"))[:40]
    (tmp_path / "img").mkdir()
    (tmp_path / "gt").mkdir()
    for i, stem in enumerate(stems):
        photo = data_root / f"BSDS500/data/images/val/{stem}.jpg"
        (tmp_path / f"img/{stem}.jpg").write_bytes(photo.read_bytes()[: 5000 if i == 30 else None])
        (tmp_path / f"gt/{stem}.png").write_bytes((data_root / f"SOD/masks/{stem}.png").read_bytes())
    pairs = {}
    for i, change in enumerate(("half", "mirrored", "quality", "crop")):
        with Image.open(tmp_path / f"img/{stems[i]}.jpg") as photo:
            if change == "half":
                photo = photo.resize((photo.width // 2, photo.height // 2))
            elif change == "mirrored":
                photo = photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            elif change == "crop":
                photo = photo.crop((6, 4, photo.width - 6, photo.height - 4))
            photo.save(tmp_path / f"img/z_{change}.jpg", quality=40)
            Image.new("1", photo.size, 1).save(tmp_path / f"gt/z_{change}.png")
        pairs[change] = f"{stems[i]} = z_{change}"
    report = audit(from_pairs(Pairs(str(tmp_path / "img"), masks=str(tmp_path / "gt"), split="test")), progress=False)
    assert set(told(report, "near-copies")) == set(pairs.values())
    assert told(report, "near-copies")[pairs["mirrored"]].startswith("mirrored")
    assert set(told(report, "unreadable")) == {f"img/{stems[30]}.jpg"}
    assert set(told(report, "full-mask")) == {f"z_{change}" for change in pairs}
