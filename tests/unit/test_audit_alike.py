"""Images that are there twice: copies, leaks into another part, and films, whose frames are all alike."""

from __future__ import annotations

import numpy as np
import pytest
from audit_folder import SIZE, Folder, filled, ids, photo
from PIL import Image

from seglab.audit import hashes
from seglab.audit.duplicates import duplicates
from seglab.audit.hashes import near_pairs, perceptual_hashes
from seglab.audit.look import ImageFacts, Seen
from seglab.audit.subject import Entry


@pytest.fixture
def folder(tmp_path):
    return filled(tmp_path)


def test_copies_within_and_across_parts(folder, tmp_path):
    folder.add("first", image=photo(71))
    folder.add("again", image=photo(71), part="test")
    folder.add("third", image=photo(72))
    folder.add("third_too", image=photo(72))
    folder.add("sharp", image=photo(73, (400, 300)))
    small = photo(73, (400, 300)).resize((200, 150))
    folder.add("resaved", image=small, part="test", suffix=".jpg", save={"quality": 40})
    folder.add("left", image=photo(74, (200, 150)))
    mirrored = photo(74, (200, 150)).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    folder.add("right", image=mirrored, part="test", suffix=".jpg", save={"quality": 80})
    folder.add("plain", image=Image.new("RGB", SIZE, (200, 200, 200)))
    folder.add("plain_too", image=Image.new("RGB", SIZE, (90, 120, 90)), part="test")
    report = folder.report()
    assert ids(report, "leak", "train+test") == {"first = again"}
    assert ids(report, "copies", "train") == {"third = third_too"}
    assert ids(report, "near-leak", "train+test") == {"sharp = resaved", "left = right"}
    assert not report.of("near-copies")
    assert not report.errors
    details = {e.id: e.detail for e in report.of("near-leak")[0].examples}
    assert details["left = right"].startswith("mirrored")
    assert not details["sharp = resaved"].startswith("mirrored")


@pytest.mark.parametrize("change", ["brighter", "cropped", "quality", "half"])
def test_a_changed_copy_is_found_among_many_others(change, tmp_path):
    source = Folder(tmp_path)
    for i in range(40):
        source.add(f"p{i:02d}", image=photo(i, (160, 120)), part="train" if i % 2 else "test")
    original = photo(8, (160, 120))
    copy = {
        "brighter": original.point(lambda v: min(255, int(v * 1.2) + 8)),
        "cropped": original.crop((2, 2, 158, 118)),
        "quality": original,
        "half": original.resize((80, 60)),
    }[change]
    source.add("copy", image=copy, suffix=".jpg", save={"quality": 30 if change == "quality" else 85})
    report = source.report()
    assert ids(report, "near-leak") == {"copy = p08"}
    assert not report.of("near-copies")


def film(frames: int, seed: int = 0) -> np.ndarray:
    """Small pictures uint8 [frames,32,32] of one scene, each with a little noise of its own."""
    dice = np.random.default_rng(seed)
    scene = np.asarray(photo(seed, (32, 32)).convert("L"))
    return np.clip(scene + dice.normal(0, 3, (frames, 32, 32)), 0, 255).astype(np.uint8)


def seen(thumbs: np.ndarray, parts: list[str]) -> list[Seen]:
    """Records of images as the audit makes them."""
    records = []
    for i, (thumb, part) in enumerate(zip(thumbs, parts, strict=True)):
        first, second = perceptual_hashes(thumb)
        facts = ImageFacts(digest=thumb.tobytes(), hash=first, mirror=second, thumb=thumb)
        records.append(Seen(Entry(part, f"f{i}", f"f{i}.png", None), facts, None))
    return records


def test_a_film_is_cut_short_told_and_hides_no_leak(monkeypatch):
    monkeypatch.setattr(hashes, "CANDIDATES", 300)
    found = duplicates(seen(film(60), ["train"] * 57 + ["test"] * 3))
    counts = {(f.check, f.part): f.count for f in found}
    assert counts["near-copies", "train"] == 300  # of 1596
    assert counts["near-leak", "train+test"] == 3 * 57  # the film in train takes no place from the leaks
    assert counts["near-copies", "test"] == 3
    assert [f.level for f in found if f.check == "not-compared"] == ["warning"]
    assert not any(f.check == "not-compared" for f in duplicates(seen(film(20), ["train"] * 20)))


def test_for_leaks_only_images_of_two_parts_are_compared(monkeypatch):
    compared = []
    monkeypatch.setattr(
        hashes, "_close", lambda h, m, a, b, real=hashes._close: compared.append((a, b)) or real(h, m, a, b)
    )
    frames = film(12)
    frames[11] = frames[0]
    found = duplicates(seen(frames, ["train"] * 9 + ["test"] * 3), within=False)
    assert {(f.check, f.part): f.count for f in found} == {
        ("leak", "train+test"): 1,
        ("near-leak", "train+test"): 26,
    }
    assert [(a.tolist(), b.tolist()) for a, b in compared] == [(list(range(9)), [9, 10, 11])]


def test_parts_change_which_pairs_are_told_and_nothing_about_them():
    thumbs = np.concatenate([film(5, seed) for seed in range(6)])
    thumbs[::4] = thumbs[::4, :, ::-1]
    codes = np.array([perceptual_hashes(thumb) for thumb in thumbs], np.uint64).T
    everything, cut = near_pairs(*codes, thumbs)
    assert len(everything) == 6 * 10
    assert not cut
    parts = [str(i % 3) for i in range(30)]
    assert near_pairs(*codes, thumbs, parts)[0] == everything
    apart = [pair for pair in everything if parts[pair.first] != parts[pair.second]]
    assert near_pairs(*codes, thumbs, parts, within=False)[0] == apart
    exact = {(p.first, p.second): p.correlation for p in everything if not p.mirrored}
    straight = np.corrcoef(thumbs.reshape(30, -1))
    for (first, second), correlation in exact.items():
        assert correlation >= straight[first, second] - 1e-5


def test_every_picture_of_a_block_is_cropped_once(monkeypatch):
    cropped = []
    monkeypatch.setattr(
        hashes, "_views", lambda thumbs, real=hashes._views: cropped.append(len(thumbs)) or real(thumbs)
    )
    frames = film(30)
    codes = np.array([perceptual_hashes(thumb) for thumb in frames], np.uint64).T
    assert len(near_pairs(*codes, frames)[0]) == 435
    assert cropped == [30]  # 435 pairs fit into one block
