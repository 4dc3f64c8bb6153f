"""What every metric of a whole set shares: one row of numbers an image, in order, whichever process scored it.

The states are sums and rows; several processes add up the sums and join the rows. It is written here because importing
torchmetrics costs 5 seconds at every start (it imports torchvision and scipy.signal with it).

Legend: N images, D numbers of an image and its position before them.
Example: ``class Mine(ImageRows): ...; Mine(names=("mae",), dtype=torch.float64)``, see :mod:`seglab.metrics.confusion`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from seglab import distributed


class ImageRows:
    """Base of metrics over a set; processes may hold different numbers of images, or none.

    Args:
        names: names of an image's numbers, in the order of its row.
        dtype: type of the rows; it must hold a position in the data set exactly.
    """

    def __init__(self, *, names: Sequence[str], dtype: torch.dtype) -> None:
        self.names = tuple(names)
        self.row_dtype = dtype
        self._empty: dict[str, Tensor | None] = {}
        self._joined = False
        self.image_rows: list[Tensor] = []
        self.add_rows("image_rows")  # position in the data set, then ``names``

    def add_sum(self, name: str, zeros: Tensor) -> None:
        """Make an attribute that is added up over the processes, on the CPU, as it is before the first image."""
        self._empty[name] = zeros
        setattr(self, name, zeros.clone())

    def add_rows(self, name: str) -> None:
        """Make an attribute, a list of tables [n, ...] on the CPU that are joined over the processes."""
        self._empty[name] = None
        setattr(self, name, [])

    def reset(self) -> None:
        """Forget every image."""
        for name, zeros in self._empty.items():
            setattr(self, name, [] if zeros is None else zeros.clone())

    @contextmanager
    def all_processes(self) -> Iterator[None]:
        """Within the block the states are those of all processes, each of which must enter it."""
        if self._joined:
            yield
            return
        own = {name: getattr(self, name) for name in self._empty}
        parts = distributed.gather(own)
        try:
            for name, zeros in self._empty.items():
                of_all = [part[name] for part in parts]
                setattr(self, name, [*chain(*of_all)] if zeros is None else torch.stack(of_all).sum(0))
            self._joined = True
            yield
        finally:
            self._joined = False
            for name, state in own.items():
                setattr(self, name, state)

    def rows(self) -> list[dict[str, float]]:
        """Values of every image, over all processes (each of them must call it).

        Returns:
            One dict an image, sorted by ``index``, its position in the data set, with its numbers.

        Raises:
            ValueError: no image was scored, or one twice.
        """
        with self.all_processes():
            rows_ND = self.sorted_rows()
        return [{"index": int(row[0]), **dict(zip(self.names, row[1:].tolist(), strict=True))} for row in rows_ND]

    def sorted_rows(self) -> np.ndarray:
        """Rows [N,D] sorted by position, so that sums do not depend on who scored which image.

        Raises:
            ValueError: no image was scored, or one twice.
        """
        rows_ND = torch.cat(self.image_rows).numpy() if self.image_rows else np.zeros((0, 1))
        if not len(rows_ND):
            raise ValueError("no image was scored: expected a test set with at least one image (data.test_sets)")
        rows_ND = rows_ND[np.argsort(rows_ND[:, 0], kind="stable")]
        again = rows_ND[1:, 0][np.diff(rows_ND[:, 0]) == 0]
        if again.size:
            raise ValueError(f"image {int(again[0])} of the test set was scored twice: expected each position once")
        return rows_ND
