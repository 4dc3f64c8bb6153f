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

from seglab import checkpoint, distributed
from seglab.atomic import replacing
from seglab.data.folds import fold_of
from seglab.data.names import file_name
from seglab.fold_lists import check_folds
from seglab.folds import fold_run
from seglab.run import SHORT, Run

if TYPE_CHECKING:
    from seglab.data.arrays import ArrayDataset
    from seglab.evaluator import Evaluator

log = logging.getLogger(__name__)

VERSION = 2
"""Raised when what is kept changes its meaning."""

OF_FEATURES = ("trunk.", "normalise.")
"""Weights that ``model.features`` depends on."""


def on_grid(probs_BKhw: Tensor, grid: int) -> Tensor:
    """Probabilities averaged onto the cells of a grid by the areas that cells of the output share with them.

    So a cell says what lies in it, however the sides fit: with output cells counted where their centres are, 14 of them
    would be up to 0.4 cells off on 13.

    Args:
        probs_BKhw: distributions over the classes.
        grid: cells a side; a side that has no more stays as it is.

    Returns:
        float32 [B, K, min(h, grid), min(w, grid)].
    """
    for axis, rule in ((2, "bkhw,gh->bkgw"), (3, "bkhw,gw->bkhg")):
        length = probs_BKhw.shape[axis]
        if length > grid:
            shares_gL = torch.from_numpy(_overlaps(length, grid)).to(probs_BKhw)
            probs_BKhw = torch.einsum(rule, probs_BKhw, shares_gL)
    return probs_BKhw.float()


def _overlaps(length: int, grid: int) -> np.ndarray:
    """Share of each grid cell that lies in each of ``length`` equal parts of a side: float64 [grid, length], rows 1."""
    # In units of 1 / (length * grid) of the side all edges are whole numbers.
    cells, parts = np.arange(grid)[:, None] * length, np.arange(length)[None] * grid
    shared = np.minimum(cells + length, parts + grid) - np.maximum(cells, parts)
    return np.maximum(shared, 0) / length


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


def has_shared_trunk(model: torch.nn.Module, runs: Sequence[Run] = ()) -> bool:
    """Whether the features of a network are those of its fold networks, too: a frozen trunk, the same weights in all.

    A trunk that does not move now may have moved before: fold networks that go on from fold networks whose trunk
    learned (``model.frozen=false``) differ in it.

    Args:
        model: the network.
        runs: its run and the fold networks.

    Raises:
        ValueError: weights that are missing or damaged.
    """
    if not (getattr(model, "frozen", False) and callable(getattr(model, "features", None))):
        return False
    first: dict[str, Tensor] | None = None
    for run in runs:
        weights = checkpoint.load_weights(run.path / "model.safetensors")
        trunk = {key: value for key, value in weights.items() if key.startswith(OF_FEATURES)}
        first = trunk if first is None else first
        if trunk.keys() != first.keys() or not all(torch.equal(trunk[key], first[key]) for key in trunk):
            log.info("the trunks of the fold networks differ, so images are classified by their filter answers")
            return False
    return True


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
        folder: where they are kept, one file a fold: ``rerank`` in the run's folder.
        dataset: all training images, in order.
        grid: cells a side.
        device: where to compute.

    Raises:
        ValueError: the fold networks were trained on another list of images.
    """
    from seglab.evaluate import trained_evaluator

    check_folds(Run(folder.parent), runs, dataset.ids)
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


def finished_folds(run: Run, *, of: int, ids: Sequence[str] | None = None) -> list[Run]:
    """The fold networks of a run, in order, all of them trained; they lie beside it.

    Args:
        run: the run on all training images.
        of: number of folds.
        ids: names of all training images; None = they are not compared with those the networks left out.

    Raises:
        ValueError: some are not, with the command that trains them; they were trained on another list of images; or
            the run leaves a fold out itself.
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
    if ids is not None:
        check_folds(run, runs, ids)
    return runs
