"""How proposals are made: the settings of ``conf/proposals``, checked, and ``proposals=<folder>`` on a command line.

One runnable line: ``python -c "from seglab.proposals.recipe import Recipe; print(Recipe())"``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from seglab.words import nearest

INFERENCE = ("expansion", "meanfield")
SMOOTHNESS = (0.0, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4)
"""Offered where ``smoothness`` is null."""
DIVERSITY = (0.0125, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8)
"""Offered where ``diversity`` is null."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Settings of ``conf/proposals``; each is described there.

    Raises:
        ValueError: ``proposals.<key>`` is outside its range.
    """

    folder: str | None = None
    count: int = 10
    superpixels: int = 400
    compactness: float = 10.0
    inference: str = "expansion"
    iterations: int = 5
    damping: float = 0.5
    beta: float | None = None
    floor: float = 0.1
    smoothness: float | None = None
    diversity: float | None = None
    folds: int = 10
    network: str | None = None
    samples: int = 30
    waves: int = 600
    strength: float = 0.2
    tuning: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        """Check every setting."""
        for key, low, high in (
            ("count", 1, 200), ("superpixels", 2, 10000), ("iterations", 1, 1000), ("folds", 0, 1000),
            ("samples", 1, 10000), ("waves", 0, 20000), ("tuning", 1, 10000), ("seed", 0, 2**31),
        ):  # fmt: skip
            value = getattr(self, key)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise ValueError(f"proposals.{key}={value}: expected a whole number from {low} to {high}")
        if self.folds == 1:
            raise ValueError("proposals.folds=1: expected 2 or more, or 0 = training images are judged by themselves")
        for key in ("compactness", "strength"):
            self._number(key, above=True)
        self._number("floor", above=False, most=1)
        self._number("damping", above=False, most=0.99)
        for key in ("beta", "smoothness", "diversity"):
            self._number(key, above=key == "diversity", null=True)
        if self.inference not in INFERENCE:
            raise ValueError(f"proposals.inference={self.inference}: expected one of {', '.join(INFERENCE)}")
        for key in ("folder", "network"):
            if not isinstance(getattr(self, key), str | None):
                raise ValueError(f"proposals.{key}={getattr(self, key)}: expected text or null")

    def _number(self, key: str, *, above: bool, most: float = float("inf"), null: bool = False) -> None:
        value = getattr(self, key)
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if (value is None and null) or (number and 0 <= value <= most and not (above and value == 0)):
            return
        bounds = f"{'above 0' if above else '0 or more'}{f', at most {most:g}' if most < 1e9 else ''}"
        raise ValueError(f"proposals.{key}={value}: expected a number {bounds}{', or null' * null}")

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Recipe:
        """The recipe of a config's ``proposals`` node.

        Raises:
            ValueError: an unknown key, or a value outside its range.
        """
        known = [field.name for field in fields(cls)]
        for key in settings:
            if key not in known:
                raise ValueError(f"unknown key 'proposals.{key}'{nearest(str(key), known, 'proposals')}")
        return cls(**settings)

    def content(self) -> dict[str, Any]:
        """What decides the proposals, as plain types: everything but ``folder``."""
        return {key: value for key, value in asdict(self).items() if key != "folder"}


def offered(recipe: Recipe) -> dict[str, list[float]]:
    """The values that are tried for the settings that a recipe leaves open."""
    tried = {"smoothness": SMOOTHNESS, "diversity": DIVERSITY}
    return {key: list(values) for key, values in tried.items() if getattr(recipe, key) is None}


def choose_folder(arguments: Sequence[str]) -> list[str]:
    """``proposals=<folder>`` as ``proposals.folder=<folder>``; names of ``conf/proposals`` are left as they are.

    The folder becomes an absolute path, which means the same from wherever the config is read again.

    Args:
        arguments: command line, e.g. ``["run=3974abf1ab", "proposals=maps/mine"]``.

    Raises:
        ValueError: neither an option nor a folder.
    """
    from seglab.config import conf_dir
    from seglab.words import quoted

    options = sorted(path.stem for path in (conf_dir() / "proposals").glob("*.yaml"))
    found = []
    for argument in arguments:
        key, _, value = argument.partition("=")
        names = value.split(",")
        typed = key == "proposals" and value and not all(name in options for name in names)
        if (typed or (key == "proposals.folder" and value)) and Path(value).expanduser().is_dir():
            found.append(quoted(f"proposals.folder={Path(value).expanduser().resolve()}"))
        elif not typed:
            found.append(argument)
        elif "/" in value or value.startswith((".", "~")):
            raise ValueError(f"proposals={value}: no such folder; expected one, or one of {', '.join(options)}")
        else:
            guess = nearest(value, options)
            raise ValueError(
                f"proposals={value}: no such option{guess if 'did you mean' in guess else ''} "
                f"(expected one of {', '.join(options)}, or a folder of proposals)"
            )
    return found
