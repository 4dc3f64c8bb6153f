"""Union over intersection of a corpus and cross-entropy together: 0.7 UOI + 0.3 CE (Cogswell et al. 2014, section 3.1).

    python -m seglab.train loss=uoi_ce data=camvid_semantic

Legend: B batch, K classes, H W pixels, h w cells.
"""

from collections.abc import Mapping
from typing import Literal

from torch import Tensor

from seglab.losses.ce_soft import soft_cross_entropy
from seglab.losses.checks import check_choice, check_positive
from seglab.losses.corpus import REDUCTIONS, CorpusLoss, CorpusSums, check_quotient_options
from seglab.losses.uoi import uoi_loss
from seglab.words import nearest

WEIGHTS = {"uoi": 0.7, "ce_soft": 0.3}
"""Parts of the loss and their weights in the paper, found by a search over a grid."""


class UoICE(CorpusLoss):
    """Union over intersection and cross-entropy; returns the terms "uoi" and "ce_soft", weights applied.

    Args:
        epsilon: see `uoi_loss`.
        reduction: as there.
        classes: as there.
        ce_reduction: see `soft_cross_entropy`, reduction.
        cells: see `seglab.losses.corpus.corpus_sums`.
        weights: of both parts; None for `WEIGHTS`.

    Raises:
        ValueError: naming the option and what is expected.
    """

    def __init__(
        self,
        *,
        epsilon: float = 0.001,
        reduction: Literal["mean", "sum"] = "mean",
        classes: Literal["present", "all"] = "present",
        ce_reduction: Literal["mean", "sum"] = "mean",
        cells: Literal["equal", "labelled"] = "equal",
        weights: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(name="uoi_ce", cells=cells)
        check_quotient_options(epsilon=epsilon, reduction=reduction, classes=classes)
        check_choice("ce_reduction", ce_reduction, REDUCTIONS)
        self.options = {"epsilon": float(epsilon), "reduction": reduction, "classes": classes}
        self.ce_reduction, self.weights = ce_reduction, _checked_weights(weights)

    def terms(self, sums: CorpusSums) -> dict[str, Tensor]:
        """The terms "uoi" and "ce_soft"."""
        return {
            "uoi": self.weights["uoi"] * uoi_loss(sums, **self.options),
            "ce_soft": self.weights["ce_soft"] * soft_cross_entropy(sums, reduction=self.ce_reduction),
        }


def _checked_weights(weights: Mapping[str, float] | None) -> dict[str, float]:
    given = WEIGHTS if weights is None else weights
    if not isinstance(given, Mapping) or not set(WEIGHTS) <= set(given):
        raise ValueError(f"loss.weights={given}: expected one number for each of {', '.join(WEIGHTS)}")
    for name, value in given.items():
        if name not in WEIGHTS:
            raise ValueError(f"unknown key 'loss.weights.{name}'{nearest(str(name), list(WEIGHTS), 'loss.weights')}")
        check_positive(f"weights.{name}", value)
    return {name: float(given[name]) for name in WEIGHTS}
