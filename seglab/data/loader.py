"""Which images make which batch: a pure function of seed and epoch, the same for any number of processes.

One runnable line: ``python -c "from seglab.data.loader import EpochBatches;
print(list(EpochBatches(8, batch_size=4, seed=0).batches(0)))"``.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from seglab.data.rng import permutation

if TYPE_CHECKING:
    from torch.utils.data import DataLoader, Dataset

    from seglab.data.sample import Batch


class EpochBatches:
    """The micro-batches of one process.

    The images are permuted by (seed, epoch) and cut into global batches, one per optimiser step. A global batch is cut
    contiguously into ``world`` slices, a slice into ``accumulate`` micro-batches: whatever the number of processes, a
    step sees the same images. Nothing is remembered between calls, so a run resumes at any step.

    With negative images a batch is first dealt into ``accumulate`` pieces, each with as many of either kind, and then a
    piece is cut into ``world`` micro-batches: a loss that averages over a kind and over the processes has the same
    weights in every piece.

    Args:
        n: number of training images.
        batch_size: images per optimiser step, over all processes.
        seed: decides the order.
        rank: this process, 0..world-1.
        world: number of processes.
        accumulate: micro-batches per step and process.
        negatives: number of negative images, at the positions behind the n.
        share: of every batch that is negative; 0 = none, whatever ``negatives`` is.
        drop_last: leave out the last, shorter batch. If it is kept, its slices may differ by one image.

    Raises:
        ValueError: ``batch_size`` exceeds n or is no multiple of ``world * accumulate``, ``share`` leaves out a kind or
            ``accumulate`` does not divide both, or a kept last batch has fewer images than slices.
    """

    def __init__(
        self,
        n: int,
        *,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
        accumulate: int = 1,
        negatives: int = 0,
        share: float = 0.0,
        drop_last: bool = True,
    ) -> None:
        assert 0 <= rank < world
        self.slices = world * accumulate
        if batch_size < 1 or batch_size % self.slices:
            raise ValueError(
                f"batch_size={batch_size}: expected a multiple of processes * accumulate = {world} * {accumulate} = "
                f"{self.slices}"
            )
        self.negatives, self.negative = negatives, round(share * batch_size)  # there are, and in a batch
        positive = batch_size - self.negative
        if share:
            self._check_kinds(batch_size, share, accumulate)
        if positive > n:
            own = f" with negatives.share={share}: its {positive} positive images exceed" if share else " exceeds"
            raise ValueError(
                f"batch_size={batch_size}{own} the {n} training images of data: expected batch_size <= "
                f"{n * batch_size // positive}; lower batch_size, or val if it holds out many"
            )
        short = n % positive
        if not drop_last and 0 < short < self.slices:
            raise ValueError(
                f"batch_size={batch_size}: the last of {n} images make a batch of {short}, fewer than its "
                f"{self.slices} slices (processes * accumulate); use another batch_size or drop the last batch"
            )
        self.n, self.batch_size, self.positive, self.seed = n, batch_size, positive, seed
        self.rank, self.world, self.accumulate = rank, world, accumulate
        self.steps = n // positive if drop_last else -(-n // positive)

    def _check_kinds(self, batch_size: int, share: float, accumulate: int) -> None:
        positive = batch_size - self.negative
        if not self.negatives:
            raise ValueError(f"negatives.share={share}: there are no negative images: expected one or more")
        if not 0 < self.negative < batch_size:
            raise ValueError(
                f"negatives.share={share}: {self.negative} of the {batch_size} images of a batch would be negative: "
                "expected a share with both kinds in every batch"
            )
        if positive % accumulate or self.negative % accumulate:
            raise ValueError(
                f"batch_size={batch_size}, negatives.share={share}, accumulate={accumulate}: {positive} positive and "
                f"{self.negative} negative images of a batch cannot be dealt into {accumulate} pieces alike: expected "
                "two numbers that accumulate divides"
            )

    def batches(self, epoch: int, start_step: int = 0) -> Iterator[list[int]]:
        """Positions of this process's micro-batches, ``accumulate`` of them per step.

        Args:
            epoch: counted from 0.
            start_step: first optimiser step, to resume inside an epoch.
        """
        order = permutation(self.n, self.seed, "order", epoch)
        first = self.rank * self.accumulate
        for step in range(start_step, self.steps):
            positives = order[step * self.positive : (step + 1) * self.positive]
            if self.negative:
                mine = [np.array_split(piece, self.world)[self.rank] for piece in self._mixed(positives, epoch, step)]
            else:
                mine = np.array_split(positives, self.slices)[first : first + self.accumulate]
            for part in mine:
                yield part.tolist()

    def _mixed(self, positives: np.ndarray, epoch: int, step: int) -> list[np.ndarray]:
        """The pieces of a batch of both kinds, with as many of either kind in each.

        Inside a piece the kinds alternate as evenly as they can, so that the shares of its slices differ by one image
        at most.
        """
        first = step * self.negative
        rounds = range(first // self.negatives, (first + self.negative - 1) // self.negatives + 1)
        # Negatives are gone through round after round, each in an order of its own.
        order = np.concatenate([permutation(self.negatives, self.seed, "negatives", epoch, r) for r in rounds])
        start = first - rounds.start * self.negatives
        chosen = self.n + order[start : start + self.negative]
        kinds = [np.array_split(part, self.accumulate) for part in (positives, chosen)]
        return [_alternating(*piece) for piece in zip(*kinds, strict=True)]


def _alternating(*kinds: np.ndarray) -> np.ndarray:
    places = [(np.arange(len(part)) + 0.5) / len(part) for part in kinds]
    return np.concatenate(kinds)[np.argsort(np.concatenate(places), kind="stable")]


def shard(n: int, *, batch_size: int, rank: int = 0, world: int = 1) -> list[list[int]]:
    """Batches of positions ``rank, rank + world, ...`` for evaluation: every image once, no padding."""
    mine = range(rank, n, world)
    return [list(mine[i : i + batch_size]) for i in range(0, len(mine), batch_size)]


def make_loader(
    dataset: Dataset, batches: Iterable[list[int]], *, workers: int = 0, pin_memory: bool = False
) -> DataLoader[Batch]:
    """A DataLoader that yields the given batches.

    Args:
        dataset: has ``__getitems__(positions) -> Batch``.
        batches: lists of positions, e.g. ``EpochBatches.batches(epoch)`` or :func:`shard`.
        workers: processes that fetch ahead; 0 fetches in this process, which is fast enough for a cached dataset.
        pin_memory: page-locked memory, for copies to a GPU that do not wait.
    """
    from torch.utils.data import DataLoader

    return DataLoader(
        dataset,
        batch_sampler=list(batches),
        num_workers=workers,
        collate_fn=_as_is,
        pin_memory=pin_memory,
        persistent_workers=False,
        worker_init_fn=_leave_signals_to_the_trainer if workers else None,
    )


def _leave_signals_to_the_trainer(_: int) -> None:
    """A scheduler sends its SIGTERM to every process of a job; the trainer needs its workers to finish the step.

    They end when it does: torch asks them to, and they watch whether it lives.
    """
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)


def _as_is(batch: Batch) -> Batch:
    return batch
