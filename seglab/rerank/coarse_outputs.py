"""What networks say about images on the coarse grid: class probabilities, and features of a frozen trunk.

Test images are looked at by the run's own network. A training image is looked at by the fold network that did not see
it (:mod:`seglab.folds`), so that a ranker learns from outputs that are as unsure as those of the test images are. What
was found is kept in ``<run>/rerank/``, under names that hold a hash of weights and images, so that it is never stale.

Legend: N images, B batch, K classes, h w cells of an output, G cells of the grid, F features.
One runnable line: ``python -c "import torch; from seglab.rerank.coarse_outputs import on_grid;
print(on_grid(torch.ones(1, 2, 26, 26), 13).shape)"``.
"""

from __future__ import annotations

import copy
import hashlib
import logging
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from omegaconf import DictConfig
from torch import Tensor

from seglab import distributed
from seglab.atomic import replacing
from seglab.coarse import cell_index
from seglab.data.folds import fold_of
from seglab.data.names import file_name
from seglab.folds import fold_run
from seglab.run import SHORT, Run

if TYPE_CHECKING:
    from seglab.data.arrays import ArrayDataset
    from seglab.evaluator import Evaluator

log = logging.getLogger(__name__)

VERSION = 1
"""Raised when what is kept changes its meaning."""


def on_grid(probs_BKhw: Tensor, grid: int) -> Tensor:
    """Probabilities averaged onto the cells of a grid, each output cell lying where its centre is.

    Args:
        probs_BKhw: distributions over the classes.
        grid: cells a side; a side that has no more stays as it is.

    Returns:
        float32 [B, K, min(h, grid), min(w, grid)].
    """
    for axis in (2, 3):
        length = probs_BKhw.shape[axis]
        if length > grid:
            cells = torch.from_numpy(cell_index(length, grid)).to(probs_BKhw.device)
            counts = torch.bincount(cells, minlength=grid).to(probs_BKhw.dtype)
            shape = [*probs_BKhw.shape]
            shape[axis] = grid
            sums = torch.zeros(shape, dtype=probs_BKhw.dtype, device=probs_BKhw.device)
            sums.index_add_(axis, cells, probs_BKhw)
            probs_BKhw = sums / counts.reshape([-1 if i == axis else 1 for i in range(4)])
    return probs_BKhw.float()


def probabilities(evaluator: Evaluator, dataset: ArrayDataset, *, grid: int, desc: str) -> np.ndarray:
    """What a network says about every image; every process must call it and gets all of it.

    Returns:
        float32 [N, K, G, G].

    Raises:
        ValueError: an output is not finite.
    """
    found: dict[int, np.ndarray] = {}
    for batch, logits_BKhw in evaluator.logits(dataset, desc):
        if logits_BKhw.ndim != 4 or not bool(logits_BKhw.isfinite().all()):
            raise ValueError(
                f"output {tuple(logits_BKhw.shape)} of the network: expected finite scores [B,K,h,w]; are the weights "
                "whole?"
            )
        # Doubles, so that averaging over many cells adds no error of its own.
        probs = on_grid(logits_BKhw.float().softmax(1).to("cpu", torch.float64), grid).numpy()
        found |= dict(zip(batch["index"].tolist(), probs, strict=True))
    return _of_all(found)


@torch.inference_mode()
def trunk_features(evaluator: Evaluator, dataset: ArrayDataset, *, desc: str) -> np.ndarray:
    """Mean and largest value of every map of the trunk's last convolution; every process must call it.

    Returns:
        float32 [N, 2 F].
    """
    model, found = evaluator.model, {}

    def look(image_B3HW: Tensor) -> Tensor:
        maps_BFhw = model.features(image_B3HW).float()
        return torch.cat([maps_BFhw.mean((2, 3)), maps_BFhw.amax((2, 3))], 1)

    for batch in evaluator.batches(dataset, desc):
        features = look(batch["image"].to(evaluator.device)).cpu().numpy()
        found |= dict(zip(batch["index"].tolist(), features, strict=True))
    return _of_all(found)


def has_shared_trunk(model: torch.nn.Module) -> bool:
    """Whether the features of this network are those of all its fold networks: a trunk that no training changed."""
    return bool(getattr(model, "frozen", False)) and callable(getattr(model, "features", None))


def _of_all(own: dict[int, np.ndarray]) -> np.ndarray:
    everything: dict[int, np.ndarray] = {}
    for part in distributed.gather(own):
        everything |= part
    return np.stack([everything[index] for index in sorted(everything)])


def kept(path: Path, make: Callable[[], np.ndarray]) -> np.ndarray:
    """An array from its file; where it is missing or damaged it is made and written. Every process must call it.

    Args:
        path: an npz file whose name changes whenever its content would.
        make: called in all processes, or in none.
    """
    there = distributed.broadcast(_read(path) if distributed.is_main() else None)
    if there is not None:
        return there
    values = make()
    if distributed.is_main():
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, version=np.int64(VERSION), values=values)
    return values


def _read(path: Path) -> np.ndarray | None:
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            if int(file["version"]) == VERSION:
                return file["values"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        log.warning("'%s' is damaged (%s): it is made again", path, error)
    return None


def name_of(*parts: object) -> str:
    """Sixteen hexadecimal digits for what an array depends on."""
    return hashlib.sha256(repr((VERSION, *parts)).encode()).hexdigest()[:16]


def weights_hash(path: Path) -> str:
    """A hash of a file of weights."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def own_outputs(
    evaluator: Evaluator,
    run: Run,
    dataset: ArrayDataset,
    *,
    name: str,
    grid: int,
    weights: Path | None = None,
    desc: str | None = None,
) -> np.ndarray:
    """Probabilities of the run's own network, [N, K, G, G], kept in its folder.

    Args:
        evaluator: with the network.
        run: the run folder.
        dataset: the images.
        name: of the set.
        grid: cells a side.
        weights: the file the network's weights come from; None = those at the end of the training.
        desc: title of the progress bar; None = the name.
    """
    digest = weights_hash(weights or run.path / "model.safetensors")
    key = name_of("test", digest, *_how(evaluator.cfg, dataset, grid))
    path = run.path / "rerank" / f"{file_name(name)}-{key}.npz"
    return kept(path, lambda: probabilities(evaluator, dataset, grid=grid, desc=desc or name))


def training_outputs(
    runs: Sequence[Run], cfg: DictConfig, folder: Path, dataset: ArrayDataset, *, grid: int, device: torch.device
) -> np.ndarray:
    """Probabilities of every training image by the fold network that did not see it, [N, K, G, G].

    Args:
        runs: the finished fold networks, in order (:func:`finished_folds`).
        cfg: how to evaluate: ``eval`` and ``runtime``.
        folder: where they are kept, one file a fold.
        dataset: all training images, in order.
        grid: cells a side.
        device: where to compute.
    """
    from seglab.evaluate import trained_evaluator

    fold_N = fold_of(dataset.ids, of=len(runs))
    whole = None
    for number, run in enumerate(runs):
        rows = np.flatnonzero(fold_N == number)
        part = dataset.subset(rows)
        key = name_of("fold", weights_hash(run.path / "model.safetensors"), *_how(cfg, part, grid))

        def make(run: Run = run, part: ArrayDataset = part, number: int = number) -> np.ndarray:
            own = run.config()
            own.runtime, own.eval = copy.deepcopy(cfg.runtime), copy.deepcopy(cfg.eval)
            evaluator = trained_evaluator(run, own, device)
            return probabilities(evaluator, part, grid=grid, desc=f"fold {number + 1} of {len(runs)}")

        found = kept(folder / f"fold-{number}-{key}.npz", make)
        if whole is None:
            whole = np.zeros((len(dataset), *found.shape[1:]), np.float32)
        whole[rows] = found
    assert whole is not None
    return whole


def _how(cfg: DictConfig, dataset: ArrayDataset, grid: int) -> tuple[object, ...]:
    """What the outputs depend on besides the weights."""
    return dataset.fingerprint(), dataset.size, grid, str(cfg.runtime.precision)


def finished_folds(run: Run, *, of: int) -> list[Run]:
    """The fold networks of a run, in order, all of them trained; they lie beside it.

    Args:
        run: the run on all training images.
        of: number of folds.

    Raises:
        ValueError: some are not, with the command that trains them; or the run leaves a fold out itself.
    """
    runs = [fold_run(run, number, of=of, outputs=run.path.resolve().parents[1]) for number in range(of)]
    if missing := [fold for fold in runs if not fold.done]:
        id = run.path.name[-SHORT:]
        first = (
            "" if run.done else f"train it with eval=semantic, then python -m seglab.evaluate run={id} eval=rerank; "
        )
        raise ValueError(
            f"eval.rerank.folds={of}: {len(missing)} of {of} fold networks of {run.path.name} are not trained: "
            f"{first}expected python -m seglab.folds run={id} folds={of} before, or eval.rerank.folds=0, which leaves "
            "out the rankers that learn"
        )
    return runs
