"""Training images with changed masks: what is fetched, kept, found again and reported."""

from __future__ import annotations

import json
import multiprocessing
import pickle
from pathlib import Path

import numpy as np
import pytest

from seglab.config import compose
from seglab.data.arrays import ArrayDataset
from seglab.data.build import label_kind, training_data
from seglab.data.noise import Ambiguous, Boundary, Drop, Flip, Noise, Region
from seglab.data.rng import permutation
from seglab.run import Run

TYPES = [
    Boundary(rate=0.5, size=0.2),
    Region(rate=0.5),
    Drop(rate=0.5),
    Ambiguous(rate=0.2, grain=0.05),
    Flip(rate=0.5),
]
NAMES = [noise.type for noise in TYPES]


def dataset(n: int = 12, *, several: bool = False, seed: int = 0) -> ArrayDataset:
    """Images with an object or two, some ignored pixels, one without an object and one without any label."""
    rng = np.random.default_rng(seed)
    counts = 1 + (np.arange(n) % 3 if several else np.zeros(n, dtype=int))
    masks = np.zeros((int(counts.sum()), 32, 32), np.uint8)
    for mask in masks:
        for _ in range(2):
            y, x = rng.integers(2, 18, 2)
            mask[y : y + 10, x : x + 8] = 1
        mask[rng.random(mask.shape) < 0.02] = 255
    masks[0] = 0
    masks[counts[0]] = 255
    images = rng.integers(0, 256, (n, 3, 32, 32), dtype=np.uint8)
    return ArrayDataset(images, masks, [f"i{k}" for k in range(n)], [None] * n, counts=counts)


def noisy(data: ArrayDataset, noise: Noise, **options) -> ArrayDataset:
    return data.with_noise(noise.choose(len(data)), noise, **options)


@pytest.mark.parametrize("noise", TYPES, ids=NAMES)
@pytest.mark.parametrize("several", [False, True])
def test_every_way_to_fetch_gives_the_changed_mask(noise, several) -> None:
    clean = dataset(several=several)
    data = noisy(clean, noise)
    chosen, order = noise.choose(12), [7, 3, 0, 11, 3]
    for view in (data, data.subset(range(12)), data.for_epoch(3, seed=1).subset(range(12))):
        batch = view.__getitems__(order)
        for row, i in enumerate(order):
            np.testing.assert_array_equal(batch["mask"][row], view.mask(i))
            np.testing.assert_array_equal(batch["mask"][row], view[i]["mask"])
    for i in range(12):
        want = [
            noise.change(mask, id=f"i{i}#{k}" if k else f"i{i}") if chosen[i] else mask
            for k, mask in enumerate(clean.clean_masks(i))
        ]
        np.testing.assert_array_equal(data.noisy_masks(i), want)
        np.testing.assert_array_equal(data.clean_masks(i), clean.clean_masks(i))
        np.testing.assert_array_equal(data.clean_mask(i), clean.mask(i))
        if noise.type != "flip":
            assert data.marked[i] == (data.noisy_masks(i) != data.clean_masks(i)).any()
    assert (data.marked <= chosen).all()
    np.testing.assert_array_equal(data.subset([5, 2]).marked, data.marked[[5, 2]])
    assert not clean.marked.any()
    assert data.fingerprint() != clean.fingerprint() == dataset(several=several).fingerprint()
    assert noisy(dataset(several=several), noise).fingerprint() == data.fingerprint()


@pytest.mark.parametrize("noise", TYPES[:4], ids=NAMES[:4])
def test_neither_order_nor_company_of_images_matters(noise) -> None:
    clean, turned = dataset(), np.arange(12)[::-1]
    one = clean.with_noise(np.ones(12, dtype=bool), noise)
    other = clean.subset(turned).with_noise(np.ones(12, dtype=bool), noise)
    alone = clean.subset([4]).with_noise([True], noise)
    for i in range(12):
        np.testing.assert_array_equal(one.mask(i), other.mask(11 - i))
    np.testing.assert_array_equal(alone.mask(0), one.mask(4))


@pytest.mark.parametrize("noise", TYPES, ids=NAMES)
@pytest.mark.parametrize("several", [False, True])
def test_report_is_what_a_count_over_the_masks_says(noise, several) -> None:
    data = noisy(dataset(several=several), noise)
    report = noise.report(data.ids, noise.choose(12), data)
    counts, wrong_of_changed, known_of_changed = np.zeros((2, 2)), 0, 0
    for i in range(12):
        before, after = data.clean_masks(i), data.noisy_masks(i)
        for a in (0, 1):
            for b in (0, 1):
                counts[a, b] += ((before == a) & (after == b)).sum()
        if data.marked[i]:
            known_of_changed += (before != 255).sum()
            wrong_of_changed += (before != after).sum()
    assert report["pixels"] == pytest.approx((counts[0, 1] + counts[1, 0]) / counts.sum())
    assert report["pixels_of_changed"] == pytest.approx(wrong_of_changed / known_of_changed)
    np.testing.assert_allclose(report["transition"], counts / counts.sum(1, keepdims=True))
    np.testing.assert_allclose(np.sum(report["transition"], axis=1), 1)
    assert (report["images"], report["chosen"]) == (12, noise.choose(12).sum())
    assert report["achieved"] == report["changed"] / 12 == data.marked.mean()
    assert report["changed_ids"] == [f"i{k}" for k in np.flatnonzero(data.marked)]
    assert len(report["unchanged_ids"]) == report["chosen"] - report["changed"]
    assert json.loads(json.dumps(report)) == report


def test_where_a_noise_cannot_apply_is_counted() -> None:
    data = noisy(dataset(), noise := Drop(rate=1.0))
    report = noise.report(data.ids, noise.choose(12), data)
    assert report["unchanged_ids"] == ["i0", "i1"]  # no object; no label
    assert (report["changed"], report["achieved"]) == (10, 10 / 12)


def test_transition_of_many_labels() -> None:
    masks = np.arange(30, dtype=np.uint8).repeat(30).reshape(1, 30, 30)
    data = ArrayDataset(np.zeros((1, 3, 30, 30), np.uint8), masks, ["a"], [None])
    noise = Region(rate=1.0, kind="permute")
    view = noisy(data, noise, classes=0)
    assert noise.report(["a"], np.ones(1, bool), view, classes=0)["transition"] is None
    few = ArrayDataset(data.images, masks // 10, ["a"], [None])
    report = noise.report(["a"], np.ones(1, bool), noisy(few, noise, classes=5), classes=5)
    assert report["labels"] == 5
    np.testing.assert_array_equal(np.array(report["transition"])[3:], np.eye(5)[3:])


def test_changed_masks_are_kept_and_found_again(tmp_path, monkeypatch) -> None:
    noise = Boundary(rate=0.5, size=0.2)
    first = noisy(dataset(), noise, folder=tmp_path)
    files = sorted(p.name for p in tmp_path.iterdir())
    assert [name.rsplit(".")[-1] for name in files] == ["json", "npy"]
    assert isinstance(first.changed, np.memmap)
    again = pickle.loads(content := pickle.dumps(first))
    assert str(first.changed.filename).encode() in content
    monkeypatch.setattr(Boundary, "change", None)
    for view in (again, noisy(dataset(), noise, folder=tmp_path)):
        np.testing.assert_array_equal(view.mask(5), first.mask(5))
        assert view.fingerprint() == first.fingerprint()
    monkeypatch.undo()
    for other, images in (
        (Boundary(rate=0.5, size=0.3), dataset()),
        (Boundary(rate=0.5, size=0.2, seed=1), dataset()),
        (noise, dataset(seed=1)),
        (noise, dataset().subset(range(11))),
    ):
        assert noisy(images, other, folder=tmp_path).fingerprint() != first.fingerprint()
    assert len(list(tmp_path.iterdir())) == 10


@pytest.mark.parametrize(
    "damage", ["bit", "header", "short", "empty", "position", "infinite", "note", "empty note", "no note"]
)
def test_damaged_files_are_made_again(damage, tmp_path, caplog) -> None:
    noise, wanted = Drop(rate=0.5), noisy(dataset(), Drop(rate=0.5))
    noisy(dataset(), noise, folder=tmp_path)
    array, note = next(tmp_path.glob("*.npy")), next(tmp_path.glob("*.json"))
    if damage == "bit":
        content = bytearray(array.read_bytes())
        content[-5] ^= 1
        array.write_bytes(content)
    elif damage == "short":
        array.write_bytes(array.read_bytes()[:-100])
    elif damage == "header":
        array.write_bytes(array.read_bytes().replace(b"}", b"(", 1))
    elif damage == "empty":
        array.write_bytes(b"")  # as some file systems leave a file when the power goes
    elif damage in ("position", "infinite"):
        content = json.loads(note.read_text())
        content["positions"][0] = np.inf if damage == "infinite" else 11 - content["positions"][0]
        note.write_text(json.dumps(content).replace("Infinity", "1e999"))
    elif damage == "note":
        note.write_text('{"positions": [')
    elif damage == "empty note":
        note.write_text("")
    else:
        note.unlink()  # as a writer that was killed between the two files leaves it
    again = noisy(dataset(), noise, folder=tmp_path)
    for i in range(12):
        np.testing.assert_array_equal(again.mask(i), wanted.mask(i))
    assert ("are damaged" in caplog.text) == (damage != "no note")


def test_images_that_cannot_be_changed_leave_no_gap_among_the_others(tmp_path) -> None:
    """Of seven chosen images the first three have no single pixel to lose; several people drew the images."""
    data = dataset(several=True)
    noise, chosen = Drop(rate=1.0, share=1.0), np.arange(12) < 7
    for folder in (None, tmp_path, tmp_path):
        view = data.with_noise(chosen, noise, folder=folder)
        for i in range(12):
            names = [f"i{i}#{k}" if k else f"i{i}" for k in range(data.counts[i])]
            masks = zip(data.clean_masks(i), names, strict=True)
            want = [noise.change(m, id=name) if chosen[i] else m for m, name in masks]
            np.testing.assert_array_equal(view.noisy_masks(i), want)


def test_nothing_to_change_and_a_folder_that_cannot_be_written(tmp_path) -> None:
    empty = dataset().subset([0, 1])  # no object; no label
    view = empty.with_noise([True, True], Drop(rate=1.0), folder=tmp_path)
    assert not view.marked.any()
    np.testing.assert_array_equal(view.__getitems__([0, 1])["mask"][0], empty.mask(0))
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"changed masks '.*file/noise-drop.*could not be written"):
        noisy(dataset(), Drop(rate=1.0), folder=tmp_path / "file")


def _build(folder: Path, queue) -> None:
    view = noisy(dataset(), Ambiguous(rate=0.3), folder=folder)
    queue.put(int(sum(int(view.mask(i).astype(np.int64) @ np.arange(32) @ np.arange(32)) for i in range(12))))


def test_processes_that_write_at_once_read_the_same(tmp_path) -> None:
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    workers = [context.Process(target=_build, args=(tmp_path, queue)) for _ in range(4)]
    for worker in workers:
        worker.start()
    sums = {queue.get(timeout=60) for _ in workers}
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    assert len(sums) == 1
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("kind", ["boundary", "region", "drop", "ambiguous"])
def test_training_data_of_a_config(kind, tiny, tmp_path) -> None:
    cfg = compose("train", [*tiny, f"noise={kind}", "noise.rate=0.3"])
    data, plain = training_data(cfg), training_data(compose("train", tiny))
    report = data.noise
    assert (report["type"], report["rate"], report["seed"]) == (kind, 0.3, 0)
    assert data.train.marked.sum() == report["changed"] > 0
    wanted = permutation(18, 0, "flip")[:5] if kind != "ambiguous" else range(18)
    assert set(np.flatnonzero(data.train.marked)) <= set(wanted)
    assert 0 < report["pixels"] < 0.5
    np.testing.assert_allclose(np.sum(report["transition"], axis=1), 1)
    assert not data.val.marked.any()
    for i in range(len(data.val)):
        np.testing.assert_array_equal(data.val.mask(i), plain.val.mask(i))
    again = training_data(cfg)
    assert again.noise == report
    assert again.train.fingerprint() == data.train.fingerprint() != plain.train.fingerprint()
    assert f"-{kind}0.3-s0-" in Run.for_config(cfg).path.name
    assert "-q0.5-s0-" in Run.for_config(compose("train", [*tiny, "noise.rate=0.5"])).path.name
    clean = Run.for_config(compose("train", [*tiny, f"noise={kind}"])).path.name
    assert kind not in clean


@pytest.mark.parametrize(
    ("data", "kind"),
    [("sod", (2, 0)), ("bsds500", (0, None)), ("texture", (0, None)), ("camvid_semantic", (11, None)),
     ("voc_aug", (21, 0)), ("toy_imbalance", (2, 0))],
)  # fmt: skip
def test_what_labels_mean_follows_from_the_data(data, kind) -> None:
    assert label_kind(compose("train", [f"data={data}"]).data) == kind
