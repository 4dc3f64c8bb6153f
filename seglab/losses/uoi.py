"""Union over intersection of a corpus, made differentiable by expectation (Cogswell et al. 2014, Eq. 60).

Unlike those of IOU, its slopes grow with the errors; K^2 / sum UOI bounds the sum of IOU from below.

    python -m seglab.train loss=uoi data=camvid_semantic

Legend: B batch, K classes, H W pixels, h w cells.
"""

from typing import Literal

from torch import Tensor

from seglab.losses.corpus import CorpusLoss, CorpusSums, check_quotient_options, over_classes


def uoi_loss(
    sums: CorpusSums,
    *,
    epsilon: float = 0.001,
    reduction: Literal["mean", "sum"] = "mean",
    classes: Literal["present", "all"] = "present",
) -> Tensor:
    """E[U] / E[I] of every class, 1 or more; Eq. 60.

    Args:
        sums: of the corpus.
        epsilon: cells, added to E[I] and E[U]; bounds a class's value by E[U] / epsilon + 1.
        reduction: "mean" over the classes (main text) or "sum" (supplement).
        classes: those "present" in the labels of the batch, or "all", where an absent one counts E[U] / epsilon + 1.
    """
    quotient_K = (sums.union_K + epsilon) / (sums.inter_K + epsilon)
    return over_classes(quotient_K, sums.present_K, reduction=reduction, classes=classes)


class UoI(CorpusLoss):
    """Soft union over intersection as a training loss; returns the one term "uoi".

    Args:
        epsilon: see `uoi_loss`.
        reduction: as there.
        classes: as there.
        cells: see `seglab.losses.corpus.corpus_sums`.

    Raises:
        ValueError: naming the option and what is expected.
    """

    def __init__(
        self,
        *,
        epsilon: float = 0.001,
        reduction: Literal["mean", "sum"] = "mean",
        classes: Literal["present", "all"] = "present",
        cells: Literal["equal", "labelled"] = "equal",
    ) -> None:
        super().__init__(name="uoi", cells=cells)
        check_quotient_options(epsilon=epsilon, reduction=reduction, classes=classes)
        self.options = {"epsilon": float(epsilon), "reduction": reduction, "classes": classes}

    def terms(self, sums: CorpusSums) -> dict[str, Tensor]:
        """The term "uoi"."""
        return {"uoi": uoi_loss(sums, **self.options)}
