"""Make proposals, image by image: samples of the training images, classifiers fitted on them, proposals of every part.

Every image is one file, replaced whole, so a kill at any moment costs one image; what is there is not made again, what
is damaged is, with a message. Equal settings give equal bytes, in one process or in several.

One runnable line: ``python -m seglab.proposals data=camvid_semantic``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf

from seglab.cli import Stopped
from seglab.data.photos import image_of
from seglab.lock import hold
from seglab.proposals.fitting import Fit, fit_all, folds_of, load_fit, samples_of
from seglab.proposals.network import Judges
from seglab.proposals.place import Place, classes_of
from seglab.proposals.recipe import Recipe
from seglab.proposals.solve import look, solve
from seglab.proposals.store import Store
from seglab.proposals.store import superpixels_of as superpixels_of
from seglab.signals import StopRequest
from seglab.targets import instantiate
from seglab.words import some

if TYPE_CHECKING:
    from seglab.data.sample import Item

log = logging.getLogger(__name__)

STAGES = ("samples", "fit", "proposals")


def proposals_of(
    cfg: DictConfig,
    *,
    parts: Sequence[str],
    launch: DictConfig | None = None,
    test_set: str | None = None,
    thorough: bool = False,
) -> Store:
    """The finished proposals of a config; what is missing is made first.

    Args:
        cfg: config with ``data``, ``runtime`` and ``proposals``.
        parts: of ``"train"`` and ``"test"``, those whose images are needed.
        launch: config of one YAML file in ``conf/launch``; None = in this process.
        test_set: name of another data set, whose test part is meant; the classifiers are those of ``cfg.data``.
        thorough: read every file that is there, so that one that is damaged, or of an image that has changed, is found
            and made anew; of somebody's folder it is told.

    Raises:
        ValueError: data are missing or have changed, somebody's folder lacks an image, or a share could not be made.
        seglab.cli.Stopped: a signal asked for it; what was made is kept.
    """
    from seglab.launch.engine import run_all
    from seglab.proposals.works import works_at

    if cfg.proposals.folder is not None:
        return _given(cfg, parts, test_set, thorough=thorough)
    place = Place.of(cfg)
    launch = OmegaConf.create({"name": "inline"}) if launch is None else launch
    works = works_at(place, slots=slots_of(launch), wanted=[(part, test_set) for part in parts], thorough=thorough)
    if works:
        log.info("%s: %d shares of work on proposals", place.folder, len(works))
        found = run_all(works, launch, outputs=cfg.runtime.outputs, on_change=lambda *_: None)
        failed = [outcome for outcome in found.values() if outcome.state != "done"]
        if failed:
            reasons = dict.fromkeys(one.reason for one in failed if not one.reason.startswith("it needs"))
            raise ValueError(f"proposals in {place.folder}: {'; '.join(reasons)}")
    return place.store(test_set)


def check_proposals(cfg: DictConfig, *, training: bool = False) -> None:
    """Check proposals before a network is trained that is to choose among them at the end; nothing is made.

    Args:
        cfg: config with ``data``, ``runtime``, ``proposals`` and ``eval.sets``.
        training: whether those of the training part are needed, too: with rankers that learn.

    Raises:
        ValueError: a setting is outside its range, the data have no classes, the network cannot be used, or somebody's
            folder lacks images.
    """
    sets = list(OmegaConf.select(cfg, "eval.sets") or [])
    Recipe.of(OmegaConf.to_container(cfg.proposals, resolve=True))
    if not sets:  # nothing will be chosen
        return
    if cfg.proposals.folder is None:
        Place.of(cfg)
        return
    if training:
        _given(cfg, ["train"], None)
    for name in sets:
        _given(cfg, ["test"], None if name in ("self", cfg.data.name) else name)


def _given(cfg: DictConfig, parts: Sequence[str], test_set: str | None, *, thorough: bool = False) -> Store:
    """Somebody's folder, looked through for images without proposals; ``thorough`` reads those of every image."""
    folder = Path(str(cfg.proposals.folder)).expanduser()
    if not folder.is_dir():
        raise ValueError(f"proposals.folder={folder}: no such folder")
    from seglab.data.build import data_of

    store, data = Store(folder), cfg.data if test_set is None else data_of(cfg, test_set)
    for part in parts:
        items = instantiate(data.source).items(part)
        absent = [item.id for item in items if not store.has(item.id, part)]
        if absent:
            raise ValueError(
                f"proposals.folder={folder}: no proposals of {some(absent)} of {len(items)} in the {part} part: "
                f"expected {part}/<image>.npz, or label maps {part}/<image>/*.png or <image>/*.png in order of rank"
            )
        if thorough:
            _read_all(store, items, part, classes=len(classes_of(data)))
    return store


def _read_all(store: Store, items: Sequence[Item], part: str, *, classes: int) -> None:
    """Read the proposals of every image of a part.

    Raises:
        ValueError: some do not fit to their images; the first five are told.
    """
    faults = []
    for item in items:
        image_HW3 = image_of(item)
        try:
            store.read(item.id, part=part, size=image_HW3.shape[:2], classes=classes, image=image_HW3)
        except ValueError as error:
            faults.append(str(error))
    if faults:
        more = f"; and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise ValueError(
            f"proposals.folder={store.folder}: {len(faults)} of {len(items)} images of the {part} part: "
            f"{'; '.join(faults[:5])}{more}"
        )
    log.info("%s: proposals of all %d images of the %s part can be read", store.folder, len(items), part)


def slots_of(launch: DictConfig) -> int:
    """How many shares an engine can work on at a time."""
    if launch.name == "local":
        from seglab.launch.local import visible_gpus

        return len(visible_gpus(launch.gpus)) * launch.slots_per_gpu or launch.slots
    return min(int(launch.array_parallelism), 64) if launch.name == "slurm" else 1


def make_part(text: str) -> None:
    """Do one share, in whichever process: the work of the launch engine.

    Args:
        text: YAML of ``data``, ``runtime``, ``proposals`` and ``making``: ``stage`` of :data:`STAGES`, ``part``,
            ``test_set``, ``number`` and ``of`` (images ``number::of``), ``folder`` to lock, ``judges``.

    Raises:
        ValueError: data are missing or were changed, or another process holds the share.
        seglab.cli.Stopped: a signal asked for it; what was made is kept.
    """
    cfg = OmegaConf.create(text)
    making = cfg.making
    place = Place.of(cfg, judges=list(making.judges))
    lock = Path(making.folder)
    lock.mkdir(parents=True, exist_ok=True)
    with hold(lock / ".lock"):
        place.folder.mkdir(parents=True, exist_ok=True)
        if making.stage == "samples":
            _samples(place, making.number, making.of)
        elif making.stage == "fit":
            fit_all(place, place.items("train"), judges_at(place))
        else:
            _proposals(place, making.part, making.test_set, making.number, making.of)


def judges_at(place: Place) -> Judges:
    """The networks of a place, ready to be asked."""
    return Judges(place.judges, OmegaConf.to_container(place.cfg.runtime, resolve=True))


def _each(items: Sequence[Item], what: str, make: Callable[[int, Item], bool]) -> None:
    """Do something for images one after the other, and stop between two of them where a signal asks for it."""
    made = 0
    with StopRequest() as stop:
        for number, item in enumerate(items):
            if stop.asked:
                raise Stopped(
                    f"stopped after {number} of {len(items)} images ({what}); what was made is kept; start the same "
                    "command to go on"
                )
            made += make(number, item)
    log.info("%s: %d images made, %d were there", what, made, len(items) - made)


def _samples(place: Place, number: int, of: int) -> None:
    items = place.items("train")
    folds = folds_of(place.recipe, [item.id for item in items], tell=False)
    judges = judges_at(place)

    def make(row: int, item: Item) -> bool:
        at = number + row * of
        return samples_of(place, item, judges, fold=None if folds is None else int(folds[at]))[1]

    _each(items[number::of], "superpixels to learn from", make)


def _proposals(place: Place, part: str, test_set: str | None, number: int, of: int) -> None:
    fit = load_fit(place.folder)
    items, store, judges = place.items(part, test_set), place.store(test_set), judges_at(place)
    folds = None
    if part == "train" and test_set is None:
        folds = folds_of(place.recipe, [item.id for item in items], tell=False)

    def make(row: int, item: Item) -> bool:
        if store.path(item.id, part).is_file() and _whole(store, item, part):
            return False
        fold = None if folds is None else int(folds[number + row * of])
        make_image(place, item, store, fit, judges, part=part, fold=fold)
        return True

    name = f"proposals of the {part} part" if test_set is None else f"proposals of data={test_set}"
    _each(items[number::of], name, make)


def _whole(store: Store, item: Item, part: str) -> bool:
    """Whether a file is there, whole, and of this very image; one that is not is told."""
    try:
        store.check_image(item.id, part, item.read()[0])
    except ValueError as error:
        log.warning("%s; it is made anew", error)
        return False
    return True


def make_image(
    place: Place, item: Item, store: Store, fit: Fit, judges: Judges, *, part: str, fold: int | None
) -> None:
    """Make and write the proposals of one image.

    Args:
        place: recipe and folder.
        item: the image.
        store: where to write.
        fit: classifiers and settings.
        judges: networks that have a say.
        part: ``"train"`` or ``"test"``.
        fold: fold of a training image, whose classifier did not see it; None = the one of all training images.

    Raises:
        ValueError: the image cannot be read, or is too small.
    """
    image_HW3, _ = item.read()
    try:
        seen = look(image_HW3, place.recipe, probabilities_KHW=judges.probabilities(image_HW3, fold=fold))
    except ValueError as error:
        raise ValueError(f"image '{item.id}': {error}") from error
    probabilities_SK = fit.judge(fold).probabilities(seen.features_SD)
    found = solve(seen.graph, probabilities_SK, place.recipe, smoothness=fit.smoothness, diversity=fit.diversity)
    store.write(
        item.id,
        part=part,
        superpixels_HW=seen.graph.labels_HW,
        labels_MS=found.labels_MS,
        energy_M=found.energy_M,
        augmented_M=found.augmented_M,
        image=image_HW3,
        classes=len(place.classes),
    )
