"""Generated stand-ins of data sets of one object class: Oxford-IIIT Pet, and class folders with and without masks.

Pictures are those of :func:`seglab.data.shapes_draw.draw` with one object each, so that a training without masks has
something to find. Files and folders are those that conf/data describes; numbers measured on them mean nothing.

Legend: H W pixels. One runnable line: ``python -c "from seglab.data.standin import write_standins;
print(write_standins(['oxford_pet', 'voc_coseg', 'web'], 'x'))"``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from omegaconf import DictConfig, OmegaConf

from seglab.data.oxford_pet import TRIMAP
from seglab.data.rng import Dice
from seglab.data.shapes_draw import draw
from seglab.data.standin_place import put
from seglab.data.standin_regions import Layout, inside, save_image, stems_like, top_folder

VERSION = 1
"""Raised when the drawing or a layout changes, so that older stand-ins are written anew."""

A_CLASS = 6
"""Photos of a class folder, at most."""

BREEDS = (("Abyssinian", 1, 1, 1), ("beagle", 5, 2, 1))
"""Name, class, species and breed as the lists of Oxford-IIIT Pet number them."""


def object_layout_of(data: DictConfig) -> Layout | None:
    """The function that writes the stand-in of a data set of one object class; None for other data sets.

    See :func:`seglab.data.standin_regions.layout_of`. Folders of one's own, below no ``runtime.data_root``, have none.
    """
    layouts = {
        "seglab.data.oxford_pet.OxfordPet": _oxford_pet,
        "seglab.data.class_folders.ClassFolders": _class_folders,
    }
    return layouts.get(str(data.source.get("_target_"))) if OmegaConf.select(data, "about.files") else None


def object_scene(name: str, number: int, *, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """One picture with one object.

    Args:
        name: the data set, or its class.
        number: which of its pictures.
        size: width and height in pixels; one picture in four stands upright.

    Returns:
        Image uint8 [H,W,3] and mask uint8 [H,W] (1 = object).
    """
    width, height = size[::-1] if Dice("stand-in object", name, number).chance(25) else size
    side = max(size)
    image, mask = draw("stand-in object", name, number, size=side, single=True)
    rows, columns = ((2 * np.arange(n) + 1) * side // (2 * n) for n in (height, width))
    return image[rows][:, columns], mask[rows][:, columns]


def trimap(mask_HW: np.ndarray, *, width: int = 1) -> np.ndarray:
    """The values of Oxford-IIIT Pet, uint8 [H,W]: 1 object, 2 background, 3 within ``width`` pixels of the edge."""
    padded = np.pad(mask_HW, width, mode="edge")
    height, length = mask_HW.shape
    near = [
        padded[row : row + height, column : column + length]
        for row in range(2 * width + 1)
        for column in range(2 * width + 1)
    ]
    values = {label: value for value, label in TRIMAP.items()}
    found = np.where(mask_HW == 1, values[1], values[0])
    return np.where(np.min(near, axis=0) != np.max(near, axis=0), values[255], found).astype(np.uint8)


def _oxford_pet(data: DictConfig, root: Path, counts: Mapping[str, int], size: tuple[int, int]) -> list[Path]:
    """Photos, trimaps and lists; cats and dogs take turns."""
    source, name = data.source, "oxford_pet"

    def write(folder: Path) -> None:
        number = 0
        for part, count in counts.items():
            lines = ["#Image CLASS-ID SPECIES BREED ID"]
            for _ in range(count):
                breed, *ids = BREEDS[number % 2]
                stem = f"{breed}_{number + 1}"
                image, mask = object_scene(name, number, size=size)
                save_image(image, inside(source.images, root, folder) / f"{stem}.jpg")
                save_image(trimap(mask), inside(source.masks, root, folder) / f"{stem}.png")
                lines.append(" ".join([stem, *map(str, ids)]))
                number += 1
            inside(source[f"{part}_list"], root, folder).write_text("\n".join(lines) + "\n")

    paths = [source[key] for key in ("images", "masks", "train_list", "test_list")]
    return put(root, sorted({top_folder(path, root) for path in paths}), _wanted(name, counts, size), write)


def _class_folders(data: DictConfig, root: Path, counts: Mapping[str, int], size: tuple[int, int]) -> list[Path]:
    """A few photos in every class folder, whichever is the object, and their masks where the set has some."""
    source, name = data.source, str(data.name).split("/")[0]
    classes = OmegaConf.to_container(data.about.categories)
    count = min(A_CLASS, *counts.values())

    def write(folder: Path) -> None:
        stems = iter(stems_like(data, count * len(classes)))
        for one in classes:
            for number in range(count):
                stem = next(stems)
                image, mask = object_scene(f"{name} {one}", number, size=size)
                save_image(image, inside(source.images, root, folder) / one / f"{stem}.jpg")
                if source.masks:
                    save_image(mask * np.uint8(255), inside(source.masks, root, folder) / one / f"{stem}.png")

    paths = [source[key] for key in ("images", "masks") if source[key]]
    wanted = _wanted(name, {"a_class": count}, size) | {"classes": classes}
    return put(root, sorted({top_folder(path, root) for path in paths}), wanted, write)


def _wanted(name: str, counts: Mapping[str, int], size: tuple[int, int]) -> dict[str, object]:
    return {"version": VERSION, "data": name, **counts, "size": list(size)}
