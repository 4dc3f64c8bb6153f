"""Cross-entropy against soft labels of a coarse grid: the first stage of the coarse network, and its baseline.

L = -sum_i sum_k p_ik log p^_ik over the cells i of a batch (Cogswell, Lin, Purushwalkam, Batra, 2014, section 3.1).

    python -m seglab.train loss=ce_soft data=camvid_semantic

Legend: B batch, K classes, H W pixels, h w cells.
"""

from typing import Literal

import torch
from torch import Tensor

from seglab.losses.checks import check_choice
from seglab.losses.corpus import REDUCTIONS, CorpusLoss, CorpusSums


def soft_cross_entropy(sums: CorpusSums, *, reduction: Literal["mean", "sum"] = "mean") -> Tensor:
    """Cross-entropy in nats, a mean over the cells (our reading) or their sum (as printed); 0 without cells.

    Its smallest value is the entropy of the labels, 0 only where every cell is of one class.
    """
    return sums.nats / torch.where(sums.count > 0, sums.count, 1) if reduction == "mean" else sums.nats


class CESoft(CorpusLoss):
    """Cross-entropy against soft labels as a training loss; returns the one term "ce_soft".

    Args:
        reduction: see `soft_cross_entropy`.
        cells: see `seglab.losses.corpus.corpus_sums`.

    Raises:
        ValueError: naming the option and what is expected.
    """

    def __init__(
        self, *, reduction: Literal["mean", "sum"] = "mean", cells: Literal["equal", "labelled"] = "equal"
    ) -> None:
        super().__init__(name="ce_soft", cells=cells)
        check_choice("reduction", reduction, REDUCTIONS)
        self.reduction = reduction

    def terms(self, sums: CorpusSums) -> dict[str, Tensor]:
        """The term "ce_soft"."""
        return {"ce_soft": soft_cross_entropy(sums, reduction=self.reduction)}
