"""The decoded cache: same pixels as Pillow, rebuilt when data change or files break, safe with several builders."""

from __future__ import annotations

import multiprocessing
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seglab.data.cache import load
from seglab.data.filepair import FilePair


@pytest.fixture
def items(tmp_path):
    rng = np.random.default_rng(0)
    pairs = []
    for i in range(5):
        image, mask = tmp_path / f"{i}.jpg", tmp_path / f"{i}.png"
        size = (40 + 3 * i, 50 - 2 * i)
        Image.fromarray(rng.integers(0, 256, (*size, 3)).astype(np.uint8)).save(image)
        label = (rng.random(size) < 0.5).astype(np.uint8)
        Image.fromarray(label * 255).save(mask)
        pairs.append(FilePair(str(i), image, mask))
    return pairs


def no_pillow(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("decoded again")

    monkeypatch.setattr(Image, "open", refuse)


@pytest.mark.parametrize("workers", [0, 2])
def test_equals_pillow(items, tmp_path, workers):
    data = load(items, size=32, folder=tmp_path / "c", workers=workers)
    for i, item in enumerate(items):
        want = np.asarray(Image.open(item.image).convert("RGB").resize((32, 32), Image.Resampling.BILINEAR)) / 255
        got = data[i]["image"].permute(1, 2, 0).numpy() / 255
        np.testing.assert_allclose(got, want, atol=1e-6)
        label = Image.open(item.mask).resize((32, 32), Image.Resampling.NEAREST)
        np.testing.assert_array_equal(data[i]["mask"].numpy(), np.asarray(label) // 255)
        assert data[i]["id"] == str(i)


def test_second_load_decodes_nothing(items, tmp_path, monkeypatch):
    first = load(items, size=16, folder=tmp_path / "c")
    no_pillow(monkeypatch)
    second = load(items, size=16, folder=tmp_path / "c")
    np.testing.assert_array_equal(first.images, second.images)
    np.testing.assert_array_equal(first.masks, second.masks)
    with pytest.raises(ValueError, match="decoded again"):
        load(items, size=17, folder=tmp_path / "c")


def test_changed_content_is_another_cache(items, tmp_path):
    before = np.array(load(items, size=16, folder=tmp_path / "c").images)
    Image.fromarray(np.full((40, 50, 3), 200, np.uint8)).save(items[0].image)
    after = load(items, size=16, folder=tmp_path / "c").images
    assert (before[0] != after[0]).any()
    np.testing.assert_array_equal(before[1:], after[1:])
    assert len(list((tmp_path / "c").iterdir())) == 2


@pytest.mark.parametrize("damage", ["truncate", "flip", "header", "meta", "gone"])
def test_damaged_cache_is_built_again(items, tmp_path, caplog, damage):
    want = np.array(load(items, size=16, folder=tmp_path / "c").images)
    place = next((tmp_path / "c").iterdir())
    target = place / ("meta.json" if damage == "meta" else "images.npy")
    content = bytearray(target.read_bytes())
    if damage == "truncate":
        target.write_bytes(content[:-100])
    elif damage == "flip":
        content[-50] ^= 1
        target.write_bytes(content)
    elif damage == "gone":
        target.unlink()
    else:
        target.write_bytes(b"nonsense")
    np.testing.assert_array_equal(load(items, size=16, folder=tmp_path / "c").images, want)
    assert "damaged" in caplog.text
    assert [p.name for p in (tmp_path / "c").iterdir()] == [place.name]


def build(items, folder, barrier, queue):
    barrier.wait()
    queue.put(load(items, size=24, folder=folder).images.sum())


def test_two_builders_at_once(items, tmp_path):
    context = multiprocessing.get_context("fork")
    barrier, queue = context.Barrier(2), context.Queue()
    builders = [context.Process(target=build, args=(items, tmp_path / "c", barrier, queue)) for _ in range(2)]
    for builder in builders:
        builder.start()
    sums = {int(queue.get(timeout=60)) for _ in builders}
    for builder in builders:
        builder.join(60)
        assert builder.exitcode == 0
    assert len(sums) == 1
    assert len(list((tmp_path / "c").iterdir())) == 1


def test_failed_build_leaves_nothing(items, tmp_path):
    items[3].image.write_bytes(b"")
    with pytest.raises(ValueError, match=r"3\.jpg' cannot be read \(0 bytes"):
        load(items, size=16, folder=tmp_path / "c")
    assert list((tmp_path / "c").iterdir()) == []


def test_unwritable_folder_is_named(items, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"cache folder '.*file' cannot be written"):
        load(items, size=16, folder=tmp_path / "file")


def test_in_memory_without_folder(items):
    data = load(items, size=16, progress=False)
    assert not isinstance(data.images, np.memmap)
    assert data.images.shape == (5, 3, 16, 16)


@pytest.mark.parametrize(("size", "count", "match"), [(0, 5, "data.size=0"), (8, 0, "no images")])
def test_bad_arguments(items, size, count, match):
    with pytest.raises(ValueError, match=match):
        load(items[:count], size=size)


def test_worker_processes_get_file_names_not_pixels(items, tmp_path):
    data = load(items, size=256, folder=tmp_path / "c").subset([4, 2]).with_noise([True, False])
    content = pickle.dumps(data)
    assert len(content) < 10_000
    again = pickle.loads(content)
    assert isinstance(again.images, np.memmap)
    assert Path(again.images.filename) == Path(data.images.filename)
    for i in range(2):
        np.testing.assert_array_equal(again[i]["mask"], data[i]["mask"])
