"""The settings of re-ranking, checked once (``eval.rerank`` of ``eval=rerank`` and ``eval=rerank_curve``).

One runnable line: ``python -c "from seglab.rerank.settings import RerankSettings;
print(RerankSettings(folds=0, rankers={'kl': 'kl'}).learners())"``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from seglab.rerank.distance import BACKGROUND

GROUPS = ("network", "classification", "proposal")
"""Groups of features a ranking SVM may look at; their order is the order of the columns."""
KL = "kl"
DEFAULT_EPSILON = 1e-3
"""Where no training images are there to choose it on: in the middle, by powers of ten, of what is tried otherwise."""
OURS = ("naive", "superpixel", "first", "random", "oracle")
"""What is always measured; no ranker may have such a name."""


@dataclass(frozen=True, kw_only=True)
class RerankSettings:
    """How proposals are re-ranked.

    Args:
        count: proposals of an image, the best first; None = all there are.
        grid: cells a side; a finer output of the network is averaged onto them, a coarser one keeps its own.
        epsilon: added to empty classes before a divergence, above 0; None = chosen on the training images, or
            :data:`DEFAULT_EPSILON` without folds.
        background: weight of background in a proposal, Eq. 17; None = as :meth:`of_classes` says.
        folds: fold networks that judge the training images; 0 = no ranker learns.
        C: weight of mistakes in the ranking SVM, above 0; None = chosen on the training images.
        rankers: name -> ``kl``, or the groups of features of a ranking SVM.

    Raises:
        ValueError: a value is outside its range; the message names ``eval.rerank.<key>``.
    """

    count: int | None = None
    grid: int = 13
    epsilon: float | None = None
    background: float | None = None
    folds: int = 10
    C: float | None = None
    rankers: Mapping[str, str | Sequence[str]]

    def __post_init__(self) -> None:
        """Check every value once."""
        for key, fits, wanted in (
            ("count", self.count is None or (_whole(self.count) and self.count >= 1), "null, or a number from 1 on"),
            ("grid", _whole(self.grid) and self.grid >= 1, "a whole number of cells, 1 or more"),
            ("epsilon", self.epsilon is None or (_number(self.epsilon) and 0 < self.epsilon < 1), "null, or in (0, 1)"),
            (
                "background",
                self.background is None or (_number(self.background) and self.background >= 0),
                "null, or a number, 0 or more",
            ),
            ("folds", _whole(self.folds) and self.folds >= 0 and self.folds != 1, "0, or 2 folds or more"),
            ("C", self.C is None or (_number(self.C) and self.C > 0), "null, or a number above 0"),
            ("rankers", isinstance(self.rankers, Mapping) and bool(self.rankers), "name -> kl, or groups of features"),
        ):
            if not fits:
                raise ValueError(f"eval.rerank.{key}={getattr(self, key)}: expected {wanted}")
        for name, value in self.rankers.items():
            self._check_ranker(str(name), value)

    def _check_ranker(self, name: str, value: Any) -> None:
        if name in OURS:
            raise ValueError(
                f"eval.rerank.rankers.{name}: {', '.join(OURS)} are always measured: expected another name"
            )
        if value == KL:
            return
        groups = list(value) if isinstance(value, list | tuple) else []
        if not groups or set(groups) - set(GROUPS) or len(set(groups)) < len(groups):
            raise ValueError(
                f"eval.rerank.rankers.{name}={value}: expected kl, or a list of some of {', '.join(GROUPS)}, each once"
            )

    def of_classes(self, classes: Sequence[str]) -> RerankSettings:
        """The same for data with these classes: a weight of the background that is left open has its value.

        Args:
            classes: names, in the order of their numbers.

        Returns:
            With :data:`seglab.rerank.distance.BACKGROUND`, or 0 where class 0 is no background, as the sky of CamVid.
        """
        if self.background is not None:
            return self
        return replace(self, background=BACKGROUND if has_background(classes) else 0.0)

    def learners(self) -> dict[str, tuple[str, ...]]:
        """The rankers that learn, with their groups in the order of :data:`GROUPS`; none without folds."""
        if not self.folds:
            return {}
        listed = {name: value for name, value in self.rankers.items() if value != KL}
        return {str(name): tuple(g for g in GROUPS if g in value) for name, value in listed.items()}

    def distances(self) -> list[str]:
        """The rankers by the distance of Eq. 17."""
        return [str(name) for name, value in self.rankers.items() if value == KL]

    def groups(self) -> tuple[str, ...]:
        """Groups of features that some ranker learns from."""
        wanted = {group for groups in self.learners().values() for group in groups}
        return tuple(group for group in GROUPS if group in wanted)

    @property
    def needs_training_images(self) -> bool:
        """Whether anything is fitted on training images: a ranker, or epsilon."""
        return bool(self.learners()) or (bool(self.folds) and self.epsilon is None and bool(self.distances()))

    def to_dict(self) -> dict[str, Any]:
        """Plain types for a report."""
        rankers = {str(k): v if v == KL else list(v) for k, v in self.rankers.items()}
        return {
            "count": self.count,
            "grid": self.grid,
            "epsilon": self.epsilon,
            "background": self.background,
            "folds": self.folds,
            "C": self.C,
            "rankers": rankers,
        }


def has_background(classes: Sequence[str]) -> bool:
    """Whether class 0 is the background: by its name, ``background``."""
    return bool(len(classes)) and str(classes[0]) == "background"


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
