"""Several data sets as one training part: rows "-a-" of CAS table 6 train on seven saliency sets together.

Each set is read as its own YAML in ``conf/data`` says; ids get the name of the set in front.

One runnable line: ``python -c "from seglab.data.joined import Joined;
print(len(Joined({'sod': 'train', 'people': 'all'}, data_root='data').items('train')))"``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seglab.data.annotations import Annotations
from seglab.data.pairing import PARTS
from seglab.data.pairs import DataMissing
from seglab.words import some

WHOLE = "all"
"""Training and test part of a set."""


@dataclass(frozen=True)
class JoinedItem:
    """An item of one of the sets under its new name.

    Attributes:
        id: name of the set, an underscore, name in the set.
        item: the item.
    """

    id: str
    item: Any

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """Image uint8 [H,W,3] and mask uint8, as the set gives them.

        Raises:
            ValueError: a file cannot be read.
        """
        return self.item.read()

    def fingerprint(self) -> bytes:
        """Hash of everything that decides the pixels.

        Raises:
            ValueError: a file is missing.
        """
        return self.item.fingerprint()


@dataclass(frozen=True)
class JoinedAnnotated(JoinedItem):
    """An item of a set that several people segmented; whoever asks an item for them sees by this what it has."""

    def annotations(self) -> Annotations:
        """All segmentations at original size, as the set gives them.

        Raises:
            ValueError: the file cannot be read.
        """
        return self.item.annotations()


class Joined:
    """Parts of several data sets, one after the other, as a training part; there is no test part.

    Args:
        sets: name of a data set in ``conf/data`` -> its part: ``train``, ``test``, or ``all`` (both); null leaves it
            out.
        data_root: ``runtime.data_root`` of the sets.
        name: name of the joined set in messages.

    Raises:
        ValueError: no sets, or a part that is none.
    """

    def __init__(self, sets: Mapping[str, str | None], *, data_root: str | Path, name: str = "joined") -> None:
        if not isinstance(sets, Mapping) or all(part is None for part in sets.values()):
            raise ValueError(f"data.source.sets={sets}: expected name: part, e.g. {{msra_b: train, ecssd: test}}")
        for one, part in sets.items():
            if part not in (*PARTS, WHOLE, None):
                raise ValueError(f"data.source.sets.{one}={part}: expected train, test or all; null leaves it out")
        self.sets = {one: part for one, part in sets.items() if part is not None}
        self.data_root, self.name = data_root, name

    def items(self, part: str) -> list[JoinedItem]:
        """The items of all sets, in the order of the sets.

        Raises:
            DataMissing: files of one or several sets are missing; all of them are named.
            ValueError: the test part is asked for; no such set, or one that has no such part; two items of one name.
        """
        if part not in PARTS:
            raise ValueError(f"part={part!r}: expected 'train' or 'test'")
        if part == "test":
            raise ValueError(f"data={self.name}: has no test part; score on other sets: data.test_sets=[...]")
        items: list[JoinedItem] = []
        missing: list[str] = []
        for name, wanted in self.sets.items():
            source = self.source(name)
            try:
                found = [item for one in ([wanted] if wanted != WHOLE else PARTS) for item in source.items(one)]
            except DataMissing as error:
                missing.append(f"data={self.name} joins {name}: {error}")
                continue
            items += [_named(f"{name}_{item.id}", item) for item in found]
        if missing:
            raise DataMissing("\n".join(missing))
        if twice := sorted(name for name, count in Counter(item.id for item in items).items() if count > 1):
            raise ValueError(f"data={self.name}: {some(twice)} more than once: expected sets without common names")
        return items

    def source(self, name: str) -> Any:
        """The source of one of the sets.

        Raises:
            ValueError: no such set in ``conf/data``.
        """
        from omegaconf import open_dict

        from seglab.config import compose
        from seglab.targets import instantiate

        cfg = compose("prepare", [f"data={name}", "~eval"])  # how it is scored is not asked here
        with open_dict(cfg):
            cfg.runtime.data_root = str(self.data_root)
        return instantiate(cfg.data.source)


def _named(name: str, item: Any) -> JoinedItem:
    return (JoinedAnnotated if hasattr(item, "annotations") else JoinedItem)(name, item)
