"""Generated stand-ins of the data sets, written in the on-disk layouts that conf/data describes.

They show that a data set's YAML, its training and its scoring work where the real files are absent; numbers measured on
them mean nothing. The pictures are those of :mod:`seglab.data.shapes_draw`, other ones for every data set. Each top
folder below ``runtime.data_root`` is written aside and moved into place whole, with a marker file; a folder that holds
anything else is never touched, so real data cannot be overwritten.

One runnable line: ``python -c "from seglab.data.standin import write_standins; print(write_standins(['duts'], 'x'))"``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf, open_dict
from PIL import Image

from seglab.config import compose
from seglab.data.names import data_overrides
from seglab.data.pairs import PARTS
from seglab.data.rng import Dice
from seglab.data.shapes_draw import draw
from seglab.data.standin_place import put

VERSION = 1
"""Raised when the drawing or the layout changes, so that older stand-ins are written anew."""

LEVELS = ("two", "bit", "graded")
"""Masks: 0 and 255 in 8 bits, 1 bit a pixel, or several steps of grey of which those from 128 on are the object."""

_BELOW = "${runtime.data_root}/"
_LOSSLESS = ("png", "bmp", "tif", "tiff")


@dataclass
class _Plan:
    """What is written, paths relative to the root."""

    root: Path
    folders: set[str] = field(default_factory=set)
    pairs: list[tuple[int, str, str | None]] = field(default_factory=list)
    lists: dict[str, list[str]] = field(default_factory=dict)

    def tops(self) -> list[str]:
        return sorted({path.split("/")[0] for path in (*self.folders, *self.lists)})


def write_standins(
    names: Sequence[str], root: Path | str, *, train: int = 12, test: int = 6, size: tuple[int, int] = (48, 40)
) -> dict[str, list[Path]]:
    """Write the stand-ins of several data sets; sets that are drawn when read, such as ``shapes``, need none.

    Args:
        names: names of YAML files in ``conf/data``, perhaps with a category (``voc_coseg/cow``).
        root: the ``runtime.data_root`` they are written for.
        train: training images of each, where it has a training part.
        test: test images of each, where it has a test part.
        size: width and height of the images in pixels, see :func:`scene`.

    Returns:
        The folders of every data set that needs files.

    Raises:
        ValueError: no such data set, or what :func:`write_standin` raises.
    """
    from seglab.data.standin_objects import object_layout_of
    from seglab.data.standin_regions import layout_of
    from seglab.data.standin_semantic import semantic_layout_of

    folders: dict[str, list[Path]] = {}
    for name in dict.fromkeys(names):
        if alike := [one for one in folders if "/" in name and one.split("/")[0] == name.split("/")[0]]:
            folders[name] = folders[alike[0]]  # another category of a set whose files are there
            continue
        cfg = compose("prepare", [*data_overrides(name), "~eval"])  # how it is scored is not asked here
        with open_dict(cfg):
            cfg.runtime.data_root = str(root)
        if other := OmegaConf.select(cfg, "data.about.standin"):
            folders[name] = write_standins([other], root, train=train, test=test, size=size)[other]
        elif cfg.data.source.get("_target_") == "seglab.data.pairs.Pairs":
            folders[name] = write_standin(cfg.data, train=train, test=test, size=size)
        elif {"photos", "runs"} <= cfg.data.source.keys():  # pseudo-labels, of photos of another set
            folders |= write_standins([cfg.data.source.photos], root, train=train, test=test, size=size)
        elif "sets" in cfg.data.source:
            folders |= write_standins(list(cfg.data.source.sets), root, train=train, test=test, size=size)
        elif layout := layout_of(cfg.data) or object_layout_of(cfg.data) or semantic_layout_of(cfg.data):
            folders[name] = layout(cfg.data, Path(root), {"train": train, "test": test}, size)
    return folders


def write_standin(data: DictConfig, *, train: int = 12, test: int = 6, size: tuple[int, int] = (48, 40)) -> list[Path]:
    """Write generated images and masks where a data set of image and mask folders expects them.

    The same call again writes nothing. A stand-in written with other settings, or with files gone, is written anew.

    Args:
        data: the ``data`` node of a composed config; ``about.files`` says what its files are.
        train: training images; a ratio split such as 6:4 divides ``train + test`` images.
        test: test images.
        size: width and height of the images in pixels, see :func:`scene`.

    Returns:
        Its folders directly below ``runtime.data_root``.

    Raises:
        ValueError: a folder holds anything but a stand-in of this data set; paths that are not below
            ``runtime.data_root``; a count or size out of range.
    """
    for key, value, least in (("train", train, 1), ("test", test, 1), ("size", min(size), 16)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"stand-in of {data.name}: {key}={value}: expected a whole number, {least} or more")
    files = _file_kinds(data)
    plan = _plan(data, files, {"train": train, "test": test})
    wanted = {"version": VERSION, "data": data.name, "train": train, "test": test, "size": list(size), **files}
    return put(plan.root, plan.tops(), wanted, lambda folder: _write(plan, folder, data.name, files, size))


def scene(name: str, number: int, *, size: tuple[int, int] = (48, 40)) -> tuple[np.ndarray, np.ndarray]:
    """One picture of a stand-in.

    Args:
        name: the data set.
        number: which of its pictures.
        size: width and height in pixels; each side is up to an eighth shorter, and one picture in four stands upright.

    Returns:
        Image uint8 [H,W,3] and mask uint8 [H,W] (1 = object).
    """
    dice = Dice("stand-in size", name, number)
    width, height = (side - dice.between(0, side // 8) for side in size)
    if dice.chance(25):
        width, height = height, width
    side = max(width, height)
    image, mask = draw("stand-in", name, number, size=side)
    rows, columns = ((2 * np.arange(n) + 1) * side // (2 * n) for n in (height, width))
    return image[rows][:, columns], mask[rows][:, columns]


def _file_kinds(data: DictConfig) -> dict[str, str]:
    """``about.files`` with what it leaves out: types of images and masks, levels of the masks, an example of a stem."""
    where = f"conf/data/{data.name}.yaml: about.files"
    files = {"images": "jpg", "masks": "png", "levels": "two", "stem": "0001"}
    given = OmegaConf.to_container(data.about).get("files") or {}
    if odd := sorted(given.keys() - files):
        raise ValueError(f"{where}.{odd[0]}: expected {', '.join(files)}")
    files |= {key: str(value) for key, value in given.items()}
    if files["levels"] not in LEVELS:
        raise ValueError(f"{where}.levels={files['levels']}: expected {', '.join(LEVELS)}")
    if files["masks"] not in _LOSSLESS:
        raise ValueError(f"{where}.masks={files['masks']}: expected {', '.join(_LOSSLESS)}, which keep mask values")
    return files


def _plan(data: DictConfig, files: Mapping[str, str], counts: Mapping[str, int]) -> _Plan:
    """Which file goes where, from the paths of ``data.source`` alone."""
    # Unresolved, paths still tell where runtime.data_root ends and the folders of the data set begin.
    source = OmegaConf.to_container(data.source, resolve=False)
    plan = _Plan(Path())
    prefix, digits = re.fullmatch(r"(.*?)(\d*)", files["stem"]).groups()
    folders = source.get("folders") or [""]
    number = 0
    for part, images, masks, count in _groups(source, counts):
        images, masks = _below(data, "images", images), _below(data, "masks", masks)
        plan.folders |= {place.replace("{folder}", folder) for place in (*images, *masks) for folder in folders}
        bare = len(folders) if source.get("unmasked") == "skip" else 0
        ids = []
        for i in range(count + bare):
            folder = folders[i % len(folders)]
            stem = f"{prefix}{int(digits or 1) + number:0{len(digits or '001')}d}"
            image, mask = (places[i % len(places)].replace("{folder}", folder) for places in (images, masks))
            label = f"{mask}/{stem}.{files['masks']}" if i < count else None
            plan.pairs.append((number, f"{image}/{stem}.{files['images']}", label))
            ids += [f"{folder}_{stem}" if folder else stem] if label else []
            number += 1
        if source.get(f"{part}_list"):
            plan.lists[_below(data, f"{part}_list", [source[f"{part}_list"]])[0]] = ids
    plan.root = _root(data, source)
    return plan


def _groups(source: Mapping[str, Any], counts: Mapping[str, int]) -> list[tuple[str, list[str], list[str], int]]:
    """Part, image folders, mask folders and count of what is written together."""
    images, masks = source["images"], source["masks"]
    if isinstance(images, Mapping):
        return [(part, _list(images[part]), _list(masks[part]), counts[part]) for part in PARTS if part in images]
    if source.get("train_list") or source.get("test_list"):
        # Two folders and lists: one folder a part, as in SOD.
        both = [{p: [v[i]] if len(v) == 2 else v for i, p in enumerate(PARTS)} for v in (_list(images), _list(masks))]
        return [(part, both[0][part], both[1][part], counts[part]) for part in PARTS]
    count = counts[source["split"]] if source["split"] in PARTS else sum(counts.values())
    return [(str(source["split"]), _list(images), _list(masks), count)]


def _list(paths: Any) -> list[Any]:
    return list(paths) if isinstance(paths, list) else [paths]


def _below(data: DictConfig, key: str, paths: Sequence[Any]) -> list[str]:
    """Paths relative to ``runtime.data_root``."""
    for path in paths:
        inside = str(path).startswith(_BELOW) and ".." not in str(path).split("/")
        if not inside or not str(path).removeprefix(_BELOW).strip("/"):
            raise ValueError(f"stand-in of {data.name}: data.source.{key}={path}: expected a path {_BELOW}...")
    return [str(path).removeprefix(_BELOW).strip("/") for path in paths]


def _root(data: DictConfig, source: Mapping[str, Any]) -> Path:
    """The value of ``runtime.data_root``, which lies outside the ``data`` node."""
    raw, resolved = source["images"], OmegaConf.to_container(data.source, resolve=True)["images"]
    while not isinstance(raw, str):
        key = next(iter(raw)) if isinstance(raw, Mapping) else 0
        raw, resolved = raw[key], resolved[key]
    return Path(resolved.removesuffix(raw.removeprefix(_BELOW.rstrip("/"))) or "/")


def _write(plan: _Plan, folder: Path, name: str, files: Mapping[str, str], size: tuple[int, int]) -> None:
    for path in plan.folders:
        (folder / path).mkdir(parents=True, exist_ok=True)
    for number, image_path, mask_path in plan.pairs:
        image, mask = scene(name, number, size=size)
        options = {"quality": 95, "subsampling": 0} if files["images"] in ("jpg", "jpeg") else {}
        Image.fromarray(image).save(folder / image_path, **options)
        if mask_path:
            grey = Image.fromarray(_grey(mask, files["levels"], Dice("stand-in grades", name, number)))
            bits = grey.convert("1", dither=Image.Dither.NONE) if files["levels"] == "bit" else grey
            bits.save(folder / mask_path)
    for path, stems in plan.lists.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("\n".join(stems) + "\n")


def _grey(mask: np.ndarray, levels: str, dice: Dice) -> np.ndarray:
    """A mask as grey values uint8 [H,W]; graded: as if several people had drawn it and some had chosen otherwise."""
    if levels != "graded":
        return mask * np.uint8(255)
    height, width = mask.shape
    elsewhere = np.roll(mask, (height // 2, width // 2), axis=(0, 1))
    grey = elsewhere * np.uint8(dice.pick((51, 102)))
    sure = mask.any(axis=1).cumsum() * 2 > mask.any(axis=1).sum()
    grey[mask == 1] = dice.pick((153, 204))
    grey[(mask == 1) & sure[:, None]] = 255
    return grey
