"""Look at training images, masks and noise before training: ``python -m seglab.preview data=sod noise.rate=0.5``.

Takes the same keys as ``seglab.train``. The last line on stdout is the PNG file.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from omegaconf import DictConfig

from seglab.cli import run_command
from seglab.run import Run

log = logging.getLogger(__name__)


def preview(cfg: DictConfig) -> Path:
    """Draw a grid of training images: photo, true mask, and the mask that training sees.

    Args:
        cfg: finalised config of ``conf/preview.yaml``.

    Returns:
        The PNG file, ``outputs/figures/<run name>-noise.png``; exchanged masks have a coloured border.

    Raises:
        ValueError: data missing or broken.
    """
    import numpy as np

    from seglab.data.build import training_data
    from seglab.data.grid import save_grid

    data = training_data(cfg)
    rows = range(min(cfg.count, len(data.train)))
    flipped = data.train.flipped
    clean = data.train.with_noise(flipped)  # exchanged twice is as it was
    columns = {
        "image": [np.moveaxis(data.train[i]["image"].numpy(), 0, -1) for i in rows],
        "true mask": [clean.mask(i) for i in rows],
        "training mask": [data.train.mask(i) for i in rows],
    }
    path = Path(cfg.runtime.outputs) / "figures" / f"{Run.for_config(cfg).path.name}-noise.png"
    save_grid(columns, path, marked=[bool(flipped[i]) for i in rows], note="exchanged")
    log.info("%d of %d masks exchanged (rate asked %g)", data.noise["flipped"], len(data.train), cfg.noise.rate)
    return path


if __name__ == "__main__":
    sys.exit(run_command("preview", preview, resumable=False))
