"""Generated stand-ins of data sets of classes: PASCAL VOC 2012 with SBD, and the photographs of composed sets.

Files and folders are those that conf/data describes, MATLAB files included; numbers measured on them mean nothing.
Photos of SBD show one object each, of every class in turn, so that every category of PascalSingle has some.

Legend: H W pixels. One runnable line: ``python -c "from seglab.data.standin import write_standins;
print(write_standins(['voc_aug', 'fabrics'], 'x'))"``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from omegaconf import DictConfig

from seglab.data.lists import read_list
from seglab.data.standin_objects import object_scene
from seglab.data.standin_place import put
from seglab.data.standin_regions import MAT_HEADER, Layout, inside, save_image, top_folder

VERSION = 1
"""Raised when the drawing or a layout changes, so that older stand-ins are written anew."""

A_CLASS = 4
"""Photos of a class in SBD, at most."""


def semantic_layout_of(data: DictConfig) -> Layout | None:
    """The function that writes the stand-in of a data set of classes; None for other data sets.

    See :func:`seglab.data.standin_regions.layout_of`.
    """
    layouts = {
        "seglab.data.voc_semantic.VocSemantic": _voc_aug,
        "seglab.data.fabrics.Fabrics": _fabrics,
        "seglab.data.collage.Collage": _collage,
    }
    return layouts.get(str(data.source.get("_target_")))


def _fabrics(data: DictConfig, root: Path, counts: Mapping[str, int], size: tuple[int, int]) -> list[Path]:
    """The photographs of cloth and those of the scenes; the pictures are composed when they are read."""
    return _others(("texture_mosaic", "bsds500"), root, counts, size)


def _collage(data: DictConfig, root: Path, counts: Mapping[str, int], size: tuple[int, int]) -> list[Path]:
    """The photographs that pictures are composed of when the set is first read; the scenes are those of sod."""
    return _others(("people", "sod", "msra_mini", "texture_mosaic"), root, counts, size)


def _others(names: tuple[str, ...], root: Path, counts: Mapping[str, int], size: tuple[int, int]) -> list[Path]:
    from seglab.data.standin import write_standins

    written = write_standins(names, root, train=counts["train"], test=counts["test"], size=size)
    return [folder for folders in written.values() for folder in folders]


def _voc_aug(data: DictConfig, root: Path, counts: Mapping[str, int], size: tuple[int, int]) -> list[Path]:
    """The photos of VOC, and those of SBD with one class each; two of them are of VOC's two parts."""
    folders = _others(("voc2012",), root, counts, size)
    source, extra = data.source, data.source.extra
    if not extra:
        return folders
    ours = [f"2008_{number:06d}" for number in range(min(A_CLASS, counts["train"]) * (len(source.classes) - 1))]
    theirs = [read_list(source[f"{part}_list"])[0] for part in ("train", "test")]

    def write(folder: Path) -> None:
        stems = [*ours, *theirs]
        for number, stem in enumerate(stems):
            image, mask = object_scene("sbd", number, size=size)
            label = 1 + number % (len(source.classes) - 1)
            save_image(image, inside(extra.images, root, folder) / f"{stem}.jpg")
            save_sbd(mask * np.uint8(label), inside(extra.masks, root, folder) / f"{stem}.mat")
        for number, path in enumerate(extra.lists):
            listed = stems[number :: len(extra.lists)]
            inside(path, root, folder).write_text("\n".join(listed) + "\n")

    tops = sorted({top_folder(path, root) for path in (extra.images, extra.masks, *extra.lists)})
    wanted = {"version": VERSION, "data": "sbd", "photos": len(ours), "voc": theirs, "size": list(size)}
    return [*folders, *put(root, tops, wanted, write)]


def save_sbd(labels_HW: np.ndarray, path: Path) -> None:
    """Write class numbers uint8 [H,W] as a MATLAB file of SBD."""
    from scipy.io import savemat

    present = np.setdiff1d(np.unique(labels_HW), [0])
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"GTcls": {"Segmentation": labels_HW, "CategoriesPresent": present}}, do_compression=True)
    content = path.read_bytes()
    path.write_bytes(MAT_HEADER + content[len(MAT_HEADER) :])  # SciPy writes the time of day there
