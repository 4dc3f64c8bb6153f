"""A picture of proposals: image, true classes, and the first proposals of it, with their energies.

One runnable line: ``python -m seglab.proposals data=camvid_semantic preview=6``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from seglab.data.grid import save_grid
from seglab.data.palette import in_class_colours
from seglab.proposals.place import Place, classes_of
from seglab.proposals.store import Store

SHOWN = 6
"""Proposals of an image in the picture, at most."""


def draw(place: Place, store: Store, *, part: str, count: int) -> Path:
    """Draw the first images of a part with their first proposals.

    Args:
        place: whose images.
        store: their proposals.
        part: ``"train"`` or ``"test"``.
        count: images.

    Returns:
        ``preview.png`` in the folder of the proposals; below ``<outputs>/figures`` where that is somebody else's.

    Raises:
        ValueError: proposals do not fit to an image.
    """
    classes = len(classes_of(place.cfg.data))
    columns: dict[str, list[np.ndarray]] = {}
    titles = []
    for item in place.items(part)[:count]:
        image_HW3, mask_HW = item.read()
        found = store.read(item.id, part=part, size=mask_HW.shape, classes=classes, image=image_HW3)
        pictures = {"image": image_HW3, "true classes": in_class_colours(mask_HW)}
        for number in range(SHOWN):
            there = number < len(found)
            picture = in_class_colours(found.labels_MHW[number]) if there else np.full_like(image_HW3, 255)
            pictures[f"proposal {number + 1}"] = picture
        for name, picture in pictures.items():
            columns.setdefault(name, []).append(picture)
        energies = ", ".join(f"{energy:.4g}" for energy in found.energy_M[:SHOWN])
        titles.append(f"{item.id}: energies {energies}")
    own = place.cfg.proposals.folder is None
    folder = store.folder if own else Path(place.cfg.runtime.outputs) / "figures"
    name = "preview.png" if own else f"proposals-{store.folder.name}.png"
    return save_grid(columns, folder / name, titles=titles, cell=160)
