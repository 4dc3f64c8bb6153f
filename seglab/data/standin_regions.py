"""Generated stand-ins of data sets of many regions: BSDS500, the layout of PASCAL VOC, a folder of textures.

Pictures are divided by :func:`seglab.data.composer.divide` and filled with drawn patterns, of which some are alike in
colour. Files and folders are those that conf/data describes; numbers measured on them mean nothing.

Legend: A annotators, H W pixels. One runnable line: ``python -c "from seglab.data.standin import write_standins;
print(write_standins(['bsds500', 'camvid', 'texture_mosaic'], 'x'))"``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from omegaconf import DictConfig
from PIL import Image

from seglab.data.composer import divide
from seglab.data.pairing import PARTS
from seglab.data.rng import Dice, integers
from seglab.data.shapes_draw import canvas, noise, palette
from seglab.data.shapes_outline import turned
from seglab.data.standin_place import put

VERSION = 2
"""Raised when the drawing or a layout changes, so that older stand-ins are written anew."""

TEXTURES = 24
"""Photographs of a part in a folder of textures, as many as in the real one: others are composed of them by name."""

Layout = Callable[[DictConfig, Path, Mapping[str, int], tuple[int, int]], list[Path]]

MAT_HEADER = b"MATLAB 5.0 MAT-file, generated".ljust(116)


def layout_of(data: DictConfig) -> Layout | None:
    """The function that writes the stand-in of a data set; None where it needs no files.

    It takes the ``data`` node, ``runtime.data_root``, the images of each part, and width and height of the images in
    pixels; it returns the folders directly below ``runtime.data_root``.
    """
    layouts = {
        "seglab.data.bsds.Bsds500": _bsds,
        "seglab.data.voc.Voc": _voc,
        "seglab.data.composer.TextureMosaic": _textures,
    }
    return layouts.get(str(data.source.get("_target_")))


def region_scene(name: str, number: int, *, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """One picture of a stand-in with two to six regions.

    Args:
        name: the data set.
        number: which of its pictures.
        size: width and height in pixels; one picture in four stands upright.

    Returns:
        Image uint8 [H,W,3] and regions uint8 [H,W], 0..R-1, every one of them there.
    """
    dice = Dice("stand-in regions", name, number)
    width, height = size[::-1] if dice.chance(25) else size
    side, count = max(size), dice.between(2, 6)
    labels = divide(count, side, "stand-in regions", name, number)
    colours = [palette(dice), palette(dice)]
    image = np.zeros((side, side, 3), dtype=np.uint8)
    for region in range(count):
        pattern = drawn_texture(dice, colours[region % 2], side)
        image[labels == region] = pattern[labels == region]
    top, left = (side - height) // 2, (side - width) // 2
    crop = labels[top : top + height, left : left + width]
    there = np.unique(crop)
    return image[top : top + height, left : left + width], np.searchsorted(there, crop).astype(np.uint8)


def drawn_texture(dice: Dice, colours: np.ndarray, size: int) -> np.ndarray:
    """Stripes, checks or clouds in two colours of a palette: uint8 [size,size,3]."""
    x, y = canvas(size)
    p, q = turned(dice, x, y)
    period, kind = dice.between(300, 700), dice.between(0, 2)
    if kind == 0:
        share = p % period * 256 // period
    elif kind == 1:
        share = (p // period + q // period) % 2 * 256
    else:
        share = noise(dice, dice.between(8, 14), size)
    first, second = dice.pick(colours), dice.pick(colours) + dice.between(-40, 40)
    image = first + ((second - first) * share >> 8) + (dice.grid(size, size) - 128 >> 4)
    return np.ascontiguousarray(np.clip(image, 0, 255).astype(np.uint8).transpose(1, 2, 0))


def stems_like(data: DictConfig, count: int) -> list[str]:
    """Stems like the example of ``about.files.stem``."""
    prefix, digits = re.fullmatch(r"(.*?)(\d*)", str(data.about.files.stem)).groups()
    return [f"{prefix}{int(digits or 1) + i:0{len(digits or '001')}d}" for i in range(count)]


def inside(path: str, root: Path, folder: Path) -> Path:
    """A path of the data set below the folder where it is written aside."""
    place = Path(path)
    if not place.is_relative_to(root):
        raise ValueError(f"stand-in: '{place}' is not below runtime.data_root '{root}': expected a path there")
    return folder / place.relative_to(root)


def save_image(image: np.ndarray, path: Path) -> None:
    """Write an image uint8 [H,W,3] or a mask uint8 [H,W], with the folders that lead to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, **({"quality": 95, "subsampling": 0} if path.suffix == ".jpg" else {}))


def top_folder(path: str, root: Path) -> str:
    """The folder directly below the root that a path of the data set leads through."""
    return inside(path, root, Path()).parts[0]


def _wanted(data: DictConfig, counts: Mapping[str, int], size: tuple[int, int]) -> dict[str, object]:
    return {"version": VERSION, "data": data.name, **counts, "size": list(size)}


def _bsds(data: DictConfig, root: Path, counts: Mapping[str, int], size: tuple[int, int]) -> list[Path]:
    """Photos and MATLAB files with three annotators: as drawn, two regions as one, one region in two."""
    source = data.source
    folders = [(part, one) for part in PARTS for one in source[f"{part}_parts"]]
    folders += [("test", one) for one in source.images if one not in [two for _, two in folders]]  # others read them

    def write(folder: Path) -> None:
        stems = iter(stems_like(data, len(folders) * max(counts.values())))
        number = 0
        for part, one in folders:
            for _ in range(counts[part]):
                stem = next(stems)
                image, labels = region_scene(data.name, number, size=size)
                save_image(image, inside(source.images[one], root, folder) / f"{stem}.jpg")
                _save_mat(annotators(labels), inside(source.masks[one], root, folder) / f"{stem}.mat")
                number += 1

    tops = sorted({top_folder(place, root) for key in ("images", "masks") for place in source[key].values()})
    chosen = {"parts": [list(pair) for pair in folders]}
    return put(root, tops, {**_wanted(data, counts, size), **chosen}, write)


def annotators(labels_HW: np.ndarray) -> np.ndarray:
    """Three readings of one division, labels from 1: uint16 [3,H,W]; the second has a gap in its labels."""
    first = labels_HW.astype(np.uint16) + 1
    top = first.max()
    merged = np.where(first == top, 1, first)
    merged = np.where(merged == top - 1, top, merged) if top > 2 else merged
    halves = np.arange(first.shape[1]) >= first.shape[1] // 2
    split = np.where((first == 1) & halves, top + 1, first)
    return np.stack([first, merged, split]).astype(np.uint16)


def _save_mat(segments_AHW: np.ndarray, path: Path) -> None:
    from scipy.io import savemat

    cells = np.empty((1, len(segments_AHW)), dtype=object)
    for i, labels in enumerate(segments_AHW):
        cells[0, i] = {"Segmentation": labels, "Boundaries": edges(labels).astype(np.uint8)}
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"groundTruth": cells}, do_compression=True)
    content = path.read_bytes()
    path.write_bytes(MAT_HEADER + content[len(MAT_HEADER) :])  # SciPy writes the time of day there


def edges(labels_HW: np.ndarray) -> np.ndarray:
    """Pixels whose right or lower neighbour has another label: bool [H,W]."""
    found = np.zeros(labels_HW.shape, dtype=bool)
    found[:, :-1] |= labels_HW[:, :-1] != labels_HW[:, 1:]
    found[:-1] |= labels_HW[:-1] != labels_HW[1:]
    return found


def _voc(data: DictConfig, root: Path, counts: Mapping[str, int], size: tuple[int, int]) -> list[Path]:
    """Photos, palette images of classes (two regions share one) and of objects, void round them, lists.

    With ``about.files.classes`` every class is somewhere in the test part.
    """
    source = data.source
    paths = [source[key] for key in ("images", "masks", "instances", "train_list", "test_list") if source[key]]

    def write(folder: Path) -> None:
        stems = stems_like(data, sum(counts.values()))
        names = {part: [stems.pop(0) for _ in range(counts[part])] for part in PARTS if source[f"{part}_list"]}
        pieces = test_pieces(int(data.about.files.get("classes") or 0), counts["test"])
        for number, stem in enumerate(name for part in names for name in names[part]):
            image, labels = region_scene(data.name, number, size=size)
            more = pieces[names["test"].index(stem)] if stem in names.get("test", ()) else []
            void = edges(labels)
            save_image(image, inside(source.images, root, folder) / f"{stem}.jpg")
            classes = np.where(labels == 0, 0, 1 + (labels.astype(int) + number) % 3)
            for place, label in enumerate(more):
                classes[-6:, 6 * place : 6 * place + 6] = label
            for place, indices in ((source.masks, classes), (source.instances, labels)):
                if place:
                    save_palette(np.where(void, 255, indices), inside(place, root, folder) / f"{stem}.png")
        for part, listed in names.items():
            place = inside(source[f"{part}_list"], root, folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text("\n".join(listed) + "\n")

    return put(root, sorted({top_folder(path, root) for path in paths}), _wanted(data, counts, size), write)


def test_pieces(classes: int, images: int) -> list[list[int]]:
    """Classes that are drawn as small squares into every test image, so that each class from 1 on is in one of them."""
    return [[label for label in range(1, classes) if label % images == number] for number in range(images)]


def save_palette(indices: np.ndarray, path: Path) -> None:
    """Write numbers uint8 [H,W] as a palette image, with the folders that lead to it."""
    image = Image.fromarray(indices.astype(np.uint8), mode="P")
    image.putpalette(integers(768, "stand-in palette").astype(np.uint8).tobytes())
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def _textures(data: DictConfig, root: Path, counts: Mapping[str, int], size: tuple[int, int]) -> list[Path]:
    """Photographs of one pattern each, and lists of them; the pictures are composed when they are read."""
    source = data.source
    paths = [source[key] for key in ("photos", "train_list", "test_list") if source[key]]

    def write(folder: Path) -> None:
        place = inside(source.photos, root, folder)
        for number in range(2 * TEXTURES):
            dice = Dice("stand-in texture", data.name, number)
            save_image(drawn_texture(dice, palette(dice), 2 * max(size)), place / f"tex_{number:02d}.jpg")
        for first, part in enumerate(PARTS):
            if source[f"{part}_list"]:
                listed = [f"tex_{number:02d}" for number in range(first, 2 * TEXTURES, len(PARTS))]
                inside(source[f"{part}_list"], root, folder).write_text("\n".join(listed) + "\n")

    return put(
        root, sorted({top_folder(path, root) for path in paths}), {**_wanted(data, {}, size), "photos": TEXTURES}, write
    )
