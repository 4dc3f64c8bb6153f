"""From a config to the images a run trains on, validates on and is scored on.

One runnable line: ``python -c "from seglab.config import compose; from seglab.data.build import training_data;
print(len(training_data(compose('train')).train))"``.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf, open_dict

from seglab import distributed
from seglab.config import compose, conf_dir
from seglab.data import cache
from seglab.data.arrays import ArrayDataset
from seglab.data.folds import list_note, without_fold
from seglab.data.names import data_overrides
from seglab.data.sample import IGNORE, ArraySource
from seglab.data.split import hold_out
from seglab.identity import has_fold
from seglab.targets import instantiate

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingData:
    """What a run sees of its training part.

    Attributes:
        train: images with the masks the loss sees, noise included.
        val: images held out with clean masks; empty where ``val`` is 0.
        noise: what was done to the masks, plain types.
        negatives: images without the object; None where there are none.
        labelled: whether any image has a mask.
        images: the list of all training images and the fold left out, see :func:`seglab.data.folds.list_note`.
    """

    train: ArrayDataset
    val: ArrayDataset
    noise: dict[str, Any]
    negatives: ArrayDataset | None = None
    labelled: bool = True
    images: dict[str, Any] = field(default_factory=dict)


def training_data(cfg: DictConfig) -> TrainingData:
    """The training part of ``cfg.data``: decoded, split, and given its noise.

    Args:
        cfg: finalised config of ``seglab.train``.

    Raises:
        ValueError: data missing or broken, or a value outside its range; the message says what to do.
    """
    whole = load_part(cfg.data, cfg.runtime, "train")
    of, number = (cfg.fold.of, cfg.fold.number) if has_fold(cfg) else (0, 0)
    images = list_note(whole.ids, of=of, number=number)
    if of:
        whole = whole.subset(without_fold(whole.ids, of=of, number=number))
        log.info("fold %d of %d is left out", number, of)
    tell_regions(cfg, whole)
    labelled = any((mask != IGNORE).any() for mask in whole.masks)
    if cfg.val and not labelled:
        log.info("data=%s has no masks: none of its images is held out, there is nothing to validate on", cfg.data.name)
    train_rows, val_rows = hold_out(len(whole), val=cfg.val if labelled else 0, seed=cfg.seed)
    clean, val = whole.subset(train_rows), whole.subset(val_rows)
    train, report = with_noise(cfg, clean)
    changed = "exchanged" if report["type"] == "flip" else "changed"
    log.info("%d training images, %d with %s masks; %d held out", len(clean), report["changed"], changed, len(val))
    if missed := report["chosen"] - report["changed"]:
        log.info("noise=%s could not apply to %d of the %d images chosen", report["type"], missed, report["chosen"])
    augment = instantiate(cfg.augment) if cfg.get("augment") else None
    negatives = negative_images(cfg)
    if negatives is not None:
        log.info("%d negative images, from data=%s", len(negatives), cfg.negatives.data or cfg.data.name)
        negatives = negatives.augmented(augment)
    return TrainingData(train.augmented(augment), val, report, negatives, labelled, images)


def with_noise(cfg: DictConfig, clean: ArrayDataset) -> tuple[ArrayDataset, dict[str, Any]]:
    """The training images with the noise of a config, and what was done to them.

    Changed masks are computed by the main process, kept in the cache folder, and read by the others.

    Args:
        cfg: config with ``noise``, ``data`` and ``runtime``.
        clean: images with their true masks.

    Raises:
        ValueError: a setting outside its range, or an exchange of masks that have more than two regions.
    """
    noise = instantiate(cfg.noise)
    chosen, (classes, background) = noise.choose(len(clean)), label_kind(cfg.data)
    folder = Path(cfg.runtime.outputs) / "cache"
    with distributed.main_first():
        noisy = clean.with_noise(chosen, noise, classes=classes, background=background, folder=folder)
    return noisy, noise.report(clean.ids, chosen, noisy, classes=classes)


def label_kind(data: DictConfig) -> tuple[int, int | None]:
    """What the labels of masks are, as a noise is told.

    Returns:
        Number of classes, 0 = regions whose numbers are names; and the class that is no object, None where all are.
    """
    if data.task == "regions":
        return 0, None
    names = list(data.get("classes") or ())
    if data.task != "semantic" or not names:
        return 2, 0
    return len(names), 0 if names[0] == "background" else None


def negative_images(cfg: DictConfig) -> ArrayDataset | None:
    """Images without the object, by ``negatives``: the negative part of the data, or another set's training images.

    Raises:
        ValueError: the data have no negative part, or what :func:`load_part` raises.
    """
    if not cfg.get("negatives"):
        return None
    if cfg.negatives.data is None:
        return load_part(cfg.data, cfg.runtime, "negative")
    other = negative_set(cfg)
    if OmegaConf.to_container(other.source, resolve=True) == OmegaConf.to_container(cfg.data.source, resolve=True):
        raise ValueError(
            f"negatives.data={cfg.negatives.data}: that is the training data itself; expected a data set without the "
            "object (its folders in negatives.overrides), or null for the data's own negative part"
        )
    return load_part(other, cfg.runtime, "train")


def negative_set(cfg: DictConfig) -> DictConfig:
    """The ``data`` node of the set that ``negatives.data`` names, with the changes of ``negatives.overrides``.

    Raises:
        ValueError: no such data set, an override that is not one of data, or a folder that is not given.
    """
    overrides = list(cfg.negatives.get("overrides") or [])
    for override in overrides:
        if not re.match(r"[+~]*data\.", str(override)):
            raise ValueError(f"negatives.overrides: {override}: expected changes of data, e.g. data.images=background")
    other = data_of(cfg, cfg.negatives.data, overrides=overrides)
    try:
        instantiate(other.source)
    except ValueError as error:
        raise ValueError(
            f"negatives.data={cfg.negatives.data}: {error}; for the negatives it belongs in negatives.overrides, "
            "e.g. negatives.overrides=[data.images=background]"
        ) from error
    return other


def tell_regions(cfg: DictConfig, training: ArrayDataset) -> None:
    """Say in one line that masks have more regions than the network has softmax channels to tell them apart.

    A warning where another choice would do: ``eval=regions`` has more channels than ``eval=texture``, and
    ``model.channels`` is free. With as many as that, the number of regions is beyond what is meant to be told apart
    (photos of BSDS500 have up to 200), and it is information.

    Args:
        cfg: config with ``data`` and, where they apply, ``eval.descriptor`` and ``model.channels``.
        training: images with their masks.
    """
    channels = OmegaConf.select(cfg, "model.channels")
    if not OmegaConf.select(cfg, "eval.descriptor.softmax") or channels is None:
        return
    # One more than the largest label: 255, what is ignored, becomes 0.
    regions = np.array([(mask + np.uint8(1)).max() for mask in training.masks], dtype=np.int64)
    over = int((regions > channels).sum())
    if not over:
        return
    most, usual = int(regions.max()), OmegaConf.load(conf_dir() / "eval" / "regions.yaml").channels
    said = f"data={cfg.data.name}: {over} of {len(regions)} training masks have more regions (up to {most}) than "
    if channels < usual:
        remedy = f"eval=regions has {usual} channels and clusters, model.channels and eval.clusters set other numbers"
        log.warning("%smodel.channels=%d, so that some cannot be told apart; %s", said, channels, remedy)
    else:
        log.info("%smodel.channels=%d: a channel has to serve several of them", said, channels)


def test_sets(cfg: DictConfig) -> list[str]:
    """Names of the data sets in ``eval.sets``, ``self`` resolved, each once."""
    return list(dict.fromkeys(cfg.data.name if name == "self" else name for name in cfg.eval.sets))


def check_test_sets(cfg: DictConfig) -> None:
    """Find the files of all test sets, so that a missing one is told before the training, not after it.

    Raises:
        ValueError: no such data set, or its files are missing.
    """
    for name in test_sets(cfg):
        instantiate(data_of(cfg, name).source).items("test")


def test_data(cfg: DictConfig, name: str) -> ArrayDataset:
    """The test part of a data set.

    Args:
        cfg: config with ``data`` and ``runtime``; ``cfg.data`` itself is used where it has that name.
        name: name of a YAML file in ``conf/data``, perhaps with a category (``voc_coseg/cow``), or ``cfg.data.name``.

    Raises:
        ValueError: no such data set, or its files are missing.
    """
    return load_part(data_of(cfg, name), cfg.runtime, "test")


def data_of(cfg: DictConfig, name: str, *, overrides: Sequence[str] = ()) -> DictConfig:
    """The ``data`` node of a data set by its name; that of ``cfg`` itself where it has the name and no overrides."""
    if name == cfg.data.name and not overrides:
        return cfg.data
    other = compose("evaluate", ["run=none", *data_overrides(name), *overrides])
    with open_dict(other):
        other.runtime, other.seed = cfg.runtime, cfg.get("seed")
        other.data.size = cfg.data.size
    return other.data


def load_part(data: DictConfig, runtime: DictConfig, part: str) -> ArrayDataset:
    """One part of a data set, decoded once into the cache below ``runtime.outputs``; arrays are taken as they are."""
    source = instantiate(data.source)
    if part == "negative" and not getattr(source, "has_negatives", False):
        raise ValueError(
            f"data={data.name} has no negative images of its own: expected negatives=other negatives.data=<a data set "
            "without the object>, or negatives=none and a loss that needs none"
        )
    if isinstance(source, ArraySource):
        return source.dataset(part)
    items = source.items(part)
    folder = Path(runtime.outputs) / "cache"
    with distributed.main_first():
        return cache.load(items, size=data.size, folder=folder, workers=runtime.workers)
