"""Histograms that find the pixels a network is surest of, for the transition of Patrini et al. 2017, section 4.

A class's row of the transition is the prediction at its anchors, pixels that belong to the class beyond doubt. They are
those where the network gives the class the highest probabilities; a share of the pixels stands for the highest one,
which a single odd pixel would decide.

    python -c "import torch; from seglab.losses.anchors import Anchors;
               a = Anchors(); a.add(torch.tensor([[.9, .1], [.1, .9]])); print(a.transition(0.97))"

Legend: K classes, N pixels, R bins of a histogram.
"""

import torch
from torch import Tensor

from seglab.distributed import sum_

BINS = 1000
"""Bins of each histogram, so that a probability is known to 0.001."""


class Anchors:
    """For every class a histogram of its probability, and the mean prediction of every bin.

    Pixels of other processes are counted with those of this one, so that all hold the same.
    """

    def __init__(self) -> None:
        self.sums_KRC: Tensor | None = None  # float64 [K, R, K + 1]: sums of the prediction, and the number of pixels

    def add(self, p_KN: Tensor) -> None:
        """Count pixels.

        Args:
            p_KN: predictions, each column a distribution over K classes.
        """
        K = p_KN.shape[0]
        bin_KN = (p_KN * BINS).long().clamp(0, BINS - 1)
        row_KN = bin_KN + BINS * torch.arange(K, device=p_KN.device)[:, None]
        values_NC = torch.cat([p_KN, torch.ones_like(p_KN[:1])]).T.double()
        sums_KRC = p_KN.new_zeros(K * BINS, K + 1, dtype=torch.float64)
        for row_N in row_KN:  # one class at a time: all at once would be K times the memory
            sums_KRC.index_add_(0, row_N, values_NC)
        sums_KRC = sum_(sums_KRC.reshape(K, BINS, K + 1))
        if self.sums_KRC is None:
            self.sums_KRC = sums_KRC
        else:
            self.sums_KRC = self.sums_KRC.to(sums_KRC.device) + sums_KRC

    def transition(self, percentile: float) -> Tensor | None:
        """The transition, float64 [K, K] on the CPU; None where no pixel was counted.

        Args:
            percentile: 0..1; a class's anchors are the pixels whose probability of the class is above this percentile
                of all pixels (to a bin), and its row is their mean prediction. Deviation: Patrini et al. take the one
                pixel at the percentile; a mean is steadier where the number of pixels is large.
        """
        if self.sums_KRC is None:
            return None
        # From the highest bin down: where the share of pixels reaches what the percentile leaves over, it is enough.
        summed_KRC = self.sums_KRC.cpu().flip(1).cumsum(1)
        count_KR = summed_KRC[..., -1]
        wanted_K = ((1 - percentile) * count_KR[:, -1]).clamp(min=1)
        last_K = (count_KR < wanted_K[:, None]).sum(1).clamp(max=BINS - 1)
        chosen_KC = summed_KRC[torch.arange(len(summed_KRC)), last_K]
        if not bool((chosen_KC[:, -1] > 0).all()):
            return None
        return chosen_KC[:, :-1] / chosen_KC[:, :-1].sum(1, keepdim=True)
