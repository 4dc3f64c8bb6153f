"""The config of a row at a scale: its own overrides, then what stands in for its data set and its network.

One runnable line: ``python -m seglab.table table=reg_t5 scale=small status=true``.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from omegaconf import DictConfig

from seglab.config import compose
from seglab.data.names import data_overrides
from seglab.data.pairs import DataMissing
from seglab.tables.reference import Place
from seglab.tables.scale import Scale
from seglab.tables.spec import Row

CATEGORY = "data.category"


class Configs:
    """Composes configs, each once.

    Args:
        outputs: folder below which the runs lie.
        data_root: folder of the data sets.
    """

    def __init__(self, *, outputs: Path, data_root: Path) -> None:
        self.outputs, self.data_root = outputs, data_root
        self._composed: dict[tuple[str, ...], DictConfig | ValueError] = {}

    def of(self, row: Row, scale: Scale, domain: str | None, *, last: tuple[str, ...] = ()) -> DictConfig:
        """A row's config without seed and start; not to be changed.

        Args:
            row: trained by overrides.
            scale: what stands in for what.
            domain: data set to train on, as it is at this scale; None = what stands in for the row's own.
            last: overrides of the row's that the scale does not change: those of a column.

        Raises:
            ValueError: an override is wrong; :class:`seglab.data.pairs.DataMissing` where nothing stands in for data.
        """
        # Only what chooses an option is composed first: the other overrides may be for what the scale puts there.
        own = self.compose(tuple(o for o in row.run if "." not in key_of(o) or key_of(o) == CATEGORY))
        name, run = own.data.name, row.run
        if row.labels_from:
            data = [*data_overrides(name), *self._photos(row, scale)]
        else:
            name = domain or first_stand_in(scale, name)
            data = data_overrides(name)
            run = tuple(o for o in run if key_of(o) != CATEGORY)
        model = own.name.split("-")[1]
        changed = (*data, f"model={(scale.models or {}).get(model, model)}")
        places = (f"runtime.outputs={self.outputs}", f"runtime.data_root={self.data_root}")
        kept = (o for o in last if key_of(o) != "model")
        return self.compose(last_of_each((*run, *changed, *scale.changes(row, name), *kept, *places)))

    def label_places(self, row: Row, scale: Scale) -> dict[str, Place]:
        """Category -> where its network is trained, for a row with ``labels_from``.

        The networks label photos of their own categories, so another data set in place of ``data.source.photos`` brings
        its own; classes for whose photos nothing stands in are left out. A stand-in within the same data set only means
        that one network serves several categories.

        Raises:
            ValueError: the row does not train on pseudo-labels, or its photos have stand-ins that do not go together.
            DataMissing: nothing stands in for any of its photos.
        """
        data = self.compose(row.run).data
        if "photos" not in data.source:
            raise ValueError(f"labels_from={row.labels_from}: expected a row that trains on data=pseudo_labels")
        photos, categories = data.source.photos, data.source.get("categories") or data.classes[1:]
        found = {c: Place(name, sets[0]) for c in categories if (sets := scale.stand_ins(name := f"{photos}/{c}"))}
        if not found:
            raise DataMissing(f"data.source.photos={photos}: nothing stands in for it at scale={scale.name}")
        if all(place.set.startswith(f"{photos}/") for place in found.values()) and len(found) == len(categories):
            return found
        own = {place.set.partition("/")[2]: place for place in found.values()}
        if len(own) < len(found) or len({place.set.partition("/")[0] for place in own.values()}) > 1:
            raise ValueError(
                f"scale={scale.name}: {photos}/* is replaced by {', '.join(place.set for place in found.values())}; "
                "expected categories of one data set, each once"
            )
        return own

    def _photos(self, row: Row, scale: Scale) -> list[str]:
        """Overrides that put a stand-in's photos and categories in place of the row's own."""
        data, places = self.compose(row.run).data, self.label_places(row, scale)
        file = next(iter(places.values())).set.partition("/")[0]
        if file == data.source.photos:
            return []
        classes = ",".join([data.classes[0], *places])
        return [f"data.source.photos={file}", f"data.classes=[{classes}]", "data.source.categories=null"]

    def compose(self, overrides: tuple[str, ...]) -> DictConfig:
        """A config of ``seglab.train``; one that differs in its category alone is copied, not composed again.

        Raises:
            ValueError: an override is wrong.
        """
        if overrides not in self._composed:
            try:
                self._composed[overrides] = self._new(overrides)
            except ValueError as error:
                self._composed[overrides] = error
        found = self._composed[overrides]
        if isinstance(found, ValueError):
            raise found
        return found

    def _new(self, overrides: tuple[str, ...]) -> DictConfig:
        category = [o for o in overrides if key_of(o) == CATEGORY]
        if category:
            base = self.compose(tuple(o for o in overrides if o not in category))
            if "category" in base.data:
                cfg = copy.deepcopy(base)
                cfg.data.category = category[-1].partition("=")[2]
                return cfg
        return compose("train", list(overrides))


def first_stand_in(scale: Scale, name: str) -> str:
    """The data set that is trained on in place of one of the paper's.

    Raises:
        DataMissing: there is none.
    """
    found = scale.stand_ins(name)
    if not found:
        raise DataMissing(f"data={name}: nothing stands in for it at scale={scale.name}")
    return found[0]


def with_overrides(row: Row, overrides: Sequence[str]) -> Row:
    """A row as it is trained for a column, whose word counts where both set a key."""
    return replace(row, run=last_of_each((*row.run, *overrides))) if overrides else row


def key_of(override: str) -> str:
    """``data.size`` of ``data.size=128``."""
    return override.partition("=")[0]


def last_of_each(overrides: Iterable[str]) -> tuple[str, ...]:
    """Of several overrides of one key the last; Hydra would refuse some of them."""
    last: dict[str, str] = {}
    for override in overrides:
        last.pop(key_of(override), None)
        last[key_of(override)] = override
    return tuple(last.values())
