"""Schedules: pure functions of the epoch, so that resuming carries no state.

One runnable line: ``python -m seglab.train schedule=poly schedule.epochs=50``.
"""

from __future__ import annotations

from collections.abc import Sequence


class Constant:
    """Fixed learning rate (CAS section 4.2; regularized loss section 4: "fixed learning rate 0.001").

    Args:
        epochs: passes over the training images, 0 or more.

    Raises:
        ValueError: ``schedule.epochs`` is not a whole number, 0 or more.
    """

    def __init__(self, epochs: int) -> None:
        if not isinstance(epochs, int) or isinstance(epochs, bool) or epochs < 0:
            raise ValueError(f"schedule.epochs={epochs}: expected a whole number, 0 or more")
        self.epochs = epochs

    def lr_factor(self, epoch: int) -> float:
        """Factor on ``optim.lr`` during ``epoch`` (0-based)."""
        return 1.0

    def settings(self, epoch: int) -> dict[str, float]:
        """What the loss is set to during ``epoch``; what is not named keeps the value of its config."""
        return {}

    def fresh(self, epoch: int) -> bool:
        """Whether ``epoch`` starts with a new optimiser, without the moments of the epochs before."""
        return False

    def negatives(self, epoch: int) -> bool | None:
        """Whether the batches of ``epoch`` hold negative images; None = where the loss has a use for them."""
        return None

    def snapshots(self, steps: Sequence[int]) -> frozenset[int]:
        """After which optimiser steps, counted from 1 over the whole training, the weights are kept.

        Args:
            steps: optimiser steps of every epoch.
        """
        return frozenset()


class Poly(Constant):
    """Polynomial decay, ``(1 - epoch/epochs) ** power`` (DeepLab, Chen et al. 2017).

    Args:
        epochs: passes over the training images.
        power: exponent, above 0.

    Raises:
        ValueError: a value is outside its range.
    """

    def __init__(self, epochs: int, *, power: float = 0.9) -> None:
        super().__init__(epochs)
        if power <= 0:
            raise ValueError(f"schedule.power={power}: expected a number above 0")
        self.power = power

    def lr_factor(self, epoch: int) -> float:
        """Factor on ``optim.lr`` during ``epoch`` (0-based)."""
        return (1 - epoch / self.epochs) ** self.power


class Snapshots(Constant):
    """Fixed learning rate, with the weights kept at some steps (regularized loss section 3.1: "20 time steps").

    Which steps is not printed; ours grow geometrically from the first to the last, so that the early ones, in which a
    network changes most, are among them (EQUATIONS 3.9.11).

    Args:
        epochs: passes over the training images.
        count: how many snapshots, 2 or more.

    Raises:
        ValueError: a value is outside its range; :meth:`snapshots` where there are fewer steps than snapshots.
    """

    def __init__(self, epochs: int, *, count: int = 20) -> None:
        super().__init__(epochs)
        if not isinstance(count, int) or isinstance(count, bool) or count < 2:
            raise ValueError(f"schedule.count={count}: expected a whole number of snapshots, 2 or more")
        self.count = count

    def snapshots(self, steps: Sequence[int]) -> frozenset[int]:
        """Steps that grow by a factor, each at least one after the last."""
        total = sum(steps)
        if total < self.count:
            raise ValueError(
                f"schedule.count={self.count}: the whole training has {total} optimiser steps; expected at least as "
                "many as snapshots (more epochs, a smaller batch_size, or fewer snapshots)"
            )
        kept = [1]
        for k in range(1, self.count):
            kept.append(max(kept[-1] + 1, round(total ** (k / (self.count - 1)))))
        return frozenset(kept)
