"""What every picture of :mod:`seglab.data.collage` is made of: background, classes, photographs; and how it is drawn.

One runnable line: ``python -c "from seglab.data.collage_plan import plans_of; help(plans_of)"``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from seglab.data.collage_draw import SCENE, Part, compose, cut_by_edges, resized, scene_window, without_holes
from seglab.data.filepair import FilePair
from seglab.data.files import read_image
from seglab.data.rng import Dice, permutation

MOST = 4
"""Objects of a picture, at most."""
AREA = (3, 60)
"""Per cent of its photo that a cut-out object covers."""


@dataclass(frozen=True)
class Plan:
    """What a picture is made of.

    Attributes:
        id: its name.
        part: ``train`` or ``test``.
        classes: number of the class of every object, from behind to the front.
        scene: photo of the background, with the mask of its salient object.
        photos: a photo with its mask, or the photograph of a cloth, for every object.
        key: names the drawing.
    """

    id: str
    part: str
    classes: tuple[int, ...]
    scene: FilePair
    photos: tuple[FilePair | Path, ...]
    key: tuple[int | str, ...]


def plans_of(
    part: str,
    sources: Mapping[str, Sequence[FilePair | Path]],
    ids: Sequence[str],
    *,
    classes: Sequence[str],
    size: Sequence[int],
    seed: int,
    name: str,
) -> list[Plan]:
    """What every picture of a part is made of; as many pictures of one object as of two, three and four.

    Args:
        part: ``train`` or ``test``.
        sources: ``scenes`` and every class but the first -> its photos with masks, or photographs of cloth.
        ids: names of the pictures.
        classes: names of the classes, the background first.
        size: longer and shorter side of a picture in pixels.
        seed: which pictures.
        name: of the data set, in messages.

    Raises:
        ValueError: a class without a photo whose mask has an object.
    """
    names = classes[1:]
    usable = {}
    for one in names:
        usable[one] = list(sources[one])
        if usable[one] and isinstance(usable[one][0], FilePair):
            usable[one] = _usable(usable[one])
        if not usable[one]:
            raise ValueError(f"data={name}: no {part} photo of '{one}' with an object in its mask")
    plans, scenes = [], _scenes(sources["scenes"], size, seed, "collage", part)
    for number, id in enumerate(ids):
        key = (seed, "collage", part, number)
        count = 1 + number % min(MOST, len(names))
        chosen = permutation(len(names), *key, "classes")[:count]
        dice = Dice(*key, "photos")
        photos = tuple(dice.pick(usable[names[k]]) for k in chosen)
        scene = scenes[number % len(scenes)]
        plans.append(Plan(id, part, tuple(1 + int(k) for k in chosen), scene, photos, key))
    return plans


def draw(plan: Plan, size: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """The picture of a plan: image uint8 [H,W,3] and classes uint8 [H,W].

    Raises:
        ValueError: a photograph cannot be read.
    """
    image, salient = plan.scene.read()
    size_HW = _upright(salient.shape, size)
    top, left, rows, columns = scene_window(salient > 0, size_HW, *plan.key[:3], plan.scene.id)
    window = (slice(top, top + rows), slice(left, left + columns))
    parts = []
    for label, photo in zip(plan.classes, plan.photos, strict=True):
        pixels, mask = photo.read() if isinstance(photo, FilePair) else (read_image(photo), None)
        parts.append(Part(label, pixels, None if mask is None else without_holes(mask > 0)))
    scene, left_over = resized(image[window], size_HW), resized(salient[window] > 0, size_HW) > 0
    return compose(scene, left_over, parts, *plan.key)


def _upright(shape: tuple[int, ...], size: Sequence[int]) -> tuple[int, int]:
    """Height and width of a picture: it stands where the photograph of its background does."""
    return (size[0], size[1]) if shape[0] > shape[1] else (size[1], size[0])


def _usable(pairs: Sequence[FilePair]) -> list[FilePair]:
    """Photos whose object is neither tiny nor nearly all, and cut by the lower edge at most; else all that have one."""
    there, good = [], []
    for pair in pairs:
        mask = _mask(pair)
        share = int(mask.sum()) * 100 // mask.size
        if mask.any():
            there.append(pair)
        if AREA[0] <= share <= AREA[1] and not cut_by_edges(mask)[1]:
            good.append(pair)
    return good or there


def _scenes(pairs: Sequence[FilePair], size: Sequence[int], *key: int | str) -> list[FilePair]:
    """Photographs with a window that shows little of their own salient object, else the better half; in drawn order."""
    shares = []
    for pair in pairs:
        mask = _mask(pair)
        top, left, rows, columns = scene_window(mask, _upright(mask.shape, size), *key, pair.id)
        shares.append(int(mask[top : top + rows, left : left + columns].sum()) * 1000 // (rows * columns))
    good = [k for k, share in enumerate(shares) if share <= SCENE]
    good = good or sorted(range(len(pairs)), key=lambda k: (shares[k], k))[: (len(pairs) + 1) // 2]
    return [pairs[good[k]] for k in permutation(len(good), *key, "scenes")]


@lru_cache(maxsize=1024)
def _mask(pair: FilePair) -> np.ndarray:
    return pair.read()[1] > 0
