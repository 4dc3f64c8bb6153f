"""The grid of training images: where several people drew each of them, and where there are negative images."""

from __future__ import annotations

import numpy as np
from PIL import Image

from seglab.config import compose
from seglab.data import cache
from seglab.data.annotations import Annotations
from seglab.preview import annotators, preview


class Drawn:
    """An image with so many annotators, each of whom drew one region with their own number."""

    def __init__(self, people: int) -> None:
        self.id = f"i{people}"
        self.masks_AHW = np.arange(people, dtype=np.uint8)[:, None, None].repeat(4, axis=1).repeat(4, axis=2)

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros((4, 4, 3), np.uint8), self.masks_AHW

    def annotations(self) -> Annotations:
        return Annotations(self.masks_AHW.astype(np.int32), None)


def test_a_column_an_annotator() -> None:
    columns = annotators(cache.load([Drawn(5), Drawn(2)], size=4), range(2))
    assert {name: [int(mask[0, 0]) for mask in masks] for name, masks in columns.items()} == {
        "annotator 1": [0, 0],
        "annotator 2": [1, 1],
        "annotator 3": [2, -1],  # the second image has no third
    }
    assert list(annotators(cache.load([Drawn(2)], size=4), range(1))) == ["annotator 1", "annotator 2"]


def test_a_column_of_negative_images(tmp_path, monkeypatch) -> None:
    for one, grey in (("cow", 10), ("horse", 200)):
        for number in range(3 if one == "cow" else 2):
            place = tmp_path / "photos" / one / f"{number}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (grey + number,) * 3).save(place)
    seen = {}
    monkeypatch.setattr("seglab.data.grid.save_grid", lambda columns, *a, **k: seen.update(columns))
    chosen = ["data=class_folders/cow", f"data.images={tmp_path}/photos", "data.size=8", "count=3"]
    preview(compose("preview", [*chosen, "loss=regularized_negative", f"runtime.outputs={tmp_path}/outputs"]))
    assert [int(image[0, 0, 0]) for image in seen["image"]] == [10, 11, 12]
    assert [int(image[0, 0, 0]) for image in seen["negative image"]] == [200, 201, 255]  # there is no third
    seen.clear()
    preview(compose("preview", [*chosen, "loss=regularized", f"runtime.outputs={tmp_path}/outputs"]))
    assert "negative image" not in seen
