"""Schedules: pure functions of the epoch, so that resuming carries no state.

One runnable line: ``python -m seglab.train schedule=poly schedule.epochs=50``.
"""

from __future__ import annotations


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
