"""What a read-out is shown before its first map: held-out images with masks, images alone, or clicked images.

A read-out says by ``reads_masks`` whether it looks at masks. One that does not is given none, so that it cannot; with
nothing held out it sees all training images. One with ``clicks`` is shown the clicked training images besides.

Example: ``python -m seglab.evaluate run=<run> eval.post.channel=border eval.protocol.name=border``
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from omegaconf import DictConfig

from seglab import distributed
from seglab.clicks import check_names, places, read_clicks

if TYPE_CHECKING:
    from seglab.data.arrays import ArrayDataset
    from seglab.evaluator import Evaluator


def fit_post(evaluator: Evaluator, val: ArrayDataset, cfg: DictConfig) -> dict[str, Any]:
    """Show a new read-out what it needs and finish it; returns its state as plain types.

    Args:
        evaluator: its read-out is new.
        val: images held out with clean masks; may be empty.
        cfg: config of the training, whose images are shown where no mask is needed.

    Raises:
        ValueError: nothing is held out and the read-out needs it, or a click is wrong.
    """
    post = evaluator.post
    blind = not reads_masks(post, val)
    if getattr(post, "needs_images", True):
        images = training_images(cfg) if blind and not len(val) else val
        for batch, logits in evaluator.logits(images, "read-out"):
            names = (batch["id"],) if getattr(post, "wants_names", False) else ()
            post.update(logits, None if blind else batch["mask"], *names)
    if getattr(post, "clicks", None):
        images, where = clicked_images(cfg, post.clicks)
        for batch, logits in evaluator.logits(images, "clicks"):
            post.click(logits, [where[name] for name in batch["id"]])
    post.sync(distributed.sum_, device=evaluator.device)
    post.finish()
    return post.state()


def reads_masks(post: Any, val: ArrayDataset) -> bool:
    """Whether a read-out will look at masks; one with ``does_without`` looks at those that are held out, if any."""
    return getattr(post, "reads_masks", True) and (len(val) > 0 or not getattr(post, "does_without", False))


def training_images(cfg: DictConfig) -> ArrayDataset:
    """All images of the training part but those of a fold left out, neither augmented nor changed."""
    from seglab.data.build import load_part
    from seglab.data.folds import without_fold
    from seglab.identity import has_fold

    whole = load_part(cfg.data, cfg.runtime, "train")
    if has_fold(cfg) and cfg.fold.of:
        whole = whole.subset(without_fold(whole.ids, of=cfg.fold.of, number=cfg.fold.number))
    return whole


def clicked_images(cfg: DictConfig, path: str) -> tuple[ArrayDataset, dict[str, list[tuple[float, float]]]]:
    """The clicked training images and the places of their clicks, see :func:`seglab.clicks.places`.

    Raises:
        ValueError: the file is wrong, an image is unknown, or a click lies outside its image.
    """
    clicks, whole = read_clicks(path), training_images(cfg)
    names = whole.ids
    check_names(path, clicks, names)
    wanted = {click.image for click in clicks}
    images = whole.subset(np.array([row for row, name in enumerate(names) if name in wanted]))
    sizes = {name: images.original(row)[0].shape[:2] for row, name in enumerate(images.ids)}
    return images, places(path, clicks, sizes)
