"""What the corpus losses share: sums over the cells of a whole batch, of which intersection and union are made.

A minibatch stands for the corpus, so a loss is one quotient of sums over all its cells, not a mean over images
(Cogswell, Lin, Purushwalkam, Batra, 2014, section 3.1 and supplement, Eqs. 20-28). The images of a batch may lie in
several processes and in several pieces of one process: `CorpusLoss` gives the value of the whole batch and gradients
whose mean is that of the whole batch.

    python -c "import torch; from seglab.losses.corpus import corpus_sums;
               print(corpus_sums(torch.zeros(1, 2, 2, 2), torch.eye(4).long()[None]))"

Legend: B batch, K classes, H W pixels, h w cells, R sums.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn

from seglab.losses.checks import check_choice, check_positive
from seglab.losses.joint import joint_sum, with_gradient_of
from seglab.losses.soft_labels import soft_labels

CELLS = ("equal", "labelled")
CLASSES = ("present", "all")
REDUCTIONS = ("mean", "sum")


def corpus_sums(
    logits_BKhw: Tensor, mask_BHW: Tensor, *, cells: Literal["equal", "labelled"] = "equal", name: str = "corpus loss"
) -> Tensor:
    """Sums over the labelled cells of a batch; the sums of two batches add up to those of both.

    Args:
        logits_BKhw: scores before the softmax, any floating type; computed in float32 (float64 for float64).
        mask_BHW: integers 0..K-1, or 255 for ignored pixels; at least as large as the logits.
        cells: how much a cell counts: all with a labelled pixel the same ("equal"), or by the share of their pixels
            that is labelled ("labelled").
        name: who asks, for messages.

    Returns:
        [3 K + 2]: of every class the intersection (Eq. 24), the predicted and the labelled size; the cross-entropy of
        all cells in nats; the number of cells.

    Raises:
        ValueError: wrong shapes, more cells than pixels, or (on the CPU) a label that is not allowed.
    """
    found = f"{logits_BKhw.dtype} {tuple(logits_BKhw.shape)}"
    if logits_BKhw.ndim != 4 or not logits_BKhw.is_floating_point() or not logits_BKhw.numel():
        raise ValueError(f"logits: {found}, expected floating point [B, K, h, w]")
    if len(mask_BHW) != len(logits_BKhw):
        raise ValueError(f"mask: {tuple(mask_BHW.shape)}, expected one mask for each of {len(logits_BKhw)} images")
    z_BKhw = logits_BKhw if logits_BKhw.dtype == torch.float64 else logits_BKhw.float()
    K, grid = z_BKhw.shape[1], tuple(z_BKhw.shape[2:])
    name = f"loss ({name}) with model.channels={K}"
    p_BKhw, labelled_Bhw = soft_labels(mask_BHW, classes=K, grid=grid, dtype=z_BKhw.dtype, name=name)
    weight_B1hw = (labelled_Bhw if cells == "labelled" else (labelled_Bhw > 0).to(z_BKhw.dtype))[:, None]
    log_BKhw = z_BKhw.log_softmax(1)
    guess_BKhw, truth_BKhw = log_BKhw.exp() * weight_B1hw, p_BKhw * weight_B1hw
    sums_3K = [x_BKhw.sum((0, 2, 3)) for x_BKhw in (guess_BKhw * p_BKhw, guess_BKhw, truth_BKhw)]
    nats, count = -(truth_BKhw * log_BKhw).sum(), weight_B1hw.sum()
    return torch.cat([*sums_3K, nats.reshape(1), count.reshape(1)])


class CorpusSums:
    """The sums of `corpus_sums` by their names.

    Attributes:
        inter_K: soft intersection of prediction and label, Eq. 24.
        union_K: soft union, Eq. 28.
        present_K: whether a class is among the labels.
        nats: cross-entropy, added up over the cells.
        count: number of cells.
    """

    def __init__(self, sums_R: Tensor) -> None:
        K = (len(sums_R) - 2) // 3
        self.inter_K, guess_K, truth_K = sums_R[: 3 * K].view(3, K)
        self.union_K = guess_K + truth_K - self.inter_K
        self.present_K = truth_K.detach() > 0
        self.nats, self.count = sums_R[-2], sums_R[-1].detach()


def over_classes(
    values_K: Tensor, present_K: Tensor, *, reduction: Literal["mean", "sum"], classes: Literal["present", "all"]
) -> Tensor:
    """Mean or sum of finite values over the classes that are present, or over all; 0 (with a graph) over none."""
    use_K = (present_K if classes == "present" else torch.ones_like(present_K)).to(values_K.dtype)
    total = (values_K * use_K).sum()
    return total if reduction == "sum" else total / use_K.sum().clamp(min=1)


def check_quotient_options(*, epsilon: float, reduction: str, classes: str) -> None:
    """Refuse what the quotients of the losses iou and uoi do not take.

    Raises:
        ValueError: naming the option and what is expected.
    """
    check_positive("epsilon", epsilon)
    check_choice("reduction", reduction, REDUCTIONS)
    check_choice("classes", classes, CLASSES)


class CorpusLoss(nn.Module):
    """Base of the losses over a corpus: the terms of a step are those of the sums over its whole batch.

    Over processes the sums are joined here. Over the pieces of a batch (``accumulate``) the trainer collects them
    first, in a pass without gradients (`seglab.pieces`), and calls the loss inside `given`.

    Args:
        name: of the loss, for messages.
        cells: see `corpus_sums`.

    Raises:
        ValueError: naming the option and what is expected.
    """

    batch_coupled = True
    joins_processes = True
    sums_over_pieces = True

    def __init__(self, *, name: str, cells: Literal["equal", "labelled"] = "equal") -> None:
        super().__init__()
        check_choice("cells", cells, CELLS)
        self.name, self.cells = name, cells
        self._given: tuple[Tensor, int] | None = None

    def sums(self, logits_BKhw: Tensor, batch: dict[str, Any]) -> Tensor:
        """What adds up over pieces and processes, [R]; batch["mask"] is [B, H, W], H >= h and W >= w."""
        return corpus_sums(logits_BKhw, batch["mask"], cells=self.cells, name=self.name)

    def terms(self, sums: CorpusSums) -> dict[str, Tensor]:
        """Named terms of the loss of a corpus with these sums, weights applied."""
        raise NotImplementedError

    @contextmanager
    def given(self, total_R: Tensor, *, pieces: int) -> Iterator[None]:
        """Within this block the loss is called on the pieces of a batch, one after the other.

        Args:
            total_R: sums over all pieces of all processes, without a graph.
            pieces: how many each process has; the mean of their gradients is that of the whole batch.
        """
        self._given = (total_R, pieces)
        try:
            yield
        finally:
            self._given = None

    def forward(self, logits_BKhw: Tensor, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Loss of a step's batch: logits [B, K, h, w], batch["mask"] [B, H, W].

        Raises:
            ValueError: as `corpus_sums`.
        """
        own_R = self.sums(logits_BKhw, batch)
        if self._given is None:
            sums_R = joint_sum(own_R)
        else:
            total_R, pieces = self._given
            sums_R = with_gradient_of(own_R, total=total_R, pieces=pieces)
        return {name: term.float() for name, term in self.terms(CorpusSums(sums_R)).items()}
