"""Which folder the proposals of a config lie in, what is in it, and which images they are of.

``<outputs>/proposals/<data>-<ten signs>/`` holds ``samples/<id>.npz`` (superpixels of training images to learn from),
``fit.npz`` and ``fit.json`` (classifiers; chosen smoothness and diversity with their numbers),
``train/<id>.npz`` and ``test/<id>.npz``, ``sets/<other data set>/test/<id>.npz``, ``work/`` (locks). The ten signs are
a hash of recipe, values that are tried, data source and classes; whoever changes the files of the data is told, see
:mod:`seglab.proposals.works`; ``stamp.json`` makes that quick.

One runnable line: ``python -c "from seglab.config import compose; from seglab.proposals.place import Place;
print(Place.of(compose('proposals', ['data=camvid_semantic'])).folder)"``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from seglab.data.names import file_name, names_of
from seglab.identity import resolved
from seglab.proposals.recipe import Recipe, offered
from seglab.proposals.store import Store
from seglab.targets import instantiate

if TYPE_CHECKING:
    from seglab.data.sample import Item

VERSION = 1
"""Raised when the same settings would give other proposals."""
SHORT = 10
OF_ONE_OBJECT = ("background", "object")


@dataclass(frozen=True)
class Place:
    """Proposals of one recipe on one data set.

    Attributes:
        cfg: ``data``, ``runtime`` and ``proposals`` of the config.
        recipe: ``conf/proposals``.
        classes: their names.
        folder: where the proposals lie.
        judges: folders of the networks that have a say; none as a rule.
    """

    cfg: DictConfig
    recipe: Recipe
    classes: tuple[str, ...]
    folder: Path
    judges: tuple[str, ...] = ()

    @classmethod
    def of(cls, cfg: DictConfig, *, judges: Sequence[str] | None = None) -> Place:
        """The place of a config.

        Args:
            cfg: config with ``data``, ``runtime`` and ``proposals``.
            judges: folders of networks, found before; None = they are looked for.

        Raises:
            ValueError: the data have no classes, a setting is outside its range, or the network cannot be used.
        """
        recipe = Recipe.of(OmegaConf.to_container(cfg.proposals, resolve=True))
        classes = classes_of(cfg.data)
        if judges is None:
            judges = judges_for(recipe, classes, cfg)
        content = {
            "version": VERSION,
            "recipe": recipe.content() | {"network": [Path(judge).name for judge in judges]},
            "offered": offered(recipe),
            "source": source_of(cfg),
            "classes": list(classes),
        }
        name = f"{file_name(str(cfg.data.name))}-{short_hash(content)}"
        return cls(cfg, recipe, classes, Path(cfg.runtime.outputs) / "proposals" / name, tuple(judges))

    def store(self, test_set: str | None = None) -> Store:
        """The proposals of the data set, or of the test part of another one."""
        return Store(self.folder if test_set is None else self.folder / "sets" / self._set_name(test_set))

    def items(self, part: str, test_set: str | None = None) -> Sequence[Item]:
        """The images of a part, or of the test part of another data set.

        Raises:
            ValueError: files are missing, or the other set has other classes.
        """
        if test_set is None:
            return instantiate(self.cfg.data.source).items(part)
        from seglab.data.build import data_of

        other = data_of(self.cfg, test_set)
        if classes_of(other) != self.classes:
            raise ValueError(
                f"eval.sets: data={test_set} has {len(classes_of(other))} classes: expected the {len(self.classes)} of "
                f"data={self.cfg.data.name}, {', '.join(self.classes[:5])}{', ...' * (len(self.classes) > 5)}"
            )
        return instantiate(other.source).items(part)

    def names(self, part: str) -> list[str]:
        """The names of the images of a part; nothing is written, as :meth:`items` of a composed set may do.

        Raises:
            ValueError: files are missing.
        """
        return names_of(instantiate(self.cfg.data.source), part)

    def _set_name(self, test_set: str) -> str:
        from seglab.data.build import data_of

        other = OmegaConf.create({"data": OmegaConf.to_container(data_of(self.cfg, test_set), resolve=False)})
        other.runtime = self.cfg.runtime
        return f"{file_name(test_set)}-{short_hash(source_of(other))}"


def judges_for(recipe: Recipe, classes: Sequence[str], cfg: DictConfig) -> list[str]:
    """Folders of the networks that ``proposals.network`` names; none where it is null."""
    if recipe.network is None:
        return []
    from seglab.fold_lists import training_ids
    from seglab.proposals.network import judges_of

    outputs = str(cfg.runtime.outputs)
    ids = partial(training_ids, cfg.data)
    return judges_of(recipe.network, folds=recipe.folds, classes=classes, outputs=outputs, ids=ids)


def classes_of(data: DictConfig) -> tuple[str, ...]:
    """Names of the classes of a data set; of one of an object, background and object.

    Raises:
        ValueError: its masks are of another kind.
    """
    if data.task == "semantic":
        return tuple(str(name) for name in data.classes)
    if data.task == "saliency":
        return OF_ONE_OBJECT
    raise ValueError(
        f"data={data.name}: its task is {data.task}: proposals need the class of every pixel: expected a data set of "
        "classes, e.g. data=voc_aug, or of one object, e.g. data=sod"
    )


def source_of(cfg: DictConfig) -> Any:
    """``data.source`` as plain types, without anything that differs between machines."""
    return resolved(OmegaConf.create(OmegaConf.to_container(cfg, resolve=False)))["data"]["source"]


def short_hash(content: Any) -> str:
    """First signs of a hash over plain types."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:SHORT]
