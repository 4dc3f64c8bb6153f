"""Both losses that have a state, in one; the last process kills itself at a step that is asked for, once."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from torch import nn

from seglab import distributed
from seglab.losses.elr import ELR
from seglab.losses.forward_estimated import ForwardEstimated


class Dying(nn.Module):
    """The file that KILL_AT names holds the number of calls before the deadly one; it is emptied by that."""

    batch_coupled = False

    def __init__(self) -> None:
        super().__init__()
        self.elr, self.estimated = ELR(grid=2), ForwardEstimated(warmup=0.3)
        self.tell_epochs, self.start_epoch = self.estimated.tell_epochs, self.estimated.start_epoch

    def forward(self, logits, batch):
        terms = {**self.elr(logits, batch), **self.estimated(logits, batch)}
        if distributed.rank() == distributed.world() - 1 and "KILL_AT" in os.environ:
            path = Path(os.environ["KILL_AT"])
            if left := path.read_text():
                path.write_text("" if left == "0" else str(int(left) - 1))
                if left == "0":
                    os.kill(os.getpid(), signal.SIGKILL)
        return terms
