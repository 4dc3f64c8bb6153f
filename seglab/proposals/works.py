"""Proposals as works of the launch engine: samples of the training images, the fit, proposals of every part.

Images ``i::n`` are one share; a share waits for those it needs (``after``), is locked by its own folder below
``work/``, and may be tried again, since images that are there are passed over. Shares of nothing are left out.

One runnable line: ``python -c "from seglab.config import compose; from seglab.proposals.works import works_for;
print([w.key for w in works_for(compose('proposals', ['data=camvid_semantic']), slots=2)])"``.
"""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf

from seglab.data.photos import image_of
from seglab.launch.work import Work
from seglab.proposals.content import is_unchanged
from seglab.proposals.fitting import read_note
from seglab.proposals.place import Place
from seglab.proposals.store import Store

if TYPE_CHECKING:
    from seglab.data.sample import Item

log = logging.getLogger(__name__)

SMALLEST = 4
"""Images that are worth a share of their own."""


def works_for(cfg: DictConfig, *, slots: int, parts: Sequence[str] = ("train", "test")) -> list[Work]:
    """What there is to do for the proposals of a config, those of its other test sets included.

    Args:
        cfg: config with ``data``, ``runtime``, ``proposals`` and, as a rule, ``eval.sets``.
        slots: shares that each stage is cut into, at most.
        parts: of the data set.

    Returns:
        Works in order, ``after`` set; none where everything is there, or proposals come from somebody's folder.

    Raises:
        ValueError: data are missing or have changed, or a setting is outside its range.
    """
    if cfg.proposals.folder is not None:
        return []
    own = str(cfg.data.name)
    sets = OmegaConf.select(cfg, "eval.sets") or []
    others = dict.fromkeys(name for name in sets if name not in ("self", own) and "test" in parts)
    scored = not sets or any(name in ("self", own) for name in sets)
    needed = [part for part in parts if part != "test" or scored]
    wanted = [*((part, None) for part in needed), *(("test", name) for name in others)]
    return works_at(Place.of(cfg), slots=slots, wanted=wanted)


def works_at(
    place: Place, *, slots: int, wanted: Sequence[tuple[str, str | None]], thorough: bool = False
) -> list[Work]:
    """What there is to do at a place.

    Args:
        place: recipe and folder.
        slots: shares that each stage is cut into, at most.
        wanted: parts, each with the name of another data set or None.
        thorough: read every file that is there, so that one is found that is damaged, or of an image that has changed.

    Raises:
        ValueError: see :func:`works_for`.
    """
    missing = {
        (part, name): any(not _is_there(place.store(name), item, part, thorough) for item in place.items(part, name))
        for part, name in wanted
    }
    fitted = _check_content(place, needed=any(missing.values()))
    if not any(missing.values()):
        return []
    before = [] if fitted else _learning(place, slots)
    works = list(before)
    fit = tuple(work.key for work in before if "-fit" in work.key)
    for (part, name), some in missing.items():
        if some:
            shares = _shares(len(place.items(part, name)), slots)
            works += [_work(place, "proposals", i, shares, part=part, name=name, after=fit) for i in range(shares)]
    return works


def _check_content(place: Place, *, needed: bool) -> bool:
    """Whether the fit is there; it, and all that was made with it, is of the training images as they are now.

    Args:
        place: recipe and folder.
        needed: whether proposals have to be made with it.

    Raises:
        ValueError: the fit is of other images or masks, or something has to be made and they cannot be found.
    """
    note = read_note(place.folder)
    try:
        items = place.items("train")
    except ValueError as error:
        if needed:
            raise
        log.warning("proposals in %s: whether they are of these training images is not known: %s", place.folder, error)
        return note is not None
    if not is_unchanged(place.folder, items, None if note is None else str(note.get("content"))):
        raise ValueError(
            f"proposals in {place.folder}: images or masks of the training part of data={place.cfg.data.name} have "
            "changed since they were made: delete this folder, or give proposals.seed another number to make them "
            "beside it"
        )
    return note is not None


def _learning(place: Place, slots: int) -> list[Work]:
    """Samples and fit."""
    shares = _shares(len(place.items("train")), slots)
    samples = [_work(place, "samples", i, shares, part="train") for i in range(shares)]
    return [*samples, _work(place, "fit", 0, 1, part="train", after=tuple(work.key for work in samples))]


def _shares(images: int, slots: int) -> int:
    return max(1, min(slots, images // SMALLEST))


def _work(
    place: Place, stage: str, number: int, of: int, *, part: str, name: str | None = None, after: tuple[str, ...] = ()
) -> Work:
    share = "-".join(filter(None, [stage, (name or "").replace("/", "-"), part, f"{number}of{of}"]))
    folder = place.folder / "work" / share
    making = {
        "stage": stage,
        "part": part,
        "test_set": name,
        "number": number,
        "of": of,
        "folder": str(folder),
        "judges": list(place.judges),
    }
    content = {key: OmegaConf.to_container(place.cfg[key], resolve=False) for key in ("data", "runtime", "proposals")}
    if "seed" in place.cfg:
        content["seed"] = place.cfg.seed
    text = OmegaConf.to_yaml(OmegaConf.create(content | {"making": making}))
    return Work(f"proposals-{place.folder.name}-{share}", str(folder), (text,), after, "proposals")


def _is_there(store: Store, item: Item, part: str, thorough: bool) -> bool:
    path: Path = store.path(item.id, part)
    if not path.is_file() or not zipfile.is_zipfile(path):
        return False
    if thorough:
        try:
            store.check_image(item.id, part, image_of(item))
        except ValueError:
            return False  # whoever makes it anew says so
    return True
