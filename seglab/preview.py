"""Look at training images, masks and noise before training: ``python -m seglab.preview data=sod noise.rate=0.5``.

Takes the same keys as ``seglab.train``. The last line on stdout is the PNG file.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from seglab.cli import run_command
from seglab.run import Run

if TYPE_CHECKING:
    import numpy as np

    from seglab.data.arrays import ArrayDataset

log = logging.getLogger(__name__)

SHOWN = 3
"""Annotators in the grid; images of BSDS500 have at least four."""


def preview(cfg: DictConfig) -> Path:
    """Draw a grid of training images: photo, true mask, the mask that training sees, and where the two differ.

    Args:
        cfg: finalised config of ``conf/preview.yaml``.

    Returns:
        The PNG file, ``outputs/figures/<run name>-noise.png``; changed masks have a coloured border. Where several
        people drew each image, the masks of the first :data:`SHOWN` of them are the columns, with noise those of the
        first one before and after it. Negative images, where training has some, are a column of their own, the first
        of them from the top.

    Raises:
        ValueError: data missing or broken.
    """
    import numpy as np

    from seglab.data.build import training_data
    from seglab.data.grid import save_grid
    from seglab.data.palette import in_class_colours

    data = training_data(cfg)
    rows = range(min(cfg.count, len(data.train)))
    marked = data.train.marked
    columns = {"image": [np.moveaxis(data.train[i]["image"].numpy(), 0, -1) for i in rows]}
    if data.train.several and not marked.any():
        columns |= annotators(data.train, rows)
        log.info("several people drew each image; training draws one of them for every image and epoch")
    else:
        shown = in_class_colours if cfg.data.task == "semantic" else np.asarray
        columns["true mask"] = [shown(data.train.clean_mask(i)) for i in rows]
        columns["training mask"] = [shown(data.train.mask(i)) for i in rows]
        if marked.any():
            columns["differs in"] = [differences(data.train.clean_mask(i), data.train.mask(i)) for i in rows]
    if data.negatives is not None:
        columns["negative image"] = first_images(data.negatives, len(rows))
    done = "exchanged" if data.noise["type"] == "flip" else "changed"
    path = Path(cfg.runtime.outputs) / "figures" / f"{Run.for_config(cfg).path.name}-noise.png"
    save_grid(columns, path, marked=[bool(marked[i]) for i in rows], note=done)
    log.info(
        "%d of %d masks %s (rate asked %g), %.1f %% of the labelled pixels, %.1f %% of those of the %s masks",
        data.noise["changed"],
        len(data.train),
        done,
        cfg.noise.rate,
        100 * data.noise["pixels"],
        100 * data.noise["pixels_of_changed"],
        done,
    )
    return path


def first_images(dataset: ArrayDataset, count: int) -> list[np.ndarray]:
    """The first ``count`` images, uint8 [S,S,3]; white where there are fewer.

    Args:
        dataset: the images.
        count: how many.
    """
    import numpy as np

    found = [np.moveaxis(dataset[i]["image"].numpy(), 0, -1) for i in range(min(count, len(dataset)))]
    return found + [np.full_like(found[0], 255)] * (count - len(found))


def differences(clean_HW: np.ndarray, noisy_HW: np.ndarray) -> np.ndarray:
    """Where two masks differ, as a picture uint8 [H,W,3]: red; the boundaries of the true mask are darker.

    Args:
        clean_HW: labels.
        noisy_HW: labels.
    """
    import numpy as np

    picture = np.full((*clean_HW.shape, 3), 255, dtype=np.uint8)
    differ_HW = clean_HW != noisy_HW
    picture[differ_HW] = (214, 39, 40)
    edge_HW = np.zeros(clean_HW.shape, dtype=bool)
    edge_HW[:, 1:] |= clean_HW[:, 1:] != clean_HW[:, :-1]
    edge_HW[1:] |= clean_HW[1:] != clean_HW[:-1]
    picture[edge_HW] = (110, 110, 110)
    picture[edge_HW & differ_HW] = (120, 20, 20)
    return picture


def annotators(dataset: ArrayDataset, rows: Iterable[int]) -> dict[str, list[np.ndarray]]:
    """A column of masks int32 [S,S] for each of the first annotators; where an image has fewer, all is ignored (-1).

    Args:
        dataset: the images.
        rows: which of them.

    Raises:
        ValueError: a file cannot be read.
    """
    import numpy as np

    drawn = [dataset.annotations(i, original=False).segments_AHW for i in rows]
    most = min(SHOWN, max(len(one) for one in drawn))
    return {
        f"annotator {n + 1}": [one[n] if n < len(one) else np.full_like(one[0], -1) for one in drawn]
        for n in range(most)
    }


if __name__ == "__main__":
    sys.exit(run_command("preview", preview, resumable=False))
