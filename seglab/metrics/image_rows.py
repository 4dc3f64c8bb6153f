"""What every metric of a whole set shares: one row of numbers an image, in order, whichever process scored it.

Legend: N images, D numbers of an image and its position before them.
Example: ``class Mine(ImageRows): ...; Mine(names=("mae",), dtype=torch.float64)``, see :mod:`seglab.metrics.confusion`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torchmetrics import Metric


class ImageRows(Metric):
    """Base of metrics over a set; processes may hold different numbers of images, or none.

    Args:
        names: names of an image's numbers, in the order of its row.
        dtype: type of the rows; it must hold a position in the data set exactly.
    """

    full_state_update = False
    is_differentiable = False

    def __init__(self, *, names: Sequence[str], dtype: torch.dtype) -> None:
        super().__init__()
        self.names = tuple(names)
        self.row_dtype = dtype
        self.add_state("image_rows", [], dist_reduce_fx="cat")  # position in the data set, then ``names``

    def rows(self) -> list[dict[str, float]]:
        """Values of every image, over all processes (each of them must call it).

        Returns:
            One dict an image, sorted by ``index``, its position in the data set, with its numbers.

        Raises:
            ValueError: no image was scored, or one twice.
        """
        with self.sync_context():
            rows_ND = self.sorted_rows()
        return [{"index": int(row[0]), **dict(zip(self.names, row[1:].tolist(), strict=True))} for row in rows_ND]

    def sync(
        self,
        dist_sync_fn: Callable[..., Any] | None = None,
        process_group: Any | None = None,
        should_sync: bool = True,
        distributed_available: Callable[[], bool] | None = None,
    ) -> None:
        """Gather the states of all processes (see ``torchmetrics.Metric.sync``)."""
        if not len(self.image_rows):
            # A process without images must still take part, with a table of the right width and type.
            self.image_rows = [torch.zeros(0, 1 + len(self.names), dtype=self.row_dtype, device=self.device)]
        super().sync(dist_sync_fn, process_group, should_sync, distributed_available)

    def sorted_rows(self) -> np.ndarray:
        """Rows [N,D] sorted by position, so that sums do not depend on who scored which image.

        Raises:
            ValueError: no image was scored, or one twice.
        """
        parts = self.image_rows if isinstance(self.image_rows, list) else [self.image_rows]
        rows_ND = torch.cat(parts).cpu().numpy() if parts else np.zeros((0, 1))
        if not len(rows_ND):
            raise ValueError("no image was scored: expected a test set with at least one image (data.test_sets)")
        rows_ND = rows_ND[np.argsort(rows_ND[:, 0], kind="stable")]
        again = rows_ND[1:, 0][np.diff(rows_ND[:, 0]) == 0]
        if again.size:
            raise ValueError(f"image {int(again[0])} of the test set was scored twice: expected each position once")
        return rows_ND
