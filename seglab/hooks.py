"""What a loss may ask of the training beyond a batch: the number of the epoch, the noise, and a state that is kept.

All are optional attributes of a loss:

* ``tell_epochs(epochs)`` is called once with the number of epochs of the schedule;
* ``start_epoch(epoch)`` is called before every epoch, counted from 0, also after resuming, perhaps in its middle;
* ``tell_noise(report)`` once before the training, with the content of ``noise.json``;
* a ``state_dict()`` that is not empty is part of the checkpoints. It must be the same in all processes at all times
  and change in ``start_epoch`` and in training steps alone;
* ``follows_pixels = True``: it remembers something of every pixel of every image, which may not move.

One runnable line: ``python -m seglab.train loss=elr data=shapes noise.rate=0.3``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from omegaconf import DictConfig
    from torch import nn

log = logging.getLogger(__name__)


def informed(loss: nn.Module, report: Mapping[str, Any]) -> nn.Module:
    """The loss, once it knows what was done to the training masks, where it asks for that.

    Args:
        loss: of the training.
        report: content of ``noise.json``.
    """
    if hasattr(loss, "tell_noise"):
        loss.tell_noise(report)
    return loss


def tell_epochs(loss: nn.Module, epochs: int) -> None:
    """Tell a loss that asks for it how many epochs there are."""
    if hasattr(loss, "tell_epochs"):
        loss.tell_epochs(epochs)


def start_epoch(loss: nn.Module, epoch: int) -> None:
    """Tell a loss that asks for it which epoch begins, counted from 0."""
    if hasattr(loss, "start_epoch"):
        loss.start_epoch(epoch)


def check_pixels_stay(cfg: DictConfig, loss: nn.Module) -> None:
    """Refuse images that are changed from epoch to epoch under a loss that follows their pixels.

    Args:
        cfg: finalised config of ``seglab.train``.
        loss: of the training.

    Raises:
        ValueError: with what to choose.
    """
    if getattr(loss, "follows_pixels", False) and cfg.get("augment"):
        name = str(cfg.name).rsplit("-", 1)[-1]
        raise ValueError(
            f"augment: {cfg.augment._target_} moves pixels, and loss={name} remembers every pixel of every training "
            "image from epoch to epoch: expected augment=none"
        )


def state_of(loss: nn.Module) -> dict[str, Any]:
    """What a loss adds to a checkpoint: the entry ``loss``, or nothing where it has no state."""
    state = loss.state_dict()
    return {"loss": state} if state else {}


def restore(loss: nn.Module, checkpoint: Mapping[str, Any], *, path: Path) -> None:
    """Give a loss the state that a checkpoint holds.

    Args:
        loss: of the training.
        checkpoint: from :func:`seglab.checkpoint.load`.
        path: the run folder, for messages.

    Raises:
        ValueError: the state is that of another loss.
    """
    own, there = loss.state_dict(), checkpoint.get("loss")
    if not own or there is None:
        if own or there is not None:
            log.warning("%s: its checkpoint was made with another loss; the loss begins anew", path)
        return
    try:
        loss.load_state_dict(there)
    except (RuntimeError, KeyError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"{path}: its checkpoint holds the state of another loss ({reason}); expected one made with "
            "these settings, or runtime.rerun=true, which starts over"
        ) from error
