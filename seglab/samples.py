"""Grids to look at: image, mask, maps, prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seglab.data.grid import save_grid
from seglab.data.palette import in_class_colours
from seglab.data.sample import IGNORE

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
    from seglab.evaluator import kind_of

    rows = range(min(count, len(dataset)))
    maps = maps_of(evaluator, dataset, rows)
    columns = {**_given(dataset, rows)}
    protocol, titles = evaluator.cfg.eval.protocol, None
    if kind_of(evaluator.post) == "classes":
        masks = columns["mask"]
        columns |= {"mask": [in_class_colours(m) for m in masks], "classes": [in_class_colours(m) for m in maps]}
        names = list(evaluator.cfg.data.classes)
        titles = [f"{_named(mask, names)}: {_named(found, names)}" for mask, found in zip(masks, maps, strict=True)]
    elif "adaptive" not in protocol and "fixed" in protocol:  # one cut for all maps
        columns |= {"map": maps, f"map > {protocol.fixed:g}": [m > protocol.fixed for m in maps]}
    elif any(np.issubdtype(m.dtype, np.integer) for m in maps):
        columns["regions"] = maps
    else:
        columns |= {"map": maps, "map > 2 mean": [m > 2 * m.mean() for m in maps]}
    told = {"columns": list(columns), "ids": [str(name) for name in dataset.ids[: len(rows)]]}
    return save_grid(columns, path, titles=titles, told=told)


def _named(classes_HW: np.ndarray, names: Sequence[str]) -> str:
    """The classes of a map, largest first, without the first class, the background."""
    counts = np.bincount(classes_HW[classes_HW != IGNORE].astype(np.int64), minlength=len(names))
    found = [names[k] for k in np.argsort(-counts, kind="stable") if k and counts[k]]
    return ", ".join(found) or "none"


def save_comparison(
    evaluators: Mapping[str, Evaluator], dataset: ArrayDataset, path: Path, *, rows: Sequence[int]
) -> Path:
    """Draw images with their masks and the maps of several networks side by side.

    Args:
        evaluators: column title -> a network with its fitted read-out.
        dataset: where the images are.
        path: PNG file to write.
        rows: positions of the images to draw.

    Returns:
        ``path``.
    """
    columns = {title: maps_of(evaluator, dataset, rows) for title, evaluator in evaluators.items()}
    return save_grid({**_given(dataset, rows), **columns}, path)


def maps_of(evaluator: Evaluator, dataset: ArrayDataset, rows: Sequence[int]) -> list[np.ndarray]:
    """Saliency maps, float32 [S,S] in 0..1, or maps of regions or classes, int64 [S,S], of some images."""
    import torch

    from seglab.evaluator import kind_of
    from seglab.forward import enlarged, forward
    from seglab.post.region_maps import RegionMaps

    evaluator.model.eval()
    with torch.inference_mode():
        batch = dataset.__getitems__(list(rows))
        logits, moved = forward(evaluator.model, batch, runtime=evaluator.cfg.runtime, device=evaluator.device)
        if kind_of(evaluator.post) != "classes":
            logits = enlarged(logits, moved["image"])
        found = evaluator.post(logits, moved["image"])
        return list((found.labels_BTHW[:, 0] if isinstance(found, RegionMaps) else found).cpu().numpy())


def _given(dataset: ArrayDataset, rows: Sequence[int]) -> dict[str, list[np.ndarray]]:
    images = dataset.__getitems__(list(rows))["image"].permute(0, 2, 3, 1).numpy()
    return {"image": list(images), "mask": [dataset.mask(i) for i in rows]}
