"""What a trained network says of every pixel, as further features of superpixels (``proposals.network=<run>``).

A network that saw the training images is surer of them than of others, and a classifier that learns from what it says
there trusts it too much. Where the run's fold networks are there (``python -m seglab.folds run=<run>
folds=<proposals.folds>``) and were trained on the very list of images the proposals are learned from, each training
image is judged by the one that did not see it.

Legend: H W pixels, K classes, S side of the network's input. One runnable line: ``python -c "from
seglab.proposals.network import judges_of; print(judges_of('none', folds=10, classes=['a', 'b'], outputs='outputs',
ids=list))"``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from omegaconf import OmegaConf, open_dict

from seglab.run import Run
from seglab.words import some

log = logging.getLogger(__name__)


def judges_of(
    wanted: str, *, folds: int, classes: Sequence[str], outputs: str, ids: Callable[[], Sequence[str]]
) -> list[str]:
    """Folders of the network of all training images and of its fold networks, where all of these are finished and fit.

    Args:
        wanted: a run's folder, name or id.
        folds: how many fold networks there should be.
        classes: names of the classes of the data.
        outputs: ``runtime.outputs``.
        ids: gives the names of the training images that are to be judged; called where there are fold networks.

    Returns:
        The run's folder, then those of its fold networks, or of none.

    Raises:
        ValueError: no such run, not finished, or of other classes.
    """
    from seglab.fold_lists import unfit
    from seglab.folds import fold_run

    try:
        run = Run.find(wanted, outputs)
    except ValueError as error:
        raise ValueError(f"proposals.network={wanted}: {error}") from error
    if not (run.path / "model.safetensors").is_file():
        raise ValueError(f"proposals.network={wanted}: expected a finished run: {run.path} has no model.safetensors")
    its = list(OmegaConf.select(run.config(), "data.classes") or [])
    if its != list(classes):
        raise ValueError(
            f"proposals.network={wanted}: it knows {len(its)} classes ({some(its)}): expected a run on the "
            f"{len(classes)} classes of the data"
        )
    beside = run.path.resolve().parents[1]
    parts = [fold_run(run, number, of=folds, outputs=beside) for number in range(folds)] if folds else []
    absent = [part for part in parts if not part.done]
    remedy = f"python -m seglab.folds run={run.path.name} folds={folds} first"
    if not parts:
        why, remedy = "proposals.folds=0 asks for no fold networks", "proposals.folds=10"
    elif absent:
        why = f"{len(absent)} of its {folds} fold networks are missing"
    elif why := unfit(parts, ids()):
        remedy = f"a run on these training images, and {remedy}"
    else:
        return [str(run.path), *(str(part.path) for part in parts)]
    log.warning(
        "proposals.network=%s: %s, so it judges images that it may have been trained on, and their unary terms are too "
        "sure; expected: %s", wanted, why, remedy,
    )  # fmt: skip
    return [str(run.path)]


class Judges:
    """The networks that have a say.

    Args:
        folders: of the network of all training images, then of its fold networks, or of none.
        runtime: keys of ``runtime``.
    """

    def __init__(self, folders: Sequence[str], runtime: Mapping[str, Any]) -> None:
        self.folders, self.runtime = list(folders), dict(runtime)

    def probabilities(self, image_HW3: np.ndarray, *, fold: int | None) -> np.ndarray | None:
        """Probabilities of the classes, float32 [K,H,W]; None where there is no network.

        Args:
            image_HW3: uint8, RGB.
            fold: fold of a training image; None for any other.

        Raises:
            ValueError: a run cannot be read, or gives numbers that are not finite.
        """
        if not self.folders:
            return None
        import torch

        from seglab.data.cache import resize

        folder = self.folders[0 if fold is None or len(self.folders) == 1 else 1 + fold]
        maps = _maps(folder, OmegaConf.to_yaml(OmegaConf.create(self.runtime)))
        small = resize(image_HW3, np.zeros(image_HW3.shape[:2], np.uint8), maps.size)[0]
        scores_1Khw = maps(torch.from_numpy(small[None])).float().softmax(1)
        found = torch.nn.functional.interpolate(
            scores_1Khw, image_HW3.shape[:2], mode="bilinear", align_corners=False, antialias=False
        )[0].numpy()
        if not np.isfinite(found).all():
            raise ValueError(f"proposals.network={folder}: its probabilities are not finite")
        return found


@lru_cache(maxsize=16)
def _maps(folder: str, runtime: str) -> Any:
    from seglab.config import compose
    from seglab.predicting.maps import RunMaps

    cfg = compose("predict", ["run=none"])
    with open_dict(cfg):
        cfg.runtime.update(OmegaConf.create(runtime))
        cfg.run = folder
    return RunMaps(Run.find(folder, cfg.runtime.outputs), cfg)
