"""Intersection over union of a corpus, made differentiable by expectation (Cogswell et al. 2014, Eq. 47).

The paper's quantity is a gain; minimised is what is missing to its largest value, 1 for each class.

    python -m seglab.train loss=iou data=camvid_semantic

Legend: B batch, K classes, H W pixels, h w cells.
"""

from typing import Literal

from torch import Tensor

from seglab.losses.corpus import CorpusLoss, CorpusSums, check_quotient_options, over_classes


def iou_loss(
    sums: CorpusSums,
    *,
    epsilon: float = 0.001,
    reduction: Literal["mean", "sum"] = "mean",
    classes: Literal["present", "all"] = "present",
) -> Tensor:
    """1 - E[I] / E[U] of every class, in 0..1; Eq. 47 with the other sign.

    Args:
        sums: of the corpus.
        epsilon: cells, added to E[I] and E[U].
        reduction: "mean" over the classes (main text) or "sum" (supplement).
        classes: those "present" in the labels of the batch, or "all", where an absent one counts 1 whatever is
            predicted, but for epsilon.
    """
    lack_K = 1 - (sums.inter_K + epsilon) / (sums.union_K + epsilon)
    return over_classes(lack_K, sums.present_K, reduction=reduction, classes=classes)


class IoU(CorpusLoss):
    """Soft intersection over union as a training loss; returns the one term "iou", which is minimised.

    Args:
        epsilon: see `iou_loss`.
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
        super().__init__(name="iou", cells=cells)
        check_quotient_options(epsilon=epsilon, reduction=reduction, classes=classes)
        self.options = {"epsilon": float(epsilon), "reduction": reduction, "classes": classes}

    def terms(self, sums: CorpusSums) -> dict[str, Tensor]:
        """The term "iou"."""
        return {"iou": iou_loss(sums, **self.options)}
