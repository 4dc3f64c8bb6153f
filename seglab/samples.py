"""Sample grids: image, mask, probability, prediction, to look at while a run trains."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from seglab.data.grid import save_grid

if TYPE_CHECKING:
    from seglab.data.arrays import ArrayDataset
    from seglab.evaluator import Evaluator


def save_samples(evaluator: Evaluator, dataset: ArrayDataset, path: Path, *, count: int = 6) -> Path:
    """Draw the first images of a data set with their masks, maps and predictions.

    Args:
        evaluator: its read-out is fitted.
        dataset: images held out.
        path: PNG file to write.
        count: rows at the most.

    Returns:
        ``path``.
    """
    import torch

    rows = range(min(count, len(dataset)))
    batch = dataset.__getitems__(list(rows))
    evaluator.model.eval()
    with torch.inference_mode():
        maps = evaluator.post(evaluator.model(batch["image"].to(evaluator.device)).float()).cpu().numpy()
    columns = {
        "image": [batch["image"][i].permute(1, 2, 0).numpy() for i in rows],
        "mask": [dataset.mask(i) for i in rows],
        "map": list(maps),
        "map > 2 mean": [m > 2 * m.mean() for m in maps],
    }
    save_grid(columns, path)
    return path
