"""Re-rank the proposals of a test set: networks' outputs, what is learned from them, one choice an image and ranker.

Several processes share the work of the networks; the proposals are looked at, and everything is learned, by the main
process and those it starts (``runtime.workers``), and the others get its numbers. So all have the same.

Legend: N images, K classes, G cells. Source: Cogswell et al. 2014, sections 3.3 and 4 (EQUATIONS 4.6).
One runnable line: ``python -m seglab.evaluate run=<run> eval=rerank proposals=<folder of label maps>``.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from omegaconf import DictConfig, OmegaConf, open_dict

from seglab import distributed
from seglab.data.build import data_of, load_part
from seglab.data.folds import fold_of
from seglab.data.names import file_name
from seglab.fold_lists import training_ids
from seglab.proposals.recipe import Recipe
from seglab.rerank.coarse_outputs import (
    finished_folds,
    has_shared_trunk,
    kept,
    name_of,
    own_outputs,
    training_outputs,
    trunk_features,
    weights_hash,
)
from seglab.rerank.images import Look, judge_all
from seglab.rerank.learn import Learned, Learner, epsilons_of
from seglab.rerank.outcome import Outcome
from seglab.rerank.settings import RerankSettings
from seglab.run import Run
from seglab.targets import instantiate

if TYPE_CHECKING:
    from seglab.data.arrays import ArrayDataset
    from seglab.evaluator import Evaluator
    from seglab.proposals.store import Store

log = logging.getLogger(__name__)


@dataclass
class Part:
    """One part of the images as it is looked at.

    Attributes:
        dataset: the images at the network's size.
        items: the same at their own size.
        probs_NKGG: networks' outputs.
        trunk_NF: features of a fixed trunk; None where classifiers look at filters, or are not asked for.
    """

    dataset: ArrayDataset
    items: Sequence[Any]
    probs_NKGG: np.ndarray
    trunk_NF: np.ndarray | None


def measure(evaluator: Evaluator, run: Run, dataset: ArrayDataset, name: str, settings: RerankSettings) -> Outcome:
    """All numbers of a run on a test set; every process must call it and gets them.

    Args:
        evaluator: the run's network, with its config.
        run: the run folder.
        dataset: the test images.
        name: their name, one of ``eval.sets``.
        settings: of ``eval.rerank``.

    Raises:
        ValueError: fold networks that are not trained, proposals that are missing or do not fit.
    """
    cfg = evaluator.cfg
    own, runs = own_config(run, cfg), []
    if settings.needs_training_images:
        runs = finished_folds(run, of=settings.folds, ids=training_ids(own.data))
    stores = stores_of(cfg, own, name, training=bool(runs))
    shared = "classification" in settings.groups() and has_shared_trunk(evaluator.model, [run, *runs])
    test = Part(dataset, items_of(data_of(cfg, name), dataset, "test"), np.zeros(0), None)
    test.probs_NKGG = own_outputs(evaluator, run, dataset, name=name, grid=settings.grid)
    train = None
    if runs:
        whole = load_part(own.data, cfg.runtime, "train")
        train = Part(whole, items_of(own.data, whole, "train"), np.zeros(0), None)
        folder = run.path / "rerank"
        train.probs_NKGG = training_outputs(runs, cfg, folder, whole, grid=settings.grid, device=evaluator.device)
    for part in (test, *([train] if train else [])) if shared else ():
        part.trunk_NF = _trunk(evaluator, run, part.dataset)
    outcome = None
    if distributed.is_main():
        look = look_for(cfg, settings, store=stores["test"], shared=shared)
        learned = Learned(epsilons_of(settings)[0])
        if train is not None:
            learned = learn_from(train, cfg, settings, replace(look, store=stores["train"], part="train"))
        outcome = choose_on(test, cfg, settings, look, learned)
        if cfg.eval.samples:
            from seglab.rerank.pictures import save_choices

            path = run.path / "samples" / f"rerank-{file_name(name)}.png"
            save_choices(path, outcome, replace(look, part="test"), test.items, test.probs_NKGG, cfg.eval.samples)
    return distributed.broadcast(outcome)


def own_config(run: Run, cfg: DictConfig) -> DictConfig:
    """The run's config with what is typed now of places and proposals: where its training images are."""
    own = copy.deepcopy(cfg)
    trained = run.config()
    if trained.data.name != cfg.data.name:  # scored on another set than it was trained on
        with open_dict(own):
            own.data = trained.data
    return own


def stores_of(cfg: DictConfig, own: DictConfig, name: str, *, training: bool) -> dict[str, str]:
    """Folders of the proposals of the test set and, where they are needed, of the training images; made where missing.

    Every process must call it; the main one works.
    """
    folders = {}
    if distributed.is_main():
        from seglab.proposals.make import proposals_of

        if name == own.data.name:
            folder = str(proposals_of(own, parts=["train", "test"] if training else ["test"]).folder)
            folders = {"train": folder, "test": folder}
        else:
            folders = {"test": str(_of_another_set(cfg, own, name).folder)}
            if training:
                folders["train"] = str(proposals_of(own, parts=["train"]).folder)
    return distributed.broadcast(folders)


def _of_another_set(cfg: DictConfig, own: DictConfig, name: str) -> Store:
    """Proposals of a set the run was not trained on: somebody's, or made by what was learned on its training images."""
    from seglab.proposals.make import proposals_of

    if cfg.proposals.folder is None:
        return proposals_of(own, parts=["test"], test_set=name)
    scored = copy.deepcopy(cfg)
    with open_dict(scored):
        scored.data = data_of(cfg, name)
    return proposals_of(scored, parts=["test"])


def items_of(data: DictConfig, dataset: ArrayDataset, part: str) -> list[Any]:
    """The items of a part at their own size, in the order of the decoded images."""
    items = list(instantiate(data.source).items(part))
    assert [item.id for item in items] == dataset.ids, f"data={data.name}: its images changed while they were looked at"
    return items


def look_for(cfg: DictConfig, settings: RerankSettings, *, store: str, shared: bool) -> Look:
    """What is wanted of every test image, but for epsilon."""
    recipe = Recipe.of(OmegaConf.to_container(cfg.proposals, resolve=True))
    settings = settings.of_classes(list(cfg.data.classes))
    assert settings.background is not None
    return Look(
        store=store,
        part="test",
        classes=len(cfg.data.classes),
        count=settings.count,
        epsilons=epsilons_of(settings),
        background=settings.background,
        groups=settings.groups(),
        filters="classification" in settings.groups() and not shared,
        upsampled=(recipe.superpixels, recipe.compactness),
        cache=str(Path(cfg.runtime.outputs) / "cache" / "rerank"),
    )


def learn_from(train: Part, cfg: DictConfig, settings: RerankSettings, look: Look) -> Learned:
    """Epsilon, classifiers and ranking machines, from all training images with labelled pixels."""
    learner = Learner(settings, look.epsilons)
    fold_N = fold_of(train.dataset.ids, of=settings.folds)
    look = replace(look, upsampled=None)
    for place, image in judged(train, cfg, look, "training proposals"):
        if image is not None:
            features_F = None if train.trunk_NF is None else train.trunk_NF[place]
            learner.add(image, fold=int(fold_N[place]), image_F=features_F)
    return learner.learn(list(cfg.data.classes))


def choose_on(test: Part, cfg: DictConfig, settings: RerankSettings, look: Look, learned: Learned) -> Outcome:
    """Count what every ranker chooses on the test images."""
    look = replace(look, epsilons=(learned.epsilon,))
    names = [str(name) for name in settings.rankers if str(name) in (*settings.distances(), *learned.machines)]
    outcome, without = Outcome(list(cfg.data.classes), names, found=learned.told()), 0
    for place, image in judged(test, cfg, look, "test proposals"):
        if image is None:
            without += 1
            continue
        features_F = image.image_F if test.trunk_NF is None else test.trunk_NF[place]
        outcome.add(place, image, learned.choices(image, settings, image_F=features_F))
    if without:
        log.info("%d of %d test images have no labelled pixel and are left out", without, len(test.items))
    return outcome.finish()


def judged(part: Part, cfg: DictConfig, look: Look, desc: str) -> Any:
    """The images of a part one by one, with a progress bar."""
    from tqdm import tqdm

    found = judge_all(look, part.items, lambda place: part.probs_NKGG[place][None], workers=cfg.runtime.workers)
    quiet = None if cfg.runtime.progress else True
    yield from tqdm(found, desc=desc, total=len(part.items), unit="img", leave=False, disable=quiet)


def _trunk(evaluator: Evaluator, run: Run, dataset: ArrayDataset) -> np.ndarray:
    key = name_of("trunk", weights_hash(run.path / "model.safetensors"), dataset.fingerprint(), dataset.size)
    path = run.path / "rerank" / f"trunk-{key}.npz"
    return kept(path, lambda: trunk_features(evaluator, dataset, desc="features"))
