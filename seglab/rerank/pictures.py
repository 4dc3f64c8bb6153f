"""What was chosen, to look at: photo, true classes, the coarse output, the first proposals, every choice, the oracle.

Example: ``save_choices(run.path / "samples/rerank-voc.png", outcome, look, items, probs_NKGG, 6)``
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seglab.data.grid import save_grid
from seglab.data.palette import in_class_colours
from seglab.post.upsampling import naive
from seglab.rerank.images import Look, proposals_for
from seglab.rerank.outcome import Outcome

FIRST = 3
"""Proposals drawn besides the choices."""
SHOWN = 3
"""Rankers drawn, the first of the config; the text under a row has the accuracies of all of these."""


def save_choices(
    path: Path, outcome: Outcome, look: Look, items: Sequence[Any], probs_NKGG: np.ndarray, count: int
) -> Path:
    """Draw the first scored images of a set, one a row, with their accuracies (percent) below.

    Args:
        path: PNG file to write.
        outcome: what was chosen.
        look: where the proposals are.
        items: all images of the set.
        probs_NKGG: the network's outputs for them.
        count: rows at the most.

    Returns:
        ``path``.
    """
    columns: dict[str, list[np.ndarray]] = {}
    titles, rankers = [], outcome.rankers[:SHOWN]
    for row in outcome.rows[:count]:
        place = int(row["index"])
        image_HW3, mask_HW = items[place].read()
        labels_MHW = proposals_for(look, items[place].id, image_HW3).labels_MHW
        chosen = {name: labels_MHW[int(row[f"chosen_{name}"])] for name in (*rankers, "oracle")}
        # A column is as long as any other: an image with fewer proposals shows its last one again.
        firsts = {f"proposal {m + 1}": labels_MHW[min(m, len(labels_MHW) - 1)] for m in range(FIRST)}
        maps = {"true classes": mask_HW, "network": naive(probs_NKGG[place], mask_HW.shape), **firsts, **chosen}
        columns.setdefault("photo", []).append(image_HW3)
        for name, labels_HW in maps.items():
            columns.setdefault(name, []).append(in_class_colours(labels_HW))
        said = [f"{name} {row[f'accuracy_{name}']:.0f}" for name in ("naive", "first", *rankers, "oracle")]
        titles.append(f"{items[place].id}: " + ", ".join(said))
    return save_grid(columns, path, titles=titles)
