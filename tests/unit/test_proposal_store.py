"""Proposals on disk: what is written is read again, and every bad input has one clear message."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from seglab.proposals.store import ProposalSet, Store, natural, superpixels_of

SIZE, CLASSES = (6, 8), 4


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)


@pytest.fixture
def store(tmp_path, image) -> Store:
    found = Store(tmp_path / "made")
    write(found, "a.b", image)
    return found


def write(store: Store, id: str, image: np.ndarray, **changed) -> None:
    superpixels = np.arange(48).reshape(SIZE) // 12
    labels = np.array([[0, 1, 2, 3], [3, 1, 2, 0], [0, 0, 0, 0]])
    content = {
        "superpixels_HW": superpixels,
        "labels_MS": labels,
        "energy_M": np.arange(3.0),
        "augmented_M": np.ones(3),
    }
    content |= {"augmented_M": np.ones(3)} | changed
    store.write(id, part="test", image=image, classes=CLASSES, **content)


def save_maps(folder, *maps, mode="L") -> None:
    folder.mkdir(parents=True)
    for number, labels in enumerate(maps):
        picture = Image.fromarray(labels.astype(np.uint8))
        if mode == "P":
            picture.putpalette(range(256))
        picture.save(folder / f"m{number * 9 + 1}.png")


def test_what_is_written_is_read_again(store, image) -> None:
    found = store.read("a.b", part="test", size=SIZE, classes=CLASSES, image=image)
    assert isinstance(found, ProposalSet)
    assert found.labels_MHW.dtype == np.uint8
    assert found.labels_MHW.shape == (3, *SIZE)
    assert found.labels_MHW[1, 0, 0] == 3
    assert found.energy_M.tolist() == [0, 1, 2]
    assert len(found.first(2)) == 2
    assert len(found.first(9)) == 3
    pixels = superpixels_of(store, "a.b", "test")
    assert pixels.dtype == np.int32
    assert pixels.max() == 3
    assert store.has("a.b", "test")
    assert not store.has("a.b", "train")


def test_equal_content_gives_equal_bytes(store, image) -> None:
    before = store.path("a.b", "test").read_bytes()
    write(store, "a.b", image)
    assert store.path("a.b", "test").read_bytes() == before


def test_names_may_hold_folders_and_odd_signs_but_not_lead_out(store, image) -> None:
    for name in ("cow/2008 1", "ü (1)", "100%"):
        write(store, name, image)
        assert store.read(name, part="test", size=SIZE, classes=CLASSES).labels_MHW.shape == (3, *SIZE)
    for name in ("../x", "/etc/x", "a/../../x"):
        with pytest.raises(ValueError, match="stays inside"):
            store.has(name, "test")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"size": (8, 6)}, r"a\.b\.npz' have 8 x 6 pixels \(width x height\): expected those of the image, 6 x 8"),
        ({"classes": 3}, r"a\.b\.npz' hold the labels \[3\]: expected 0 to 2"),
        ({"id": "other"}, r"none for the image 'other' of the test part: expected test/other\.npz"),
        ({"image": np.zeros((*SIZE, 3), np.uint8)}, "were made of another image with this name and size"),
    ],
)
def test_what_does_not_fit_is_told(store, changed, message) -> None:
    wanted = {"id": "a.b", "part": "test", "size": SIZE, "classes": CLASSES} | changed
    with pytest.raises(ValueError, match=message):
        store.read(wanted.pop("id"), **wanted)


@pytest.mark.parametrize("damage", ["cut", "bit", "empty", "text", "pickle", "other"])
def test_a_damaged_file_is_told(store, damage) -> None:
    path = store.path("a.b", "test")
    content = bytearray(path.read_bytes())
    if damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "bit":
        content[content.index(b"labels.npy") + 40] ^= 16
        path.write_bytes(content)
    elif damage == "pickle":
        with np.load(path) as file:
            np.savez(path, **dict(file) | {"labels": np.array([{}], dtype=object)})
    elif damage == "other":
        np.savez(path, x=np.ones(3))
    else:
        path.write_bytes(b"" if damage == "empty" else b"not a file of proposals")
    with pytest.raises(ValueError, match=r"a\.b\.npz' cannot be read \(\d+ bytes; .+delete it and start"):
        store.read("a.b", part="test", size=SIZE, classes=CLASSES)


def test_a_file_that_unpacks_to_too_much_is_not_unpacked(store, monkeypatch) -> None:
    monkeypatch.setattr("seglab.proposals.store.LARGEST", 100)
    with pytest.raises(ValueError, match="unpacks to more than 100 bytes"):
        store.read("a.b", part="test", size=SIZE, classes=CLASSES)


@pytest.mark.parametrize("mode", ["L", "P"])
@pytest.mark.parametrize("below", ["", "test"])
def test_label_maps_of_anybody_are_read_in_order_of_their_names(tmp_path, mode, below) -> None:
    save_maps(tmp_path / below / "x y", *(np.full(SIZE, k) for k in range(3)), mode=mode)  # m1, m10, m19
    (tmp_path / below / "x y" / "m2.png").write_bytes((tmp_path / below / "x y" / "m19.png").read_bytes())
    store = Store(tmp_path)
    found = store.read("x y", part="test", size=SIZE, classes=3)
    assert found.labels_MHW[:, 0, 0].tolist() == [0, 2, 1, 2]
    assert found.energy_M.tolist() == found.augmented_M.tolist() == [0, 1, 2, 3]
    assert store.superpixels("x y", "test") is None


def test_a_single_label_map_is_fine(tmp_path) -> None:
    save_maps(tmp_path / "one", np.zeros(SIZE))
    assert len(Store(tmp_path).read("one", part="train", size=SIZE, classes=2)) == 1


def test_bad_label_maps_are_told(tmp_path) -> None:
    store = Store(tmp_path)
    save_maps(tmp_path / "large", np.full(SIZE, 7))
    save_maps(tmp_path / "size", np.zeros((3, 3)))
    save_maps(tmp_path / "cut", np.zeros(SIZE))
    path = tmp_path / "cut" / "m1.png"
    path.write_bytes(path.read_bytes()[:40])
    (tmp_path / "none").mkdir()
    wanted = {"part": "test", "size": SIZE, "classes": 4}
    with pytest.raises(ValueError, match=r"m1\.png' hold the labels \[7\]: expected 0 to 3"):
        store.read("large", **wanted)
    with pytest.raises(ValueError, match=r"m1\.png' have 3 x 3 pixels .+ 8 x 6"):
        store.read("size", **wanted)
    with pytest.raises(ValueError, match=r"m1\.png.+cannot be read"):
        store.read("cut", **wanted)
    with pytest.raises(ValueError, match="none for the image 'none'"):
        store.read("none", **wanted)


def test_an_empty_folder_and_one_that_is_not_there_are_told(tmp_path) -> None:
    with pytest.raises(ValueError, match="the folder is empty"):
        Store(tmp_path).read("a", part="test", size=SIZE, classes=2)
    with pytest.raises(ValueError, match="no such folder"):
        Store(tmp_path / "nowhere").read("a", part="test", size=SIZE, classes=2)


def test_names_are_sorted_as_people_count() -> None:
    names = ["m10.png", "m2.png", "b.png", "1.png", "m02.png"]
    assert sorted(names, key=natural) == ["1.png", "b.png", "m02.png", "m2.png", "m10.png"]
