"""A loss from outside the package that brings the machine into trouble at a given step of a given process."""

from __future__ import annotations

import os
import signal
import time

import torch

from seglab import distributed
from seglab.losses.ce import CE


class Faulty(CE):
    def __init__(self, fault: str, at: int = 3, rank: int = 0, once: str = "", **options: object) -> None:
        super().__init__(**options)
        self.fault, self.at, self.rank, self.once, self.calls = fault, at, rank, once, 0

    def forward(self, logits, batch):
        self.calls += 1
        terms = super().forward(logits, batch)
        if self.calls == self.at and distributed.rank() == self.rank and not (self.once and os.path.exists(self.once)):
            if self.once:
                with open(self.once, "w"):
                    pass
            return getattr(self, self.fault)(terms, logits)
        return terms

    def error(self, terms, logits):
        raise RuntimeError("the loss tripped over its own feet")

    def killed(self, terms, logits):
        os.kill(os.getpid(), signal.SIGKILL)

    def memory(self, terms, logits):
        return {"ce": terms["ce"] + torch.zeros(10**14).sum()}

    def overflow(self, terms, logits):
        self.at += 1  # and in every step after it
        return {"ce": terms["ce"] + 3e38 * (logits - logits.detach()).sum()}  # a finite loss of infinite slope

    def busy(self, terms, logits):
        """Some seconds in which a signal can arrive twice."""
        print("computing", flush=True)
        time.sleep(3)
        return terms

    def slow(self, terms, logits):
        """A computation that Python cannot interrupt, some minutes long."""
        print("computing", flush=True)
        a = torch.rand(6000, 6000, dtype=torch.float64)
        until = time.monotonic() + 200
        while time.monotonic() < until:
            a = a @ a / 6000
        return terms
